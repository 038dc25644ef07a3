"""A world that has nothing but a seed: for disks and clocks without nodes."""

from collections.abc import Callable
from random import Random

from keygrove_chaos.timeline import Moment


class SeededTimeline:
    """See `timeline.Timeline`. Time stands at `time_s` unless a test moves it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.time_s = 0.0
        self.notes: list[tuple[str | int | float, ...]] = []

    def now(self) -> float:
        return self.time_s

    def call_at(self, when: float, function: Callable[[], None]) -> Moment:
        raise AssertionError("nothing happens later in this world")

    def stream(self, purpose: str) -> Random:
        return Random(f"{self.seed}:{purpose}")

    def note(self, *facts: str | int | float) -> None:
        self.notes.append(facts)
