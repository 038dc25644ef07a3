"""Ways of recon on the same sets: octets, round trips and processor time by what differs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from random import Random
from statistics import median
from typing import Final, TypeAlias

from keygrove_bench.recon.by_range import Ordered, Ranges
from keygrove_bench.recon.by_tree import Answers, Asks, more, tree_of
from keygrove_bench.recon.talk import Cost, End, Sides, cost
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.worker import Figures
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.acceptor import Acceptor
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.rateless import RatelessAcceptor, RatelessInitiator, Shown
from keygrove_protocols.recon.session import Session
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.tree import Tree

DIGESTS: Final = 1_000_000
FEW: Final = 3_000
DIFFERENCES: Final = (1, 10, 100, 1_000, 10_000)
FEW_DIFFERENCES: Final = (1, 10, 100)
MANY: Final = 1_000
"""From here on one conversation says enough, and takes long in SKS's way."""
TALKS: Final = 9
GOALS: Final = {"octets": 8_000, "trips": 2, "cpu": 50}
UNITS: Final = {"octets": "octets", "trips": "round trips", "cpu": "ms"}

Meet: TypeAlias = Callable[[Sides], Callable[[], tuple[End, End]]]
"""Two ends whose sets differ so: getting there is not measured, what it returns is."""


def rows(*, quick: bool = False) -> list[Row]:
    """Measure, each way in a process of its own."""
    size = FEW if quick else DIGESTS
    sizes = FEW_DIFFERENCES if quick else DIFFERENCES
    talks = 1 if quick else TALKS
    ours, *peers = (worker.run(way, size, talks, *sizes) for way in (rateless, plain, tree, ranges))
    named = dict(zip(("SKS", "tree of hashes", "ranges"), peers, strict=True))
    found: list[Row] = []
    for count in sizes:
        words = f"{count:,} differences in {size:,} digests"
        for what, unit in UNITS.items():
            key = f"{what}-{count}"
            beside = {name: round(median(_of(one, key)), 2) for name, one in named.items()}
            one = row((key, words), _of(ours, key), unit, beside)
            found.append(aimed(one, GOALS[what], is_limit=True) if count == 100 else one)
    return found


def _of(figures: Figures, key: str) -> list[float]:
    return [value for name, value in figures.items() if name.startswith(f"{key}/")]


def _costs(meet: Meet, talks: str, sizes: Iterable[str]) -> Figures:
    figures: dict[str, float] = {}
    chance = Random(1)
    for count in map(int, sizes):
        for talk in range(int(talks) if count < MANY else 1):
            alone = [Digest(chance.randbytes(16)) for _ in range(count)]
            sides = Sides(tuple(alone[: count // 2]), tuple(alone[count // 2 :]))
            make = meet(sides)
            gc.collect()
            found: Cost = cost(make, sides)
            figures[f"octets-{count}/{talk}"] = found.octets
            figures[f"trips-{count}/{talk}"] = found.trips
            figures[f"cpu-{count}/{talk}"] = found.cpu_ms
    return figures


def _common(count: str) -> list[Digest]:
    chance = Random(0)
    return [Digest(chance.randbytes(16)) for _ in range(int(count))]


class _Ends:
    """A session as an end."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def answer(self, octets: bytes) -> bytes:
        """What it says to that."""
        self._session.receive(octets)
        while self._session.advance():
            pass
        return self._session.take()

    @property
    def learned(self) -> AbstractSet[Digest]:
        """What it lacks."""
        return self._session.learned


def _connection() -> Decoder:
    decoder = Decoder()
    decoder.admit_all()
    return decoder


def _trees(common: Tree, sides: Sides) -> tuple[Tree, Tree]:
    one, other = common.snapshot(), common.snapshot()
    one.apply(added=sides.one)
    other.apply(added=sides.other)
    return one, other


def plain(count: str, talks: str, *sizes: str) -> Figures:
    """SKS's way, the acceptor first."""
    common = Tree(_common(count))

    def meet(sides: Sides) -> Callable[[], tuple[End, End]]:
        one, other = _trees(common, sides)
        return lambda: (
            _Ends(Acceptor(one, _connection())),
            _Ends(Initiator(other, _connection())),
        )

    return _costs(meet, talks, sizes)


def rateless(count: str, talks: str, *sizes: str) -> Figures:
    """Coded symbols, which were kept beside the trees."""
    digests = _common(count)
    common, sketch = Tree(digests), Sketch(digests)

    def meet(sides: Sides) -> Callable[[], tuple[End, End]]:
        one, other = _trees(common, sides)
        its, others = sketch.snapshot(), sketch.snapshot()
        its.apply(added=sides.one)
        others.apply(added=sides.other)
        return lambda: (
            _Ends(RatelessAcceptor(Shown(one, its), _connection())),
            _Ends(RatelessInitiator(Shown(other, others), _connection())),
        )

    return _costs(meet, talks, sizes)


def tree(count: str, talks: str, *sizes: str) -> Figures:
    """The storage's tree of hashes, from the root down."""
    common = tree_of(_common(count))

    def meet(sides: Sides) -> Callable[[], tuple[End, End]]:
        one, other = more(common, sides.one), more(common, sides.other)
        return lambda: (Asks(one), Answers(other))

    return _costs(meet, talks, sizes)


def ranges(count: str, talks: str, *sizes: str) -> Figures:
    """Fingerprints of ranges."""
    common = sorted(_common(count))

    def meet(sides: Sides) -> Callable[[], tuple[End, End]]:
        one, other = Ordered([*common, *sides.one]), Ordered([*common, *sides.other])
        return lambda: (Ranges(one), Ranges(other))

    return _costs(meet, talks, sizes)
