"""Nodes that push to each other while they are ended: by seeds."""

import pytest

from keygrove_chaos.campaign import judge
from keygrove_chaos.pushing import scenario
from keygrove_chaos.world import EngineName, Options

pytestmark = pytest.mark.slow

ENGINES: tuple[EngineName, ...] = ("aio", "trio")


@pytest.mark.parametrize("seed", range(6))
def test_all_is_sent_and_it_comes_to_rest(seed: int) -> None:
    verdict = judge(scenario, seed, Options(engine=ENGINES[seed % 2]))
    assert verdict.violations == ()
