"""Things of different sizes, bounded by their bytes: those that are asked for most stay.

Two segments, each least recently used out first. What is new is on probation; what is asked for
again there is protected, and pushes others of these back on probation. When room is needed, the
newcomer is compared with those on probation that would have to go for it: it is let in only if
it was asked for more often lately than all of them together. So a crawler, who asks for everything
once, pushes nothing out, and something large has to be worth more than what is small.

Of those compared in vain each is put back as if it had been asked for: otherwise one that was
popular once and is asked for no more keeps all others out, until the counts have aged.

By measurement (`keygrove_bench.storage.cache`) a window of recent ones before the comparison, as
W-TinyLFU has it, gained nothing, so there is none.

Source: Karedla, Love, Wherry, "Caching strategies to improve disk system performance" (1994), for
the segments; Einziger, Eytan, Friedman, Manes, "Lightweight robust size aware cache management"
(2021), for the comparison with all that would go (AV).
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Set
from itertools import chain
from typing import Final, Generic, TypeVar

from keygrove.storage.sketch import Cells, Sketch

PROTECTED: Final = 0.8
"""Part of the bytes that may be protected."""
SAMPLE: Final = 15
"""Counts are halved after so many look-ups for each entry: fewer forget the popular (10 hits 0.3
points less often), and more take long to notice that others are (20 gains half a point where
nothing changes, and loses more where a hundred thousand look-ups later all of it does)."""
ENTRIES_MIN: Final = 1_000
"""As if there were so many entries at least."""
BYTES_A_COUNTER: Final = 512
COUNTERS_MIN: Final = 4 * ENTRIES_MIN
"""In each row of the sketch two for the smallest entry, or more, so that what is asked for once
is seldom taken for another: under a hundredth of the room, beside it."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(Generic[V]):
    __slots__ = ("cells", "size", "value")

    def __init__(self, value: V, size: int, cells: Cells) -> None:
        self.value = value
        self.size = size
        self.cells = cells


class Segments(Generic[K, V]):
    """Values by key. Each step takes the same time, but for what has to go in `put`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._protected_max = int(bytes_max * PROTECTED)
        self._probation: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._protected: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._protected_bytes = 0
        self._sketch = Sketch(max(COUNTERS_MIN, bytes_max // BYTES_A_COUNTER))
        self._asked = 0
        self.size_bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._probation) + len(self._protected)

    def get(self, key: K) -> V | None:
        """The value, and count that it was asked for; where there is none, call `miss`."""
        entry = self._protected.get(key)
        if entry is not None:
            self._protected.move_to_end(key)
        else:
            entry = self._probation.pop(key, None)
            if entry is None:
                return None
            self._protect(key, entry)
        self._count(entry.cells)
        return entry.value

    def miss(self, name: bytes) -> None:
        """Count that something was asked for which is not here; `name` is of its key alone."""
        self._count(self._sketch.cells(name))

    def has_any(self, keys: Set[K]) -> bool:
        """Whether there is a value for any of the keys: quicker than to look for each."""
        is_new = self._probation.keys().isdisjoint(keys)
        return not (is_new and self._protected.keys().isdisjoint(keys))

    def put(self, key: K, value: V, *, name: bytes, size: int) -> list[V] | None:
        """Keep a value whose key is not here; what went for it, or None if it may not stay itself.

        Args:
            name: of the key alone, as in `miss`.
            size: in bytes, with all that is kept for it.
        """
        assert key not in self._probation, "drop it first"
        assert key not in self._protected, "drop it first"
        if size > self._bytes_max:
            return None
        entry = _Entry(value, size, self._sketch.cells(name))
        losers = self._losers(entry)
        if losers is None:
            return None
        for loser in losers:
            self.drop(loser)
        self.evictions += len(losers)
        self._probation[key] = entry
        self.size_bytes += size
        return [loser.value for loser in losers.values()]

    def drop(self, key: K) -> V | None:
        """Take a value out; None if there is none."""
        entry = self._probation.pop(key, None)
        if entry is None:
            entry = self._protected.pop(key, None)
            if entry is None:
                return None
            self._protected_bytes -= entry.size
        self.size_bytes -= entry.size
        return entry.value

    def _protect(self, key: K, entry: _Entry[V]) -> None:
        self._protected[key] = entry
        self._protected_bytes += entry.size
        while self._protected_bytes > self._protected_max:
            oldest, other = self._protected.popitem(last=False)
            self._protected_bytes -= other.size
            self._probation[oldest] = other

    def _losers(self, entry: _Entry[V]) -> dict[K, _Entry[V]] | None:
        """Who has to go for a newcomer; None if they are worth as much as it, or more."""
        missing = self.size_bytes + entry.size - self._bytes_max
        worth = self._sketch.estimate(entry.cells)
        losers: dict[K, _Entry[V]] = {}
        for key, other in chain(self._probation.items(), self._protected.items()):
            if missing <= 0:
                break
            losers[key] = other
            missing -= other.size
            worth -= self._sketch.estimate(other.cells)
            if worth <= 0:
                self._renew(losers)
                return None
        return losers

    def _renew(self, keys: Iterable[K]) -> None:
        for key in keys:
            segment = self._probation if key in self._probation else self._protected
            segment.move_to_end(key)

    def _count(self, cells: Cells) -> None:
        self._sketch.add(cells)
        self._asked += 1
        if self._asked >= SAMPLE * max(ENTRIES_MIN, len(self)):
            self._sketch.halve()
            self._asked //= 2
