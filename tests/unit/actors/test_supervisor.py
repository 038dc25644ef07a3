"""Starting and giving up; who restarts with whom is in `test_restarts` and `test_traces`."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from keygrove_actors import (
    IGNORE,
    Actor,
    Breach,
    CalleeExit,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    Crash,
    Ctx,
    Ignore,
    InitTimeout,
    Killed,
    Report,
    Restart,
    Shutdown,
    StartError,
    StartFailed,
    State,
    SupApi,
    SupSpec,
    TreeEnded,
    run,
)
from keygrove_actors.decisions import Boot, Broken, Exited, Started
from keygrove_actors.model import model_of
from keygrove_actors.strategy import step
from tests.unit.actors.children import Child, ChildApi, Crashes, FailsInit, Ping, child, ends
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


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


async def test_a003_those_before_a_failed_init_stop_in_reverse_and_none_after_it_starts(
    running: Running, log: list[str]
) -> None:
    bad = ChildSpec("bad", lambda: FailsInit("bad", log))
    with pytest.raises(StartFailed):
        async with running(child("a", log), child("b", log), bad, child("d", log)):
            pass
    assert [line for line in log if "begins" in line or "ends" in line] == [
        "a begins",
        "b begins",
        "b ends",
        "a ends",
    ]


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


@pytest.mark.filterwarnings("ignore::keygrove_actors.SpecWarning")
async def test_a047_a_transient_supervisor_that_breaches_stays_down(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    spec = SupSpec(children=(child("x", log),), intensity=0)
    async with running(ChildSpec("sub", spec, restart=Restart.TRANSIENT)) as runtime:
        runtime.whereis("x", ChildApi).cast(Crashes())
        await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.DOWN]
    assert [r.path for r in reports if isinstance(r, Breach)] == ["sub/x"]


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


async def test_several_runtimes_live_side_by_side(log: list[str]) -> None:
    async with (
        run(SupSpec(children=(child("a", log),))) as one,
        run(SupSpec(children=(child("a", log),))) as two,
    ):
        one.whereis("a", ChildApi).kill()
        await anyio.sleep(0.1)
        assert await one.whereis("a", ChildApi).call(Ping()) == 2
        assert await two.whereis("a", ChildApi).call(Ping()) == 1
