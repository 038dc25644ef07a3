"""How fast worlds are simulated: the toy store, real nodes, and one store under power cuts.

The two engines stand beside each other; they take turns, seed by seed. What is per core is per
second of processor time, so that other work on the machine counts less. Goals are G-01 to G-05
and G-12 of the chaos reference.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from statistics import median
from types import FrameType
from typing import Final

import msgspec

from keygrove_bench import toy
from keygrove_bench.report import Report, Row, aimed, load_average, report, row
from keygrove_chaos import skeleton
from keygrove_chaos.campaign import Scenario, Verdict, judge, simulate
from keygrove_chaos.invariants import Monitor
from keygrove_chaos.world import ENGINES, EngineName, Options

FIRST_SEED: Final = 5_000
JOBS: Final = 2
MANY: Final = 1_000
"""Seeds that are to be run, and cuts that are to be survived."""
SAMPLE_S: Final = 0.001
TOY: Final = "keygrove_bench.toy:busy"
NODES: Final = "keygrove_chaos.skeleton:scenario"
POWER_CUTS: Final = "keygrove_chaos.powercuts:scenario"


class Size(msgspec.Struct, frozen=True):
    """How many seeds of each, and how many power cuts."""

    toys: int = 10
    nodes: int = 10
    campaign: int = 100
    cuts: int = MANY


QUICK: Final = Size(toys=1, nodes=1, campaign=2, cuts=20)


class FoundError(Exception):
    """A seed found something, so its speed says nothing."""


class _Run(msgspec.Struct, frozen=True):
    """One seed on one engine; `cpu_s` is processor time."""

    verdict: Verdict
    cpu_s: float

    @property
    def events_per_s(self) -> float:
        return self.verdict.events / self.cpu_s

    @property
    def speed_up(self) -> float:
        return self.verdict.virtual_s / self.cpu_s

    @property
    def density(self) -> float:
        return self.verdict.events / self.verdict.virtual_s


_Runs = dict[EngineName, list[_Run]]


def measure(*, quick: bool = False) -> Report:
    """Run everything once; `quick` is for seeing that it runs."""
    size = QUICK if quick else Size()
    load = load_average()
    results = [
        *_toys(size.toys),
        *_nodes(size.nodes),
        _shares("toy", toy.busy, size.toys),
        _shares("nodes", skeleton.scenario, size.nodes),
        _campaign("toy", TOY, size.campaign),
        _campaign("nodes", NODES, size.campaign),
        *_power_cuts(size.cuts),
    ]
    versions = {name: version(name) for name in ("anyio", "trio", "apsw")}
    return report("simulation", results, versions, load)


def _toys(seeds: int) -> list[Row]:
    words = "events/s of processor time, toy of five nodes, mixed users and a partition, checked"
    busy, calm = _taken_in_turn(toy.busy, seeds), _taken_in_turn(toy.calm, seeds)
    density = median(one.density for one in calm["aio"])
    return [
        *_rows("toy-events", words, "1/s", _all(busy, lambda one: one.events_per_s), 20_000),
        _seed("toy", busy),
        *_rows(
            "toy-speed-up",
            f"virtual seconds in one of processor time, the same at {density:.1f} events per "
            "virtual second",
            "x",
            _all(calm, lambda one: one.speed_up),
            1_000,
        ),
    ]


def _nodes(seeds: int) -> list[Row]:
    words = "events/s of processor time, three real nodes, clients, faults, checked"
    runs = _taken_in_turn(skeleton.scenario, seeds)
    return [
        *_rows("nodes-events", words, "1/s", _all(runs, lambda one: one.events_per_s), 3_000),
        _seed("nodes", runs),
    ]


def _seed(name: str, runs: _Runs) -> Row:
    """A mean, since it is for adding up."""
    cpu = {engine: sum(one.cpu_s for one in some) / len(some) for engine, some in runs.items()}
    words = f"processor time of a seed of the {name}, mean"
    return row((f"{name}-seed", words), [cpu["aio"]], "s", {"trio": round(cpu["trio"], 4)})


def _taken_in_turn(scenario: Scenario, seeds: int) -> _Runs:
    runs: _Runs = {engine: [] for engine in ENGINES}
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for engine in ENGINES:
            begun = time.process_time()
            verdict = _whole(judge(scenario, seed, Options(engine=engine)))
            runs[engine].append(_Run(verdict, time.process_time() - begun))
    return runs


def _all(runs: _Runs, figure: Callable[[_Run], float]) -> dict[EngineName, list[float]]:
    return {engine: [figure(one) for one in some] for engine, some in runs.items()}


def _rows(
    name: str,
    words: str,
    unit: str,
    values: dict[EngineName, list[float]],
    goal: float,
) -> list[Row]:
    """Each engine beside the other; the goal is the default one's."""
    aio, trio = values["aio"], values["trio"]
    return [
        aimed(row((f"{name}-aio", words), aio, unit, {"trio": round(median(trio), 1)}), goal),
        row((f"{name}-trio", words), trio, unit, {"aio": round(median(aio), 1)}),
    ]


def _shares(name: str, scenario: Scenario, seeds: int) -> Row:
    """How much of a run its invariants take, by samples of what runs."""
    with _sampled() as samples:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            _whole(judge(scenario, seed))
    share = 100 * sum(samples) / max(1, len(samples))
    words = f"share of all runs that checkers take, {name}, on aio, by {len(samples):,} samples"
    return aimed(row((f"{name}-checkers", words), [share], "%", {}), 15.0, is_limit=True)


@contextmanager
def _sampled() -> Generator[list[bool], None, None]:
    """Look, as often as the kernel lets us, whether an invariant is at work."""
    watched = {one.__code__ for one in (Monitor.on_event, Monitor.at_quiescence, Monitor.final)}
    samples: list[bool] = []

    def look(_: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code not in watched:
            frame = frame.f_back
        samples.append(frame is not None)

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, SAMPLE_S, SAMPLE_S)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _campaign(name: str, scenario: str, seeds: int) -> Row:
    """Seeds on two processes; what a thousand would take."""
    took: dict[EngineName, float] = {}
    wanted = range(FIRST_SEED, FIRST_SEED + seeds)
    for engine in ENGINES:
        begun, options = time.perf_counter(), Options(engine=engine)
        for verdict in simulate(scenario, wanted, jobs=JOBS, options=options):
            _whole(verdict)
        took[engine] = (time.perf_counter() - begun) / seeds * MANY / 60
    words = f"{MANY:,} seeds of the {name} on {JOBS} cores, scaled from {seeds}"
    whole = row((f"{name}-seeds", words), [took["aio"]], "min", {"trio": round(took["trio"], 2)})
    return aimed(whole, 5.0, is_limit=True)


def _power_cuts(wanted: int) -> list[Row]:
    """Cut until there were enough cuts; what is lost ends it."""
    took: dict[EngineName, float] = {}
    kept: dict[EngineName, int] = {}
    for engine in ENGINES:
        begun, totals, options = time.perf_counter(), Counter[str](), Options(engine=engine)
        for verdict in simulate(POWER_CUTS, count(FIRST_SEED), options=options):
            totals.update(_whole(verdict).counts)
            if totals["power cuts"] >= wanted:
                break
        took[engine] = time.perf_counter() - begun
        kept[engine] = totals["acknowledged"]
    words = f"{wanted:,} power cuts of one store, none of {kept['aio']:,} acknowledged commits lost"
    cut = row(("power-cuts", words), [took["aio"]], "s", {"trio": round(took["trio"], 1)})
    return [aimed(cut, 60.0, is_limit=True)]


def _whole(verdict: Verdict) -> Verdict:
    if verdict.violations:
        raise FoundError(f"seed {verdict.seed} found something: {verdict.violations[0]}")
    return verdict
