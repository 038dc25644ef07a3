"""The toy store that the simulator is measured by: it works, and its checkers would notice."""

import pytest

from keygrove_bench import toy
from keygrove_chaos.campaign import Scenario, judge
from keygrove_chaos.mutants import Mutant, hunt
from keygrove_chaos.world import ENGINES, EngineName, Options

pytestmark = pytest.mark.slow

FORGETS = Mutant(
    id="toy-1",
    says="what is put is acknowledged and not kept",
    module="keygrove_bench.toy",
    function="Node._serve",
    old="self._keep(ask.key, ask.packet)",
    new="pass",
    scenario="keygrove_bench.toy:busy",
    seeds=1,
    expects=("I-01", "I-03", "I-13", "I-14"),
)
DEAF = Mutant(
    id="toy-2",
    says="what others have is not taken in",
    module="keygrove_bench.toy",
    function="Node._take",
    old="self._keep(key, packet)",
    new="pass",
    scenario="keygrove_bench.toy:busy",
    seeds=1,
    expects=("I-03",),
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scenario", [toy.busy, pytest.param(toy.calm, marks=pytest.mark.slow)])
def test_five_nodes_hold_the_same_after_a_partition(scenario: Scenario, engine: EngineName) -> None:
    verdict = judge(scenario, 1, Options(engine=engine))
    assert verdict.violations == ()
    assert verdict.counts["odd"] > 0


def test_a_calm_run_has_no_more_than_15_events_in_a_virtual_second() -> None:
    verdict = judge(toy.calm, 2)
    assert verdict.events / verdict.virtual_s <= 15


@pytest.mark.parametrize(
    "mutant", [FORGETS, pytest.param(DEAF, marks=pytest.mark.slow)], ids=lambda one: one.id
)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    found = hunt(mutant)
    assert found.is_killed, found
