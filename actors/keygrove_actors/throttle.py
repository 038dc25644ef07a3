"""At most so many of a kind in a second, and the rest as one number at its end.

So a flood of events cannot become a flood of reports, and a single one is never hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from keygrove_actors.wheel import Alarm, Wheel

K = TypeVar("K", bound=Hashable)


class _Window:
    """One second of one kind."""

    __slots__ = ("admitted", "alarm", "left_out")

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.admitted = 0
        self.left_out = 0


class Throttle(Generic[K]):
    """Admits `per_s` of each kind in a second, which begins with the first of them.

    `tell` is called at the end of a second in which more came, with the number left out.
    """

    __slots__ = ("_now", "_per_s", "_tell", "_wheel", "_windows")

    def __init__(
        self, per_s: int, wheel: Wheel, now: Callable[[], float], tell: Callable[[K, int], None]
    ) -> None:
        self._per_s = per_s
        self._wheel = wheel
        self._now = now
        self._tell = tell
        self._windows: dict[K, _Window] = {}

    def admit(self, kind: K, count: int = 1) -> int:
        """How many of the `count` that come now are let through: the first ones."""
        window = self._windows.get(kind)
        if window is None:
            alarm = Alarm(self._wheel, self._now() + 1.0, lambda: self._close(kind))
            window = self._windows[kind] = _Window(alarm)
        admitted = min(count, self._per_s - window.admitted)
        window.admitted += admitted
        window.left_out += count - admitted
        return admitted

    def flush(self) -> None:
        """Tell of what was left out up to now: nothing more is to come."""
        for kind in list(self._windows):
            self._close(kind)

    def _close(self, kind: K) -> None:
        window = self._windows.pop(kind)
        window.alarm.cancel()
        if window.left_out:
            self._tell(kind, window.left_out)
