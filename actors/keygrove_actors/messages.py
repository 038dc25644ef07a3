"""What actors say to each other, why they end, and what can go wrong: no machinery.

A message class names its protocol and its reply type once. Both are *phantom*
parameters: no field has their type, checkers alone read them. An exit reason is data
and fit for a wire; an exception object never leaves the actor that raised it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    NewType,
    TypeAlias,
    TypeVar,
    get_args,
)

import msgspec

if TYPE_CHECKING:
    from keygrove_actors.ref import Ref

TAKES_TOLD_MAX: Final = 10
"""Messages that an error names, of those that an actor takes."""

TEXT_CHARS_TOLD: Final = 1_000
"""Of an exception's text, what is told in a line; all of it is in `Crash.text`."""

P_co = TypeVar("P_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)

ActorId = NewType("ActorId", int)
"""One incarnation, for as long as its runtime lives; a restart makes a new one."""

MonitorId = NewType("MonitorId", int)
"""One monitor: what `Ctx.monitor` returns and `Down.id` repeats."""


def in_a_line(words: str) -> str:
    """The same; escaped if it would break the line, or move a terminal's cursor."""
    return words if words.isprintable() else repr(words)[1:-1]


class Call(msgspec.Struct, Generic[P_co, R_co], frozen=True, tag=True):
    """A request to an actor that serves protocol `P_co`; the reply is an `R_co`.

    `errors` lists the failures a handler may answer with by raising `failure.error()`;
    raising anything else ends the actor.
    """

    errors: ClassVar[tuple[type[CallFailure], ...]] = ()


class Cast(msgspec.Struct, Generic[P_co], frozen=True, tag=True):
    """A notice: the sender neither waits for it nor learns what came of it."""


class CallFailure(msgspec.Struct, frozen=True, tag=True):
    """An expected failure, as an answer. Derive one struct for each kind of failure."""

    def error(self) -> DeclaredError:
        """The exception that carries this failure to the caller: raise it in a handler."""
        return DeclaredError(self)


# ---- why an incarnation ended


class Normal(msgspec.Struct, frozen=True, tag=True):
    """It had nothing left to do."""

    def __str__(self) -> str:
        return "ended normally"


class Shutdown(msgspec.Struct, frozen=True, tag=True):
    """It was asked to stop, or a supervisor gave up in order; `detail` says why."""

    detail: str | None = None

    def __str__(self) -> str:
        return "was shut down" + (f" ({self.detail})" if self.detail else "")


class Killed(msgspec.Struct, frozen=True, tag=True):
    """It was ended without a chance to clean up."""

    def __str__(self) -> str:
        return "was killed"


class Crash(msgspec.Struct, frozen=True, tag=True):
    """An exception nobody caught.

    `exc` is the type's name, `trace` the formatted traceback, and `id` is repeated in
    every report and error about this crash, so that they can be joined.
    """

    exc: str
    text: str
    trace: str = ""
    id: str = ""

    def __str__(self) -> str:
        return in_a_line(f"crashed with {self.exc}: {self.text[:TEXT_CHARS_TOLD]}")


class GoneReason(msgspec.Struct, frozen=True, tag="NoProc"):
    """It was not there when the monitor was set: dead before, or never known."""

    def __str__(self) -> str:
        return "was not running"


class NoConnection(msgspec.Struct, frozen=True, tag=True):
    """The connection to its node broke; it may live on there."""

    node: str

    def __str__(self) -> str:
        return f"cannot be reached on {self.node}"


class InitTimeout(msgspec.Struct, frozen=True, tag=True):
    """Its `init` took longer than its spec allows."""

    def __str__(self) -> str:
        return "did not finish init in time"


Reason: TypeAlias = Normal | Shutdown | Killed | Crash | GoneReason | NoConnection | InitTimeout

ORDERLY: Final = (Normal, Shutdown)
"""The reasons after which a transient child stays down; all others are abnormal."""


def check_reason(reason: object) -> None:
    """Raise `TypeError` unless it is a `Reason`: not all callers have checkers."""
    if not isinstance(reason, get_args(Reason)):
        raise TypeError(
            f"{reason!r:.80} is no reason to end: give Normal(), Shutdown('why') or another Reason"
        )


class Down(msgspec.Struct, frozen=True):
    """A monitored actor ended. `ref` is the one the monitor was set with, name and all."""

    id: MonitorId
    ref: Ref[Any]
    reason: Reason


# ---- what init and handlers may return besides a value


class Defer(enum.Enum):
    """The type of `DEFER`."""

    DEFER = 1
    KEPT = 2
    POSTPONE = 3


class Ignore(enum.Enum):
    """The type of `IGNORE`."""

    IGNORE = 1


class Stop(msgspec.Struct, frozen=True):
    """End this actor with `reason`, without an answer to the message at hand."""

    reason: Reason = Normal()

    def __post_init__(self) -> None:
        check_reason(self.reason)


class StopReply(msgspec.Struct, Generic[R_co], frozen=True):
    """Answer `reply`, then end this actor with `reason`."""

    reason: Reason
    reply: R_co

    def __post_init__(self) -> None:
        check_reason(self.reason)


DEFER: Final = Defer.DEFER
"""The answer comes later, through the `Ctx.reply_to` kept from this handler."""

IGNORE: Final = Ignore.IGNORE
"""Returned by `init`: count as started, but run no actor."""

STOP: Final = Stop
STOP_REPLY: Final = StopReply


# ---- errors


class ActorError(Exception):
    """The root of every error this package raises."""


class CallError(ActorError):
    """A call had no reply. `target` and `message` name whom and what, never a payload."""

    def __init__(self, target: str, message: str, what: str) -> None:
        super().__init__(what)
        self.target = target
        self.message = message


class CallTimeout(CallError, TimeoutError):
    """No reply came in time; the work may still be done."""

    def __init__(self, target: str, message: str, timeout: float) -> None:
        super().__init__(
            target,
            message,
            f"{target} did not answer {message} within {timeout:g} s: "
            "the work may still be done, so repeat only what is safe to repeat",
        )
        self.timeout = timeout


class NoProc(CallError):
    """Nobody is at that address now."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(
            target,
            message,
            f"{target} is not running and cannot take {message}: "
            "try again later, or pass wait_up if a name is worth waiting for",
        )


class CalleeExit(CallError):
    """The actor ended with this call in its hands or its mailbox."""

    def __init__(self, target: str, message: str, reason: Reason) -> None:
        super().__init__(
            target,
            message,
            f"{target} {reason} before it answered {message}: "
            "see the report of its end; a supervisor may already have restarted it",
        )
        self.reason = reason


class CallingSelf(CallError):
    """An actor called itself, and would have waited for ever."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(
            target,
            message,
            f"{target} calls itself with {message} and would never answer: "
            "use a method, a cast, or a task of ctx.start_soon",
        )


class CallCycle(CallError):
    """The callee waits, perhaps through others, for the caller. `chain` lists them."""

    def __init__(self, target: str, message: str, chain: tuple[str, ...]) -> None:
        super().__init__(
            target,
            message,
            f"{message} to {target} closes a circle of waiting calls, "
            f"{' -> '.join(chain)}: make one of them a cast",
        )
        self.chain = chain


class DeclaredError(CallError):
    """The answer was one of the failures the message class declares: `failure`."""

    def __init__(self, failure: CallFailure, target: str = "", message: str = "") -> None:
        kind = type(failure).__name__
        super().__init__(
            target,
            message,
            f"{target} answered {message} with {kind}: look at its failure"
            if target
            else f"{kind} is an answer only where a call lists it: add it to the call's errors",
        )
        self.failure = failure


class MailboxFull(ActorError):
    """The actor has as many messages waiting as it allows."""

    def __init__(self, target: str, limit: int) -> None:
        super().__init__(
            f"{target} already has {limit} messages waiting, its limit: "
            "send slower, or raise the limit in its MailboxSpec"
        )
        self.target = target
        self.limit = limit


class NameTaken(ActorError):
    """A live actor holds that name."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"the name {name} belongs to {holder}: stop that one or pick another name")
        self.name = name


class WrongProtocol(ActorError):
    """The actor serves another protocol, or has no handler for this call.

    Of a call, `takes` are the classes of the messages that the actor has handlers for.
    """

    def __init__(
        self, target: str, wanted: str, served: str, takes: Iterable[type[Any]] | None = None
    ) -> None:
        way = f"ask for {served}"
        if takes is not None:
            way = f"{_any_of(takes)}give its class a handler for {wanted}"
        super().__init__(f"{target} serves {served}, not {wanted}: {way}")
        self.target = target


def _any_of(takes: Iterable[type[Any]]) -> str:
    names = [kind.__name__ for kind in takes if issubclass(kind, Call | Cast)]
    return f"send {', '.join(names[:TAKES_TOLD_MAX])}, or " if names else ""


class AlreadyReplied(ActorError):
    """A deferred reply was sent twice."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(
            f"{target} already answered this {message}: send one reply for each deferred call"
        )


class WrongTask(ActorError):
    """Something bound to the actor's own task was asked for outside of it."""

    def __init__(self, target: str, what: str) -> None:
        super().__init__(
            f"{target} used {what} outside its own init and async handlers: "
            "move it there, so that the same task can undo it"
        )


class WrongThread(ActorError):
    """Something was asked for in a thread that is not the one for it."""


class WireError(ActorError):
    """Bytes from a peer break the rules of the wire. `kind` tells programs which one."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class SpecError(ActorError):
    """Something is wrong with a child, or with what a spec says of it."""


class BadSpec(SpecError):
    """A spec contradicts itself; found before anything is started."""


class StartFailed(SpecError):
    """A child's start failed, so the tree did not come up.

    In a subtree, `first` is the path and the reason of the actor that could not start.
    """

    def __init__(
        self, child_id: str, reason: Reason, first: tuple[str, Reason] | None = None
    ) -> None:
        why = "" if first is None else f", because {first[0]} {first[1]}"
        super().__init__(f"{child_id} {reason} while it started{why}: mend that and start again")
        self.child_id = child_id
        self.reason = reason


class SpecWarning(UserWarning):
    """A declaration is valid, but hardly what its author means."""
