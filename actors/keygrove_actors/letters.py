"""Dead letters: always counted, reported at a bounded rate.

The first ten of a second are reported one by one for each target and cause; the rest of
that second is one summary at its end. So a flood of lost messages cannot become a flood
of log lines, and a single one is never hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from keygrove_actors.reports import Cause, DeadLetter, DeadLetters
from keygrove_actors.wheel import Alarm, Wheel

if TYPE_CHECKING:
    from keygrove_actors.reports import Report

LETTERS_PER_S: Final = 10
"""Reports of single dead letters per second, target and cause."""


class _Window:
    """One second of one target and cause."""

    __slots__ = ("alarm", "reported", "suppressed")

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.reported = 0
        self.suppressed = 0


class Letters:
    """Counts by cause, and who may still be reported on."""

    __slots__ = ("_now", "_report", "_wheel", "_windows", "counts")

    def __init__(
        self, wheel: Wheel, now: Callable[[], float], report: Callable[[Report], None]
    ) -> None:
        self.counts = dict.fromkeys(Cause, 0)
        self._wheel = wheel
        self._now = now
        self._report = report
        self._windows: dict[tuple[str, Cause], _Window] = {}

    def add(self, target: str, message: str, cause: Cause) -> None:
        """Count one; report it, unless there were too many of its kind just now."""
        self.counts[cause] += 1
        key = (target, cause)
        window = self._windows.get(key)
        if window is None:
            alarm = Alarm(self._wheel, self._now() + 1.0, lambda: self._close(key))
            window = self._windows[key] = _Window(alarm)
        if window.reported < LETTERS_PER_S:
            window.reported += 1
            self._report(DeadLetter(target, message, cause, self._now()))
        else:
            window.suppressed += 1

    def flush(self) -> None:
        """Report what is suppressed now, at the end of the runtime."""
        for key in list(self._windows):
            self._close(key)

    def _close(self, key: tuple[str, Cause]) -> None:
        window = self._windows.pop(key)
        window.alarm.cancel()
        if window.suppressed:
            target, cause = key
            self._report(DeadLetters(target, cause, window.suppressed, self._now()))
