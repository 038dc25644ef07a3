"""Mail put aside, and mail picked out: stash and receive."""

from __future__ import annotations

from typing import ClassVar

import anyio
import pytest

from keygrove_actors import (
    CalleeExit,
    Cause,
    ChildTerminated,
    Crash,
    Ctx,
    DeadLetter,
    Defer,
    ReceiveTimeout,
    Ref,
    Report,
    on,
    on_cast,
    sysapi,
)
from tests.unit.actors.conftest import Running
from tests.unit.actors.jobs import Add, Base, High, JobApi, Open, Pick, Read, Work, child

pytestmark = pytest.mark.anyio


class Stashing(Base):
    stash_limit: ClassVar = 2
    is_open = False

    @on_cast(Open)
    def open(self, message: Open) -> None:
        self.is_open = True
        self.ctx.unstash_all()

    @on_cast(Add)
    def add(self, message: Add) -> Defer | None:
        if not self.is_open:
            return self.ctx.stash(message)
        self.log.append(message.value)
        return None

    @on(Work)
    def work(self, message: Work) -> int | Defer:
        if not self.is_open:
            return self.ctx.stash(message)
        self.log.append("work")
        return len(self.log)


async def test_a116_the_stash_keeps_order_and_comes_before_newer_mail(running: Running) -> None:
    answers: list[int] = []

    async def ask(ref: Ref[JobApi]) -> None:
        answers.append(await ref.call(Work(0.0)))

    async with running(child(Stashing)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(ask, ref)
        await anyio.sleep(0.1)
        ref.cast(Add(1))
        ref.cast(Open())
        ref.cast(Add(2))
        assert await ref.call(Read()) == ("work", 1, 2)
        await anyio.sleep(0.1)
        assert answers == [1]


async def test_a116_a_full_stash_is_a_crash_unless_caught(
    running: Running, reports: list[Report]
) -> None:
    async with running(child(Stashing)) as runtime:
        ref = runtime.whereis("a", JobApi)
        for value in range(3):
            ref.cast(Add(value))
        with pytest.raises(CalleeExit, match="StashFull"):
            await ref.call(Read())
    lost = [r.message for r in reports if isinstance(r, DeadLetter) and r.cause is Cause.DIED]
    assert lost == ["Add", "Add"]


class Receiving(Base):
    @on(Pick)
    async def pick(self, message: Pick) -> int:
        try:
            found = await self.ctx.receive(
                Add, where=lambda m: m.value >= message.least, timeout=message.within
            )
        except ReceiveTimeout:
            return -1
        return found.value


async def test_a116_receive_leaves_other_mail_in_order(running: Running) -> None:
    answers: list[int] = []

    async def pick(ref: Ref[JobApi], least: int, within: float | None = 5.0) -> None:
        answers.append(await ref.call(Pick(least, within), timeout=None))

    async with running(child(Receiving)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(pick, ref, 5)
        await anyio.sleep(0.1)
        for value in (1, 7, 2, 8):
            ref.cast(Add(value))
        await anyio.sleep(0.1)
        assert answers == [7]
        assert await ref.call(Read()) == (1, 2, 8)
        tasks.start_soon(pick, ref, 8, None)
        await anyio.sleep(0.1)
        ref.cast(Add(9))
        await anyio.sleep(0.1)
        tasks.start_soon(pick, ref, 99, 1.0)
        await anyio.sleep(2.0)
        assert answers == [7, 9, -1]


async def test_a116_receive_finds_what_is_queued_already(running: Running) -> None:
    class Busy(Receiving):
        @on(Work)
        async def work(self, message: Work) -> int:
            await anyio.sleep(message.seconds)
            return (await self.ctx.receive(Add, where=lambda m: m.value > 1)).value

    answers: list[int] = []

    async def ask(ref: Ref[JobApi]) -> None:
        answers.append(await ref.call(Work(1.0)))

    async with running(child(Busy)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(ask, ref)
        await anyio.sleep(0.5)
        for value in (1, 2, 3):
            ref.cast(Add(value))
        await anyio.sleep(1.0)
        assert answers == [2]
        assert await ref.call(Read()) == (1, 3)


async def test_a121_a116_receive_passes_over_a_cancelled_timer(running: Running) -> None:
    class Timed(Base):
        @on(Work)
        async def work(self, message: Work) -> int:
            timer = self.ctx.send_after(0.0, Add(1))
            await anyio.sleep(message.seconds)  # so it is in the mailbox now
            timer.cancel()
            return (await self.ctx.receive(Add, timeout=1.0)).value

    answers: list[int] = []

    async def ask(ref: Ref[JobApi]) -> None:
        answers.append(await ref.call(Work(1.0)))

    async with running(child(Timed)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(ask, ref)
        await anyio.sleep(0.5)
        ref.cast(Add(2))
        await anyio.sleep(1.0)
        assert answers == [2]


async def test_a116_a_call_that_comes_meanwhile_stays_queued(running: Running) -> None:
    answers: list[tuple[object, ...]] = []

    async def read(ref: Ref[JobApi]) -> None:
        answers.append(await ref.call(Read()))

    async with running(child(Receiving)) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("a", JobApi)
        tasks.start_soon(ref.call, Pick(5))
        await anyio.sleep(0.1)
        tasks.start_soon(read, ref)
        ref.cast(Add(1))
        await anyio.sleep(0.1)
        assert answers == []
        ref.cast(Add(5))
        await anyio.sleep(0.1)
        assert answers in ([()], [(1,)])


async def test_a116_receive_is_for_async_handlers_only(
    running: Running, reports: list[Report]
) -> None:
    class Misplaced(Base):
        def init(self, ctx: Ctx) -> None:
            ctx.start_soon(self.elsewhere, ctx)

        async def elsewhere(self, ctx: Ctx) -> None:
            await ctx.receive(Add)

    async with running(child(Misplaced)):
        await anyio.sleep(0.1)
    (end,) = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert isinstance(end, Crash)
    assert end.exc == "WrongTask"


async def test_a166_a116_what_is_put_back_comes_before_the_express_lane(
    running: Running,
) -> None:
    class Express(Stashing):
        @on_cast(High)
        def high(self, message: High) -> None:
            self.log.append("high")

    async with running(child(Express)) as runtime:
        ref = runtime.whereis("a", JobApi)
        ref.cast(Add(1))
        ref.cast(Add(2))
        await anyio.sleep(0.1)
        await sysapi.suspend(ref)
        ref.cast(Open())
        ref.cast(Add(3))
        await sysapi.resume(ref)
        await anyio.sleep(0.1)
        ref.cast(High())
        assert await ref.call(Read()) == (1, 2, 3, "high")
