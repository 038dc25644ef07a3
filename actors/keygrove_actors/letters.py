"""Dead letters: always counted, reported at a bounded rate.

The first ten of a second are reported one by one for each target and cause; the rest of
that second is one summary at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from keygrove_actors.reports import Cause, DeadLetter, DeadLetters
from keygrove_actors.throttle import Throttle
from keygrove_actors.wheel import Wheel

if TYPE_CHECKING:
    from keygrove_actors.reports import Report

LETTERS_PER_S: Final = 10
"""Reports of single dead letters per second, target and cause."""


class Letters:
    """Counts by cause, and who may still be reported on."""

    __slots__ = ("_now", "_report", "_throttle", "counts")

    def __init__(
        self, wheel: Wheel, now: Callable[[], float], report: Callable[[Report], None]
    ) -> None:
        self.counts = dict.fromkeys(Cause, 0)
        self._now = now
        self._report = report
        self._throttle: Throttle[tuple[str, Cause]] = Throttle(
            LETTERS_PER_S, wheel, now, self._sum_up
        )

    def add(self, target: str, message: str, cause: Cause) -> None:
        """Count one; report it, unless there were too many of its kind just now."""
        self.counts[cause] += 1
        if self._throttle.admit((target, cause)):
            self._report(DeadLetter(target, message, cause, self._now()))

    def flush(self) -> None:
        """Report what is left out now, at the end of the runtime."""
        self._throttle.flush()

    def _sum_up(self, kind: tuple[str, Cause], count: int) -> None:
        target, cause = kind
        self._report(DeadLetters(target, cause, count, self._now()))
