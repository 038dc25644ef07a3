"""Deadlines and timers of a whole runtime, behind one timer of the loop.

A call's deadline is nearly always struck out unused, so adding and striking out must
cost next to nothing: an entry goes into the dict of its tick, and one call of the loop
is armed for the earliest tick. A timer of the loop for each call would halve the rate
of calls (`asyncio.timeout` in its place more than that).

Rejected: a ring of 512 slots with an overflow heap. Ticks in a dict with a heap of their
numbers need no second place for what is far off, and cost the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import ceil, inf
from typing import Final, Protocol, TypeAlias

from keygrove_actors.backend import Backend, Timer

TICKS_PER_S: Final = 100
"""An entry fires at most one tick (10 ms) late, and never early."""


class Entry(Protocol):
    """Something that is to happen at a time."""

    def expire(self) -> None:
        """The time has come."""
        ...


Slot: TypeAlias = "dict[Entry, None]"
"""The entries of one tick in the order they were added; `pop(entry, None)` strikes one out."""


class Wheel:
    """Entries by tick."""

    __slots__ = ("_armed", "_backend", "_due", "_timer", "slots")

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.slots: dict[float, Slot] = {}
        self._due: list[float] = []
        self._armed: float = inf
        self._timer: Timer | None = None

    def __len__(self) -> int:
        """How many entries wait; linear in the ticks in use."""
        return sum(map(len, self.slots.values()))

    def add(self, when: float, entry: Entry) -> Slot:
        """Call `entry.expire` at the first tick not before `when`.

        Returns the slot to strike the entry out of.
        """
        if when == inf:
            return {entry: None}  # never
        tick = ceil(when * TICKS_PER_S)
        slot = self.slots.get(tick)
        if slot is None:
            slot = self.new_slot(tick)
        slot[entry] = None
        return slot

    def add_exact(self, when: float, entry: Entry) -> Slot:
        """Call `entry.expire` at `when`, between two ticks if need be."""
        tick = when * TICKS_PER_S
        slot = self.slots.get(tick)
        if slot is None:
            slot = self.new_slot(tick)
        slot[entry] = None
        return slot

    def close(self) -> None:
        """Drop all entries."""
        self.slots.clear()
        self._due.clear()
        self._disarm()

    def new_slot(self, tick: float) -> Slot:
        """The slot of a tick that has none, and the clock set for it."""
        slot: Slot = {}
        self.slots[tick] = slot
        heapq.heappush(self._due, tick)
        if tick < self._armed:
            self._arm(tick)
        return slot

    def _arm(self, tick: float) -> None:
        self._disarm()
        self._armed = tick
        self._timer = self._backend.call_at(tick / TICKS_PER_S, self._advance)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed = None, inf

    def _advance(self) -> None:
        self._disarm()
        now = self._backend.now()
        try:
            self._expire(now)
        finally:  # no entry that raises may cost the others their deadlines
            if self._due and self._due[0] < self._armed:
                self._arm(self._due[0])

    def _expire(self, now: float) -> None:
        while self._due and (self._due[0] / TICKS_PER_S <= now or not self.slots[self._due[0]]):
            slot = self.slots.pop(heapq.heappop(self._due))
            while slot:
                entry = next(iter(slot))
                del slot[entry]
                entry.expire()


class Alarm:
    """A wheel entry that calls a function, for what is not on the path of messages."""

    __slots__ = ("_function", "_slot")

    def __init__(self, wheel: Wheel, when: float, function: Callable[[], None]) -> None:
        self._function = function
        self._slot = wheel.add(when, self)

    def expire(self) -> None:
        """Call the function."""
        self._function()

    def cancel(self) -> None:
        """Do not call it any more."""
        self._slot.pop(self, None)
