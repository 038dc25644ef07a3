"""W13 and W14 on our runtime: more messages than can be handled."""

from __future__ import annotations

import asyncio
from itertools import count
from time import perf_counter
from typing import Final

from keygrove_actors import Actor, Cast, ChildSpec, Ctx, Ref, SupSpec, on_cast
from keygrove_bench.actors.clock import Watch, quantiles, resident
from keygrove_bench.actors.features import mailbox, running, send
from keygrove_bench.actors.messages import UNBOUNDED, Api, Counter, Inc, Ping
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program

PRODUCERS: Final = 4
BURST: Final = 100
LIMIT: Final = 1000
SLOW_S: Final = 0.001
PROBE_S: Final = 0.002


class WorkApi:
    """What the slow one serves."""


class Work(Cast[WorkApi], frozen=True):
    """Something that takes a while."""

    number: int


class Slow(Actor[WorkApi]):
    """Takes a millisecond for each message."""

    def __init__(self, told: list[Ref[WorkApi]]) -> None:
        self.told = told
        self.done = 0

    def init(self, ctx: Ctx) -> None:
        """Tell the address."""
        self.told.append(ctx.self_ref)

    @on_cast(Work)
    async def work(self, _: Work) -> None:
        """Wait, as for a disk."""
        await asyncio.sleep(SLOW_S)
        self.done += 1


async def overload(policy: str, seconds: int) -> Figures:
    """W13. The control call goes to another actor of the same runtime."""
    told: list[Ref[WorkApi]] = []
    control: list[Ref[Api]] = []
    slow = ChildSpec("slow", lambda: Slow(told), mailbox=mailbox(LIMIT, policy), shutdown=0.0)
    spec = SupSpec(children=(slow, ChildSpec("control", lambda: Counter(control))))

    async with running(spec):
        producers = [asyncio.create_task(_produce(told[0], policy)) for _ in range(PRODUCERS)]
        await asyncio.sleep(seconds / 10)
        before, watch, latencies = resident(), Watch(), list[float]()
        while watch.seconds() < seconds:
            latencies.append(await _latency(control[0]))
            await asyncio.sleep(PROBE_S)
        growth = resident() - before
        for producer in producers:
            producer.cancel()
        for error in await asyncio.gather(*producers, return_exceptions=True):
            if isinstance(error, Exception):
                raise error
    return {"growth": growth / 1e6, **quantiles(latencies, {"p99": 0.99}, 1e3)}


async def _produce(ref: Ref[WorkApi], policy: str) -> None:
    for number in count():
        if policy == "block":
            await send(ref, Work(number))
        else:
            ref.cast(Work(number))
        if number % BURST == 0:
            await asyncio.sleep(0)


async def flood(casts: int) -> Figures:
    """W14 (A-118): calls to one actor while the other works off its casts."""
    flooded: list[Ref[Api]] = []
    neighbour: list[Ref[Api]] = []
    actors: list[Counter] = []

    def make() -> Counter:
        actors.append(Counter(flooded))
        return actors[0]

    spec = SupSpec(
        children=(
            ChildSpec("flooded", make, mailbox=UNBOUNDED),
            ChildSpec("neighbour", lambda: Counter(neighbour)),
        )
    )
    latencies: list[float] = []
    async with running(spec):
        for _ in range(casts):
            flooded[0].cast(Inc(1))
        while actors[0].count < casts:
            latencies.append(await _latency(neighbour[0]))
    return quantiles(latencies, {"p50": 0.5, "p99": 0.99}, 1e3)


async def _latency(ref: Ref[Api]) -> float:
    start = perf_counter()
    await ref.call(Ping(0))
    return perf_counter() - start


PROGRAMS: Final[dict[str, Program]] = {"overload": overload, "flood": flood}
