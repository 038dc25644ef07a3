"""What the runtime tells its observer: one struct for each event, in order.

`child` is the id within the supervisor, `path` leads to it from the root (`peers/p7`).
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from keygrove_actors.messages import Crash, Reason


class ChildStarted(msgspec.Struct, frozen=True, tag=True):
    """Its `init` returned. `incarnation` counts its lives from 1."""

    child: str
    path: str
    incarnation: int


class ChildTerminated(msgspec.Struct, frozen=True, tag=True):
    """The incarnation ended, for whatever reason."""

    child: str
    path: str
    incarnation: int
    reason: Reason


class ChildRestarting(msgspec.Struct, frozen=True, tag=True):
    """A restart of the child was decided; `used` of `intensity` restarts are spent."""

    child: str
    path: str
    used: int
    intensity: int


class StartError(msgspec.Struct, frozen=True, tag=True):
    """A start failed, in `init` or before."""

    child: str
    path: str
    reason: Reason


class ShutdownError(msgspec.Struct, frozen=True, tag=True):
    """The child was told to stop and ended otherwise: by a crash, or killed for lateness."""

    child: str
    path: str
    reason: Reason


class TerminateError(msgspec.Struct, frozen=True, tag=True):
    """Cleaning up failed: `terminate`, a child task, or a resource that would not close."""

    child: str
    path: str
    crash: Crash


class Breach(msgspec.Struct, frozen=True, tag=True):
    """The supervisor at `path` gave up because of `child`: one restart too many."""

    child: str
    path: str
    intensity: int
    period: float


class ChildGivenUp(msgspec.Struct, frozen=True, tag=True):
    """The child spent its own budget of restarts, and stays down until someone restarts it."""

    child: str
    path: str
    restarts: int
    period: float


class StopLate(msgspec.Struct, frozen=True, tag=True):
    """The tree was not down in time; the actors at `paths` are killed."""

    paths: tuple[str, ...]


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


class DeadLetter(msgspec.Struct, frozen=True, tag=True):
    """A message that no handler will see; never its payload. `at` is monotonic seconds."""

    target: str
    message: str
    cause: Cause
    at: float


class WorkerPrinted(msgspec.Struct, frozen=True, tag=True):
    """A worker process wrote a line to `stream`: stdout or stderr."""

    child: str
    path: str
    pid: int
    stream: str
    text: str


class WorkerLinesDropped(msgspec.Struct, frozen=True, tag=True):
    """A worker process said more than is reported: `lines` of `stream` in the last second.

    `stream` is stdout or stderr, or log for LOG frames.
    """

    child: str
    path: str
    pid: int
    stream: str
    lines: int


class WorkerLogged(msgspec.Struct, frozen=True, tag=True):
    """A worker sent a LOG frame. Levels: 0 debug, 1 info, 2 warning, 3 error, 4 critical."""

    child: str
    path: str
    pid: int
    level: int
    text: str
    fields: dict[str, str | int | float | bool | None]


class WorkPoisoned(msgspec.Struct, frozen=True, tag=True):
    """A request of operation `op` was in flight at two crashes running: refused for a while."""

    child: str
    path: str
    op: str


class DeadLetters(msgspec.Struct, frozen=True, tag=True):
    """`count` further messages were lost like the ones just reported, up to `at`."""

    target: str
    cause: Cause
    count: int
    at: float


class Zombie(msgspec.Struct, frozen=True, tag=True):
    """Killed, and still running after the grace: declared dead, and cut off.

    What it holds open is lost to this program; mend what swallows the cancellation.
    """

    child: str
    path: str
    grace: float


class SlowTurn(msgspec.Struct, frozen=True, tag=True):
    """A handler keeps the event loop from everyone else; `stack` shows where it is."""

    path: str
    message: str
    seconds: float
    stack: str


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
