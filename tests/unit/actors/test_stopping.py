"""Stopping children and trees: in order, within a time, whatever they do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import anyio
import pytest

from keygrove_actors import (
    Actor,
    CalleeExit,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    Ctx,
    Killed,
    Normal,
    Report,
    Restart,
    Shutdown,
    ShutdownError,
    StartError,
    StartFailed,
    State,
    StopLate,
    StopOverrun,
    Strategy,
    SupApi,
    SupSpec,
    TerminateError,
    Unkillable,
    Zombie,
    on,
    run,
)
from tests.unit.actors.children import Child, ChildApi, Crashes, Ends, Ping, child, ends
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize("init_s", [0.0, 60.0], ids=["up", "starting"])
async def test_a014_who_cancels_the_tree_is_told_of_the_late(
    running: Running, log: list[str], init_s: float
) -> None:
    spec = child("x", log, init_s, end_s=60.0, shutdown="infinity", init_timeout=None)

    async def run_for_a_second() -> None:
        with anyio.move_on_after(1.0):
            async with running(spec, stop_deadline=3.0) as runtime:
                await runtime.wait()

    with pytest.raises(StopOverrun, match="not stopped within 3 s, so killed: x"):
        await run_for_a_second()


async def test_a014_who_cancels_a_tree_that_stops_in_time_is_told_nothing(
    running: Running, log: list[str]
) -> None:
    with anyio.move_on_after(1.0) as scope:
        async with running(child("x", log, end_s=1.0), stop_deadline=3.0) as runtime:
            await runtime.wait()
    assert scope.cancelled_caught


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


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, 5.0),
        ({"shutdown": 2.0}, 2.0),
        ({"shutdown": "brutal_kill"}, 0.0),
        ({"shutdown": 2.0, "init_timeout": 1.5}, 1.0),
        ({"shutdown": 2.0, "init_timeout": 90.0}, 2.0),
        ({"shutdown": "infinity"}, 3599.5),
    ],
    ids=str,
)
async def test_a038_an_init_that_does_not_return_ends_with_its_shutdown_time(
    running: Running, log: list[str], options: dict[str, Any], after: float
) -> None:
    hangs = child("b", log, 3600.0, **options)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_after, 0.5, scope)
            async with running(child("a", log), hangs, child("c", log)):
                raise AssertionError("it came up")
    assert anyio.current_time() == pytest.approx(0.5 + after, abs=0.1)
    is_up = ["b is up", "b ends", "b is down"] if options.get("shutdown") == "infinity" else []
    assert log == ["a begins", "a is up", "b begins", *is_up, "a ends", "a is down"]


async def cancel_after(seconds: float, scope: anyio.CancelScope) -> None:
    await anyio.sleep(seconds)
    scope.cancel()


async def test_a038_a_subtree_that_is_starting_starts_no_more_children(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    sub = SupSpec(children=(child("x", log), child("y", log, 3600.0), child("z", log)))
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_after, 0.5, scope)
            async with running(child("a", log), ChildSpec("sub", sub), child("b", log)):
                raise AssertionError("it came up")
    assert anyio.current_time() == pytest.approx(5.5, abs=0.1)
    begun = ["a begins", "a is up", "x begins", "x is up", "y begins"]
    assert log == [*begun, "x ends", "x is down", "a ends", "a is down"]
    assert ends(reports) == [("sub/x", Shutdown()), ("a", Shutdown())]
    failed = [(r.path, r.reason) for r in reports if isinstance(r, StartError)]
    assert failed == [("sub/y", Killed()), ("sub", Shutdown())]


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


@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("how", ["ends", "crashes"])
async def test_a012_what_is_no_error_under_stop_depends_on_the_restart_type(
    running: Running, log: list[str], reports: list[Report], restart: Restart, how: str
) -> None:
    last = child("b", log, end_s=1.0, restart=restart)
    async with running(child("a", log), last) as runtime:
        ref = runtime.whereis("b", ChildApi)
        ref.cast(Ends() if how == "ends" else Crashes())
        await anyio.sleep(0.5)
        await runtime.stop()
        assert log[-1] == "a is down", "stopping went on"
    is_error = restart is Restart.PERMANENT or how == "crashes"
    assert [r.child for r in reports if isinstance(r, ShutdownError)] == ["b"] * is_error


async def test_a013_a_child_that_unlinks_itself_cannot_hang_the_stop(
    running: Running, log: list[str], reports: list[Report]
) -> None:
    class Lonely(Child):
        @on(Ping)
        def ping(self, message: Ping) -> int:
            supervisor = self.ctx.whereis("sub", SupApi)
            self.ctx.link(supervisor)
            self.ctx.unlink(supervisor)
            return 0

    lonely = ChildSpec("lonely", lambda: Lonely("lonely", log, end_s=1.0), name="lonely")
    async with running(ChildSpec("sub", SupSpec(children=(lonely,)), name="sub")) as runtime:
        await runtime.whereis("lonely", ChildApi).call(Ping())
    assert log[-1] == "lonely is down"
    assert ends(reports) == [("sub/lonely", Shutdown()), ("sub", Shutdown())]


class Shielded(Actor[ChildApi]):
    """Ends when it is let, whatever kills it: in `init`, or in a task."""

    def __init__(self, letting: anyio.Event, *, init: bool) -> None:
        self.letting, self.is_in_init = letting, init

    async def init(self, ctx: Ctx) -> None:
        if self.is_in_init:
            await self.go()
        ctx.start_soon(self.go)

    async def go(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.letting.wait()


@pytest.fixture
async def letting() -> AsyncGenerator[anyio.Event, None]:
    """Set at the test's end, since trio waits for whoever waits for it."""
    event = anyio.Event()
    yield event
    event.set()


@pytest.mark.parametrize("is_in_init", [True, False], ids=["init", "task"])
async def test_a177_who_outlives_its_kill_is_left_behind_by_name(
    reports: list[Report], letting: anyio.Event, is_in_init: bool
) -> None:
    start = partial(Shielded, letting, init=is_in_init)
    tree = SupSpec(children=(ChildSpec("a", start, init_timeout=1.0, shutdown=1.0),))
    began = anyio.current_time()
    with pytest.raises(Unkillable, match=r"^still running, though .*: a; mend") as caught:
        async with run(tree, observe=reports.append, kill_grace=2.0):
            pass
    assert anyio.current_time() - began == pytest.approx(1.0 + 2 * 2.0, abs=0.1)
    assert caught.value.paths == ("a",)
    assert isinstance(caught.value.__context__, StartFailed) is is_in_init
    assert Zombie("a", "a", 2.0) in reports
    letting.set()
    told = list(reports)
    await anyio.sleep(1.0)
    assert reports == told, "what it does then is nobody's any more"


async def test_a177_who_cancels_the_tree_is_told_of_them_too(letting: anyio.Event) -> None:
    tree = SupSpec(children=(ChildSpec("a", partial(Shielded, letting, init=False)),))

    async def run_for_a_second() -> None:
        with anyio.move_on_after(1.0):
            async with run(tree, stop_deadline=1.0) as runtime:
                await runtime.wait()

    with pytest.raises(Unkillable):
        await run_for_a_second()


async def test_a172_a_fenced_actor_starts_no_tasks(running: Running, letting: anyio.Event) -> None:
    ends: list[str] = []

    class Eager(Shielded):
        async def init(self, ctx: Ctx) -> None:
            await self.go()
            ctx.start_soon(self.note)
            try:
                await ctx.tasks.run(self.note)
            except CalleeExit as error:
                ends.append(str(error.reason))

        async def note(self) -> None:
            ends.append("ran")

    spec = ChildSpec("a", partial(Eager, letting, init=True), init_timeout=1.0)
    with pytest.raises(Unkillable):
        async with running(spec):
            pass
    letting.set()
    await anyio.sleep(1.0)
    assert ends == ["did not finish init in time"]


async def test_a172_an_init_that_outlives_its_kill_does_not_start_after_its_successor(
    running: Running, reports: list[Report], letting: anyio.Event
) -> None:
    late = anyio.Event()

    class Late(Shielded):
        async def init(self, ctx: Ctx) -> None:
            if ctx.incarnation == 2:
                await self.go()
                late.set()

    spec = ChildSpec("a", partial(Late, letting, init=True), name="a", init_timeout=1.0)
    async with running(spec, intensity=5) as runtime:
        runtime.whereis("a", ChildApi).kill()
        await anyio.sleep(10.0)
        letting.set()
        await late.wait()
        await anyio.sleep(0.1)
    assert [r.incarnation for r in reports if isinstance(r, ChildStarted)] == [1, 3]
