"""A crash loop as a few lines: the first five reports of a kind, then one a minute (A-153).

The runtime reports every event, since whoever counts them needs all. This stands between it
and whoever writes them down.

Of one kind is what happens to one child spec for one reason. So the dynamic children of a
supervisor, which come and go under paths of their own, are told of together, and an orderly
end is not lost among crashes. Ids that a program makes up as it goes (`start_child`, or what
is below a dynamic subtree) cannot be told from those of a spec that is written down: beyond
the first hundred, all are of one more kind, until that has been quiet for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from keygrove_actors.messages import Crash, Reason
from keygrove_actors.reports import (
    Breach,
    ChildGivenUp,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    Report,
    ShutdownError,
    SlowTurn,
    StartError,
    TerminateError,
    WorkPoisoned,
    Zombie,
)
from keygrove_actors.runtime import Runtime

K = TypeVar("K")

TOLD: Final = 5
"""Reports of one kind that are passed on one by one."""
KINDS_MAX: Final = 100
"""Kinds that are kept apart of one type of report and one supervisor, and such pairs."""
PERIOD_S: Final = 60.0
"""Further ones are summed up so often; after as long without any, they count from the start."""
_OTHERS: Final = "/"
"""What is beyond `KINDS_MAX`; no child has that id."""
_Told: TypeAlias = (
    Breach
    | ChildGivenUp
    | ChildRestarting
    | ChildStarted
    | ChildTerminated
    | ShutdownError
    | SlowTurn
    | StartError
    | TerminateError
    | WorkPoisoned
    | Zombie
)
"""What is counted. All else the runtime itself keeps to a bounded rate, or says once."""


class Repeated(msgspec.Struct, frozen=True):
    """So many `times` more within the last minute, `last` the last of them."""

    last: Report
    times: int

    def __str__(self) -> str:
        times = "once" if self.times == 1 else f"{self.times:,} times"
        return f"{times} more within a minute, lastly: {self.last}"


class _Kind(msgspec.Struct):
    """Reports of one type about one child spec, for one reason."""

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
        self._kinds: dict[tuple[type[Report], str], dict[tuple[str, str], _Kind]] = {}
        """By type and supervisor, then by child spec and reason; the latest come last."""
        self._runtime: Runtime

    def observe(self, report: Report) -> None:
        """Pass it on, or count it."""
        if not isinstance(report, _Told):
            self._tell(report)
            return
        kind = self._kind_of(report, *_about(report))
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
        for family, kinds in list(self._kinds.items()):
            for key, kind in list(kinds.items()):
                if not kind.came:
                    del kinds[key]
                elif kind.last is not None:
                    self._tell(Repeated(kind.last, kind.left_out))
                    kind.left_out, kind.last = 0, None
                kind.came = False
            if not kinds:
                del self._kinds[family]

    def _kind_of(self, report: Report, supervisor: str, child: str, why: str) -> _Kind:
        type_of = type(report)
        family = _kept(self._kinds, (type_of, supervisor), (type_of, _OTHERS))
        kinds = self._kinds[family] = self._kinds.pop(family, {})
        key = _kept(kinds, (child, why), (_OTHERS, ""))
        kind = kinds[key] = kinds.pop(key, _Kind())
        return kind

    def _arm(self) -> None:
        hub = self._runtime.hub
        hub.wheel.add(hub.backend.now() + PERIOD_S, self)


def _kept(known: dict[K, Any], key: K, others: K) -> K:
    """`key`, or `others` if it is new and there are too many; then for as long as those last."""
    if key in known or (len(known) < KINDS_MAX and others not in known):
        return key
    return others


def _about(report: _Told) -> tuple[str, str, str]:
    """The supervisor's path, the child's id in its spec, and the reason."""
    if isinstance(report, SlowTurn):
        return "", report.path, report.message
    supervisor, why = report.path.rpartition("/")[0], ""
    if isinstance(report, ChildTerminated | StartError | ShutdownError):
        why = _why(report.reason)
    elif isinstance(report, TerminateError):
        why = _why(report.crash)
    return supervisor, report.child, why


def _why(reason: Reason) -> str:
    return reason.exc if isinstance(reason, Crash) else type(reason).__name__
