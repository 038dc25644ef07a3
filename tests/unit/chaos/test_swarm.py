"""Plans: drawn from the seed alone, with every shape of fault, each feature on and off."""

from collections import Counter

import msgspec
import pytest

from keygrove.points import CRASHES
from keygrove_chaos.net_faults import Flap, LinkFault, Partition, Swizzle
from keygrove_chaos.plan import PUTS, CrashAt, Plan
from keygrove_chaos.swarm import CALM, FEATURES, MODES, ORDERLY, SETTINGS, plan_for

pytestmark = pytest.mark.slow

SEEDS = 1000


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [plan_for(seed) for seed in range(SEEDS)]


def test_a_seed_has_one_plan_and_another_seed_another() -> None:
    assert plan_for(7) == plan_for(7) != plan_for(8)


def test_a_plan_is_data_that_survives_being_written(plans: list[Plan]) -> None:
    for plan in plans[:50]:
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_c022_each_feature_is_on_and_off_as_often_as_declared(plans: list[Plan]) -> None:
    for name, share in FEATURES.items():
        asked = [plan for plan in plans if plan.mode != "drain" or name in ORDERLY]
        on = sum(plan.features[name] for plan in asked) / len(asked)
        assert on == pytest.approx(share, abs=0.06), name
    modes = Counter(plan.mode for plan in plans)
    for mode, share in MODES.items():
        assert modes[mode] / SEEDS == pytest.approx(share, abs=0.04)


def test_c012_every_shape_of_partition_is_drawn(plans: list[Plan]) -> None:
    shapes: Counter[str] = Counter()
    for plan in plans:
        for fault in plan.faults:
            what = fault.what
            if isinstance(what, Flap | Swizzle):
                shapes[type(what).__name__] += 1
            if not isinstance(what, Partition):
                continue
            senders = {pair[0] for pair in fault.links}
            clients = {name for name, node in plan.clients.items() if node == fault.node}
            one_way = fault.node not in senders or not senders - {fault.node}
            shapes["asymmetric" if one_way else "both ways"] += bool(fault.links)
            reached = {name for pair in fault.links for name in pair} - {fault.node}
            shapes["partial"] += bool(reached) and reached < clients
            shapes["by port"] += bool(what.ports)
            shapes["by size"] += bool(what.size_min)
            shapes["old streams only"] += what.flows == "new"
            shapes[what.mode] += 1
    names = ["Flap", "Swizzle", "asymmetric", "partial", "drop", "reject"]
    assert all(shapes[name] >= 20 for name in (*names, "by port", "by size", "old streams only"))


def test_every_verb_is_drawn_and_some_orders_are_sent_again(plans: list[Plan]) -> None:
    verbs = Counter(ask.verb for plan in plans for ask in plan.program)
    known = PUTS | {"get", "search", "block", "unblock", "snapshot", "past", "rollback", "undo"}
    assert set(verbs) == known
    assert min(verbs.values()) >= 20
    orders = Counter(
        (plan.seed, ask.text) for plan in plans for ask in plan.program if ask.verb == "block"
    )
    assert max(orders.values()) == 2
    presets = Counter(preset for plan in plans for preset in plan.presets.values())
    assert len(presets) == 3


def test_a_plan_of_before_presets_is_a_plan(plans: list[Plan]) -> None:
    (plan,) = [plan for plan in plans if not plan.presets][:1]
    known = msgspec.to_builtins(plan)
    del known["presets"]
    assert msgspec.convert(known, Plan) == plan


def test_every_crash_point_is_armed_somewhere(plans: list[Plan]) -> None:
    armed = {
        fault.what.point
        for plan in plans
        for fault in plan.faults
        if isinstance(fault.what, CrashAt)
    }
    assert armed == set(CRASHES)


def test_a_feature_more_changes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(
        n for n in range(99) if plan_for(n).mode == "safety" and plan_for(n).features["kill"]
    )
    before = [fault for fault in plan_for(seed).faults if fault.id.startswith("kill")]
    features = {**FEATURES, "net.cut": 1.0, "disk.slow": 1.0, "ask.admin": 1.0, "presets": 1.0}
    monkeypatch.setattr("keygrove_chaos.swarm.FEATURES", features)
    after = [fault for fault in plan_for(seed).faults if fault.id.startswith("kill")]
    assert before == after


def test_faults_are_within_the_run_and_those_that_stay_spare_the_core(plans: list[Plan]) -> None:
    for plan in plans:
        for fault in plan.faults:
            assert fault.at <= plan.lasts_s * CALM
            if fault.lasts_s is None:
                assert plan.mode == "liveness"
                assert fault.node not in plan.core
        if plan.mode == "liveness":
            assert len(plan.core) < len(plan.nodes)
            assert {f.node for f in plan.faults if f.lasts_s is None} == set(plan.nodes) - set(
                plan.core
            )


def test_settings_are_no_faults(plans: list[Plan]) -> None:
    kinds = {fault.id.rpartition("-")[0] for plan in plans for fault in plan.faults}
    assert not kinds & SETTINGS
    assert all(
        isinstance(fault.what, LinkFault) or not fault.links
        for plan in plans
        for fault in plan.faults
    )


def test_nodes_die_while_they_roll_back_where_the_plan_says_so(plans: list[Plan]) -> None:
    struck: Counter[str] = Counter()
    for plan in plans:
        rolled = {ask.at for ask in plan.program if ask.verb in {"rollback", "undo"}}
        faults = [fault for fault in plan.faults if fault.id.startswith("rollback-")]
        assert all(fault.at in rolled for fault in faults)
        assert not faults or plan.features["rollback.then_crash"]
        points = [fault.what.point for fault in faults if isinstance(fault.what, CrashAt)]
        struck.update(points)
    assert set(struck) == {"rollback.begun", "rollback.chunk"}
    assert min(struck.values()) >= 100
