"""Federations of whole nodes: whatever happens to them, all come to hold all, in time."""

import pytest

from keygrove.asking import HttpReply
from keygrove.errors import UnreachableError
from keygrove_chaos.campaign import judge, scenario_named
from keygrove_chaos.converging import fifty, scenario, twenty
from keygrove_chaos.federation import federation_for
from keygrove_chaos.outbound import WatchedClient
from keygrove_chaos.world import EngineName, Options

pytestmark = pytest.mark.slow

SEEDS = 16
"""Every change has to pass them; `keygrove_bench campaign recon` has more, and more nodes."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_five_nodes_converge_whatever_happens(seed: int) -> None:
    engine: EngineName = "trio" if seed % 4 == 3 else "aio"
    verdict = judge(scenario, seed, Options(engine=engine))
    assert verdict.violations == ()
    assert verdict.counts["rounds"] <= verdict.counts["diameter"]


def test_the_same_seed_is_the_same_run() -> None:
    assert judge(scenario, 5).digest == judge(scenario, 5).digest


def test_nodes_that_fetch_nothing_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> HttpReply:
        raise UnreachableError("n1", "nobody is at home")

    monkeypatch.setattr(WatchedClient, "post", refuse)
    (says, *_) = judge(scenario, 0).violations
    assert says.startswith("I-04: ")


def test_scenarios_are_found_by_their_names_and_have_so_many_nodes() -> None:
    for name, one, nodes in (
        ("scenario", scenario, 5),
        ("twenty", twenty, 20),
        ("fifty", fifty, 50),
    ):
        assert scenario_named(f"keygrove_chaos.converging:{name}") is one
        assert len(federation_for(0, nodes).plan.nodes) == nodes
