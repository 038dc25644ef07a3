"""Three nodes and their clients under the faults of a seed: whole nodes, promises kept."""

import gc
import importlib
from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest

from keygrove_chaos.campaign import Verdict, judge, scenario_named, simulate
from keygrove_chaos.control import Control
from keygrove_chaos.network import Network
from keygrove_chaos.plan import CrashActor, Fault, Kill, Pause, Plan, PowerCut, Stop, What
from keygrove_chaos.reach import reach
from keygrove_chaos.servers import Reply
from keygrove_chaos.skeleton import scenario
from keygrove_chaos.swarm import plan_for
from keygrove_chaos.world import ENGINES, EngineName, Options, World

pytestmark = pytest.mark.slow

SKELETON = "keygrove_chaos.skeleton:scenario"
STANDARD = 40
"""Seeds of the thousand that every change has to pass; `.ci/run` plays them all."""
QUIET = msgspec.structs.replace(
    plan_for(0), mode="safety", features=dict.fromkeys(plan_for(0).features, False), faults=()
)


def played(*faults: Fault, plan: Plan = QUIET, engine: EngineName = "aio") -> Verdict:
    """What comes of a plan with these faults and no others."""
    given = msgspec.json.encode(msgspec.structs.replace(plan, faults=faults))
    return judge(scenario, 0, Options(engine=engine, plan=given))


def fault(what: What, *, at: float = 5.0, lasts_s: float | None = 3.0, node: str = "n0") -> Fault:
    return Fault(id=f"{at:g}", at=at, lasts_s=lasts_s, node=node, what=what)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_faults_all_is_well(engine: EngineName) -> None:
    verdict = played(engine=engine)
    assert verdict.violations == ()
    assert verdict.counts["operations"] > 50


RECON = msgspec.structs.replace(QUIET, features={**QUIET.features, "recon": True})


@pytest.mark.parametrize("what", [CrashActor(name="recon.prefix"), Kill(), PowerCut(), Stop()])
@pytest.mark.parametrize("engine", ENGINES)
def test_partners_are_shown_what_is_held_whatever_ends_whom(what: What, engine: EngineName) -> None:
    faults = [
        fault(what, at=float(at), node=node) for at in (4, 13, 22, 31) for node in RECON.nodes[:2]
    ]
    named = [msgspec.structs.replace(one, id=f"{one.id}-{one.node}") for one in faults]
    verdict = played(*named, plan=RECON, engine=engine)
    assert verdict.violations == ()
    assert verdict.counts["sometimes:recon.dumped"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_c009_the_plan_of_a_seed_holds_on_both_engines(engine: EngineName, seed: int) -> None:
    verdict = judge(scenario, seed, Options(engine=engine))
    assert verdict.violations == ()


@pytest.mark.slow
def test_c009_more_plans_hold_on_trio() -> None:
    found = [judge(scenario, seed, Options(engine="trio")).violations for seed in range(3, 8)]
    assert found == [()] * 5


def _total(verdicts: Iterable[Verdict]) -> tuple[list[tuple[int, str]], Counter[str]]:
    found: list[tuple[int, str]] = []
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        found += [(verdict.seed, says) for says in verdict.violations]
        counts.update(verdict.counts)
    return found, counts


@pytest.mark.slow
def test_c022_the_first_standard_seeds_hold_and_no_kind_of_fault_is_without_effect() -> None:
    found, counts = _total(simulate(SKELETON, range(STANDARD), jobs=2))
    assert found == []
    assert reach(counts, STANDARD).inert == ()


def test_a_refused_listing_of_rollbacks_is_not_taken_for_an_empty_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(_: Control) -> Reply:
        return Reply(503, {}, b"")

    monkeypatch.setattr(Control, "rollbacks", refuse)
    assert any("a listing of rollbacks with 503" in one for one in played().violations)


def test_a_node_that_is_killed_comes_back_with_all_that_it_acknowledged() -> None:
    verdict = played(fault(Kill()), fault(Kill(is_silent=True), at=15.0))
    assert verdict.violations == ()
    assert verdict.counts["effect:proc.kill"] == 2


def test_c019_a_pause_delivers_what_waited_and_a_crash_ends_a_pause() -> None:
    verdict = played(fault(Pause()), fault(Pause(), at=15.0, lasts_s=9.0), fault(Kill(), at=17.0))
    assert verdict.violations == ()
    assert verdict.counts["effect:proc.pause"] == 2


def test_what_an_engine_cannot_do_is_counted_and_not_passed_over() -> None:
    verdict = played(fault(Pause()), engine="trio")
    assert verdict.violations == ()
    assert verdict.counts["unsupported:proc.pause"] == 1
    assert "fault:proc.pause" not in verdict.counts


@pytest.mark.slow
@pytest.mark.slow
def test_nodes_drain_in_the_middle_of_traffic() -> None:
    crowd = plan_for(next(seed for seed in range(99) if plan_for(seed).features["crowd"]))
    plan = msgspec.structs.replace(QUIET, clients=crowd.clients, program=crowd.program)
    stops = [fault(Stop(), at=at, node=node) for at in (4.0, 12.0, 20.0) for node in plan.nodes]
    stops = [msgspec.structs.replace(one, id=f"{one.at}{one.node}") for one in stops]
    verdict = played(*stops, plan=plan)
    assert verdict.violations == ()
    assert verdict.counts["effect:proc.stop"] == len(stops)


def test_an_actor_that_crashes_in_a_paused_node_does_so_when_it_goes_on() -> None:
    verdict = played(
        fault(Pause(), lasts_s=6.0), fault(CrashActor(name="ingest"), at=6.0, lasts_s=9.0)
    )
    assert verdict.violations == ()
    assert verdict.counts["effect:actor.kill"] == 1


def test_c021_a_core_serves_while_all_else_has_failed_for_good() -> None:
    plan = msgspec.structs.replace(QUIET, mode="liveness", core=("n1",))
    dead = [fault(Kill(), lasts_s=None), fault(Kill(), at=6.0, lasts_s=None, node="n2")]
    assert played(*dead, plan=plan).violations == ()


def test_c021_a_core_that_does_not_come_back_is_found() -> None:
    plan = msgspec.structs.replace(QUIET, mode="liveness", core=("n0",))
    (says,) = played(fault(Kill(), lasts_s=None), plan=plan).violations
    assert says.startswith("I-10: n0 is not whole")


@pytest.mark.slow
def test_c007_when_the_collector_runs_changes_nothing() -> None:
    async def collecting(world: World) -> Iterable[str]:
        gc.enable()
        gc.set_threshold(1)
        return await scenario(world)

    before = gc.get_threshold()
    try:
        eager = judge(collecting, 5).digest
    finally:
        gc.set_threshold(*before)
    assert eager == judge(scenario, 5).digest


@pytest.mark.slow
@pytest.mark.slow
def test_m56_faults_that_are_never_applied_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> int:
        return 0

    for name in ("inject", "heal", "effect"):
        monkeypatch.setattr(Network, name, nothing)
    seeds = [seed for seed in range(300) if plan_for(seed).features["net.cut"]][:12]
    _, counts = _total(judge(scenario, seed) for seed in seeds)
    assert "net.partition" in reach(counts, len(seeds)).inert


def test_c010_no_module_of_the_product_imports_the_simulator() -> None:
    for name in ("keygrove.serve", "keygrove.points", "keygrove.storage.shard"):
        module = importlib.import_module(name)
        assert not [one for one in vars(module).values() if "keygrove_chaos" in repr(one)]


def test_the_scenario_is_found_by_its_name() -> None:
    assert scenario_named(SKELETON) is scenario
