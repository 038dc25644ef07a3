"""W5 to W7 and W100k on our runtime: many children, and the restart of one."""

from __future__ import annotations

import asyncio
import gc
from time import perf_counter
from typing import Final

from keygrove_actors import Actor, Cast, ChildSpec, ChildStarted, Ctx, Ref, Report, SupSpec, on_cast
from keygrove_bench.actors.clock import Watch, quantiles, resident
from keygrove_bench.actors.features import dynamic, running, starter
from keygrove_bench.actors.messages import Api, Counter, Ping
from keygrove_bench.actors.sides import Figures, NotRunError
from keygrove_bench.actors.worker import Program

BRANCH: Final = 100
"""Children of one static supervisor, where there is no dynamic one: its work is linear in them."""


class Idle(Actor[Api]):
    """One field of state, and nothing to do."""

    def __init__(self) -> None:
        self.count = 0


async def idle(count: int) -> Figures:
    """W5. The memory of the specs and of the supervisors counts, too."""
    gc.collect()
    before = resident()
    try:
        async with running(dynamic("children", Idle)) as runtime:
            start = starter(runtime, "children")
            for _ in range(count):
                await start()
            gc.collect()
            return {"bytes": (resident() - before) / count}
    except NotRunError:
        async with running(_branches(count)):
            gc.collect()
            return {"bytes": (resident() - before) / count}


def _branches(count: int) -> SupSpec:
    """As many idle children below static supervisors."""
    leaves = tuple(ChildSpec(f"n{number}", Idle) for number in range(BRANCH))
    return SupSpec(
        children=tuple(
            ChildSpec(f"branch{number}", SupSpec(children=leaves))
            for number in range(count // BRANCH)
        )
    )


async def spawn(count: int) -> Figures:
    """W6."""
    watch = Watch()
    async with running(dynamic("children", Idle)) as runtime:
        start = starter(runtime, "children")
        for _ in range(count):
            await start()
    return watch.rate(count)


async def scale(count: int) -> Figures:
    """W100k."""
    told: list[Ref[Api]] = []
    watch = Watch()
    async with running(dynamic("children", lambda: Counter(told))) as runtime:
        start = starter(runtime, "children")
        for _ in range(count):
            await start()
        for ref in told:
            assert await ref.call(Ping(1)) == 1
    return {"seconds": watch.seconds()}


class Fail(Cast[Api], frozen=True):
    """Raise."""


class Failing(Actor[Api]):
    """Raises when told to, and says when that was."""

    def __init__(self, raised: list[float]) -> None:
        self.raised = raised

    def init(self, ctx: Ctx) -> None:
        """Start, as any actor with something to start."""
        self.ctx = ctx

    @on_cast(Fail)
    def fail(self, _: Fail) -> None:
        """Raise."""
        self.raised.append(perf_counter())
        raise RuntimeError("crash")


async def restart(count: int) -> Figures:
    """W7: the start counts when the supervisor has it acknowledged."""
    raised: list[float] = []
    acknowledged: list[float] = []
    up = asyncio.Event()

    def observe(report: Report) -> None:
        if isinstance(report, ChildStarted):
            acknowledged.append(perf_counter())
            up.set()

    child = ChildSpec("child", lambda: Failing(raised), name="child")
    spec = SupSpec(children=(child,), intensity=1_000_000, period=1.0)
    async with running(spec, observe=observe) as runtime:
        ref = runtime.whereis("child", Api)
        acknowledged.clear()
        for _ in range(count):
            up.clear()
            ref.cast(Fail())
            await up.wait()
    times = [after - before for before, after in zip(raised, acknowledged, strict=True)]
    return quantiles(times, {"p50": 0.5, "p99": 0.99}, 1e6)


PROGRAMS: Final[dict[str, Program]] = {
    "idle": idle,
    "spawn": spawn,
    "scale": scale,
    "restart": restart,
}
