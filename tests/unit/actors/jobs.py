"""Messages and an actor for tests of what a handler may ask of its actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from keygrove_actors import Actor, Call, CallFailure, Cast, ChildSpec, Ctx, Restart, on, on_cast


class JobApi:
    pass


class Add(Cast[JobApi], frozen=True, tag=True):
    value: int


class Read(Call[JobApi, tuple[Any, ...]], frozen=True, tag=True):
    pass


class Open(Cast[JobApi], frozen=True, tag=True):
    pass


class Work(Call[JobApi, int], frozen=True, tag=True):
    seconds: float


class Sleep(Cast[JobApi], frozen=True, tag=True):
    pass


class Pick(Call[JobApi, int], frozen=True, tag=True):
    least: int
    within: float | None = 5.0


class Wrong(Call[JobApi, int], frozen=True, tag=True):
    pass


class Refused(CallFailure, frozen=True, tag=True):
    pass


class Try(Call[JobApi, int], frozen=True, tag=True):
    errors: ClassVar = (Refused,)


class High(Cast[JobApi], frozen=True, tag=True):
    lane: ClassVar = "high"


class Base(Actor[JobApi]):
    def __init__(self) -> None:
        self.log: list[Any] = []

    def init(self, ctx: Ctx) -> Any:
        self.ctx = ctx

    @on_cast(Add)
    def add(self, message: Add) -> Any:
        self.log.append(message.value)

    @on(Read)
    def read(self, message: Read) -> Any:
        return tuple(self.log)


def child(kind: Callable[[], Actor[Any]], restart: Restart = Restart.TEMPORARY) -> ChildSpec:
    return ChildSpec("a", kind, name="a", restart=restart)
