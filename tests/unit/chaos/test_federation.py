"""Plans of federations: data, drawn from the seed alone, with all that there may be."""

from collections import Counter

import msgspec
import pytest

from keygrove.points import RECON_CRASHES
from keygrove_chaos.federation import ACTORS, CALM, FEATURES, LASTS_S, Federation, federation_for
from keygrove_chaos.plan import CrashActor, CrashAt, Stop
from keygrove_chaos.topology import SHAPES, neighbours

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn() -> list[Federation]:
    return [federation_for(seed, 5) for seed in range(500)]


def test_a_seed_has_one_plan_and_another_seed_another() -> None:
    assert federation_for(7, 5) == federation_for(7, 5) != federation_for(8, 5)


def test_a_plan_is_data_that_survives_being_written(drawn: list[Federation]) -> None:
    for one in drawn[:50]:
        assert msgspec.json.decode(msgspec.json.encode(one), type=Federation) == one


def test_all_shapes_and_features_are_drawn(drawn: list[Federation]) -> None:
    assert {one.shape for one in drawn} == set(SHAPES)
    for name, share in FEATURES.items():
        on = sum(one.plan.features[name] for one in drawn) / len(drawn)
        assert on == pytest.approx(share, abs=0.08), name


def test_every_end_of_a_process_and_of_an_actor_is_drawn(drawn: list[Federation]) -> None:
    faults = [fault.what for one in drawn for fault in one.plan.faults]
    assert {what.point for what in faults if isinstance(what, CrashAt)} == set(RECON_CRASHES)
    struck = {what.name for what in faults if isinstance(what, CrashActor)}
    assert all(any(name.startswith(actor) for name in struck) for actor in ACTORS)
    assert any(isinstance(what, Stop) for what in faults)


def test_faults_are_over_in_time_and_links_are_between_partners(drawn: list[Federation]) -> None:
    for one in drawn:
        near = neighbours(one.partners)
        for fault in one.plan.faults:
            assert fault.ends_s <= LASTS_S
            assert fault.at <= LASTS_S * CALM
            if fault.id != "halves":
                assert all(b in near[a] for a, b in fault.links)


def test_the_odd_node_is_in_nobody_s_way(drawn: list[Federation]) -> None:
    odd = Counter(len(one.odd) for one in drawn)
    assert set(odd) == {0, 1}
    assert all(1 <= one.diameter < len(one.plan.nodes) for one in drawn)
