"""Strange mail, isolated tasks, checked replies, traces, short timers."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    Call,
    CalleeExit,
    CallTimeout,
    Cause,
    ChildSpec,
    Ctx,
    DeadLetter,
    MailboxSpec,
    Overflow,
    Report,
    TaskDone,
    Trace,
    on,
    on_cast,
    sysapi,
)
from tests.unit.actors.conftest import Running
from tests.unit.actors.jobs import Add, Base, JobApi, Open, Read, Sleep, Work, Wrong, child

pytestmark = pytest.mark.anyio


async def test_a101_strange_mail_is_counted_and_told_once(
    running: Running, reports: list[Report]
) -> None:
    async with running(child(Base)) as runtime:
        ref = runtime.whereis("a", JobApi)
        for _ in range(3):
            ref.cast(Sleep())
        assert await ref.call(Read()) == ()
        assert runtime.counters.unhandled == 3
    letters = [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)]
    assert letters == [("Sleep", Cause.UNHANDLED)]


class Arm(Call[JobApi, None], frozen=True, tag=True):
    message: Any


class Curious(Base):
    @on(Arm)
    def arm(self, message: Arm) -> None:
        self.ctx.send_after(0.0, message.message)

    def on_info(self, message: Any) -> None:
        self.log.append(type(message).__name__)


class CuriousSlowly(Base):
    async def on_info(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append(type(message).__name__)


@pytest.mark.parametrize("kind", [Curious, CuriousSlowly])
async def test_a101_strange_mail_reaches_on_info(running: Running, kind: type[Base]) -> None:
    async with running(child(kind)) as runtime:
        ref = runtime.whereis("a", JobApi)
        ref.cast(Sleep())
        assert await ref.call(Read()) == ("Sleep",)


@pytest.mark.parametrize("way", ["cast", "cast with a trace", "timer"])
@pytest.mark.parametrize("message", [None, 0, ""], ids=repr)
async def test_a101_nothing_is_too_odd_to_reach_on_info(
    running: Running, message: Any, way: str
) -> None:
    async with running(child(Curious)) as runtime:
        ref = runtime.whereis("a", JobApi)
        match way:
            case "cast":
                ref.cast(message)
            case "timer":
                await ref.call(Arm(message))
            case _:
                ref.cast(message, trace=Trace("t"))
        await anyio.sleep(0.1)
        assert await ref.call(Read()) == (type(message).__name__,)


async def test_a150_mail_as_odd_is_a_dead_letter(running: Running, reports: list[Report]) -> None:
    async with running(child(Base)) as runtime:
        ref = runtime.whereis("a", JobApi)
        await sysapi.suspend(ref)
        odd: Any = None
        ref.cast(odd)
        ref.kill()
        await anyio.sleep(0.1)
    letters = [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)]
    assert letters == [("NoneType", Cause.DIED)]


async def test_a170_an_isolated_task_tells_its_outcome(running: Running) -> None:
    class Boss(Base):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            for value in (1, -1):
                ctx.start_soon(self.job, value, isolated=True)

        async def job(self, value: int) -> int:
            await anyio.sleep(0.1)
            if value < 0:
                raise ValueError("negative")
            return value

        def on_info(self, message: Any) -> None:
            assert isinstance(message, TaskDone)
            assert message.task.endswith("Boss.job")
            self.log.append(message.crash.exc if message.crash else message.result)

    async with running(child(Boss)) as runtime:
        await anyio.sleep(1.0)
        assert set(await runtime.whereis("a", JobApi).call(Read())) == {1, "ValueError"}


class WrongPlainly(Base):
    @on(Wrong)
    def wrong(self, message: Wrong) -> Any:
        return "text"


class WrongSlowly(Base):
    @on(Wrong)
    async def wrong(self, message: Wrong) -> Any:
        return "text"


@pytest.mark.parametrize("kind", [WrongPlainly, WrongSlowly])
async def test_a100_a_reply_of_the_wrong_type_is_a_crash_in_test_mode(
    running: Running, kind: type[Base]
) -> None:
    async with running(child(kind)) as runtime:
        with pytest.raises(CalleeExit, match="WrongReply"):
            await runtime.whereis("a", JobApi).call(Wrong())


async def test_a100_outside_test_mode_nobody_looks(running: Running) -> None:
    async with running(child(WrongPlainly), check_replies=False) as runtime:
        answer: object = await runtime.whereis("a", JobApi).call(Wrong())
        assert answer == "text"


async def test_a176_a_trace_goes_along_where_it_is_given(running: Running) -> None:
    class Tracing(Base):
        @on_cast(Add)
        def add(self, message: Add) -> None:
            trace = self.ctx.trace
            self.log.append(None if trace is None else (trace.id, trace.span, trace.parent))
            if message.value > 0 and trace is not None:
                self.ctx.self_ref.cast(Add(message.value - 1), trace=trace.step("again"))

        @on_cast(Open)
        async def open(self, message: Open) -> None:
            assert await self.ctx.whereis("b", JobApi).call(Read()) == ("t",)

        @on_cast(Sleep)
        async def sleep(self, message: Sleep) -> None:
            await anyio.lowlevel.checkpoint()
            self.log.append(self.ctx.trace)

    class Other(Base):
        @on(Read)
        def read(self, message: Read) -> Any:
            return (None if self.ctx.trace is None else self.ctx.trace.id,)

    other = ChildSpec("b", Other, name="b")
    async with running(child(Tracing), other) as runtime:
        ref = runtime.whereis("a", JobApi)
        ref.cast(Add(1), trace=Trace("t", "first"))
        ref.cast(Add(0))
        ref.cast(Open(), trace=Trace("t"))
        ref.cast(Sleep())
        await anyio.sleep(0.1)
        again = ("t", "again", "first")
        assert await ref.call(Read()) == (("t", "first", None), None, None, again)
        assert await runtime.whereis("b", JobApi).call(Read(), trace=Trace("u")) == ("u",)
        assert await runtime.whereis("b", JobApi).call(Read()) == (None,)


async def test_a176_a_traced_cast_that_is_lost_is_a_dead_letter_of_its_own_type(
    running: Running, reports: list[Report]
) -> None:
    spec = ChildSpec("a", Base, name="a", mailbox=MailboxSpec(1, Overflow.DROP_OLDEST))
    async with running(spec) as runtime:
        ref = runtime.whereis("a", JobApi)
        ref.cast(Add(1), trace=Trace("t"))
        ref.cast(Add(2), trace=Trace("t"))
        ref.kill()
        await anyio.sleep(0.1)
    assert [(r.message, r.cause) for r in reports if isinstance(r, DeadLetter)] == [
        ("Add", Cause.OVERFLOW),
        ("Add", Cause.DIED),
    ]


async def test_a123_short_timers_are_exact_and_at_takes_a_time(running: Running) -> None:
    class Timed(Base):
        def init(self, ctx: Ctx) -> None:
            super().init(ctx)
            ctx.send_after(0.0123, Add(1))
            ctx.send_after(0.0111, Add(0))
            ctx.at(ctx.now() + 0.0317, Add(2))

        @on_cast(Add)
        def add(self, message: Add) -> None:
            self.log.append(round(self.ctx.now() - start, 4))

    start = 0.0

    async with running(child(Timed)) as runtime:
        start = anyio.current_time()
        await anyio.sleep(1.0)
        assert await runtime.whereis("a", JobApi).call(Read()) == (0.0111, 0.0123, 0.0317)


async def test_a095_a_handler_can_ask_whether_its_caller_waits(running: Running) -> None:
    class Asking(Base):
        @on(Work)
        async def work(self, message: Work) -> int:
            assert self.ctx.deadline is not None
            await anyio.sleep(message.seconds)
            self.log.append(self.ctx.caller_gone)
            return 0

    async with running(child(Asking)) as runtime:
        ref = runtime.whereis("a", JobApi)
        await ref.call(Work(0.1))
        with pytest.raises(CallTimeout):
            await ref.call(Work(2.0), timeout=1.0)
        await anyio.sleep(2.0)
        assert await ref.call(Read()) == (False, True)
