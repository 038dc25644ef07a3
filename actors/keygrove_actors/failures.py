"""The rarer errors; the common ones are in `messages`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keygrove_actors.messages import ActorError, CallError, Reason, SpecError

if TYPE_CHECKING:
    from keygrove_actors.ref import Ref


class NoReply(CallError):
    """The actor deferred the reply and then forgot how to send it."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(
            target,
            message,
            f"{target} deferred its answer to {message} and dropped the way back: "
            "keep what ctx.reply_to gave until it was sent",
        )


class StashFull(ActorError):
    """The actor has put aside as many messages as it may."""

    def __init__(self, target: str, limit: int) -> None:
        super().__init__(
            f"{target} already put {limit} messages aside, its limit: "
            "unstash them sooner, or answer that it is busy"
        )
        self.limit = limit


class WrongReply(ActorError):
    """A reply is not what its message class declares. Looked for in test mode only."""

    def __init__(self, target: str, message: str, why: str) -> None:
        super().__init__(
            f"{target} answered {message} against its declaration ({why}): mend handler or class"
        )


class NotSuspended(ActorError):
    """A running actor's code cannot be changed."""

    def __init__(self, target: str) -> None:
        super().__init__(f"{target} is running: suspend it, change its code, resume it")


class ReceiveTimeout(ActorError, TimeoutError):
    """`ctx.receive` saw no message that matched in time."""

    def __init__(self, target: str, message: str, timeout: float) -> None:
        super().__init__(
            f"{target} got no {message} within {timeout:g} s: go on without it, or wait longer"
        )


class WrongMoment(ActorError):
    """Something of a state machine was asked for where it may not be."""

    def __init__(self, what: str, way: str = "move it into a handler") -> None:
        super().__init__(f"{what}: {way}")


class TreeEnded(ActorError):
    """The root supervisor ended by itself: the tree gave up."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(
            f"the root supervisor {reason}: the last breach reported names the child to mend"
        )
        self.reason = reason


class StopOverrun(ActorError):
    """The tree did not stop in time; `late` lists who had to be killed."""

    def __init__(self, late: tuple[str, ...], deadline: float) -> None:
        super().__init__(
            f"not stopped within {deadline:g} s, so killed: {', '.join(late)}; "
            "look at what their terminate waits for, or allow more time"
        )
        self.late = late


class Unkillable(ActorError):
    """Actors still run, though the tree is down; `paths` lists them.

    Their tasks are left to the event loop, which trio does not leave before they end.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        super().__init__(
            f"still running, though killed and given time twice: {', '.join(paths)}; mend what "
            "shields them, or swallows their cancellation, and end this process to be rid of them"
        )
        self.paths = paths


def not_seconds(what: str, value: object) -> TypeError | ValueError:
    """The error for a `value` that is to be a time, and is none."""
    kind = ValueError if isinstance(value, float) else TypeError
    return kind(f"{what} is {value!r:.80}: give a number of seconds, as 5 or 0.5")


# ---- errors of what is asked of a supervisor


class Poisoned(CallError):
    """A worker was at this very request at two crashes running; it is refused for a while."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(
            target,
            message,
            f"{target} crashed twice running with this {message} in its hands: "
            "look at the reports of both before it is sent again",
        )


class WouldDeadlock(CallError):
    """A supervisor waits for a child to start or stop, and that child for this very call.

    The child made it, or waits for whoever made it. `child` names it.
    """

    def __init__(self, target: str, message: str, child: str) -> None:
        super().__init__(
            target,
            message,
            f"{target} waits for {child} to start or stop, which waits for {message} to return: "
            "let the child ask from a handler, or from a task of ctx.start_soon",
        )
        self.child = child


class AlreadyStarted(SpecError):
    """A child of that id is up; `ref` is its address."""

    def __init__(self, child_id: str, ref: Ref[Any]) -> None:
        super().__init__(f"{child_id} is already running: use its ref, or another id")
        self.child_id = child_id
        self.ref = ref


class AlreadyPresent(SpecError):
    """A child of that id is known, and down."""

    def __init__(self, child_id: str) -> None:
        super().__init__(f"{child_id} is already known, but down: restart it, or delete it first")
        self.child_id = child_id


class NotFound(SpecError):
    """The supervisor has no such child."""

    def __init__(self, child_id: str) -> None:
        super().__init__(f"no child {child_id}: look at which_children for those there are")
        self.child_id = child_id


class Running(SpecError):
    """The child is up, so it cannot be restarted or deleted."""

    def __init__(self, child_id: str) -> None:
        super().__init__(f"{child_id} is running: terminate it first")
        self.child_id = child_id


class Restarting(SpecError):
    """The child is about to be restarted anyway."""

    def __init__(self, child_id: str) -> None:
        super().__init__(f"{child_id} is just being restarted: wait for it to come up")
        self.child_id = child_id


class TooManyChildren(SpecError):
    """The dynamic supervisor has as many children as it allows."""

    def __init__(self, supervisor: str, limit: int) -> None:
        super().__init__(
            f"{supervisor} already has {limit} children, its limit: terminate some, or raise "
            "max_children"
        )
        self.limit = limit


class ShuttingDown(SpecError):
    """The supervisor is stopping its children and starts no more."""

    def __init__(self, supervisor: str) -> None:
        super().__init__(f"{supervisor} is shutting down: ask its successor, if it gets one")
