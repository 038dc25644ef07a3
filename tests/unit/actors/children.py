"""Children that write down when they begin and end, for tests of supervisors."""

from __future__ import annotations

from typing import Any

import anyio

from keygrove_actors import (
    Actor,
    Call,
    Cast,
    ChildSpec,
    ChildTerminated,
    Ctx,
    Ignore,
    Reason,
    Report,
    Stop,
    on,
    on_cast,
)


class ChildApi:
    pass


class Crashes(Cast[ChildApi], frozen=True, tag=True):
    pass


class Ends(Cast[ChildApi], frozen=True, tag=True):
    pass


class Ping(Call[ChildApi, int], frozen=True, tag=True):
    pass


class Child(Actor[ChildApi]):
    """Writes down when its init begins and ends and when it terminates."""

    def __init__(self, id: str, log: list[str], init_s: float = 0.0, end_s: float = 0.0) -> None:  # noqa: A002 - OTP's word
        self.id = id
        self.log = log
        self.init_s = init_s
        self.end_s = end_s

    async def init(self, ctx: Ctx) -> Ignore | None:
        self.ctx = ctx
        self.log.append(f"{self.id} begins")
        await anyio.sleep(self.init_s)
        self.log.append(f"{self.id} is up")
        return None

    async def terminate(self, reason: Reason) -> None:
        self.log.append(f"{self.id} ends")
        await anyio.sleep(self.end_s)
        self.log.append(f"{self.id} is down")

    @on_cast(Crashes)
    def crash(self, message: Crashes) -> None:
        raise ValueError("boom")

    @on_cast(Ends)
    def end(self, message: Ends) -> Stop:
        return Stop()

    @on(Ping)
    def ping(self, message: Ping) -> int:
        return self.ctx.incarnation


class FailsInit(Child):
    async def init(self, ctx: Ctx) -> Ignore | None:
        raise OSError("no disk")


def child(
    name: str, log: list[str], init_s: float = 0.0, end_s: float = 0.0, **options: Any
) -> ChildSpec:
    return ChildSpec(name, lambda: Child(name, log, init_s, end_s), name=name, **options)


def ends(reports: list[Report]) -> list[tuple[str, Reason]]:
    return [(r.path, r.reason) for r in reports if isinstance(r, ChildTerminated)]
