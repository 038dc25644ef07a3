"""What runs before all mail, and what happens when there is none: continue, idle, hibernate."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    CONTINUE,
    HIBERNATE,
    ChildSpec,
    Continue,
    Ctx,
    Hibernate,
    Idle,
    SupSpec,
    on_cast,
    run,
)
from tests.unit.actors.conftest import Running
from tests.unit.actors.jobs import Add, Base, JobApi, Open, Read, Sleep, child

pytestmark = pytest.mark.anyio


class Continuing(Base):
    def init(self, ctx: Ctx) -> Continue:
        super().init(ctx)
        return CONTINUE("init")

    def add(self, message: Add) -> Continue:
        super().add(message)
        return CONTINUE(-message.value)

    on_cast(Add)(add)

    def on_continue(self, value: Any) -> None:
        self.log.append(value)


class ContinuingSlowly(Continuing):
    async def on_continue(self, value: Any) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        await anyio.sleep(0.01)
        self.log.append(value)


@pytest.mark.parametrize("kind", [Continuing, ContinuingSlowly])
async def test_a111_continue_runs_before_queued_messages(
    running: Running, kind: type[Base]
) -> None:
    async with running(child(kind)) as runtime:
        ref = runtime.whereis("a", JobApi)
        for value in (1, 2):
            ref.cast(Add(value))
        assert await ref.call(Read()) == ("init", 1, -1, 2, -2)


async def test_a111_the_start_is_acknowledged_before_the_continue_of_init(
    running: Running,
) -> None:
    class Long(Base):
        async def init(self, ctx: Ctx) -> Continue:
            self.ctx = ctx
            await anyio.lowlevel.checkpoint()
            return CONTINUE()

        async def on_continue(self, value: Any) -> None:
            await anyio.sleep(60.0)

    start = anyio.current_time()
    async with running(child(Long)):
        assert anyio.current_time() - start < 1.0


async def test_a112_idle_after_counts_from_the_last_message_of_a_user(running: Running) -> None:
    class Dozy(Base):
        idle_after: ClassVar = 2.0

        def init(self, ctx: Ctx) -> None:
            self.ctx = ctx
            ctx.send_every(0.5, Open(), name="tick")

        @on_cast(Open)
        def open(self, message: Open) -> None: ...

        def on_idle(self, idle: Idle) -> None:
            self.log.append(round(self.ctx.now() - start, 1))

    start = anyio.current_time()
    async with running(child(Dozy)) as runtime:
        ref = runtime.whereis("a", JobApi)
        await anyio.sleep(1.0)
        await ref.call(Read())
        await anyio.sleep(5.0)
        assert await ref.call(Read()) == (3.0,)
        await anyio.sleep(5.0)
        assert await ref.call(Read()) == (3.0, 8.0)


@asynccontextmanager
async def resource() -> AsyncGenerator[None, None]:
    yield


class Hibernating(Base):
    has_resource: ClassVar = False

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        if self.has_resource:
            await ctx.enter(resource())

    @on_cast(Sleep)
    async def sleep(self, message: Sleep) -> Hibernate:
        return HIBERNATE

    def on_hibernate(self) -> None:
        self.log.append("asleep")


class HibernatingByItself(Hibernating):
    hibernate_after: ClassVar = 1.0


class HoldingOn(Hibernating):
    has_resource = True


@pytest.mark.parametrize(
    ("kind", "tasks"), [(Hibernating, 0), (HibernatingByItself, 0), (HoldingOn, 1)]
)
async def test_a115_a_hibernating_actor_gives_up_its_task_and_wakes_for_mail(
    running: Running, kind: type[Base], tasks: int
) -> None:
    async with running(child(kind)) as runtime:
        ref = runtime.whereis("a", JobApi)
        assert runtime.leftovers()["tasks"] == 1
        if kind is not HibernatingByItself:
            ref.cast(Sleep())
        await anyio.sleep(2.0)
        assert runtime.leftovers()["tasks"] == tasks
        ref.cast(Add(1))
        assert await ref.call(Read()) == ("asleep", 1)


async def test_a115_a_crash_while_falling_asleep_is_a_crash(running: Running) -> None:
    class Restless(Hibernating):
        def on_hibernate(self) -> None:
            raise ValueError("cannot sleep")

    async with running(child(Restless)) as runtime:
        ref = runtime.whereis("a", JobApi)
        ref.cast(Sleep())
        await anyio.sleep(0.1)
        assert not ref.alive()


async def test_a115_hibernated_actors_take_little_memory() -> None:
    children = tuple(ChildSpec(str(i), Hibernating, name=str(i)) for i in range(300))
    spec = SupSpec(children=children)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        async with run(spec) as runtime:
            refs = [runtime.whereis(str(i), JobApi) for i in range(300)]
            for ref in refs:
                ref.cast(Add(1))
            await anyio.sleep(0.1)
            parked, _ = tracemalloc.get_traced_memory()
            for ref in refs:
                ref.cast(Sleep())
            await anyio.sleep(0.1)
            asleep, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (asleep - before) / (parked - before) <= 0.6
