"""The rarer errors; the common ones are in `messages`."""

from __future__ import annotations

from keygrove_actors.messages import ActorError, CallError


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
    """A state machine was asked to do something where it may not."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: move it into a handler")
