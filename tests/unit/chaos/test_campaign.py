"""Many seeds, their verdicts, and whether they are the same run in other processes."""

import multiprocessing
import weakref
from collections.abc import Iterable, Iterator
from itertools import count

import pytest

from keygrove_chaos.campaign import UnknownScenarioError, judge, scenario_named, simulate
from keygrove_chaos.determinism import VARIANTS, differences
from keygrove_chaos.world import ENGINES, EngineName, Options, World
from tests.unit.chaos.scenarios import RAN, rare_bug, sound

HERE = "tests.unit.chaos.scenarios"
BROKE = rare_bug.__code__.co_firstlineno + 6
"""The line on which it raises."""


@pytest.mark.parametrize("jobs", [None, 1, 2])
def test_each_seed_gets_its_verdict_whatever_the_number_of_processes(jobs: int | None) -> None:
    found = {v.seed: v for v in simulate(f"{HERE}:rare_bug", range(10), jobs=jobs)}
    assert sorted(found) == list(range(10))
    assert {seed: v.violations for seed, v in found.items() if v.violations} == {
        2: ("I-01: a number was lost",),
        7: ("I-01: a number was lost",),
        4: (f"RuntimeError: broke (scenarios.py:{BROKE})",),
        9: (f"RuntimeError: broke (scenarios.py:{BROKE})",),
    }
    assert {seed: v.digest for seed, v in found.items()} == {
        seed: judge(rare_bug, seed).digest for seed in range(10)
    }


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_is_a_finding_of_its_seed_and_the_others_go_on(jobs: int) -> None:
    found = {v.seed: v.violations for v in simulate(f"{HERE}:dies", range(8), jobs=jobs)}
    assert sorted(found) == list(range(8))
    assert {seed: says for seed, says in found.items() if says} == {
        3: (
            "the process that ran it was killed by SIGKILL, as by the kernel when memory is short",
        ),
        5: ("the process that ran it ended with exit code 0",),
    }


def test_seeds_are_taken_as_they_are_run_on_no_more_processes_than_there_are_seeds() -> None:
    taken: list[int] = []

    def seeds() -> Iterator[int]:
        for seed in count():
            taken.append(seed)
            yield seed

    running = simulate(f"{HERE}:sound", seeds(), jobs=2)
    seen = [next(running).seed for _ in range(4)]
    running.close()
    assert max(taken) < len(seen) + 2
    before = {child.pid for child in multiprocessing.active_children()}
    running = simulate(f"{HERE}:sound", range(2), jobs=1_000)
    next(running)
    assert len({child.pid for child in multiprocessing.active_children()} - before) < 2
    running.close()


def test_a_verdict_has_the_figures_of_its_run() -> None:
    verdict = judge(sound, 1)
    assert verdict.violations == ()
    assert verdict.events > 100
    assert 9 < verdict.virtual_s <= 10
    assert verdict.counts["known"] > 50


def test_a_scenario_that_is_none_is_refused_with_what_to_do() -> None:
    for name in ("nowhere:main", f"{HERE}:nothing", "none"):
        with pytest.raises(UnknownScenarioError, match="name one as"):
            scenario_named(name)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_c002_a_sound_scenario_is_the_same_run_in_every_variant(engine: EngineName) -> None:
    assert differences(f"{HERE}:sound", (1,), engine) == []


@pytest.mark.slow
def test_c008_a_scenario_that_depends_on_hashes_is_shown_its_first_event() -> None:
    found = differences(f"{HERE}:by_hash", (1,))
    assert found
    assert {one.event for one in found} <= set(range(1500, 1506))
    assert all(one.here != one.there and "here:" in one.text() for one in found)


@pytest.mark.slow
def test_c002_a_scenario_that_remembers_is_found_out() -> None:
    RAN.clear()  # whatever ran before in this process
    variants = {one.variant for one in differences(f"{HERE}:by_past", (1,))}
    assert {"after itself", "after 20 other seeds"} <= variants < {v.name for v in VARIANTS}


def test_an_error_in_a_group_is_told_by_its_first_leaf() -> None:
    async def grouped(_: object) -> list[str]:
        raise BaseExceptionGroup("some", [ExceptionGroup("more", [KeyError("x")])])

    assert judge(grouped, 1, Options(engine="trio")).violations == ("KeyError: 'x'",)


def test_a_world_is_gone_when_its_seed_is_judged() -> None:
    """Eight hundred seeds took 3 GB: each world was held until nobody collected it any more."""
    worlds: list[weakref.ref[World]] = []

    async def scenario(world: World) -> Iterable[str]:
        worlds.append(weakref.ref(world))
        vars(world)["itself"] = world  # as nodes and networks know it, and it them
        return await sound(world)

    judge(scenario, 1)
    assert worlds[0]() is None
