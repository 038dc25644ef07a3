"""What a supervisor's decisions are told (events) and what they ask for (effects): data only.

A child is named by its id. `now` is monotonic seconds.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from keygrove_actors.messages import Reason
from keygrove_actors.specs import ChildSpec, SupSpec

# ---- events: what became of the children


class Boot(msgspec.Struct, frozen=True):
    """Start all children."""


class Started(msgspec.Struct, frozen=True):
    """The child's `init` returned; with `ignored`, there is no actor all the same."""

    id: str
    now: float
    ignored: bool = False


class StartFailure(msgspec.Struct, frozen=True):
    """The child's start failed."""

    id: str
    reason: Reason
    now: float


class Exited(msgspec.Struct, frozen=True):
    """The child, once up, is dead."""

    id: str
    reason: Reason
    now: float


class Retry(msgspec.Struct, frozen=True):
    """The time to start the child again has come."""

    id: str
    attempt: int
    now: float


class StopAsked(msgspec.Struct, frozen=True):
    """Stop the children in order, then end with `reason`."""

    reason: Reason


class KillAsked(msgspec.Struct, frozen=True):
    """Kill the children at once, then end."""


News: TypeAlias = Boot | Started | StartFailure | Exited | Retry | StopAsked | KillAsked

# ---- events: what somebody asks for, one at a time, answered by `Granted` or `Refused`


class AddAsked(msgspec.Struct, frozen=True):
    """Start one more child, the last in start order."""

    id: str
    spec: ChildSpec


class TerminateAsked(msgspec.Struct, frozen=True):
    """Stop the child, and do not restart it."""

    id: str


class RestartAsked(msgspec.Struct, frozen=True):
    """Start a child that is down; one that waits for its restart need not wait longer."""

    id: str
    now: float


class DeleteAsked(msgspec.Struct, frozen=True):
    """Forget a child that is down."""

    id: str


class ReplaceAsked(msgspec.Struct, frozen=True):
    """Go by another spec from now on, without starting or stopping anything."""

    spec: SupSpec


class ReconcileAsked(msgspec.Struct, frozen=True):
    """Stop what the present spec no longer lists, then start what it newly lists."""


Request: TypeAlias = (
    AddAsked | TerminateAsked | RestartAsked | DeleteAsked | ReplaceAsked | ReconcileAsked
)
Event: TypeAlias = News | Request

# ---- effects: to children


class Start(msgspec.Struct, frozen=True):
    """Start the child; answer with `Started` or `StartFailure`."""

    id: str


class Stop(msgspec.Struct, frozen=True):
    """Tell the child to stop, by its spec; answer with `Exited`."""

    id: str


class CutShort(msgspec.Struct, frozen=True):
    """The child is starting, and is to be up or dead soon: within what its stop may take."""

    id: str


class StopAll(msgspec.Struct, frozen=True):
    """Tell all children to stop, with one deadline; answer with `Exited` for each."""


class KillAll(msgspec.Struct, frozen=True):
    """Kill all children; answer with `Exited` or `StartFailure` for each."""


class ArmRetry(msgspec.Struct, frozen=True):
    """Send `Retry` back after `delay`, behind the news that waits already."""

    id: str
    attempt: int
    delay: float = 0.0


class Forget(msgspec.Struct, frozen=True):
    """The child is none any more."""

    id: str


# ---- effects: to whoever wants to know


class Ready(msgspec.Struct, frozen=True):
    """All children are up for the first time."""


class Granted(msgspec.Struct, frozen=True):
    """What was asked for is done; `id` is the child it was about."""

    id: str | None = None


class Refusal(enum.Enum):
    """Why a request was refused."""

    ALREADY_STARTED = "already_started"
    ALREADY_PRESENT = "already_present"
    NOT_FOUND = "not_found"
    RUNNING = "running"
    RESTARTING = "restarting"
    TOO_MANY_CHILDREN = "too_many_children"
    SHUTTING_DOWN = "shutting_down"
    START_FAILED = "start_failed"
    BAD_SPEC = "bad_spec"


class Refused(msgspec.Struct, frozen=True):
    """What was asked for is not done; `reason` is that of a failed start."""

    why: Refusal
    id: str
    reason: Reason | None = None


class RestartDecided(msgspec.Struct, frozen=True):
    """A restart because of the child: `used` of `limit` are spent within the period."""

    id: str
    used: int
    limit: int


class Broken(msgspec.Struct, frozen=True):
    """One restart too many, because of the child: the supervisor gives up."""

    id: str
    limit: int
    period: float


class LeftDown(msgspec.Struct, frozen=True):
    """The child spent its own budget, and stays down for that."""

    id: str
    limit: int
    period: float


class EndedBadly(msgspec.Struct, frozen=True):
    """The child was told to stop and ended for another reason."""

    id: str
    reason: Reason


class ExitSelf(msgspec.Struct, frozen=True):
    """All children are down: the supervisor ends with `reason`."""

    reason: Reason


Effect: TypeAlias = (
    Start
    | Stop
    | CutShort
    | StopAll
    | KillAll
    | ArmRetry
    | Forget
    | Ready
    | Granted
    | Refused
    | RestartDecided
    | Broken
    | LeftDown
    | EndedBadly
    | ExitSelf
)
