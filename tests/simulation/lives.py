"""Stores that live and die on a disk of their own, without a world."""

import trio
from trio.testing import MockClock

from keygrove_chaos.powercuts import Lives
from tests.simulation.timelines import SeededTimeline

LIVES = 4


class Node:
    """See `powercuts.Lives`; each method runs to its end, on trio."""

    def __init__(self, seed: int, *, is_durable: bool = True) -> None:
        self._lives = Lives(SeededTimeline(seed), is_durable=is_durable)
        self.disk = self._lives.disk

    @property
    def failures(self) -> int:
        """How often the store failed while the power was on."""
        return self._lives.failures

    def run(self) -> str:
        """Several lives; what they leave on the disk."""
        trio.run(self._lives.play, LIVES, clock=MockClock(autojump_threshold=0))
        return self.disk.digest()

    def run_once(self, commits: int) -> None:
        """One life of so many commits, at whose end the power fails; then a look."""
        trio.run(self._lives.play_once, commits, clock=MockClock(autojump_threshold=0))

    def run_killed(self, commits: int) -> None:
        """One life of so many commits; when one of them fails, the process dies at once."""
        trio.run(self._lives.play_killed, commits, clock=MockClock(autojump_threshold=0))
