"""Monitors, and names that come and go with their actors."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from keygrove_actors import (
    Actor,
    Backoff,
    Budget,
    Call,
    CalleeExit,
    Cast,
    Cause,
    ChildSpec,
    ChildTerminated,
    Ctx,
    DeadLetter,
    Down,
    GoneReason,
    Jitter,
    MonitorId,
    NoProc,
    Ref,
    Report,
    Restart,
    Runtime,
    Shutdown,
    StartFailed,
    on,
    on_cast,
)
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class WatchApi:
    pass


class Watch(Call[WatchApi, MonitorId], frozen=True, tag=True):
    ref: Ref[Any]


class Unwatch(Call[WatchApi, None], frozen=True, tag=True):
    monitor: MonitorId
    block: float = 0.0


class Seen(Call[WatchApi, tuple[Down, ...]], frozen=True, tag=True):
    pass


class TargetApi:
    pass


class Crashes(Cast[TargetApi], frozen=True, tag=True):
    pass


class Me(Call[TargetApi, Ref[TargetApi]], frozen=True, tag=True):
    pass


class Watcher(Actor[WatchApi]):
    def __init__(self) -> None:
        self.seen: list[Down] = []
        self.found: list[bool] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Watch)
    def watch(self, message: Watch) -> MonitorId:
        return self.ctx.monitor(message.ref)

    @on(Unwatch)
    async def unwatch(self, message: Unwatch) -> None:
        await anyio.sleep(message.block)
        self.ctx.demonitor(message.monitor)

    @on(Seen)
    def read(self, message: Seen) -> tuple[Down, ...]:
        return tuple(self.seen)

    def on_down(self, down: Down) -> None:
        self.seen.append(down)


class Target(Actor[TargetApi]):
    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Me)
    def me(self, message: Me) -> Ref[TargetApi]:
        return self.ctx.self_ref

    @on_cast(Crashes)
    def crash(self, message: Crashes) -> None:
        raise ValueError("boom")


class Late(Target):
    async def init(self, ctx: Ctx) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        super().init(ctx)
        await anyio.sleep(1.0)


WATCHER = ChildSpec("watcher", Watcher, name="watcher")
TARGET = ChildSpec("target", Target, name="target")


async def test_a069_each_of_two_monitors_fires_once(running: Running) -> None:
    async with running(WATCHER, TARGET) as runtime:
        watcher, target = runtime.whereis("watcher", WatchApi), runtime.whereis("target", TargetApi)
        first, second = await watcher.call(Watch(target)), await watcher.call(Watch(target))
        target.cast(Crashes())
        await anyio.sleep(0.1)
        downs = await watcher.call(Seen())
        assert {d.id for d in downs} == {first, second}
        assert len(downs) == 2


async def test_a069_monitoring_nobody_fires_at_once(running: Running) -> None:
    async with running(WATCHER) as runtime:
        watcher = runtime.whereis("watcher", WatchApi)
        nobody = runtime.whereis("nobody", TargetApi)
        monitor = await watcher.call(Watch(nobody))
        assert await watcher.call(Seen()) == (Down(monitor, nobody, GoneReason()),)


async def test_a069_monitoring_the_dead_by_id_fires_once_too(running: Running) -> None:
    async with running(WATCHER, TARGET) as runtime:
        watcher, target = runtime.whereis("watcher", WatchApi), runtime.whereis("target", TargetApi)
        former = await target.call(Me())
        target.cast(Crashes())
        await anyio.sleep(0.1)
        monitor = await watcher.call(Watch(former))
        await anyio.sleep(0.1)
        assert await watcher.call(Seen()) == (Down(monitor, former, GoneReason()),)
        assert target.alive(), "its successor is not meant"


async def test_a070_a_demonitored_down_is_not_handled_even_if_queued(running: Running) -> None:
    async with running(WATCHER, TARGET) as runtime, anyio.create_task_group() as tasks:
        watcher, target = runtime.whereis("watcher", WatchApi), runtime.whereis("target", TargetApi)
        monitor = await watcher.call(Watch(target))
        tasks.start_soon(watcher.call, Unwatch(monitor, block=1.0))
        await anyio.sleep(0.5)
        target.cast(Crashes())
        await anyio.sleep(1.0)
        assert await watcher.call(Seen()) == ()


async def test_a071_a_down_carries_the_name_it_was_set_with(running: Running) -> None:
    async with running(WATCHER, TARGET) as runtime:
        watcher, target = runtime.whereis("watcher", WatchApi), runtime.whereis("target", TargetApi)
        await watcher.call(Watch(target))
        target.kill()
        await anyio.sleep(0.1)
        (down,) = await watcher.call(Seen())
        assert down.ref.name == "target"


async def test_a072_a081_the_name_is_free_or_new_when_down_arrives(running: Running) -> None:
    class Looking(Watcher):
        def on_down(self, down: Down) -> None:
            super().on_down(down)
            self.found.append(self.ctx.whereis("target", TargetApi).alive())

    looking = Looking()
    watcher_spec = ChildSpec("watcher", lambda: looking, name="watcher")
    target_spec = ChildSpec("target", Target, name="target", restart=Restart.TEMPORARY)
    async with running(watcher_spec, target_spec) as runtime:
        target = runtime.whereis("target", TargetApi)
        await runtime.whereis("watcher", WatchApi).call(Watch(target))
        target.cast(Crashes())
        await anyio.sleep(0.1)
    assert looking.found == [False]


async def test_a080_a_taken_name_fails_the_start(running: Running) -> None:
    with pytest.raises(StartFailed, match="NameTaken"):
        async with running(TARGET, ChildSpec("again", Target, name="target")):
            pass


async def test_a083_a_ref_by_id_never_reaches_a_successor(running: Running) -> None:
    async with running(TARGET) as runtime:
        by_name = runtime.whereis("target", TargetApi)
        by_id = await by_name.call(Me())
        assert by_id.alive()
        by_name.cast(Crashes())
        await anyio.sleep(0.1)
        assert not by_id.alive()
        with pytest.raises(NoProc):
            await by_id.call(Me())
        assert await by_name.call(Me()) != by_id


@pytest.mark.parametrize(("wait_up", "appears"), [(5.0, True), (0.5, False)])
async def test_a082_wait_up_waits_for_a_name(
    running: Running, wait_up: float, appears: bool
) -> None:
    late = ChildSpec("late", Late)
    answers: list[bool] = []

    async def ask(runtime: Runtime) -> None:
        ref = runtime.whereis("target", TargetApi)
        try:
            answers.append((await ref.call(Me(), wait_up=wait_up)).alive())
        except NoProc:
            answers.append(False)

    class Asks(Actor[WatchApi]):
        def init(self, ctx: Ctx) -> None:
            ctx.start_soon(ask, ctx)

    async with running(ChildSpec("asks", Asks), late, TARGET):
        await anyio.sleep(6.0)
    assert answers == [appears]


async def test_a082_a_call_in_the_restart_gap_is_noproc(running: Running) -> None:
    failing = iter([False, True])

    class Gap(Target):
        def __init__(self) -> None:
            if next(failing, False):
                raise OSError("not yet")

    async with running(ChildSpec("gap", Gap, name="gap"), intensity=5) as runtime:
        ref = runtime.whereis("gap", TargetApi)
        ref.kill()
        with pytest.raises((NoProc, CalleeExit)):
            await ref.call(Me())
        assert (await ref.call(Me(), wait_up=1.0)).alive()


async def test_a082_in_the_restart_gap_a_call_is_noproc_at_once_and_a_cast_is_lost(
    running: Running, reports: list[Report]
) -> None:
    backoff = Backoff(base=3.0, first=3.0, jitter=Jitter.NONE)
    spec = ChildSpec("target", Target, name="target", backoff=backoff, budget=Budget(9, 1.0))
    async with running(spec) as runtime:
        target = runtime.whereis("target", TargetApi)
        target.kill()
        await anyio.sleep(1.0)
        start = anyio.current_time()
        with pytest.raises(NoProc):
            await target.call(Me())
        assert anyio.current_time() == start
        target.cast(Crashes())
        assert (await target.call(Me(), wait_up=9.0)).alive()
        assert anyio.current_time() - start == pytest.approx(2.0, abs=0.1)
    lost = [(r.target, r.message, r.cause) for r in reports if isinstance(r, DeadLetter)]
    assert lost == [("target", "Crashes", Cause.NO_PROC)]


async def test_a083_a_cast_by_id_never_reaches_a_successor(
    running: Running, reports: list[Report]
) -> None:
    async with running(TARGET) as runtime:
        target = runtime.whereis("target", TargetApi)
        by_id = await target.call(Me())
        target.kill()
        await anyio.sleep(0.1)
        by_id.cast(Crashes())
        assert target.alive()
        assert (await target.call(Me())).alive()
    assert [r.cause for r in reports if isinstance(r, DeadLetter)] == [Cause.NO_PROC]


async def test_a038_downs_of_a_stop_come_with_its_reason(
    running: Running, reports: list[Report]
) -> None:
    async with running(WATCHER, TARGET) as runtime:
        await runtime.whereis("watcher", WatchApi).call(Watch(runtime.whereis("target", TargetApi)))
    assert {r.reason for r in reports if isinstance(r, ChildTerminated)} == {Shutdown()}
