"""What simulated resources ask of the world they are in: time, chance, and somewhere to note.

Everything that happens later is a plain function at a moment; everything left to chance is
drawn from a stream of the consumer's own, so that one draw more in one place changes no other.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol


class Moment(Protocol):
    """A function that is to be called later."""

    def cancel(self) -> None:
        """Forget it; harmless when it was called already."""
        ...


class Timeline(Protocol):
    """The world, as far as links, disks and clocks need it."""

    def now(self) -> float:
        """Virtual seconds since the world began."""
        ...

    def call_at(self, when: float, function: Callable[[], None], /) -> Moment:
        """Call `function` when `now` reaches `when`; equal times in the order of asking."""
        ...

    def stream(self, purpose: str) -> Random:
        """The random stream of this purpose, seeded by world and purpose; the same each time."""
        ...

    def note(self, *facts: str | int | float) -> None:
        """Write an event into the trace: stable names and numbers, never addresses."""
        ...
