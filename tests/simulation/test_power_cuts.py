"""The store on SQLite under power cuts: what was acknowledged is there, whatever else is not."""

import os
import subprocess
import sys

import pytest

from keygrove_chaos.acknowledged import MissingError
from keygrove_chaos.campaign import judge
from keygrove_chaos.disk_faults import FsyncLie
from keygrove_chaos.powercuts import scenario
from keygrove_chaos.world import ENGINES, EngineName, Options
from tests.simulation.lives import Node

pytestmark = pytest.mark.slow

SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 120))]


@pytest.mark.parametrize("seed", SEEDS)
def test_power_cuts_lose_nothing_that_was_acknowledged(seed: int) -> None:
    node = Node(seed)
    node.run()
    assert node.failures == 0


def losing(nodes: list[Node]) -> int:
    lost = 0
    for node in nodes:
        try:
            node.run()
        except MissingError:
            lost += 1
    return lost


def test_they_would_find_a_commit_that_is_not_synchronised() -> None:
    assert losing([Node(seed, is_durable=False) for seed in range(8)]) > 2


def test_they_would_find_a_disk_that_lies() -> None:
    nodes = [Node(seed) for seed in range(8)]
    for node in nodes:
        node.disk.push("lie", FsyncLie())
    assert losing(nodes) > 2


@pytest.mark.parametrize("engine", ENGINES)
def test_lives_can_be_played_as_a_scenario(engine: EngineName) -> None:
    verdict = judge(scenario, 3, Options(engine=engine))
    assert verdict.violations == ()
    assert verdict.counts["power cuts"] > 5
    assert verdict.counts["acknowledged"] > 5


IMAGES = "from tests.simulation.lives import Node; print(Node(1).run(), Node(2).run())"


@pytest.mark.slow
def test_the_same_seed_leaves_the_same_image_in_every_process() -> None:
    images = {
        subprocess.run(
            [sys.executable, "-c", IMAGES],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "2")
    }
    assert images == {f"{Node(1).run()} {Node(2).run()}\n"}
