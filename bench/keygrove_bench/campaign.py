"""Longer runs of simulations: what `keygrove chaos` does, at the size that goals are given for.

What a seed found is told on stderr as it is found; the report has the sums.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Final

from msgspec.structs import replace

from keygrove_bench.report import Report, Row, aimed, load_average, report, row
from keygrove_bench.simulation import NODES, TOY
from keygrove_chaos.campaign import simulate
from keygrove_chaos.determinism import VARIANTS, differences
from keygrove_chaos.endings import ENDINGS
from keygrove_chaos.mutants import hunt, read_mutants
from keygrove_chaos.reach import reach
from keygrove_chaos.world import ENGINES, EngineName, Options

AIO_SHARE: Final = 0.7
"""Of the seeds; the others run on trio."""
FEDERATIONS: Final = (
    (5, "keygrove_chaos.converging:scenario", 0.8),
    (20, "keygrove_chaos.converging:twenty", 0.16),
    (50, "keygrove_chaos.converging:fifty", 0.04),
)
"""How many nodes, which scenario, and its share of the seeds."""
FEDERATION_CPU_S: Final = 300.0
SHARD_ENDINGS: Final = "keygrove_chaos.endings:scenario"
MUTANTS: Final = Path(__file__).parents[2] / "tests/simulation/mutants"
MEDIAN_SEEDS: Final = 20


class UnknownMutantError(Exception):
    """A mutant was asked for that there is not."""


def determinism(seeds: range) -> Report:
    """Run each seed in all variants, on both engines."""
    load, results = load_average(), list[Row]()
    for name, scenario in (("toy", TOY), ("nodes", NODES)):
        for engine in ENGINES:
            found = differences(scenario, tuple(seeds), engine)
            for one in found:
                _say(one.text())
            words = f"runs that differ, of {len(seeds)} seeds in {len(VARIANTS)} variants, {name}"
            results.append(_none((f"{name}-{engine}", words), len(found), "runs"))
    return _report("determinism", results, load)


def seeds(seeds: range) -> Report:
    """Run seeds of real nodes, seven in ten on aio."""
    load, totals = load_average(), Counter[str]()
    on_aio = round(len(seeds) * AIO_SHARE)
    results: list[Row] = []
    shares: dict[EngineName, range] = {"aio": seeds[:on_aio], "trio": seeds[on_aio:]}
    for engine, some in shares.items():
        failed, options = 0, Options(engine=engine)
        for verdict in simulate(NODES, some, jobs=os.cpu_count() or 1, options=options):
            totals.update(verdict.counts)
            failed += bool(verdict.violations)
            for violation in verdict.violations:
                _say(f"seed {verdict.seed} on {engine}: {violation}")
        words = f"seeds that found something, of {len(some)} on {engine}"
        results.append(_none((f"seeds-{engine}", words), failed, "seeds"))
    reached = reach(totals, len(seeds))
    for what in reached.unmet + reached.inert:
        _say(f"never reached, or without any effect: {what}")
    unmet = len(reached.unmet) + len(reached.inert)
    results.append(_none(("reach", "states never reached, faults without effect"), unmet, "kinds"))
    return _report("seeds", results, load)


def recon(seeds: range) -> Report:
    """Run federations, most of them small: a node more makes a seed cost more than it shows."""
    load, totals, results = load_average(), Counter[str](), list[Row]()
    begin = seeds.start
    for nodes, scenario, share in FEDERATIONS:
        some = range(begin, begin + round(len(seeds) * share))
        begin = some.stop
        on_aio = round(len(some) * AIO_SHARE)
        shares: dict[EngineName, range] = {"aio": some[:on_aio], "trio": some[on_aio:]}
        failed, took, most = 0, list[int](), list[int]()
        for engine, these in shares.items():
            options = Options(engine=engine, cpu_s=FEDERATION_CPU_S)
            for verdict in simulate(scenario, these, jobs=os.cpu_count() or 1, options=options):
                totals.update(verdict.counts)
                failed += bool(verdict.violations)
                took.append(verdict.counts.get("rounds", 0))
                most.append(verdict.counts.get("diameter", 0))
                for violation in verdict.violations:
                    _say(f"seed {verdict.seed} of {scenario} on {engine}: {violation}")
        words = f"seeds that found something, of {len(some)} with {nodes} nodes"
        results.append(_none((f"seeds-{nodes}", words), failed, "seeds"))
        if took:
            words = f"rounds until all of {nodes} held all; bound: {mean(most):.1f} in the mean"
            results.append(row((f"rounds-{nodes}", words), took, "rounds", {}))
    reached = reach(totals, len(seeds))
    for what in reached.unmet + reached.inert:
        _say(f"never reached, or without any effect: {what}")
    unmet = len(reached.unmet) + len(reached.inert)
    results.append(_none(("reach", "states never reached, faults without effect"), unmet, "kinds"))
    return _report("recon", results, load)


def endings(seeds: range) -> Report:
    """End a shard at each named point, in each way, at its first to third visit."""
    load, totals, failed = load_average(), Counter[str](), 0
    for verdict in simulate(SHARD_ENDINGS, seeds, jobs=os.cpu_count() or 1, options=Options()):
        totals.update(verdict.counts)
        failed += bool(verdict.violations)
        for violation in verdict.violations:
            _say(f"seed {verdict.seed}: {violation}")
    missed = [one for one in map(str, ENDINGS) if not totals[f"ended: {one}"]]
    for one in missed:
        _say(f"never ended so: {one}")
    lost = f"endings of a shard, of {len(seeds)}, after which not all was as acknowledged"
    kept = ("commits", "commits that were acknowledged, and there")
    results = [
        _none(("endings", lost), failed, "endings"),
        _none(
            ("missed", f"ways to end, of {len(ENDINGS)}, that never happened"), len(missed), "ways"
        ),
        row(kept, [totals["acknowledged"]], "commits", {}),
    ]
    return _report("endings", results, load)


def mutants(seeds: range, only: Collection[str] = ()) -> Report:
    """Hunt all planted bugs, or `only` those named, each within so many seeds from the first.

    Raises:
        UnknownMutantError: one of them is not known.
    """
    load, results, took = load_average(), list[Row](), list[float]()
    known = {mutant.id: mutant for mutant in read_mutants(MUTANTS)}
    if unknown := [name for name in only if name not in known]:
        raise UnknownMutantError(f"no mutant {', '.join(unknown)}: there are {', '.join(known)}")
    for mutant in [known[name] for name in only or known]:
        found = hunt(replace(mutant, first_seed=seeds.start, seeds=len(seeds)))
        if found.is_killed:
            took.append(found.seeds)
        one = row(
            (mutant.id, mutant.says),
            [found.seeds] if found.is_killed else found.problem,
            "seeds",
            {},
        )
        results.append(aimed(one, len(seeds), is_limit=True))
    alive = len(results) - len(took)
    results.append(_none(("alive", f"bugs not found, of {len(results)}"), alive, "bugs"))
    if took:
        half = row(
            ("median", "seeds that a bug takes, if it is found"), [median(took)], "seeds", {}
        )
        results.append(aimed(half, MEDIAN_SEEDS, is_limit=True))
    return _report("mutants", results, load)


def _none(what: tuple[str, str], count: int, unit: str) -> Row:
    return aimed(row(what, [count], unit, {}), 0, is_limit=True)


def _report(name: str, results: list[Row], load: float) -> Report:
    return report(name, results, {name: version(name) for name in ("anyio", "trio", "apsw")}, load)


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
