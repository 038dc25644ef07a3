"""What a handler may ask of its actor's loop: continue, stash, receive, rest."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, TypeAlias

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    CONTINUE,
    HIBERNATE,
    Actor,
    Call,
    CalleeExit,
    CallFailure,
    CallTimeout,
    Cast,
    Cause,
    ChildSpec,
    ChildTerminated,
    Continue,
    Crash,
    Ctx,
    DeadLetter,
    DeclaredError,
    Defer,
    Hibernate,
    Idle,
    MailboxSpec,
    Overflow,
    ReceiveTimeout,
    Ref,
    ReplyTo,
    Report,
    Restart,
    Runtime,
    Stop,
    SupSpec,
    TaskDone,
    Trace,
    on,
    on_cast,
    run,
    sysapi,
)

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


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


class Curious(Base):
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
