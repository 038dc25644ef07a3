"""What a supervisor can be asked while the tree runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import anyio
import pytest

from keygrove_actors import (
    IGNORE,
    Actor,
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    Backoff,
    BadSpec,
    Call,
    Cast,
    ChildCounts,
    ChildRestarting,
    ChildSpec,
    ChildTerminated,
    Ctx,
    DeadLetter,
    Ignore,
    Jitter,
    Killed,
    NoProc,
    Normal,
    NotFound,
    Reason,
    Ref,
    Report,
    Restart,
    Restarting,
    Running,
    Runtime,
    Shutdown,
    ShutdownError,
    ShuttingDown,
    StartError,
    StartFailed,
    State,
    Stop,
    Strategy,
    SupApi,
    SupRef,
    SupSpec,
    TooManyChildren,
    WouldDeadlock,
    WrongProtocol,
    on,
    on_cast,
    partitioned,
)

Running_: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


class PeerApi:
    pass


class OtherApi:
    pass


class Who(Call[PeerApi, str], frozen=True, tag=True):
    pass


class Crashes(Cast[PeerApi], frozen=True, tag=True):
    pass


class Ends(Cast[PeerApi], frozen=True, tag=True):
    pass


class Peer(Actor[PeerApi]):
    """Plain, so that a hundred thousand cost no task."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @on(Who)
    def who(self, message: Who) -> str:
        return " ".join(self.names)

    @on_cast(Crashes)
    def crash(self, message: Crashes) -> None:
        raise ValueError("boom")

    @on_cast(Ends)
    def end(self, message: Ends) -> Stop:
        return Stop()


class Slow(Peer):
    """Takes its time to start and to stop."""

    def __init__(self, log: list[str], name: str, init_s: float = 0.0, end_s: float = 0.0) -> None:
        super().__init__(name)
        self.log, self.init_s, self.end_s = log, init_s, end_s

    async def init(self, ctx: Ctx) -> None:
        self.log.append(f"{self.names[0]} begins")
        await anyio.sleep(self.init_s)

    async def terminate(self, reason: Reason) -> None:
        self.log.append(f"{self.names[0]} ends")
        await anyio.sleep(self.end_s)


class Absent(Actor[PeerApi]):
    def init(self, ctx: Ctx) -> Ignore:
        return IGNORE


class Fails(Actor[PeerApi]):
    def init(self, ctx: Ctx) -> None:
        raise OSError("no disk")


@pytest.fixture
def log() -> list[str]:
    return []


def dynamic(start: Callable[..., Actor[Any]] = Peer, /, **options: Any) -> ChildSpec:
    sup = {o: options.pop(o) for o in ("max_children", "intensity") if o in options}
    template = ChildSpec("peer", start, **options)
    return ChildSpec("peers", SupSpec(strategy=Strategy.DYNAMIC, template=template, **sup))


def ids(supervisor: SupRef[Any]) -> list[str]:
    return [c.id for c in supervisor.which_children()]


# ---- dynamic children


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


# ---- static children


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


async def test_a015_requests_wait_while_a_child_starts_and_end_with_their_deadline(
    running: Running_, log: list[str]
) -> None:
    async with running() as runtime:
        root = runtime.supervisor("", PeerApi)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(root.start_child, ChildSpec("a", partial(Slow, log, "a", 5.0)))
            await anyio.sleep(1.0)
            with pytest.raises(TimeoutError):
                await root.start_child(ChildSpec("b", Peer), timeout=1.0)
            assert (await root.start_child(ChildSpec("c", Peer))).alive()
            assert anyio.current_time() >= 5.0
        assert ids(root) == ["a", "c"]


@pytest.mark.parametrize("moment", ["init", "terminate"])
@pytest.mark.parametrize("path", ["", "sub"], ids=["grandparent", "parent"])
async def test_a015_a_child_that_starts_or_stops_cannot_ask_who_waits_for_it(
    running: Running_, moment: str, path: str
) -> None:
    errors: list[BaseException] = []

    class Asks(Actor[PeerApi]):
        async def init(self, ctx: Ctx) -> None:
            self.ctx = ctx
            if moment == "init":
                await self.ask()

        async def terminate(self, reason: Reason) -> None:
            if moment == "terminate":
                await self.ask()

        async def ask(self) -> None:
            try:
                await self.ctx.supervisor(path).delete_child("x")
            except WouldDeadlock as error:
                errors.append(error)

    async with running(ChildSpec("sub", SupSpec(children=(ChildSpec("asks", Asks),)))):
        pass
    assert len(errors) == 1
    assert "waits for sub/asks to start or stop" in str(errors[0])


async def test_a015_a_handler_may_ask_its_own_supervisor(running: Running_) -> None:
    class Asks(Actor[PeerApi]):
        async def init(self, ctx: Ctx) -> None:
            self.ctx = ctx

        @on(Who)
        async def who(self, message: Who) -> str:
            ref = await self.ctx.supervisor("", PeerApi).start_child(ChildSpec("b", Peer))
            return str(ref.alive())

    async with running(ChildSpec("asks", Asks, name="asks")) as runtime:
        assert await runtime.whereis("asks", PeerApi).call(Who()) == "True"


async def test_a015_a_child_may_terminate_itself(running: Running_) -> None:
    class Leaves(Actor[PeerApi]):
        async def init(self, ctx: Ctx) -> None:
            self.ctx = ctx

        @on_cast(Ends)
        async def end(self, message: Ends) -> None:
            await self.ctx.supervisor("").terminate_child("leaves")

    async with running(ChildSpec("leaves", Leaves, name="leaves")) as runtime:
        runtime.whereis("leaves", PeerApi).cast(Ends())
        await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.DOWN]


async def test_a038_a_supervisor_that_stops_starts_nobody(
    running: Running_, log: list[str]
) -> None:
    async with running(ChildSpec("slow", partial(Slow, log, "slow", 0.0, 2.0))) as runtime:
        root = runtime.supervisor("")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.stop)
            await anyio.sleep(1.0)
            with pytest.raises(ShuttingDown):
                await root.start_child(ChildSpec("b", Peer))
        with pytest.raises(NoProc):
            root.which_children()


async def test_a038_a_child_whose_init_runs_when_the_stop_comes_is_stopped_in_its_turn(
    running: Running_, log: list[str]
) -> None:
    for kind in (dynamic(partial(Slow, log, "late")), ChildSpec("peers", SupSpec())):
        log.clear()
        async with running(kind) as runtime:
            peers = runtime.supervisor("peers", PeerApi)

            async def start(peers: SupRef[PeerApi], *, is_dynamic: bool) -> Ref[PeerApi]:
                if is_dynamic:
                    return await peers.spawn(1.0)
                return await peers.start_child(ChildSpec("l", partial(Slow, log, "late", 1.0)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(start, peers, is_dynamic=kind.start != SupSpec()))
                await anyio.sleep(0.5)
                tasks.start_soon(runtime.stop)
        assert log == ["late begins", "late ends"]


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


@pytest.mark.parametrize("path", ["nobody", "a", "a/b"])
async def test_a091_no_supervisor_is_at_that_path(running: Running_, path: str) -> None:
    async with running(ChildSpec("a", Peer)) as runtime:
        with pytest.raises(NoProc):
            await runtime.supervisor(path).terminate_child("x")


async def test_a101_a_supervisor_refuses_what_it_has_no_answer_to(
    running: Running_, reports: list[Report]
) -> None:
    async with running(ChildSpec("sub", SupSpec(), name="sub")) as runtime:
        sub: Ref[Any] = runtime.whereis("sub", SupApi)
        with pytest.raises(WrongProtocol):
            await sub.call(Who())
        sub.cast(Ends())
        await anyio.sleep(0.1)
    assert [r.message for r in reports if isinstance(r, DeadLetter)] == ["Ends"]


# ---- significant children


def significant(name: str, restart: Restart = Restart.TRANSIENT) -> ChildSpec:
    return ChildSpec(name, Peer, name=name, restart=restart, significant=True)


@pytest.mark.parametrize(
    ("mode", "ending", "is_over"),
    [
        (AutoShutdown.ANY_SIGNIFICANT, "a", True),
        (AutoShutdown.ALL_SIGNIFICANT, "a", False),
        (AutoShutdown.ALL_SIGNIFICANT, "ab", True),
        (AutoShutdown.ANY_SIGNIFICANT, "c", False),
    ],
)
async def test_a048_a_supervisor_ends_with_its_significant_children(
    running: Running_, reports: list[Report], mode: AutoShutdown, ending: str, *, is_over: bool
) -> None:
    children = significant("a"), significant("b", Restart.TEMPORARY), ChildSpec("c", Peer, name="c")
    sub = SupSpec(children=children, auto_shutdown=mode)
    async with running(ChildSpec("sub", sub, restart=Restart.TRANSIENT)) as runtime:
        for name in ending:
            runtime.whereis(name, PeerApi).cast(Ends())
            await anyio.sleep(0.1)
        assert [c.state for c in runtime.tree().children] == [State.DOWN if is_over else State.UP]
    if is_over:
        assert ("sub", Shutdown()) in [
            (r.path, r.reason) for r in reports if isinstance(r, ChildTerminated)
        ]


async def test_a048_an_abnormal_end_of_a_transient_significant_child_is_a_restart(
    running: Running_,
) -> None:
    sub = SupSpec(children=(significant("a"),), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(ChildSpec("sub", sub)) as runtime:
        runtime.whereis("a", PeerApi).cast(Crashes())
        await anyio.sleep(0.1)
        assert await runtime.whereis("a", PeerApi).call(Who()) == ""
        assert runtime.tree().children[0].restarts == 0


async def test_a032_terminate_child_of_a_significant_one_triggers_nothing(
    running: Running_,
) -> None:
    sub = SupSpec(children=(significant("a"),), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    async with running(ChildSpec("sub", sub)) as runtime:
        await runtime.supervisor("sub").terminate_child("a")
        assert [c.state for c in runtime.tree().children] == [State.UP]


# ---- partitions


async def test_a036_a_key_leads_to_the_same_partition_also_after_its_restart(
    running: Running_,
) -> None:
    spec = partitioned(4, ChildSpec("part", Peer, name="part"), intensity=9)
    async with running(ChildSpec("parts", spec)) as runtime:
        parts = runtime.supervisor("parts", PeerApi)
        assert ids(parts) == ["part-0", "part-1", "part-2", "part-3"]
        ref = parts.ref_for("alice")
        assert ref == parts.ref_for(b"alice")
        ref.cast(Crashes())
        await anyio.sleep(0.1)
        assert parts.ref_for("alice") == ref
        assert await ref.call(Who()) == ""
        assert {parts.ref_for(str(n)).name for n in range(100)} == {f"part-{i}" for i in range(4)}


async def test_a036_partitions_without_a_name_go_by_incarnation(running: Running_) -> None:
    spec = partitioned(2, ChildSpec("part", Peer))
    async with running(ChildSpec("parts", spec)) as runtime:
        parts = runtime.supervisor("parts", PeerApi)
        ref = parts.ref_for("alice")
        await parts.terminate_child(next(c.id for c in parts.which_children() if c.ref == ref))
        with pytest.raises(NoProc):
            parts.ref_for("alice")


async def test_a036_the_number_of_partitions_is_fixed(running: Running_) -> None:
    spec = partitioned(2, ChildSpec("part", Peer))
    async with running(ChildSpec("parts", spec)) as runtime:
        parts = runtime.supervisor("parts", PeerApi)
        for refused in (
            parts.start_child(ChildSpec("x", Peer)),
            parts.delete_child("part-0"),
            parts.replace_spec(SupSpec()),
        ):
            with pytest.raises(BadSpec, match="partitioned"):
                await refused
        with pytest.raises(BadSpec, match="no partitions"):
            runtime.supervisor("").ref_for("alice")


SHARES = """
import anyio
from keygrove_actors import Actor, ChildSpec, partitioned, run
class Part(Actor[object]): pass
async def main():
    async with run(partitioned(5, ChildSpec("p", Part, name="p"))) as runtime:
        print([runtime.supervisor("").ref_for(f"key-{n}").name for n in range(6)])
anyio.run(main)
"""


def test_a036_the_hash_is_the_same_in_every_process() -> None:
    shares = {
        subprocess.run(
            [sys.executable, "-c", SHARES],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert shares == {"['p-0', 'p-3', 'p-0', 'p-3', 'p-0', 'p-0']\n"}


# ---- code change


async def test_a144_a_new_spec_is_merged_by_id_and_reconciled_when_asked(
    running: Running_, log: list[str]
) -> None:
    def slow(name: str, said: str) -> ChildSpec:
        return ChildSpec(name, partial(Slow, log, said), name=name)

    old = SupSpec(children=(slow("a", "a1"), slow("b", "b1"), slow("c", "c1")), intensity=9)
    new = SupSpec(children=(slow("d", "d2"), slow("b", "b2"), slow("e", "e2")), intensity=9)
    async with running(ChildSpec("sub", old)) as runtime:
        sub = runtime.supervisor("sub", PeerApi)
        await sub.replace_spec(new)
        assert ids(sub) == ["d", "b", "e", "a", "c"]
        assert [c.ref is not None for c in sub.which_children()] == [False, True, False, True, True]
        for name in "ab":
            runtime.whereis(name, PeerApi).kill()
        await anyio.sleep(0.1)
        said = [await runtime.whereis(n, PeerApi).call(Who()) for n in "abc"]
        assert said == ["a1", "b2", "c1"], "the left out keep running by the old spec"
        log.clear()
        await sub.reconcile()
        assert log == ["c1 ends", "a1 ends", "d2 begins", "e2 begins"]
        await sub.reconcile()
        assert ids(sub) == ["d", "b", "e"]


async def test_a144_a_dynamic_template_is_replaced_for_later_starts(running: Running_) -> None:
    async with running(dynamic(partial(Peer, "old"), intensity=9)) as runtime:
        peers = runtime.supervisor("peers", PeerApi)
        one = await peers.spawn("one")
        template = ChildSpec("peer", partial(Peer, "new"))
        await peers.replace_spec(SupSpec(strategy=Strategy.DYNAMIC, template=template))
        assert await one.call(Who()) == "old one"
        assert await (await peers.spawn("two")).call(Who()) == "new two"
        one.cast(Crashes())
        await anyio.sleep(0.1)
        ref = peers.which_children()[0].ref
        assert ref is not None
        assert await ref.call(Who()) == "new one"
        with pytest.raises(BadSpec, match="turn dynamic"):
            await peers.replace_spec(SupSpec())


async def test_a144_a_reconcile_that_fails_goes_on_when_asked_again(running: Running_) -> None:
    starts = iter([True, False])

    def flaky() -> Actor[Any]:
        return Fails() if next(starts) else Peer()

    async with running(ChildSpec("sub", SupSpec())) as runtime:
        sub = runtime.supervisor("sub")
        await sub.replace_spec(SupSpec(children=(ChildSpec("x", flaky), ChildSpec("y", Peer))))
        with pytest.raises(StartFailed, match="x crashed"):
            await sub.reconcile()
        assert [c.state for c in sub.which_children()] == [State.DOWN, State.DOWN]
        await sub.reconcile()
        assert [c.state for c in sub.which_children()] == [State.UP, State.UP]


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
