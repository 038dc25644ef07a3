"""Stores that live and die on a disk of their own, without a world."""

from keygrove_chaos.powercuts import Lives
from tests.loops import run_on_trio
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
        run_on_trio(self._lives.play, LIVES)
        return self.disk.digest()

    def run_once(self, commits: int) -> None:
        """One life of so many commits, at whose end the power fails; then a look."""
        run_on_trio(self._lives.play_once, commits)

    def run_killed(self, commits: int) -> None:
        """One life of so many commits; when one of them fails, the process dies at once."""
        run_on_trio(self._lives.play_killed, commits)

    def run_full(self, commits: int) -> int:
        """Lives of so many commits on a disk that fills up; how many came up without an index."""
        return run_on_trio(self._lives.play_full, LIVES, commits)
