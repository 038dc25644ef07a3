"""Many seeds of one scenario, on all cores.

A scenario is a coroutine function `main(world)` that returns what it found wrong, as sentences. It
is named `package.module:function`, so that other processes find it.
"""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Generator, Iterable
from functools import partial
from typing import Any, TypeAlias

import msgspec

from keygrove_chaos.errors import sentence
from keygrove_chaos.running import run
from keygrove_chaos.trace import Trace
from keygrove_chaos.workers import Died, spread
from keygrove_chaos.world import Main, Options, World

Findings: TypeAlias = Iterable[str]
Scenario: TypeAlias = Main[Findings]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one seed. `real_s` is the only fact that differs from run to run."""

    seed: int
    violations: tuple[str, ...]
    events: int
    digest: str
    checkpoints: tuple[str, ...]
    virtual_s: float
    real_s: float
    counts: dict[str, int]
    plan: bytes | None = None
    """What was played, where the scenario has a plan; JSON."""


class UnknownScenarioError(Exception):
    """There is no scenario of that name."""


def scenario_named(name: str) -> Scenario:
    """The scenario at `package.module:function`.

    Raises:
        UnknownScenarioError: it cannot be had.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise UnknownScenarioError(
            f"{name} is no scenario ({error}): name one as package.module:function"
        ) from error
    if not inspect.iscoroutinefunction(found):
        raise UnknownScenarioError(
            f"{name} is no scenario: make it a coroutine function of a world, which returns what "
            "it found wrong"
        )
    scenario: Scenario = found
    return scenario


def judge(
    scenario: Scenario,
    seed: int,
    options: Options = Options(),  # noqa: B008 - frozen
    trace: Trace | None = None,
) -> Verdict:
    """Run one seed. Whatever it raises ends it, and is a finding, but for Ctrl-C."""
    begun = time.perf_counter()
    trace, worlds = Trace(options.keep) if trace is None else trace, list[World]()

    async def main(world: World) -> tuple[str, ...]:
        worlds.append(world)
        found = await scenario(world)
        _check_findings(found)
        return tuple(found)

    try:
        violations = run(main, seed=seed, options=options, trace=trace).result
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - any error of a scenario is what was looked for
        violations = (sentence(error),)
    return Verdict(
        seed=seed,
        violations=violations,
        events=trace.events,
        digest=trace.digest(),
        checkpoints=tuple(trace.checkpoints),
        virtual_s=trace.at,
        real_s=time.perf_counter() - begun,
        counts=worlds[0].counts if worlds else {},
        plan=worlds[0].plan if worlds else None,
    )


def _check_findings(found: object) -> None:
    if not isinstance(found, Iterable) or isinstance(found, str):
        raise TypeError(
            f"the scenario returned {found!r}: return what it found wrong, as a list of "
            "sentences, which is empty when all is well"
        )


def simulate(
    name: str,
    seeds: Iterable[int],
    *,
    jobs: int | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> Generator[Verdict, None, None]:
    """The verdict on each seed, as they come; in this process, or on `jobs` forked from it.

    Seeds are taken as they are run, so there may be no end of them. A forked process that dies is
    a finding of the seed that it ran.

    Raises:
        UnknownScenarioError: there is no such scenario.
        OSError: a process cannot be started.
    """
    scenario = scenario_named(name)
    if jobs is None:
        for seed in seeds:
            yield judge(scenario, seed, options)
        return
    for seed, done in spread(partial(judge, scenario, options=options), seeds, jobs):
        yield _dead(seed, done) if isinstance(done, Died) else done


def _dead(seed: int, died: Died) -> Verdict:
    return Verdict(
        seed=seed,
        violations=(f"the process that ran it {died.text()}",),
        events=0,
        digest="",
        checkpoints=(),
        virtual_s=0.0,
        real_s=0.0,
        counts={},
    )
