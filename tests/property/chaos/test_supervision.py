"""Random trees in crash storms, through the real runtime: the model finds nothing wrong.

That it does find what is wrong, the examples of `tests/unit/chaos/test_supervision.py` show.
"""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from random import Random

import trio
from hypothesis import settings

from keygrove_actors import (
    STOP,
    Actor,
    AutoShutdown,
    Backoff,
    Budget,
    Cast,
    ChildSpec,
    Crash,
    Ctx,
    Jitter,
    NoProc,
    OnBudget,
    Reason,
    Restart,
    Runtime,
    SpecWarning,
    StartFailed,
    Stop,
    Strategy,
    SupSpec,
    TreeEnded,
    WrongProtocol,
    on_cast,
    run,
)
from keygrove_actors.reports import Report
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.supervision import SupervisionModel
from tests.loops import run_on_trio

FULL, QUICK = 300, 40
LASTS_S = 60.0


class Api:
    """What a victim understands."""


class End(Cast[Api], frozen=True, tag=True):
    """End in order."""


class Weather:
    """The chance of a run, and whether the storm has begun."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.is_stormy = False


class Victim(Actor[Api]):
    """Starts and stops in its own time, and in a storm does not always start."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.random = weather.random

    async def init(self, ctx: Ctx) -> None:
        await trio.sleep(self.random.choice([0.0, 0.0, 0.3]))
        if self.weather.is_stormy and self.random.random() < 0.2:
            raise RuntimeError("does not start")

    @on_cast(End)
    async def end(self, _: End) -> Stop:
        return STOP()

    async def terminate(self, reason: Reason) -> None:
        await trio.sleep(self.random.choice([0.0, 0.0, 0.4, 3.0]))


def worker(weather: Weather, name: str, *, may_be_significant: bool) -> ChildSpec:
    random = weather.random
    restart = random.choice([*([Restart.PERMANENT] * 3), Restart.TRANSIENT, Restart.TEMPORARY])
    is_lasting = restart is not Restart.TEMPORARY
    backoff = Backoff(
        base=random.choice([0.5, 1.0]),
        first=random.choice([0.0, 0.5]),
        cap=2.0,
        jitter=random.choice(list(Jitter)),
        reset_after=random.choice([3.0, 60.0]),
    )
    has_budget = is_lasting and random.random() < 0.3
    return ChildSpec(
        name.rpartition(".")[2],
        partial(Victim, weather),
        name=name,
        restart=restart,
        shutdown=random.choice([1.0, 5.0, "brutal_kill"]),
        backoff=backoff if is_lasting and random.random() < 0.4 else None,
        budget=Budget(random.randint(0, 4), random.choice([3.0, 30.0])) if has_budget else None,
        on_budget=random.choice(list(OnBudget)) if has_budget else OnBudget.ESCALATE,
        significant=may_be_significant and restart is not Restart.PERMANENT,
    )


def supervisor(weather: Weather, name: str, depth: int) -> SupSpec:
    random = weather.random
    auto = random.choice([AutoShutdown.NEVER] * 4 + list(AutoShutdown)) if name else None
    children: list[ChildSpec] = []
    for number in range(random.randint(1 + (depth == 0), 4)):
        child = f"{name}.{number}" if name else f"r.{number}"
        if depth < 2 and random.random() < 0.4:
            restart = random.choice([Restart.PERMANENT, Restart.PERMANENT, Restart.TEMPORARY])
            below = supervisor(weather, child, depth + 1)
            children.append(ChildSpec(str(number), below, name=child, restart=restart))
        else:
            is_significant = auto not in {None, AutoShutdown.NEVER} and random.random() < 0.6
            children.append(worker(weather, child, may_be_significant=is_significant))
    return SupSpec(
        children=tuple(children),
        strategy=random.choice([s for s in Strategy if s is not Strategy.DYNAMIC]),
        intensity=random.choice([0, 1, 3, 10, 40]) if name else 60,
        period=random.choice([1.0, 5.0, 30.0]),
        auto_shutdown=auto or AutoShutdown.NEVER,
    )


def names(tree: SupSpec) -> Iterator[str]:
    for child in tree.children:
        assert child.name is not None
        yield child.name
        if isinstance(child.start, SupSpec):
            yield from names(child.start)


def strike(runtime: Runtime, name: str, how: str) -> None:
    with suppress(NoProc):
        victim = runtime.whereis(name, object)
        if how == "k":
            victim.kill()
        elif how == "e":
            with suppress(WrongProtocol):
                runtime.whereis(name, Api).cast(End())
        else:
            victim.exit(Crash("Storm", ""))


async def storm(seed: int) -> list[str]:
    """What was found wrong in one run, after the reports that led there."""
    weather = Weather(seed)
    random = weather.random
    tree = supervisor(weather, "", 0)
    model = SupervisionModel(tree)
    told: list[str] = []
    wrong: list[str] = []

    def observe(report: Report) -> None:
        now_ns = round(trio.current_time() * NANOSECONDS)
        told.append(f"{trio.current_time():.3f} {report}")
        found = model.hear(now_ns, report)
        if found is not None and not wrong:
            wrong.extend([*map(str, tree.children), f"{tree}", *told, found])

    try:
        async with run(tree, observe=observe, seed=seed) as runtime:
            weather.is_stormy = True
            for _ in range(random.choice([0, 5, 60])):
                await trio.sleep(random.choice([0.0, 0.0, 0.1, 1.0, 7.0]))
                strike(runtime, random.choice(list(names(tree))), random.choice("kcccce"))
            await trio.sleep(LASTS_S)
            late = model.late(round(trio.current_time() * NANOSECONDS), LASTS_S / 2)
            if late and not wrong:
                wrong.extend([f"{tree}", *told, f"late: {late}"])
            model.stop()
    except (StartFailed, TreeEnded):
        pass
    return wrong


def rounds() -> range:
    is_quick = settings.default is not None and settings.default.max_examples < 50
    return range(QUICK if is_quick else FULL)


def test_the_runtime_keeps_the_rules_in_crash_storms() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecWarning)
        for seed in rounds():
            wrong = run_on_trio(storm, seed)
            assert not wrong, "\n".join([f"seed {seed}", *wrong])
