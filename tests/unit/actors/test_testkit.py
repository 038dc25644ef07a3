"""The simulator: faults where they are asked for, and the same seed, the same trace."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from keygrove_actors import (
    Actor,
    Call,
    CalleeExit,
    CallFailure,
    CallTimeout,
    Cast,
    Cause,
    ChildRestarting,
    ChildSpec,
    ChildTerminated,
    Ctx,
    DeadLetter,
    DeclaredError,
    Down,
    Exit,
    Killed,
    NoProc,
    Ref,
    Restart,
    Shutdown,
    StartError,
    SupSpec,
    on,
    on_cast,
)
from keygrove_actors.probe import UnexpectedError
from keygrove_actors.testkit import DeadlockError, LeakError, Sim, hashes, simulate


class KvApi:
    pass


class Missing(CallFailure, frozen=True, tag=True):
    pass


class Put(Cast[KvApi], frozen=True, tag=True):
    value: int


class Get(Call[KvApi, tuple[int, ...]], frozen=True, tag=True):
    errors = (Missing,)


class Forward(Call[KvApi, tuple[int, ...]], frozen=True, tag=True):
    errors = (Missing,)
    to: str


class Kv(Actor[KvApi]):
    def __init__(self) -> None:
        self.values: list[int] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on_cast(Put)
    def put(self, message: Put) -> None:
        self.values.append(message.value)

    @on(Get)
    def get(self, message: Get) -> tuple[int, ...]:
        return tuple(self.values)

    @on(Forward)
    async def forward(self, message: Forward) -> tuple[int, ...]:
        try:
            return await self.ctx.whereis(message.to, KvApi).call(Get(), timeout=2.0)
        except DeclaredError as error:
            raise error.failure.error() from error


TREE = SupSpec(
    children=(
        ChildSpec("kv", Kv, name="kv"),
        ChildSpec("sub", SupSpec(children=(ChildSpec("other", Kv, name="other"),), intensity=5)),
    ),
    intensity=5,
)


def run_sim(scenario: Any, seed: int = 1, tree: SupSpec = TREE) -> Sim:
    return simulate(scenario, tree, seed=seed)[1]


def test_a_probe_expects_and_answers() -> None:
    async def scenario(sim: Sim) -> None:
        probe = sim.probe(KvApi, "probe")
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await sim.whereis("kv", KvApi).call(Forward("probe")))

        async def ask_in_vain() -> None:
            with pytest.raises(DeclaredError):
                await sim.whereis("kv", KvApi).call(Forward("probe"))
            answers.append("missing")

        for asker in (ask, ask_in_vain):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker)
                assert await probe.expect(Get) == Get()
                probe.reply((7,)) if asker is ask else probe.fail(Missing())
        assert answers == [(7,), "missing"]
        with pytest.raises(UnexpectedError, match="no call to answer"):
            probe.reply(1)
        await probe.expect_none(5.0)
        probe.ref.cast(Put(1))
        with pytest.raises(UnexpectedError, match="Put came where Get"):
            await probe.expect(Get)
        with pytest.raises(UnexpectedError, match="no Get came"):
            await probe.expect(Get)
        probe.ref.cast(Put(1))
        with pytest.raises(UnexpectedError, match="nothing was expected"):
            await probe.expect_none(1.0)
        sim.assert_clean()

    run_sim(scenario)


def test_a_probe_watches_links_and_ends() -> None:
    async def scenario(sim: Sim) -> None:
        probe = sim.probe(KvApi, "probe")
        kv = sim.whereis("kv", KvApi)
        probe.monitor(kv)
        probe.link(kv)
        probe.cast(kv, Put(1))
        assert await kv.call(Get()) == (1,)
        sim.kill("kv")
        assert (await probe.expect(Exit)).reason == Killed()
        assert (await probe.expect(Down)).reason == Killed()
        probe.ref.cast(Put(2))
        probe.end()
        with pytest.raises(NoProc):
            await probe.ref.call(Get())

    run_sim(scenario)


def test_messages_are_dropped_delayed_doubled_and_overtaken() -> None:
    async def scenario(sim: Sim) -> None:
        kv: Ref[KvApi] = sim.whereis("kv", KvApi)
        rule = sim.on(target="kv", message=Put, drop=1.0)
        kv.cast(Put(1))
        sim.off(rule)
        rule = sim.slow("kv", 1.0)
        kv.cast(Put(2))
        sim.off(rule)
        kv.cast(Put(3))
        rule = sim.on(message=Put, duplicate=1.0)
        kv.cast(Put(4))
        sim.off(rule)
        await sim.run_until_idle()
        assert await kv.call(Get()) == (3, 4)
        await sim.advance(2.0)
        assert await kv.call(Get()) == (3, 4, 4, 2)

    assert len([line for line in run_sim(scenario).trace() if " send " in line]) >= 4


def test_replies_have_a_way_to_go_too() -> None:
    async def scenario(sim: Sim) -> None:
        kv = sim.whereis("kv", KvApi)
        rule = sim.on(sender="kv", replies=True, drop=1.0)
        with pytest.raises(CallTimeout):
            await kv.call(Get(), timeout=1.0)
        sim.off(rule)
        sim.on(sender="kv", replies=True, delay=(2.0, 2.0))
        start = trio.current_time()
        assert await kv.call(Get()) == ()
        assert trio.current_time() - start >= 2.0

    run_sim(scenario)


def test_a_partition_cuts_both_ways_until_healed() -> None:
    async def scenario(sim: Sim) -> None:
        kv = sim.whereis("kv", KvApi)
        sim.gate.partition({"kv"}, {"sub/other"})
        with pytest.raises(CalleeExit):
            await kv.call(Forward("other"))
        sim.gate.heal()
        assert await kv.call(Forward("other"), wait_up=1.0) == ()

    run_sim(scenario)


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_strikes_before_or_after_handling(after: bool) -> None:
    made: list[Kv] = []

    class Kept(Kv):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    async def scenario(sim: Sim) -> None:
        kv = sim.whereis("kv", KvApi)
        sim.crash_next("kv", on=Put, after=after)
        kv.cast(Put(1))
        await sim.run_until_idle()
        assert await kv.call(Get(), wait_up=1.0) == ()

    tree = SupSpec(children=(ChildSpec("kv", Kept, name="kv"),))
    sim = run_sim(scenario, tree=tree)
    assert made[0].values == ([1] if after else [])
    assert len([r for r in sim.reports if isinstance(r, ChildRestarting)]) == 1


@pytest.mark.parametrize("after", [False, True])
def test_who_calls_is_told_of_a_crash(after: bool) -> None:
    async def scenario(sim: Sim) -> None:
        sim.crash_next("kv", on=Get, after=after)
        with pytest.raises(CalleeExit, match="by the simulation"):
            await sim.whereis("kv", KvApi).call(Get(), timeout=1.0)

    run_sim(scenario)


def test_a_scenario_that_waits_for_nothing_is_ended_and_shows_where() -> None:
    async def scenario(sim: Sim) -> None:
        sim.on(target="kv", drop=1.0)
        await sim.whereis("kv", KvApi).call(Get(), timeout=None)

    with pytest.raises(DeadlockError, match="not over after") as caught:
        run_sim(scenario)
    assert caught.value.__cause__ is not None
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert "timeout=None" in "".join(frame.line or "" for frame in frames)


def test_starts_fail_actors_pause_and_crash() -> None:
    async def scenario(sim: Sim) -> None:
        kv = sim.whereis("kv", KvApi)
        sim.fail_init("kv", 2)
        sim.crash("kv", "OSError")
        await sim.advance(1.0)
        assert await kv.call(Get()) == ()
        await sim.pause("other")
        with pytest.raises(CallTimeout):
            await sim.whereis("other", KvApi).call(Get(), timeout=1.0)
        sim.slow("kv", 9.0)
        kv.cast(Put(1))
        with pytest.raises(LeakError, match="under way"):
            sim.assert_clean()
        await sim.resume("other")
        assert await sim.whereis("other", KvApi).call(Get()) == ()

    sim = run_sim(scenario)
    assert len([r for r in sim.reports if isinstance(r, StartError)]) == 2
    assert {type(r.reason) for r in sim.reports if isinstance(r, ChildTerminated)} >= {Shutdown}


def test_an_error_shows_seed_and_last_events() -> None:
    async def scenario(sim: Sim) -> None:
        sim.note("about to fail")
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        run_sim(scenario, seed=42)
    notes = "\n".join(caught.value.__notes__)
    assert "seed=42" in notes
    assert "about to fail" in notes


def test_direct_and_queued_calls_are_mixed_by_the_seed() -> None:
    async def scenario(sim: Sim) -> None:
        for _ in range(20):
            await sim.whereis("kv", KvApi).call(Get())

    trace = run_sim(scenario).trace()
    direct, queued = (sum(f" {word} " in line for line in trace) for word in ("direct", "send"))
    assert direct > 2
    assert queued > 2


def hashed(seeds: tuple[int, int], hash_seed: str) -> list[str]:
    script = Path(__file__).with_name("simulated.py")
    command = [sys.executable, str(script), *map(str, seeds)]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        command, env=env, capture_output=True, text=True, check=True
    ).stdout.split()


def test_each_seed_has_a_trace_of_its_own_each_time() -> None:
    async def scenario(sim: Sim) -> None:
        for _ in range(20):
            await sim.whereis("kv", KvApi).call(Get())

    first = hashes(scenario, lambda: TREE, range(3))
    assert hashes(scenario, lambda: TREE, range(3)) == first
    assert len(set(first)) == 3


def test_what_arrives_after_a_death_is_a_dead_letter_or_told() -> None:
    async def scenario(sim: Sim) -> None:
        async def ask() -> None:
            with pytest.raises(NoProc):
                await ref.call(Get())

        sim.slow("kv", 0.5)
        ref = sim.whereis("kv", KvApi)
        ref.cast(Put(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await sim.advance(0.1)
            sim.kill("kv")

    spec = ChildSpec("kv", Kv, name="kv", restart=Restart.TEMPORARY)
    sim = run_sim(scenario, tree=SupSpec(children=(spec,)))
    assert [(r.message, r.cause) for r in sim.reports if isinstance(r, DeadLetter)] == [
        ("Put", Cause.NO_PROC)
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_separate_processes_over_200_seeds() -> None:
    """Whatever PYTHONHASHSEED is, and whatever the process simulated before."""
    runs = [(0, 200), (100, 200), (0, 100)]
    with ThreadPoolExecutor() as pool:
        whole, later, earlier = pool.map(hashed, runs, ["0", "4242", "77"])
    assert earlier + later == whole
    assert len(set(whole)) == 200


def test_restarts_are_for_permanent_children_only_in_the_simulated_tree() -> None:
    async def scenario(sim: Sim) -> None:
        sim.kill("kv")
        await sim.advance(1.0)
        assert not sim.whereis("kv", KvApi).alive()

    spec = ChildSpec("kv", Kv, name="kv", restart=Restart.TEMPORARY)
    run_sim(scenario, tree=SupSpec(children=(spec,)))
