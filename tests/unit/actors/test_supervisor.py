"""Starting, stopping and giving up; who restarts with whom is in `test_traces`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import anyio
import pytest

from keygrove_actors import (
    IGNORE,
    Actor,
    Breach,
    Call,
    CalleeExit,
    Cast,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Crash,
    Ctx,
    Ignore,
    InitTimeout,
    Killed,
    Normal,
    Reason,
    Report,
    Restart,
    Runtime,
    Shutdown,
    ShutdownError,
    StartError,
    StartFailed,
    State,
    Stop,
    StopLate,
    StopOverrun,
    Strategy,
    SupApi,
    SupSpec,
    TerminateError,
    TreeEnded,
    on,
    on_cast,
    run,
)
from keygrove_actors.decisions import Boot, Broken, Exited, Started
from keygrove_actors.model import model_of
from keygrove_actors.strategy import step

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


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


async def test_a001_each_child_starts_after_the_one_before_is_up(
    running: Running, log: list[str]
) -> None:
    async with running(child("a", log, 1.0), child("b", log, 1.0)):
        assert log == ["a begins", "a is up", "b begins", "b is up"]


async def test_a002_each_child_stops_after_the_one_behind_is_down(
    running: Running, log: list[str]
) -> None:
    async with running(child("a", log, end_s=1.0), child("b", log, end_s=1.0)):
        log.clear()
    assert log == ["b ends", "b is down", "a ends", "a is down"]


async def test_a003_a_failed_init_stops_the_earlier_children(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    bad = ChildSpec("bad", lambda: FailsInit("bad", log))
    with pytest.raises(StartFailed, match="bad crashed with OSError: no disk") as caught:
        async with running(child("a", log), bad, child("c", log)):
            pass
    assert caught.value.child_id == "bad"
    assert log == ["a begins", "a is up", "a ends", "a is down"]


async def test_a003_a_failed_subtree_says_which_child(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    bad = ChildSpec("bad", lambda: FailsInit("bad", log))
    with pytest.raises(StartFailed):
        async with running(ChildSpec("sub", SupSpec(children=(bad,)))):
            pass
    assert [(r.path, r.reason) for r in reports if isinstance(r, StartError)][1:] == [
        ("sub", Shutdown("failed_to_start_child:bad"))
    ]


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TEMPORARY])
async def test_a004_an_ignored_child_counts_as_started(
    running: Running, reports: list[Report], restart: Restart
) -> None:
    class Absent(Actor[ChildApi]):
        def init(self, ctx: Ctx) -> Ignore:
            return IGNORE

    async with running(ChildSpec("absent", Absent, restart=restart)) as runtime:
        left = [(c.id, c.state) for c in runtime.tree().children]
        assert left == ([] if restart is Restart.TEMPORARY else [("absent", State.DOWN)])
    assert reports == []


async def test_a005_an_init_that_overruns_is_killed(running: Running, log: list[str]) -> None:
    with pytest.raises(StartFailed, match="did not finish init in time") as caught:
        async with running(child("slow", log, 60.0, init_timeout=2.0)):
            pass
    assert caught.value.reason == InitTimeout()
    assert log == ["slow begins"]


async def test_a009_a_child_that_will_not_stop_is_killed(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    start = 0.0
    async with running(child("stubborn", log, end_s=60.0, shutdown=2.0)):
        start = anyio.current_time()
    assert 2.0 <= anyio.current_time() - start < 2.1
    assert ends(reports) == [("stubborn", Killed())]
    assert [r.reason for r in reports if isinstance(r, ShutdownError)] == [Killed()], "A-012"


async def test_a174_cleaning_up_after_a_crash_is_cut_off_too(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    spec = child("slow", log, end_s=60.0, shutdown=2.0, restart=Restart.TEMPORARY)
    async with running(spec) as runtime:
        runtime.whereis("slow", ChildApi).cast(Crashes())
        await anyio.sleep(3.0)
        assert [str(r) for _, r in ends(reports)] == ["crashed with ValueError: boom"]
    assert [r.crash.exc for r in reports if isinstance(r, TerminateError)] == ["TimeoutError"]


async def test_a010_infinity_waits(running: Running, log: list[str]) -> None:
    async with running(child("slow", log, end_s=3600.0, shutdown="infinity")):
        pass
    assert log[-1] == "slow is down"


async def test_a011_a_brutal_kill_skips_terminate_and_is_no_error(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    async with running(child("a", log, shutdown="brutal_kill")):
        log.clear()
    assert log == []
    assert ends(reports) == [("a", Killed())]
    assert not [r for r in reports if isinstance(r, ShutdownError)]


async def test_a012_an_orderly_end_under_stop_is_no_error(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    async with running(child("a", log), child("b", log, end_s=1.0)) as runtime:
        runtime.whereis("b", ChildApi).cast(Ends())
        await anyio.sleep(0.5)
    assert ("b", Normal()) in ends(reports)
    assert [r.child for r in reports if isinstance(r, ShutdownError)] == ["b"], "it is permanent"


async def test_a014_a_late_tree_is_killed_and_the_late_are_named(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    sub = ChildSpec("sub", SupSpec(children=(child("x", log, end_s=60.0, shutdown="infinity"),)))
    with pytest.raises(StopOverrun, match="sub/x"):
        async with running(child("a", log), sub, stop_deadline=3.0):
            pass
    assert [r.paths for r in reports if isinstance(r, StopLate)] == [("a", "sub/x")]
    assert dict(ends(reports)) == {"a": Killed(), "sub": Killed(), "sub/x": Killed()}


async def test_a014_stop_is_idempotent(running: Running, log: list[str]) -> None:
    async with running(child("a", log, end_s=1.0)) as runtime:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.stop)
            tasks.start_soon(runtime.stop)
        assert await runtime.stop(1.0) == ()
        await runtime.wait()
    assert log.count("a ends") == 1


async def test_a038_a_stop_waits_for_a_child_that_is_starting(
    running: Running, log: list[str]
) -> None:
    async with running(child("a", log, 1.0), child("b", log), intensity=5) as runtime:
        log.clear()
        runtime.whereis("a", ChildApi).kill()
        await anyio.sleep(0.5)
        assert runtime.tree().children[0].state is State.STARTING
        await runtime.stop()
    assert log == ["a begins", "a is up", "b ends", "b is down", "a ends", "a is down"]


async def test_a040_a_stamp_exactly_period_old_counts() -> None:
    spec = SupSpec(children=(ChildSpec("a", lambda: FailsInit("a", [])),), intensity=1, period=5.0)
    for second, gives_up in ((15.0, True), (15.5, False)):
        model = model_of(spec)
        step(model, Boot())
        step(model, Started("a", 0.0))
        step(model, Exited("a", Killed(), 10.0))
        step(model, Started("a", 0.0))
        effects = step(model, Exited("a", Killed(), second))
        assert any(isinstance(e, Broken) for e in effects) is gives_up


@pytest.mark.parametrize("intensity", [0, 1, 3])
async def test_a041_a042_one_crash_too_many_ends_the_tree(
    running: Running, log: list[str], reports: list[Report], intensity: int
) -> None:
    async with running(child("a", log), child("b", log), intensity=intensity) as runtime:
        for _ in range(intensity + 1):
            runtime.whereis("a", ChildApi).cast(Crashes())
            await anyio.sleep(0.01)
        with pytest.raises(TreeEnded) as caught:
            await runtime.wait()
    assert caught.value.reason == Shutdown("reached_max_restart_intensity")
    assert [r for r in reports if isinstance(r, Breach)] == [Breach("a", "a", intensity, 5.0)]
    restarts = [r for r in reports if isinstance(r, ChildRestarting)]
    assert [r.used for r in restarts] == list(range(1, intensity + 1))
    assert log[-1] == "b is down"


async def test_a040_crashes_far_apart_are_forgiven(running: Running, log: list[str]) -> None:
    async with running(child("a", log)) as runtime:
        ref = runtime.whereis("a", ChildApi)
        for _ in range(4):
            ref.cast(Crashes())
            await anyio.sleep(6.0)
        assert await ref.call(Ping()) == 5


async def test_a045_a_stop_is_honoured_in_a_crash_loop(running: Running, log: list[str]) -> None:
    starts: Counter[str] = Counter()

    class Flaky(Child):
        async def init(self, ctx: Ctx) -> Ignore | None:
            starts["all"] += 1
            await anyio.sleep(1.0)
            if starts["all"] > 1:
                raise OSError("no disk")
            return None

    flaky = ChildSpec("flaky", lambda: Flaky("flaky", log), name="flaky")
    async with running(flaky, intensity=1_000_000) as runtime:
        runtime.whereis("flaky", ChildApi).kill()
        await anyio.sleep(9.5)
        start = anyio.current_time()
    assert anyio.current_time() - start < 1.0
    assert starts["all"] == 11


async def test_a047_a_nested_breach_is_the_parents_restart(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    sub = ChildSpec("sub", SupSpec(children=(child("x", log),), intensity=0))
    async with running(sub) as runtime:
        ref = runtime.whereis("x", ChildApi)
        ref.cast(Crashes())
        await anyio.sleep(0.1)
        assert await ref.call(Ping()) == 1
        assert runtime.tree().children[0].restarts == 1
    started = [(r.path, r.incarnation) for r in reports if isinstance(r, ChildStarted)]
    assert started == [("sub/x", 1), ("sub", 1), ("sub/x", 1), ("sub", 2)]


async def test_pitfall_38_a_breach_climbs_to_the_root(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    leaf = ChildSpec("leaf", SupSpec(children=(child("x", log),), intensity=0))
    mid = ChildSpec("mid", SupSpec(children=(leaf,), intensity=0))

    async def crash_and_leave() -> None:
        async with running(mid, intensity=0) as runtime:
            runtime.whereis("x", ChildApi).cast(Crashes())
            await anyio.sleep(0.1)

    with pytest.raises(TreeEnded):
        await crash_and_leave()
    assert [r.path for r in reports if isinstance(r, Breach)] == ["mid/leaf/x", "mid/leaf", "mid"]


async def test_a074_a_killed_supervisor_takes_its_subtree_along(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    inner = ChildSpec("inner", SupSpec(children=(child("y", log, end_s=9.0),)))
    sub = ChildSpec("sub", SupSpec(children=(child("x", log), inner)), name="sub")
    async with running(sub) as runtime:
        log.clear()
        runtime.whereis("sub", SupApi).kill()
        await anyio.sleep(0.1)
        assert set(ends(reports)) == {
            (p, Killed()) for p in ("sub/inner/y", "sub/inner", "sub/x", "sub")
        }
        assert "x ends" not in log
        assert await runtime.whereis("y", ChildApi).call(Ping()) == 1


async def test_a074_an_exit_signal_from_elsewhere_does_not_move_a_supervisor(
    running: Running, log: list[str]
) -> None:
    sub = ChildSpec("sub", SupSpec(children=(child("x", log),)), name="sub")
    async with running(sub) as runtime:
        runtime.whereis("sub", SupApi).exit(Crash("Debug", "asked to"))
        await anyio.sleep(0.1)
        assert runtime.tree().children[0].restarts == 0


async def test_a023_a_crash_answers_and_the_restarted_child_is_fresh(
    running: Running, log: list[str]
) -> None:
    async with running(child("a", log), child("b", log)) as runtime:
        runtime.whereis("a", ChildApi).cast(Crashes())
        with pytest.raises(CalleeExit):
            await runtime.whereis("a", ChildApi).call(Ping())
        await anyio.sleep(0.1)
        assert await runtime.whereis("a", ChildApi).call(Ping()) == 2
        assert await runtime.whereis("b", ChildApi).call(Ping()) == 1


async def test_a013_news_in_the_middle_of_a_group_stop_is_not_counted_twice(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    children = (child("a", log), child("b", log, end_s=1.0), child("c", log, end_s=2.0))
    async with running(*children, strategy=Strategy.ONE_FOR_ALL, intensity=1) as runtime:
        runtime.whereis("a", ChildApi).cast(Crashes())
        runtime.whereis("b", ChildApi).cast(Crashes())
        await anyio.sleep(10.0)
        assert [c.state for c in runtime.tree().children] == [State.UP] * 3
    assert len([r for r in reports if isinstance(r, ChildRestarting)]) == 1


async def test_several_runtimes_live_side_by_side(log: list[str]) -> None:
    async with (
        run(SupSpec(children=(child("a", log),))) as one,
        run(SupSpec(children=(child("a", log),))) as two,
    ):
        one.whereis("a", ChildApi).kill()
        await anyio.sleep(0.1)
        assert await one.whereis("a", ChildApi).call(Ping()) == 2
        assert await two.whereis("a", ChildApi).call(Ping()) == 1
