"""Children that do as they are told, for tests of what a supervisor is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from keygrove_actors import (
    IGNORE,
    Actor,
    Call,
    Cast,
    ChildSpec,
    Ctx,
    Ignore,
    Reason,
    Stop,
    Strategy,
    SupRef,
    SupSpec,
    on,
    on_cast,
)


class PeerApi:
    pass


class OtherApi:
    pass


class Who(Call[PeerApi, str], frozen=True, tag=True):
    pass


class Crashes(Cast[PeerApi], frozen=True, tag=True):
    pass


class Ends(Cast[PeerApi], frozen=True, tag=True):
    pass


class Peer(Actor[PeerApi]):
    """Plain, so that a hundred thousand cost no task."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @on(Who)
    def who(self, message: Who) -> str:
        return " ".join(self.names)

    @on_cast(Crashes)
    def crash(self, message: Crashes) -> None:
        raise ValueError("boom")

    @on_cast(Ends)
    def end(self, message: Ends) -> Stop:
        return Stop()


class Slow(Peer):
    """Takes its time to start and to stop."""

    def __init__(self, log: list[str], name: str, init_s: float = 0.0, end_s: float = 0.0) -> None:
        super().__init__(name)
        self.log, self.init_s, self.end_s = log, init_s, end_s

    async def init(self, ctx: Ctx) -> None:
        self.log.append(f"{self.names[0]} begins")
        await anyio.sleep(self.init_s)

    async def terminate(self, reason: Reason) -> None:
        self.log.append(f"{self.names[0]} ends")
        await anyio.sleep(self.end_s)


class Absent(Actor[PeerApi]):
    def init(self, ctx: Ctx) -> Ignore:
        return IGNORE


class Fails(Actor[PeerApi]):
    def init(self, ctx: Ctx) -> None:
        raise OSError("no disk")


def dynamic(start: Callable[..., Actor[Any]] = Peer, /, **options: Any) -> ChildSpec:
    sup = {o: options.pop(o) for o in ("max_children", "intensity") if o in options}
    template = ChildSpec("peer", start, **options)
    return ChildSpec("peers", SupSpec(strategy=Strategy.DYNAMIC, template=template, **sup))


def ids(supervisor: SupRef[Any]) -> list[str]:
    return [c.id for c in supervisor.which_children()]
