"""S-15: proofs of certificates in trees of some sizes: made, checked, and how large they are.

What is made is the whole document, from the tree and the slots, without the disk: a certificate
that is held is read and hashed besides, as a lookup does.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, TypeVar

import msgspec

from keygrove.storage.address import packets_hash, slot, tree_key
from keygrove.storage.forest import SLOTS_OCTETS, Forest, united
from keygrove.storage.merkle import SLOT_DEPTH, Tree, blake3_256
from keygrove.storage.messages import Traced
from keygrove.storage.proofs import proof
from keygrove_bench.report import Row, aimed, row
from keygrove_protocols.proofs.note import SignerKey
from keygrove_protocols.proofs.proof import Head, verify

T = TypeVar("T")
R = TypeVar("R")

SIZES: Final = (1_000, 100_000, 1_000_000)
ASKED: Final = 1_000
HEADS: Final = 50
GOAL_US: Final = 2_000
AT: Final = 1_800_000_000


class _Server:
    """Holds so many certificates in four shards, or answers as if it did."""

    def __init__(self, size: int) -> None:
        changes = sorted((tree_key(_name(n)), packets_hash(_name(n))) for n in range(size))
        entries = b"".join(key + value for key, value in changes)
        self._tree = Tree.build(blake3_256, entries)
        self._size = size
        self._signer = SignerKey("bench.example", bytes(32))
        self.sign()

    def sign(self) -> None:
        """Another head: the slots of four shards, their forest, and a signature."""
        slots = [self._tree.slots(), *(bytes(SLOTS_OCTETS) for _ in range(3))]
        self._forest = Forest(blake3_256, united(slots))
        name = self._signer.verifier.name
        head = Head(name, "blake3", self._size, self._forest.root, AT)
        self._note = self._signer.sign(head.lines())

    def prove(self, number: int) -> bytes:
        """The document, of a certificate that is held if there are more than so many."""
        name = _name(number)
        key = tree_key(name)
        path = self._tree.path(key)
        packets = packets_hash(name) if number < self._size else b""
        traced = Traced(path.hashes[SLOT_DEPTH:], path.leaf, packets)
        above = self._forest.path(slot(name))
        return msgspec.json.encode(proof(name, key, self._note, above, traced))

    def check(self, document: bytes) -> bool:
        """Whether it proves that a certificate is held; it has to prove one or the other."""
        return verify(document, self._signer.verifier).packets is not None


def _name(number: int) -> bytes:
    return number.to_bytes(20)


def rows(_: Path, *, quick: bool = False) -> list[Row]:
    """Measure, in memory."""
    return [one for size in SIZES[: 1 if quick else None] for one in _of(size)]


def _of(size: int) -> list[Row]:
    server = _Server(size)
    held = range(0, size, size // ASKED)
    absent = range(size, size + ASKED)
    made_us, documents = _timed(server.prove, held)
    absent_us, absences = _timed(server.prove, absent)
    checked_us, results = _timed(server.check, documents)
    assert all(results)
    assert not any(map(server.check, absences))
    signed_us, _ = _timed(lambda _: server.sign(), range(HEADS))
    of = f"of {size:,} certificates, p50"
    absence = {"of absence": round(median(absent_us), 1)}
    sizes = {"of absence": median(map(len, absences)), "largest": max(map(len, documents))}
    made = row((f"S-15-make-{size}", f"make a proof {of}"), made_us, "µs", absence)
    return [
        aimed(made, GOAL_US, is_limit=True),
        row((f"S-15-check-{size}", f"check a proof {of}"), checked_us, "µs", {}),
        row((f"S-15-size-{size}", f"a proof {of}"), list(map(len, documents)), "octets", sizes),
        row((f"S-15-head-{size}", f"sign a head {of}"), signed_us, "µs", {}),
    ]


def _timed(work: Callable[[T], R], items: Iterable[T]) -> tuple[list[float], list[R]]:
    """Microseconds for each, and what came of it."""
    spent: list[float] = []
    results: list[R] = []
    for item in items:
        begun = perf_counter()
        results.append(work(item))
        spent.append((perf_counter() - begun) * 1e6)
    return spent, results
