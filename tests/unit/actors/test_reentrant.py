"""Handlers of one actor that run side by side, where its class says so."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    CalleeExit,
    DeclaredError,
    Defer,
    Ref,
    ReplyTo,
    Stop,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running
from tests.unit.actors.jobs import Add, Base, JobApi, Read, Refused, Try, Work, child

pytestmark = pytest.mark.anyio


class Serial(Base):
    @on(Work)
    async def work(self, message: Work) -> int:
        if message.seconds < 0:
            raise ValueError("negative")
        self.log.append(f"begin {message.seconds}")
        await anyio.sleep(message.seconds)
        self.log.append(f"end {message.seconds}")
        return int(message.seconds)


class Reentrant(Serial):
    reentrant = True


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        (Serial, ("begin 2.0", "end 2.0", "begin 1.0", "end 1.0")),
        (Reentrant, ("begin 2.0", "begin 1.0", "end 1.0", "end 2.0")),
    ],
)
async def test_a110_handlers_interleave_only_where_the_class_says_so(
    running: Running, kind: type[Base], order: tuple[str, ...]
) -> None:
    answers: list[int] = []

    async def ask(ref: Ref[JobApi], seconds: float) -> None:
        answers.append(await ref.call(Work(seconds)))

    async with running(child(kind)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        for seconds in (2.0, 1.0):
            tasks.start_soon(ask, ref, seconds)
            await anyio.sleep(0.1)
        await anyio.sleep(4.0)
        assert await ref.call(Read()) == order
        assert sorted(answers) == [1, 2]


async def test_a110_a_crash_of_one_handler_ends_all_of_a_reentrant_actor(
    running: Running,
) -> None:
    ended: list[str] = []

    async def ask(ref: Ref[JobApi], seconds: float) -> None:
        with pytest.raises(CalleeExit):
            await ref.call(Work(seconds))
        ended.append("exit")

    async with running(child(Reentrant)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(ask, ref, 60.0)
        await anyio.sleep(0.1)
        tasks.start_soon(ask, ref, -1.0)
        await anyio.sleep(0.1)
        assert not ref.alive()
    assert ended == ["exit", "exit"]


async def test_a110_a_reentrant_handler_may_defer_and_keeps_its_own_caller(
    running: Running,
) -> None:
    class Deferring(Base):
        reentrant = True

        @on(Work)
        async def work(self, message: Work) -> Defer:
            await anyio.sleep(message.seconds)
            self.ctx.start_soon(self.reply, self.ctx.reply_to, int(message.seconds))
            return Defer.DEFER

        async def reply(self, reply_to: ReplyTo[int], value: int) -> None:
            await anyio.sleep(0.1)
            reply_to.send(value)

    answers: list[tuple[int, int]] = []

    async def ask(ref: Ref[JobApi], seconds: int) -> None:
        answers.append((seconds, await ref.call(Work(seconds))))

    async with running(child(Deferring)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        for seconds in (2, 1):
            tasks.start_soon(ask, ref, seconds)
        await anyio.sleep(3.0)
    assert answers == [(1, 1), (2, 2)]


async def test_a110_a_reentrant_handler_may_fail_as_declared_and_stop(running: Running) -> None:
    class Mixed(Base):
        reentrant = True

        @on(Try)
        async def attempt(self, message: Try) -> int:
            await anyio.lowlevel.checkpoint()
            raise Refused().error()

        @on_cast(Add)
        async def add(self, message: Add) -> Stop:
            await anyio.lowlevel.checkpoint()
            return Stop()

    async with running(child(Mixed)) as runtime:
        ref = runtime.whereis("a", JobApi)
        with pytest.raises(DeclaredError):
            await ref.call(Try())
        ref.cast(Add(1))
        await anyio.sleep(0.1)
        assert not ref.alive()


async def test_a110_a_declared_failure_is_no_answer_to_a_cast(running: Running) -> None:
    class Wrongly(Base):
        reentrant = True

        @on_cast(Add)
        async def add(self, message: Add) -> None:
            raise Refused().error()

    async with running(child(Wrongly)) as runtime:
        ref = runtime.whereis("a", JobApi)
        ref.cast(Add(1))
        await anyio.sleep(0.1)
        assert not ref.alive()
