"""Mutations that know what an OpenPGP certificate is made of, of real ones and of recon's octets.

A mutation is drawn from a `Random`: a seeded one, or hypothesis's, which then shrinks what it
found. Octets that are no packets any more are still mutated as octets.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from keygrove_bench.fuzz import wire
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import armor, dearmor
from keygrove_protocols.openpgp.packets import Packet, Tag, join, split
from keygrove_protocols.openpgp.signatures import Signature, read_signature

_VECTORS: Final = Path(__file__).parents[3] / "tests" / "vectors"
CORPUS: Final = _VECTORS / "openpgp"
"""Real certificates, and those that are wrong in one way."""
RECON: Final = _VECTORS / "recon.json"
"""What real servers say to each other."""
FINDINGS: Final = _VECTORS / "fuzz"
"""Inputs that broke a law once."""
SEED_OCTETS_MAX = 16 << 10
"""Larger ones take long, and show nothing that small ones do not; nor does the corpus's index."""
STEPS_MAX = 4
ARMORED_SHARE = 0.05
_RUNS = (0, 1, 2, 8, 191, 192, 255, 256, 4_096, 8_383, 8_384)
"""Octets to be put in at once: those at which a length is written in another way are among it."""
_WIDTHS = (1, 2, 4)
_EMBEDDED = 32
_KINDS = (
    *range(2, 40),
    60,
    100,
    110,
    127,
    *(kind | 0x80 for kind in (2, 9, 16, 20, 27, 32, 33, 127)),
)
"""Of subpackets: all that have a meaning, some that have none, and some of them critical."""
_FLOOD = 100

Packets: TypeAlias = list[Packet]


def seeds() -> list[bytes]:
    """What mutations start from, in the order of its names."""
    files = sorted((*CORPUS.iterdir(), *findings()))
    certificates = [file.read_bytes() for file in files if file.stat().st_size <= SEED_OCTETS_MAX]
    return certificates + wire.seeds_of(RECON.read_bytes())


def findings() -> list[Path]:
    """The inputs that broke a law once."""
    return sorted(FINDINGS.iterdir()) if FINDINGS.exists() else []


class Mutator:
    """Makes new inputs of old ones. Some packets come from the others of its seeds."""

    def __init__(self, these: Sequence[bytes]) -> None:
        self._packets = [packet for data in these for packet in _packets(data) or ()]

    def mutate(self, data: bytes, random: Random) -> bytes:
        """The input after some mutations, mostly of its packets."""
        for _ in range(random.randint(1, STEPS_MAX)):
            sequence = _packets(data)
            if sequence is None or not random.randrange(4):
                data = _mutate_octets(data, random)
            else:
                self._mutate_packets(sequence, random)
                data = join(sequence)
        return armor(data) if random.random() < ARMORED_SHARE else data

    def _mutate_packets(self, some: Packets, random: Random) -> None:
        at = random.randrange(len(some))
        change = random.choice((*_MOVES, self._put_in, self._swap_in, self._mutate_body))
        change(some, at, random)

    def _put_in(self, some: Packets, at: int, random: Random) -> None:
        some.insert(at + 1, random.choice(self._packets))

    def _swap_in(self, some: Packets, at: int, random: Random) -> None:
        some[at] = Packet(some[at].tag, random.choice(self._packets).body)

    def _mutate_body(self, some: Packets, at: int, random: Random) -> None:
        tag, body = some[at].tag, some[at].body
        signature = read_signature(body) if tag == Tag.SIGNATURE else None
        if signature is None or not random.randrange(3):
            some[at] = Packet(tag, _mutate_octets(body, random))
        else:
            some[at] = Packet(tag, self._mutate_signature(body, signature, random))

    def _mutate_signature(self, body: bytes, signature: Signature, random: Random) -> bytes:
        """One of its areas, its numbers, or what is nested in it; the lengths fit mostly."""
        if signature.version not in (4, 6):
            return _mutate_octets(body, random)
        width = 4 if signature.version == 6 else 2
        hashed = body[4 + width : signature.hashed_end]
        unhashed = body[signature.hashed_end + width : signature.digest_at]
        rest = body[signature.digest_at :]
        match random.randrange(4):
            case 0:
                hashed = self._mutate_area(hashed, random)
            case 1 | 2:
                unhashed = self._mutate_area(unhashed, random)
            case _:
                rest = _mutate_octets(rest, random)
        return (
            body[:4]
            + len(hashed).to_bytes(width)
            + hashed
            + len(unhashed).to_bytes(width)
            + unhashed
            + rest
        )

    def _mutate_area(self, area: bytes, random: Random) -> bytes:
        """Subpackets: one more, one that holds another signature, or their octets."""
        match random.randrange(4):
            case 0:
                return _beside(area, _subpacket(random.choice(_KINDS), _octets(random)), random)
            case 1:
                return _beside(area, _subpacket(_EMBEDDED, self._nested(random)), random)
            case 2:
                return area * 2
            case _:
                return _mutate_octets(area, random)

    def _nested(self, random: Random) -> bytes:
        """A signature to be embedded: a real one, one that is damaged, or its beginning."""
        body = random.choice([one.body for one in self._packets if one.tag == Tag.SIGNATURE])
        match random.randrange(3):
            case 0:
                return body
            case 1:
                return _mutate_octets(body, random)
            case _:
                return body[: random.randrange(40)]


def _packets(data: bytes) -> Packets | None:
    """The packets of an input, None where it has none or is none."""
    try:
        return split(dearmor(data, BULK).data, BULK) or None
    except ProtocolError:
        return None


def _beside(area: bytes, subpacket: bytes, random: Random) -> bytes:
    return subpacket + area if random.randrange(2) else area + subpacket


def _leave_out(some: Packets, at: int, _: Random) -> None:
    del some[at]


def _double(some: Packets, at: int, random: Random) -> None:
    some.insert(random.randrange(len(some) + 1), some[at])


def _move(some: Packets, at: int, random: Random) -> None:
    some.insert(random.randrange(len(some)), some.pop(at))


def _swap_bodies(some: Packets, at: int, random: Random) -> None:
    other = random.randrange(len(some))
    one, two = some[at], some[other]
    some[at], some[other] = Packet(one.tag, two.body), Packet(two.tag, one.body)


def _repeat_run(some: Packets, at: int, random: Random) -> None:
    run = some[random.randrange(at + 1) : at + 1]
    some[at:at] = run * random.choice((1, 2, 20))


def _retag(some: Packets, at: int, random: Random) -> None:
    some[at] = Packet(random.choice(tuple(Tag)), some[at].body)


def _flood(some: Packets, at: int, random: Random) -> None:
    """Many that differ in their end only, or in an octet somewhere else."""
    tag, body = some[at].tag, some[at].body
    place = random.choice((len(body), random.randrange(len(body) + 1)))
    head, rest = body[: max(place - 1, 0)], body[place:]
    some[at:at] = [Packet(tag, head + bytes((octet,)) + rest) for octet in range(_FLOOD)]


_MOVES: Final[tuple[Callable[[Packets, int, Random], None], ...]] = (
    _leave_out,
    _double,
    _move,
    _swap_bodies,
    _repeat_run,
    _retag,
    _flood,
)


def _subpacket(kind: int, data: bytes) -> bytes:
    return b"\xff" + (len(data) + 1).to_bytes(4) + bytes((kind,)) + data


def _octets(random: Random) -> bytes:
    return random.randbytes(random.choice((0, 1, 4, 8, 20, 21, 33)))


def _mutate_octets(data: bytes, random: Random) -> bytes:
    """Changed, left out, put in or repeated; or a number in it that is a little off."""
    at = random.randrange(len(data) + 1)
    end = at + random.choice((0, 1, 2, 3, 8, 40))
    return data[:at] + random.choice(_CHANGES)(data[at:end], random) + data[end:]


def _flipped(run: bytes, random: Random) -> bytes:
    return bytes(octet ^ 1 << random.randrange(8) for octet in run[:1]) + run[1:]


def _random(run: bytes, random: Random) -> bytes:
    return random.randbytes(len(run))


def _gone(_: bytes, __: Random) -> bytes:
    return b""


def _more(run: bytes, random: Random) -> bytes:
    return run + bytes((random.choice((0, 1, 255)),)) * random.choice(_RUNS)


def _again(run: bytes, random: Random) -> bytes:
    return run * random.choice((2, 3, 100))


def _off(run: bytes, random: Random) -> bytes:
    """As a length that is a little off, or as large as one can be."""
    width = min(random.choice(_WIDTHS), len(run))
    top = 1 << 8 * width
    number = int.from_bytes(run[:width]) + random.choice((-8, -1, 1, 8, top - 1))
    return (number % top).to_bytes(width) + run[width:]


_CHANGES: Final[tuple[Callable[[bytes, Random], bytes], ...]] = (
    _flipped,
    _random,
    _gone,
    _more,
    _again,
    _off,
)
