"""A shard ended at each named point: what was acknowledged is there, and nothing in half."""

import ast
from pathlib import Path

import pytest

import keygrove
from keygrove.points import CRASHES, RECON_CRASHES
from keygrove_chaos.acknowledged import MissingError
from keygrove_chaos.campaign import judge
from keygrove_chaos.endings import ENDINGS, Ending, Subjected, scenario
from keygrove_chaos.running import run
from keygrove_chaos.world import ENGINES, EngineName, Options, World

SOURCES = Path(keygrove.__file__).parent


def calls(name: str) -> set[str]:
    """The first arguments of all calls of that function in the product."""
    return {
        ast.literal_eval(node.args[0])
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_point_at_which_the_product_may_end_is_named_and_no_other() -> None:
    assert calls("crash_point") == set(CRASHES) | set(RECON_CRASHES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(len(ENDINGS)), ids=map(str, ENDINGS))
def test_nothing_is_lost_at_any_point(seed: int) -> None:
    verdict = judge(scenario, seed, Options(engine=ENGINES[seed % len(ENGINES)]))
    assert verdict.violations == ()
    assert verdict.counts[f"ended: {ENDINGS[seed]}"] == 1, "it came to that point so often"
    assert verdict.counts["acknowledged"] > 10


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_ends_a_shard_in_the_same_way_each_time(engine: EngineName) -> None:
    first, second = (judge(scenario, 4, Options(engine=engine)) for _ in range(2))
    assert (first.digest, first.counts) == (second.digest, second.counts)


async def unsynchronised(world: World) -> bool:
    """Whether a shard that does not synchronise its commits is found out."""
    ending = Ending("shard.commit.after", 3, "power")
    try:
        await Subjected(world, ending, is_durable=False).play()
    except MissingError:
        return True
    return False


def test_they_would_find_a_commit_that_is_not_synchronised() -> None:
    assert sum(run(unsynchronised, seed=seed).result for seed in range(8)) > 2


async def never(world: World) -> str:
    try:
        await Subjected(world, Ending("store.open", 100, "power")).play()
    except MissingError as error:
        return str(error)
    return ""


def test_a_point_that_is_never_reached_is_told() -> None:
    assert run(never, seed=1).result == "the shard never came to that point so often"
