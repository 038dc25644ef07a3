"""Dynamic children: one template, addressed by ref, stopped all at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import anyio
import pytest

from keygrove_actors import (
    Backoff,
    BadSpec,
    ChildCounts,
    ChildRestarting,
    ChildSpec,
    ChildTerminated,
    Ctx,
    Jitter,
    Killed,
    NoProc,
    NotFound,
    Reason,
    Report,
    Restart,
    Runtime,
    Shutdown,
    ShutdownError,
    StartError,
    StartFailed,
    State,
    Strategy,
    SupApi,
    SupSpec,
    TooManyChildren,
    WrongProtocol,
)
from tests.unit.actors.peers import (
    Absent,
    Crashes,
    Ends,
    Fails,
    OtherApi,
    Peer,
    PeerApi,
    Slow,
    Who,
    dynamic,
    ids,
)

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


async def test_a028_dynamic_children_share_a_template_and_keep_their_own_arguments(
    running: Running_,
) -> None:
    async with running(dynamic(partial(Peer, "peer"))) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        one, two = await peers.spawn("one"), await peers.spawn("two")
        assert [await r.call(Who()) for r in (one, two)] == ["peer one", "peer two"], "A-035"
        one.cast(Crashes())
        await anyio.sleep(0.1)
        assert not one.alive()
        refs = [c.ref for c in peers.which_children()]
        assert [await r.call(Who()) for r in refs if r] == ["peer one", "peer two"]


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
async def test_a028_a_dynamic_child_that_ended_for_good_is_forgotten(
    running: Running_, restart: Restart
) -> None:
    async with running(dynamic(restart=restart)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        peer = await peers.spawn("one")
        peer.cast(Ends())
        await anyio.sleep(0.1)
        assert peers.which_children() == ()


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
async def test_a028_what_a_temporary_child_was_made_with_is_not_kept(
    running: Running_, restart: Restart
) -> None:
    class Costly:
        pass

    class Made(Peer):
        def __init__(self, costly: Costly) -> None:
            super().__init__()

    async with running(dynamic(Made, restart=restart)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        costly = Costly()
        known = weakref.ref(costly)
        peer = await peers.spawn(costly)
        del costly
        gc.collect()
        assert (known() is None) == (restart is Restart.TEMPORARY)
        assert peer.alive()


async def test_a028_a_dynamic_start_that_fails_leaves_nothing(
    running: Running_, reports: list[Report]
) -> None:
    async with running(dynamic(Fails)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        with pytest.raises(StartFailed, match="no disk"):
            await peers.spawn()
        assert peers.which_children() == ()
    assert [r.path for r in reports if isinstance(r, StartError)] == ["peers/peer-1"]


async def test_a028_a_start_with_wrong_arguments_fails_at_the_caller(running: Running_) -> None:
    async with running(dynamic(Absent)) as runtime:
        with pytest.raises(StartFailed, match="TypeError"):
            await runtime.supervisor("peers").spawn("surplus")


async def test_a004_an_ignored_dynamic_child_is_not_kept_and_its_ref_reaches_nobody(
    running: Running_,
) -> None:
    async with running(dynamic(Absent)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        absent = await peers.spawn()
        assert not absent.alive()
        with pytest.raises(NoProc):
            await absent.call(Who())
        assert peers.which_children() == ()


async def test_a029_dynamic_children_stop_all_at_once_under_one_timer(
    running: Running_, log: list[str], reports: list[Report]
) -> None:
    start = 0.0
    async with running(dynamic(partial(Slow, log), shutdown=2.0)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        for name, end_s in (("a", 1.0), ("b", 60.0), ("c", 1.5)):
            await peers.spawn(name, 0.0, end_s)
        log.clear()
        start = anyio.current_time()
    assert sorted(log) == ["a ends", "b ends", "c ends"]
    assert 2.0 <= anyio.current_time() - start < 2.1
    ends = {r.path: r.reason for r in reports if isinstance(r, ChildTerminated)}
    assert ends["peers/peer-2"] == Killed()
    assert ends["peers/peer-1"] == ends["peers/peer-3"] == Shutdown()
    assert [r.path for r in reports if isinstance(r, ShutdownError)] == ["peers/peer-2"]


async def test_a029_dynamic_children_may_be_killed_at_stop(
    running: Running_, log: list[str], reports: list[Report]
) -> None:
    async with running(dynamic(partial(Slow, log), shutdown="brutal_kill")) as runtime:
        await runtime.supervisor("peers").spawn("a")
        log.clear()
    assert log == []
    assert not [r for r in reports if isinstance(r, ShutdownError)]


async def test_a029_a_child_that_crashes_as_all_stop_is_reported(
    running: Running_, reports: list[Report]
) -> None:
    class Clumsy(Peer):
        async def terminate(self, reason: Reason) -> None:
            await anyio.sleep(0.1)

    async with running(dynamic(Clumsy)) as runtime:
        peer = await runtime.supervisor("peers", PeerApi).spawn()
        peer.cast(Crashes())
        await anyio.sleep(0.05)
        await runtime.stop()
    assert [r.path for r in reports if isinstance(r, ShutdownError)] == ["peers/peer-1"]


async def test_a030_a_dynamic_supervisor_knows_refs_not_ids(running: Running_) -> None:
    async with running(dynamic()) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        peer = await peers.spawn("one")
        for asked in (
            peers.delete_child("peer-1"),
            peers.restart_child("peer-1"),
            peers.start_child(ChildSpec("x", Peer)),
            peers.terminate_child("peer-1"),
        ):
            with pytest.raises(BadSpec, match="peers is dynamic"):
                await asked
        await peers.terminate_child(peer)
        assert not peer.alive()
        assert peers.which_children() == ()
        with pytest.raises(NotFound):
            await peers.terminate_child(peer)


async def test_a030_only_the_latest_incarnation_is_terminated_by_ref(running: Running_) -> None:
    async with running(dynamic(intensity=9), ChildSpec("other", Peer, name="other")) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        former = await peers.spawn("one")
        former.cast(Crashes())
        await anyio.sleep(0.1)
        for stranger in (former, runtime.whereis("other", PeerApi)):
            with pytest.raises(NotFound):
                await peers.terminate_child(stranger)
        assert peers.count_children() == ChildCounts(1, 1, 0, 1)


async def test_a045_a_child_whose_restarts_fail_is_terminated_by_its_last_ref(
    running: Running_, reports: list[Report]
) -> None:
    class Flaky(Peer):
        def init(self, ctx: Ctx) -> None:
            if ctx.incarnation > 1:
                raise OSError("no disk")

    backoff = Backoff(base=1.0, first=1.0, cap=1.0, jitter=Jitter.NONE)
    async with running(dynamic(Flaky, intensity=2, backoff=backoff)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        peer = await peers.spawn()
        peer.cast(Crashes())
        await anyio.sleep(1.5)
        assert [c.state for c in peers.which_children()] == [State.RESTARTING]
        await peers.terminate_child(peer)
        await anyio.sleep(60.0)
        assert peers.which_children() == ()
    assert len([r for r in reports if isinstance(r, StartError)]) == 1


async def test_a030_a_static_supervisor_knows_ids_not_refs(running: Running_) -> None:
    async with running(ChildSpec("a", Peer, name="a")) as runtime:
        root = runtime.supervisor("")
        with pytest.raises(BadSpec, match="by id"):
            await root.terminate_child(runtime.whereis("a", PeerApi))
        with pytest.raises(BadSpec, match="not dynamic"):
            await root.spawn()


async def test_a030_dynamic_children_may_be_subtrees(running: Running_) -> None:
    leaf = SupSpec(children=(ChildSpec("leaf", Peer),))
    sup = SupSpec(strategy=Strategy.DYNAMIC, template=ChildSpec("sub", leaf))
    async with running(ChildSpec("subs", sup)) as runtime:
        subs = runtime.supervisor("subs", SupApi)
        await subs.spawn()
        assert subs.count_children() == ChildCounts(1, 1, 1, 0)
        assert ids(runtime.supervisor("subs/sub-1")) == ["leaf"]
        with pytest.raises(BadSpec, match="no arguments"):
            await subs.spawn("surplus")


async def test_a035_one_child_too_many_is_refused_those_restarting_included(
    running: Running_,
) -> None:
    backoff = Backoff(base=1.0, first=1.0, jitter=Jitter.NONE)
    async with running(dynamic(max_children=2, backoff=backoff)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        one, two = await peers.spawn(), await peers.spawn()
        one.cast(Crashes())
        await anyio.sleep(0.5)
        assert [c.state for c in peers.which_children()] == [State.RESTARTING, State.UP]
        with pytest.raises(TooManyChildren, match="peers already has 2 children") as caught:
            await peers.spawn()
        assert caught.value.limit == 2
        await peers.terminate_child(two)
        await peers.spawn()
        await peers.terminate_child(one)
        await anyio.sleep(2.0)
        assert ids(peers) == ["peer-4"], "a number is never used again"


async def test_a040_dynamic_children_share_one_intensity(
    running: Running_, reports: list[Report]
) -> None:
    async with running(dynamic(intensity=2)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        for peer in [await peers.spawn() for _ in range(3)]:
            peer.cast(Crashes())
        await anyio.sleep(0.1)
        assert [c.restarts for c in runtime.tree().children] == [1]
        assert peers.which_children() == (), "a successor starts empty"
    assert [r.used for r in reports if isinstance(r, ChildRestarting)] == [1, 2, 1]


@pytest.mark.slow
async def test_w6_many_dynamic_children_start_and_stop(running: Running_) -> None:
    async with running(dynamic(restart=Restart.TEMPORARY)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        for _ in range(20_000):
            await peers.spawn()
        assert peers.count_children().active == 20_000


async def test_a074_a_killed_dynamic_supervisor_takes_its_children_along(
    running: Running_, log: list[str]
) -> None:
    async with running(dynamic(partial(Slow, log, "a"))) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        peer = await peers.spawn()
        cell_ref = runtime.supervisor("").which_children()[0].ref
        assert cell_ref is not None
        cell_ref.kill()
        await anyio.sleep(0.1)
        assert not peer.alive()
        assert log == ["a begins"]
        assert peers.which_children() == (), "the path leads to the successor"


async def test_a084_a_supervisors_ref_is_typed_by_what_its_children_serve(
    running: Running_,
) -> None:
    async with running(dynamic()) as runtime:
        with pytest.raises(WrongProtocol):
            await runtime.supervisor("peers", OtherApi).spawn()
