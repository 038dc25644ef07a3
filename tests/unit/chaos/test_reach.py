"""What a campaign must have reached before its silence means anything."""

from keygrove.points import BUGGIFIED, CRASHES, RECON_SOMETIMES, SOMETIMES
from keygrove_chaos.reach import ENOUGH_FAULTS, ENOUGH_SEEDS, reach

MET = {"visit:store.open": 9} | {f"sometimes:{name}": 1 for name in SOMETIMES}


def test_all_that_was_reached_is_enough() -> None:
    counts = MET | {"fault:net.loss": 99, "effect:net.loss": 1}
    found = reach(counts, ENOUGH_SEEDS)
    assert found.is_enough
    assert len(found.silent) == len(BUGGIFIED) + len(CRASHES)


def test_c023_a_state_that_was_never_reached_is_named_after_enough_seeds() -> None:
    name, *_ = SOMETIMES
    counts = {key: one for key, one in MET.items() if not key.endswith(name)}
    assert reach(counts, ENOUGH_SEEDS).unmet == (name,)
    assert reach(counts, ENOUGH_SEEDS - 1).is_enough


def test_nodes_with_partners_are_to_reach_what_only_they_can() -> None:
    met = {f"sometimes:{name}": 1 for name in RECON_SOMETIMES} | {"visit:store.open": 9}
    assert reach(met, ENOUGH_SEEDS).is_enough
    del met["sometimes:recon.superseded"]
    assert reach(met, ENOUGH_SEEDS).unmet == ("recon.superseded",)


def test_c023_points_that_never_fired_are_listed() -> None:
    name, *_ = CRASHES
    found = reach(MET | {f"crash:{name}": 1}, 1)
    assert f"crash:{name}" not in found.silent
    assert set(found.silent) >= {f"buggify:{one}" for one in BUGGIFIED}


def test_c011_a_kind_of_fault_without_any_effect_is_inert() -> None:
    counts = {"fault:net.dup": ENOUGH_FAULTS, "fault:net.loss": 5, "effect:net.dup": 0}
    assert reach(counts, 1).inert == ("net.dup",)


def test_scenarios_without_points_and_faults_reach_all_there_is() -> None:
    found = reach({"known": 5}, 10_000)
    assert found.is_enough
    assert found.silent == ()
