"""A crash loop as a few lines: the first five reports of a kind, then one a minute (A-153).

The runtime reports every event, since whoever counts them needs all. This stands between it
and whoever writes them down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from keygrove_actors.reports import (
    DeadLetter,
    DeadLetters,
    Report,
    StopLate,
    WorkerLinesDropped,
    WorkerLogged,
    WorkerPrinted,
)
from keygrove_actors.runtime import Runtime

TOLD: Final = 5
"""Reports of one kind about one actor that are passed on one by one."""
PERIOD_S: Final = 60.0
"""Further ones are summed up so often; after as long without any, they count from the start."""
_BOUNDED: Final = (
    DeadLetter,
    DeadLetters,
    StopLate,
    WorkerLinesDropped,
    WorkerLogged,
    WorkerPrinted,
)
"""What the runtime itself keeps to a bounded rate, and what each says something else."""


class Repeated(msgspec.Struct, frozen=True):
    """So many `times` more within the last minute, `last` the last of them."""

    last: Report
    times: int

    def __str__(self) -> str:
        times = "once" if self.times == 1 else f"{self.times:,} times"
        return f"{times} more within a minute: {self.last}"


class _Kind(msgspec.Struct):
    """Reports of one type about one actor."""

    told: int = 0
    left_out: int = 0
    came: bool = False
    last: Report | None = None


class Repeats:
    """Passes on to `tell` what it observes, and what repeats itself as a number.

    `observe` is given every report of a runtime, `attach` the runtime as soon as it is up,
    and `flush` is called when it has ended.
    """

    def __init__(self, tell: Callable[[Report | Repeated], None]) -> None:
        self._tell = tell
        self._kinds: dict[tuple[type[Report], str], _Kind] = {}
        self._runtime: Runtime

    def observe(self, report: Report) -> None:
        """Pass it on, or count it."""
        if isinstance(report, _BOUNDED):
            self._tell(report)
            return
        key = (type(report), report.path)
        kind = self._kinds[key] = self._kinds.pop(key, _Kind())  # the latest comes last
        kind.came = True
        if kind.told < TOLD:
            kind.told += 1
            self._tell(report)
        else:
            kind.left_out += 1
            kind.last = report

    def attach(self, runtime: Runtime) -> None:
        """Sum up by the clock of `runtime` from now on, until it ends."""
        self._runtime = runtime
        self._arm()

    def expire(self) -> None:
        """A period is over; the wheel calls it."""
        self.flush()
        self._arm()

    def flush(self) -> None:
        """Sum up what was left out of the last period."""
        for key, kind in list(self._kinds.items()):
            if not kind.came:
                del self._kinds[key]
            elif kind.last is not None:
                self._tell(Repeated(kind.last, kind.left_out))
                kind.left_out, kind.last = 0, None
            kind.came = False

    def _arm(self) -> None:
        hub = self._runtime.hub
        hub.wheel.add(hub.backend.now() + PERIOD_S, self)
