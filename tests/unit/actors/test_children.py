"""What a supervisor can be asked of its static children while the tree runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import anyio
import pytest

from keygrove_actors import (
    Actor,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    BadSpec,
    ChildCounts,
    ChildRestarting,
    ChildSpec,
    ChildTerminated,
    Ctx,
    DeadLetter,
    Jitter,
    NoProc,
    Normal,
    NotFound,
    Ref,
    Report,
    Restart,
    Restarting,
    Running,
    Runtime,
    Shutdown,
    ShutdownError,
    StartFailed,
    State,
    SupApi,
    SupSpec,
    WrongProtocol,
)
from tests.unit.actors.peers import Absent, Crashes, Ends, Fails, Peer, PeerApi, Slow, Who, ids

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


async def test_a031_a033_a_child_started_later_is_the_last_and_stops_first(
    running: Running_, log: list[str]
) -> None:
    def slow(name: str) -> ChildSpec:
        return ChildSpec(name, partial(Slow, log, name))

    async with running(slow("a"), slow("b")) as runtime:
        root = runtime.supervisor("", PeerApi)
        ref = await root.start_child(slow("c"))
        assert await ref.call(Who()) == "c"
        assert ids(root) == ["a", "b", "c"], "A-034: in start order"
        log.clear()
    assert log == ["c ends", "b ends", "a ends"]


async def test_a034_children_are_listed_in_start_order_and_counted_by_kind(
    running: Running_,
) -> None:
    sub = ChildSpec("sub", SupSpec(children=(ChildSpec("deep", Peer),)))
    down = ChildSpec("down", Peer, name="down", restart=Restart.TRANSIENT)
    async with running(ChildSpec("b", Peer), down, sub, ChildSpec("a", Peer)) as runtime:
        root = runtime.supervisor("")
        runtime.whereis("down", PeerApi).cast(Ends())
        await anyio.sleep(0.1)
        await root.start_child(ChildSpec("c", Peer))
        children = root.which_children()
        listed = [(c.id, c.state, c.ref is not None, c.is_supervisor) for c in children]
        assert listed == [
            ("b", State.UP, True, False),
            ("down", State.DOWN, False, False),
            ("sub", State.UP, True, True),
            ("a", State.UP, True, False),
            ("c", State.UP, True, False),
        ]
        assert root.count_children() == ChildCounts(specs=5, active=4, supervisors=1, workers=4)


async def test_a031_the_error_matrix(running: Running_, log: list[str]) -> None:
    a = ChildSpec("a", Peer)
    async with running(a) as runtime:
        root = runtime.supervisor("", PeerApi)
        with pytest.raises(AlreadyStarted) as caught:
            await root.start_child(a)
        assert caught.value.ref == root.which_children()[0].ref
        for refused in (root.restart_child("a"), root.delete_child("a")):
            with pytest.raises(Running):
                await refused
        for refused in (
            root.terminate_child("x"),
            root.restart_child("x"),
            root.delete_child("x"),
        ):
            with pytest.raises(NotFound):
                await refused

        await root.terminate_child("a")
        assert [c.state for c in root.which_children()] == [State.DOWN]
        await root.terminate_child("a")
        with pytest.raises(AlreadyPresent):
            await root.start_child(a)
        assert (await root.restart_child("a")).alive()
        await root.terminate_child("a")
        await root.delete_child("a")
        assert root.count_children() == ChildCounts(0, 0, 0, 0)
        assert (await root.start_child(a)).alive()


async def test_a031_a_terminated_child_is_not_restarted_and_a_temporary_one_forgotten(
    running: Running_, reports: list[Report]
) -> None:
    children = ChildSpec("a", Peer), ChildSpec("t", Peer, restart=Restart.TEMPORARY)
    async with running(*children, intensity=0) as runtime:
        root = runtime.supervisor("")
        await root.terminate_child("a")
        await root.terminate_child("t")
        assert [(c.id, c.state, c.ref) for c in root.which_children()] == [("a", State.DOWN, None)]
    assert [r.reason for r in reports if isinstance(r, ChildTerminated)] == [Shutdown()] * 2
    assert not [r for r in reports if isinstance(r, ChildRestarting | ShutdownError)]


async def test_a031_a_failed_start_child_is_not_kept_and_a_failed_restart_stays_down(
    running: Running_,
) -> None:
    starts = iter([False, True])

    def flaky() -> Actor[Any]:
        return Fails() if next(starts, True) else Peer()

    async with running(ChildSpec("flaky", flaky)) as runtime:
        root = runtime.supervisor("")
        with pytest.raises(StartFailed, match="bad crashed with OSError"):
            await root.start_child(ChildSpec("bad", Fails))
        assert ids(root) == ["flaky"]
        await root.terminate_child("flaky")
        with pytest.raises(StartFailed):
            await root.restart_child("flaky")
        await anyio.sleep(1.0)
        assert [c.state for c in root.which_children()] == [State.DOWN]


async def test_a004_start_child_of_one_that_ignores_keeps_the_spec(running: Running_) -> None:
    async with running() as runtime:
        root = runtime.supervisor("")
        assert not (await root.start_child(ChildSpec("absent", Absent))).alive()
        await root.start_child(ChildSpec("gone", Absent, restart=Restart.TEMPORARY))
        assert [(c.id, c.ref) for c in root.which_children()] == [("absent", None)]


async def test_a007_start_child_checks_the_spec_against_the_supervisor(running: Running_) -> None:
    spec = ChildSpec("a", Peer, restart=Restart.TRANSIENT, significant=True)
    async with running() as runtime:
        with pytest.raises(BadSpec, match="set auto_shutdown"):
            await runtime.supervisor("").start_child(spec)


async def test_a084_an_actor_of_another_kind_is_at_that_path(running: Running_) -> None:
    async with running(ChildSpec("a", Peer)) as runtime:
        with pytest.raises(WrongProtocol, match="a serves PeerApi, not SupApi: ask for PeerApi"):
            await runtime.supervisor("a").terminate_child("x")


@pytest.mark.parametrize("path", ["nobody", "a/b"])
async def test_a091_no_supervisor_is_at_that_path(running: Running_, path: str) -> None:
    async with running(ChildSpec("a", Peer)) as runtime:
        with pytest.raises(NoProc):
            await runtime.supervisor(path).terminate_child("x")


async def test_a101_a_supervisor_refuses_what_it_has_no_answer_to(
    running: Running_, reports: list[Report]
) -> None:
    async with running(ChildSpec("sub", SupSpec(), name="sub")) as runtime:
        sub: Ref[Any] = runtime.whereis("sub", SupApi)
        with pytest.raises(WrongProtocol, match="sub serves SupApi, not Who: send StartChild, "):
            await sub.call(Who())
        sub.cast(Ends())
        await anyio.sleep(0.1)
    assert [r.message for r in reports if isinstance(r, DeadLetter)] == ["Ends"]


async def test_a045_terminating_or_deleting_a_child_cancels_its_restart(
    running: Running_, reports: list[Report]
) -> None:
    backoff = Backoff(base=1.0, first=1.0, jitter=Jitter.NONE)
    for ask in ("terminate_child", "delete_child"):
        async with running(ChildSpec("a", Peer, name="a", backoff=backoff)) as runtime:
            root = runtime.supervisor("")
            runtime.whereis("a", PeerApi).cast(Crashes())
            await anyio.sleep(0.5)
            await getattr(root, ask)("a")
            await anyio.sleep(5.0)
            assert [c.state for c in root.which_children()] == (
                [State.DOWN] if ask == "terminate_child" else []
            )
    assert not [r for r in reports if isinstance(r, ChildRestarting)]
    assert [r.reason for r in reports if isinstance(r, ChildTerminated)] != [Normal()]


async def test_a031_a_child_in_a_crash_loop_is_already_being_restarted(
    running: Running_,
) -> None:
    starts = iter([False])

    class Loops(Peer):
        async def init(self, ctx: Ctx) -> None:
            if next(starts, True):
                await anyio.sleep(1.0)
                raise OSError("no disk")

    async with running(ChildSpec("a", Loops, name="a"), intensity=5) as runtime:
        root = runtime.supervisor("")
        runtime.whereis("a", PeerApi).cast(Crashes())
        await anyio.sleep(0.5)
        with pytest.raises(Restarting):
            await root.restart_child("a")
        with pytest.raises(AlreadyPresent):
            await root.start_child(ChildSpec("a", Peer))
        await root.terminate_child("a")
        assert [c.state for c in root.which_children()] == [State.DOWN]
