"""Many seeds of one scenario, on all cores.

A scenario is a coroutine function `main(world)` that returns what it found wrong, as sentences. It
is named `package.module:function`, so that other processes find it.
"""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Generator, Iterable
from functools import partial, wraps
from typing import Any, TypeAlias, cast

import msgspec

from keygrove_chaos.errors import PlanError, first, sentence
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
    advice = "name one as package.module:function"
    if not module or module.startswith(".") or not attribute:
        raise UnknownScenarioError(f"{name!r} is no scenario: {advice}")
    try:
        imported = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        why = str(error) if isinstance(error, ImportError) else sentence(error)
        raise UnknownScenarioError(f"{name} is no scenario ({why}): {advice}") from error
    if not hasattr(imported, attribute):
        raise UnknownScenarioError(f"{name} is no scenario ({module} has none): {advice}")
    found: Any = getattr(imported, attribute)
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
    """Run one seed. Whatever it raises ends it, and is a finding, but for Ctrl-C.

    Raises:
        PlanError: `options` has a plan that the scenario cannot play.
    """
    begun = time.perf_counter()
    trace = Trace(options.keep) if trace is None else trace
    # Not the world itself: a run is cleaned up at its end, and must not be held until later.
    left: list[tuple[dict[str, int], bytes | None]] = []

    @wraps(scenario)
    async def main(world: World) -> tuple[str, ...]:
        try:
            return _findings(await scenario(world))
        finally:
            left.append((world.counts, world.plan))

    try:
        violations = run(main, seed=seed, options=options, trace=trace).result
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - any error of a scenario is what was looked for
        if isinstance(wrong := first(error), PlanError):
            raise wrong from None
        violations = (sentence(error),)
    counts, plan = left[0] if left else ({}, None)
    return Verdict(
        seed=seed,
        violations=violations,
        events=trace.events,
        digest=trace.digest(),
        checkpoints=tuple(trace.checkpoints),
        virtual_s=trace.at,
        real_s=time.perf_counter() - begun,
        counts=counts,
        plan=plan,
    )


def _findings(found: object) -> tuple[str, ...]:
    if isinstance(found, Iterable) and not isinstance(found, str):
        sentences = tuple(cast("Iterable[object]", found))
        if all(isinstance(one, str) for one in sentences):
            return cast("tuple[str, ...]", sentences)
    raise TypeError(
        f"the scenario returned {found!r:.80}: return what it found wrong, as a list of "
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
