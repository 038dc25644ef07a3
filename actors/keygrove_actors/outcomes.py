"""What handlers may return besides a value, and what the runtime tells an actor by itself.

The oldest of them (`DEFER`, `STOP`, `IGNORE`, `Down`) are in `messages`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from keygrove_actors.messages import Crash, Defer, Reason

if TYPE_CHECKING:
    from keygrove_actors.ref import Ref

R_co = TypeVar("R_co", covariant=True)


class Continue(msgspec.Struct, frozen=True):
    """Have `on_continue(value)` run before any other message, queued ones included."""

    value: object = None


class ContinueReply(msgspec.Struct, Generic[R_co], frozen=True):
    """Answer `reply` first, then continue as `Continue` does."""

    value: object
    reply: R_co


class Hibernate(enum.Enum):
    """The type of `HIBERNATE`."""

    HIBERNATE = 1


POSTPONE: Final = Defer.POSTPONE
"""Returned by a state actor's handler: handle this message again after the next state."""

CONTINUE: Final = Continue
CONTINUE_REPLY: Final = ContinueReply

HIBERNATE: Final = Hibernate.HIBERNATE
"""Returned where there is no reply: give back all memory that can be had again."""


class Trace(msgspec.Struct, frozen=True):
    """What a chain of messages has in common, whoever handles them; never secrets.

    `id` stays the same along the chain, `span` names one step of it and `parent` the step
    before. Context variables are not carried from sender to receiver; this is.
    """

    id: str
    span: str = ""
    parent: str | None = None
    locale: str | None = None
    principal: str | None = None

    def step(self, span: str) -> Trace:
        """The trace for what is sent from here on, as the step named `span`."""
        return msgspec.structs.replace(self, span=span, parent=self.span or None)


class Exit(msgspec.Struct, frozen=True):
    """An exit signal, as an actor that traps exits sees it; `ref` is None if a task sent it."""

    ref: Ref[Any] | None
    reason: Reason


class Idle(msgspec.Struct, frozen=True):
    """No message came for as long as the class's `idle_after`; handled by `on_idle`."""


class TaskDone(msgspec.Struct, frozen=True):
    """A task started with `isolated=True` is over: with a result, or with a crash."""

    task: str
    result: Any = None
    crash: Crash | None = None


class Joined(msgspec.Struct, frozen=True):
    """An actor joined a group that this one monitors."""

    group: str
    ref: Ref[Any]


class Left(msgspec.Struct, frozen=True):
    """An actor left a group that this one monitors, by asking or by dying."""

    group: str
    ref: Ref[Any]
