"""What the runtime tells its observer: one struct for each event, in order.

`child` is the id in the supervisor's spec, which dynamic children of one template share, and
`path` leads from the root to this one (`peers/peer-7`). As text, `str(report)`, each is one
line for people, in which nothing moves a terminal's cursor.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from keygrove_actors.messages import Crash, Reason, in_a_line


class _Report(msgspec.Struct, frozen=True):
    def __str__(self) -> str:
        return in_a_line(self._words())

    def _words(self) -> str:
        raise NotImplementedError


class ChildStarted(_Report, frozen=True, tag=True):
    """Its `init` returned. `incarnation` counts its lives from 1."""

    child: str
    path: str
    incarnation: int

    def _words(self) -> str:
        again = f" again, life {self.incarnation}" if self.incarnation > 1 else ""
        return f"{self.path} started{again}"


class ChildTerminated(_Report, frozen=True, tag=True):
    """The incarnation ended, for whatever reason."""

    child: str
    path: str
    incarnation: int
    reason: Reason

    def _words(self) -> str:
        return f"{self.path} {self.reason}"


class ChildRestarting(_Report, frozen=True, tag=True):
    """A restart of the child was decided; `used` of `intensity` restarts are spent."""

    child: str
    path: str
    used: int
    intensity: int

    def _words(self) -> str:
        return f"{self.path} is restarted: {self.used} of {self.intensity} restarts are spent"


class StartError(_Report, frozen=True, tag=True):
    """A start failed, in `init` or before."""

    child: str
    path: str
    reason: Reason

    def _words(self) -> str:
        return f"{self.path} did not start: it {self.reason}"


class ShutdownError(_Report, frozen=True, tag=True):
    """The child was told to stop and ended otherwise: by a crash, or killed for lateness."""

    child: str
    path: str
    reason: Reason

    def _words(self) -> str:
        return f"{self.path} did not stop in order: it {self.reason}"


class TerminateError(_Report, frozen=True, tag=True):
    """Cleaning up failed: `terminate`, a child task, or a resource that would not close."""

    child: str
    path: str
    crash: Crash

    def _words(self) -> str:
        return f"{self.path} did not clean up: that {self.crash}"


class Breach(_Report, frozen=True, tag=True):
    """The supervisor gave up because of the child at `path`: one restart too many."""

    child: str
    path: str
    intensity: int
    period: float

    def _words(self) -> str:
        return (
            f"the supervisor of {self.path} gave up: that would have been more than "
            f"{_count(self.intensity, 'restart')} in {self.period:g} s"
        )


class ChildGivenUp(_Report, frozen=True, tag=True):
    """The child spent its own budget of restarts, and stays down until someone restarts it."""

    child: str
    path: str
    restarts: int
    period: float

    def _words(self) -> str:
        spent = f"{_count(self.restarts, 'restart')} in {self.period:g} s"
        return f"{self.path} is given up after {spent}, and stays down"


class StopLate(_Report, frozen=True, tag=True):
    """The tree was not down in time; the actors at `paths` are killed."""

    paths: tuple[str, ...]

    def _words(self) -> str:
        return f"not down in time, and killed for that: {', '.join(self.paths)}"


class Cause(enum.Enum):
    """Why no handler saw a message."""

    NO_PROC = "no_proc"
    """Nobody was at the address."""
    DIED = "died"
    """The actor ended with the message in its mailbox or its hands."""
    OVERFLOW = "overflow"
    """The mailbox was full."""
    EXPIRED = "expired"
    """A call's deadline passed while it was queued."""
    UNHANDLED = "unhandled"
    """The class has no handler for it."""
    FENCED = "fenced"
    """Its sender was declared dead, and went on all the same."""
    FILTERED = "filtered"
    """An installed filter, or a test, took it away."""


_CAUSES = {
    Cause.NO_PROC: "nobody is there",
    Cause.DIED: "it ended before",
    Cause.OVERFLOW: "its mailbox was full",
    Cause.EXPIRED: "its time was over",
    Cause.UNHANDLED: "it has no handler for that",
    Cause.FENCED: "its sender was declared dead",
    Cause.FILTERED: "a filter took it",
}


class DeadLetter(_Report, frozen=True, tag=True):
    """A message that no handler will see; never its payload. `at` is monotonic seconds."""

    target: str
    message: str
    cause: Cause
    at: float

    def _words(self) -> str:
        return f"{self.message} to {self.target} was lost: {_CAUSES[self.cause]}"


class DeadLetters(_Report, frozen=True, tag=True):
    """`count` further messages were lost like the ones just reported, up to `at`."""

    target: str
    cause: Cause
    count: int
    at: float

    def _words(self) -> str:
        more = _count(self.count, "more message")
        return f"{more} to {self.target} lost: {_CAUSES[self.cause]}"


class WorkerPrinted(_Report, frozen=True, tag=True):
    """A worker process wrote a line to `stream`: stdout or stderr."""

    child: str
    path: str
    pid: int
    stream: str
    text: str

    def _words(self) -> str:
        return f"{self.path} (process {self.pid}) wrote to {self.stream}: {self.text}"


class WorkerLinesDropped(_Report, frozen=True, tag=True):
    """A worker process said more than is reported: `lines` of `stream` in the last second.

    `stream` is stdout or stderr, or log for LOG frames.
    """

    child: str
    path: str
    pid: int
    stream: str
    lines: int

    def _words(self) -> str:
        more = _count(self.lines, "more line")
        return f"{self.path} (process {self.pid}) wrote {more} to {self.stream}, left out here"


class WorkerLogged(_Report, frozen=True, tag=True):
    """A worker sent a LOG frame. Levels: 0 debug, 1 info, 2 warning, 3 error, 4 critical."""

    child: str
    path: str
    pid: int
    level: int
    text: str
    fields: dict[str, str | int | float | bool | None]

    def _words(self) -> str:
        facts = "".join(f" {name}={value}" for name, value in self.fields.items())
        return f"{self.path} (process {self.pid}) says: {self.text}{facts}"


class WorkPoisoned(_Report, frozen=True, tag=True):
    """A request of operation `op` was in flight at two crashes running: refused for a while."""

    child: str
    path: str
    op: str

    def _words(self) -> str:
        return f"{self.path} refuses one {self.op} for a while: it was at it in two crashes running"


class Zombie(_Report, frozen=True, tag=True):
    """Killed, and still running after the grace: declared dead, and cut off.

    What it holds open is lost to this program; mend what swallows the cancellation.
    """

    child: str
    path: str
    grace: float

    def _words(self) -> str:
        return f"{self.path} still ran {self.grace:g} s after its kill, and is cut off"


class SlowTurn(_Report, frozen=True, tag=True):
    """A handler keeps the event loop from everyone else; `stack` shows where it is.

    `message` is the type of the message at hand, `init` or `terminate`, or the function of a
    task. It is empty, and so is `path`, where no actor can be seen on the stack.
    """

    path: str
    message: str
    seconds: float
    stack: str

    def _words(self) -> str:
        who = f"{self.path} at {self.message}" if self.path else "something outside the actors"
        return f"{who} holds up the event loop, for {self.seconds:.2f} s by now"


Report: TypeAlias = (
    ChildStarted
    | ChildTerminated
    | ChildRestarting
    | StartError
    | ShutdownError
    | TerminateError
    | Breach
    | ChildGivenUp
    | StopLate
    | DeadLetter
    | WorkerPrinted
    | WorkerLinesDropped
    | WorkerLogged
    | WorkPoisoned
    | DeadLetters
    | Zombie
    | SlowTurn
)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
