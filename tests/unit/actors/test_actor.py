"""What an actor may do through its class and its Ctx."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from keygrove_actors import (
    IGNORE,
    Actor,
    Call,
    CalleeExit,
    Cast,
    ChildSpec,
    ChildTerminated,
    Crash,
    Ctx,
    Ignore,
    MessageTimer,
    Reason,
    Report,
    Restart,
    Shutdown,
    TerminateError,
    WrongTask,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class BoxApi:
    pass


class Crashes(Call[BoxApi, None], frozen=True, tag=True):
    pass


class Open(Call[BoxApi, None], frozen=True, tag=True):
    name: str


class Tick(Cast[BoxApi], frozen=True, tag=True):
    pass


class Nth(Cast[BoxApi], frozen=True, tag=True):
    number: int


class Block(Call[BoxApi, None], frozen=True, tag=True):
    seconds: float


class Box(Actor[BoxApi]):
    """Opens resources and writes down when they open and close, and in which task."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.tasks: set[int] = set()

    @asynccontextmanager
    async def resource(self, name: str) -> AsyncGenerator[str, None]:
        task = anyio.get_current_task().id
        self.log.append(f"open {name}")
        try:
            async with anyio.create_task_group():
                yield name
        finally:
            same = task == anyio.get_current_task().id
            self.log.append(f"close {name}" if same else f"close {name} in another task")

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        assert await ctx.enter(self.resource("a")) == "a"
        await ctx.enter(self.resource("b"))

    @on(Crashes)
    def crash(self, message: Crashes) -> None:
        raise ValueError("boom")

    @on(Open)
    async def open(self, message: Open) -> None:
        await self.ctx.enter(self.resource(message.name))

    @on(Block)
    async def block(self, message: Block) -> None:
        await anyio.sleep(message.seconds)

    async def terminate(self, reason: Reason) -> None:
        await anyio.sleep(0.1)
        self.log.append(f"terminate: it {reason}")


def crashes(reports: list[Report]) -> list[str]:
    ends = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    return [f"{e.exc}: {e.text}" for e in ends if isinstance(e, Crash)]


async def test_a178_resources_close_in_reverse_order_in_the_actors_task(running: Running) -> None:
    log: list[str] = []
    async with running(ChildSpec("box", lambda: Box(log), name="box")) as runtime:
        await runtime.whereis("box", BoxApi).call(Open("c"))
    assert log == ["open a", "open b", "open c", "terminate: it was shut down"] + [
        f"close {name}" for name in "cba"
    ]


@pytest.mark.parametrize("exit_while_blocked", [False, True])
async def test_a178_resources_close_after_a_crash_too(
    running: Running, reports: list[Report], exit_while_blocked: bool
) -> None:
    log: list[str] = []
    spec = ChildSpec("box", lambda: Box(log), name="box", restart=Restart.TEMPORARY)
    async with running(spec) as runtime, anyio.create_task_group() as tasks:
        ref = runtime.whereis("box", BoxApi)
        if exit_while_blocked:
            tasks.start_soon(anyio.sleep, 0)
            with anyio.move_on_after(1.0):
                await ref.call(Block(60.0))
            ref.exit(Crash("ValueError", "boom"))
            await anyio.sleep(1.0)
        else:
            with pytest.raises(CalleeExit):
                await ref.call(Crashes())
    assert log[2:] == ["terminate: it crashed with ValueError: boom", "close b", "close a"]
    assert crashes(reports) == ["ValueError: boom"]
    assert not [r for r in reports if isinstance(r, TerminateError)]


async def test_a178_resources_close_when_init_fails(running: Running) -> None:
    log: list[str] = []

    class Failing(Box):
        async def init(self, ctx: Ctx) -> Ignore | None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
            await super().init(ctx)
            return IGNORE

    async with running(ChildSpec("box", lambda: Failing(log))) as runtime:
        assert runtime.tree().children[0].actor is None
    assert log == ["open a", "open b", "close b", "close a"]


async def test_a062_a_kill_closes_resources_without_terminate(running: Running) -> None:
    log: list[str] = []
    spec = ChildSpec("box", lambda: Box(log), name="box", restart=Restart.TEMPORARY)
    async with running(spec) as runtime:
        runtime.whereis("box", BoxApi).kill()
        await anyio.sleep(0.01)
    assert log == ["open a", "open b", "close b", "close a"]


async def test_ctx_enter_needs_the_actors_own_task(running: Running, reports: list[Report]) -> None:
    class Wrong(Actor[BoxApi]):
        def init(self, ctx: Ctx) -> None:
            ctx.start_soon(ctx.enter, anyio.create_task_group())

    spec = ChildSpec("wrong", Wrong, restart=Restart.TEMPORARY)
    async with running(spec):
        await anyio.sleep(0.1)
    assert crashes(reports)[0].startswith(WrongTask.__name__)


class Owner(Actor[BoxApi]):
    """Starts a task that fails after a while, if told to."""

    def __init__(self, log: list[str], fails_after: float | None) -> None:
        self.log = log
        self.fails_after = fails_after

    def init(self, ctx: Ctx) -> None:
        ctx.start_soon(self.task, "task")

    async def task(self, name: str) -> None:
        try:
            if self.fails_after is None:
                await anyio.sleep_forever()
            else:
                await anyio.sleep(self.fails_after)
                raise ExceptionGroup("several", [ValueError(name)])
        finally:
            self.log.append("task gone")


async def test_a170_a_failing_child_task_crashes_the_actor(
    running: Running, reports: list[Report]
) -> None:
    log: list[str] = []
    spec = ChildSpec("owner", lambda: Owner(log, 1.0), restart=Restart.TEMPORARY)
    async with running(spec):
        await anyio.sleep(2.0)
    assert crashes(reports) == ["ValueError: task"], "A-179: the leaf names the crash"


async def test_a170_child_tasks_are_gone_before_death_is_announced(running: Running) -> None:
    log: list[str] = []

    def observe(report: Report) -> None:
        if isinstance(report, ChildTerminated):
            log.append("announced")

    async with running(ChildSpec("owner", lambda: Owner(log, None)), observe=observe):
        await anyio.sleep(1.0)
    assert log == ["task gone", "announced"]


class Timed(Actor[BoxApi]):
    def __init__(self, log: list[float], script: Callable[[Ctx], object]) -> None:
        self.log = log
        self.script = script

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        self.start = ctx.now()
        self.script(ctx)

    @on_cast(Tick)
    def tick(self, message: Tick) -> None:
        self.log.append(round(self.ctx.now() - self.start, 1))

    @on(Block)
    async def block(self, message: Block) -> None:
        await anyio.sleep(message.seconds)


SCRIPTS: list[tuple[str, Callable[[Ctx], Any], list[float]]] = [
    ("a120 once", lambda c: c.send_after(1.0, Tick()), [1.0]),
    ("a120 again and again", lambda c: c.send_every(1.5, Tick()), [1.5, 3.0, 4.5]),
    ("a121 cancelled", lambda c: c.send_after(1.0, Tick()).cancel(), []),
    (
        "a121 cancelled twice",
        lambda c: [t := c.send_after(1.0, Tick()), t.cancel(), t.cancel()],
        [],
    ),
    ("a122 replaced", lambda c: [c.send_after(t, Tick(), name="x") for t in (1.0, 2.0)], [2.0]),
    ("a123 in due order", lambda c: [c.send_after(t, Tick()) for t in (2.0, 1.0)], [1.0, 2.0]),
]


@pytest.mark.parametrize(
    ("script", "expected"), [s[1:] for s in SCRIPTS], ids=[s[0] for s in SCRIPTS]
)
async def test_a120_a121_a122_a123_timers(
    running: Running, script: Callable[[Ctx], object], expected: list[float]
) -> None:
    log: list[float] = []
    async with running(ChildSpec("timed", lambda: Timed(log, script))):
        await anyio.sleep(5.0)
    assert log == expected


async def test_a121_a_queued_timer_message_can_still_be_cancelled(running: Running) -> None:
    log: list[float] = []
    timers: list[MessageTimer] = []
    script: Callable[[Ctx], object] = lambda c: timers.append(c.send_after(1.0, Tick()))  # noqa: E731
    async with running(ChildSpec("timed", lambda: Timed(log, script), name="t")) as runtime:
        with anyio.move_on_after(1.5):
            await runtime.whereis("t", BoxApi).call(Block(2.0))
        assert timers[0].cancel() is None
        await anyio.sleep(5.0)
    assert log == []


async def test_a121_cancel_tells_what_was_left_and_nothing_once_it_was_due(
    running: Running,
) -> None:
    log: list[float] = []
    timers: list[MessageTimer] = []
    script: Callable[[Ctx], object] = lambda c: timers.extend(  # noqa: E731
        [c.send_after(t, Tick()) for t in (1.0, 3.0)]
    )
    async with running(ChildSpec("timed", lambda: Timed(log, script))):
        await anyio.sleep(2.0)
        due, early = timers
        assert due.cancel() is None
        assert early.cancel() == pytest.approx(1.0, abs=0.02)
        assert early.cancel() is None
        await anyio.sleep(2.0)
    assert log == [1.0]


async def test_a123_timers_of_one_tick_fire_in_the_order_they_were_made(running: Running) -> None:
    order: list[float] = []

    class Ordered(Actor[BoxApi]):
        def init(self, ctx: Ctx) -> None:
            for number in range(5):
                ctx.send_after(1.0, Nth(number))

        @on_cast(Nth)
        def nth(self, message: Nth) -> None:
            order.append(message.number)

    async with running(ChildSpec("ordered", Ordered)):
        await anyio.sleep(2.0)
    assert order == [0, 1, 2, 3, 4]


async def test_a124_a_repeated_timer_does_not_burst_after_a_stall(running: Running) -> None:
    log: list[float] = []
    timers: list[MessageTimer] = []
    script: Callable[[Ctx], object] = lambda c: timers.append(c.send_every(1.0, Tick()))  # noqa: E731
    async with running(ChildSpec("timed", lambda: Timed(log, script), name="t")) as runtime:
        await runtime.whereis("t", BoxApi).call(Block(3.5))
        await anyio.sleep(1.0)
        assert timers[0].missed == 2
    assert log == [3.5, 4.0]


async def test_a114_an_error_in_terminate_is_reported_and_changes_nothing(
    running: Running, reports: list[Report]
) -> None:
    class Untidy(Actor[BoxApi]):
        def terminate(self, reason: Reason) -> None:
            raise OSError("cannot tidy up")

    async with running(ChildSpec("untidy", Untidy)):
        pass
    assert [r.crash.text for r in reports if isinstance(r, TerminateError)] == ["cannot tidy up"]
    assert [r.reason for r in reports if isinstance(r, ChildTerminated)] == [Shutdown()]
