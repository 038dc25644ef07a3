"""An actor that does whatever a message tells it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import anyio

from keygrove_actors import (
    Actor,
    Call,
    CallFailure,
    Cast,
    ChildSpec,
    Ctx,
    Restart,
    on,
    on_cast,
)


class OddApi:
    pass


class Refused(CallFailure, frozen=True, tag=True):
    pass


class Ask(Call[OddApi, Any], frozen=True, tag=True):
    errors: ClassVar = (Refused,)
    what: Callable[[Odd], Any]


class AskSlowly(Call[OddApi, Any], frozen=True, tag=True):
    what: Callable[[Odd], Any]


class Do(Cast[OddApi], frozen=True, tag=True):
    what: Callable[[Odd], Any]


class High(Cast[OddApi], frozen=True, tag=True):
    lane: ClassVar = "high"
    value: int


class Nap(Cast[OddApi], frozen=True, tag=True):
    seconds: float


class Odd(Actor[OddApi]):
    def __init__(self, init_s: float = 0.0) -> None:
        self.init_s = init_s
        self.log: list[Any] = []

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        await anyio.sleep(self.init_s)

    @on(Ask)
    def ask(self, message: Ask) -> Any:
        return message.what(self)

    @on(AskSlowly)
    async def ask_slowly(self, message: AskSlowly) -> Any:
        return await message.what(self)

    @on_cast(Do)
    def do(self, message: Do) -> Any:
        return message.what(self)

    @on_cast(Nap)
    async def nap(self, message: Nap) -> None:
        await anyio.sleep(message.seconds)
        self.log.append("napped")


class Laned(Odd):
    @on_cast(High)
    def high(self, message: High) -> None:
        self.log.append(message.value)


def odd(
    name: str = "odd",
    kind: Callable[[], Actor[Any]] = Odd,
    *,
    restart: Restart = Restart.TEMPORARY,
    **options: Any,
) -> ChildSpec:
    return ChildSpec(name, kind, name=name, restart=restart, **options)


def note(value: Any) -> Do:
    return Do(lambda actor: actor.log.append(value))


LOG = Ask(lambda actor: actor.log.copy())


def refuse(_: object) -> None:
    raise Refused().error()
