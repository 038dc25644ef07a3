"""A small cluster of counters under every fault there is; prints trace hashes.

`python simulated.py FROM TO` prints one hash for each seed. Nothing in them may depend
on the process: not on PYTHONHASHSEED, not on addresses, not on the time of day.
"""

from __future__ import annotations

import sys
from typing import Any

import trio

from keygrove_actors import (
    Actor,
    ActorError,
    Call,
    Cast,
    ChildSpec,
    Ctx,
    Restart,
    Strategy,
    SupSpec,
    on,
    on_cast,
)
from keygrove_actors.testkit import Sim, hashes


class NodeApi:
    pass


class Add(Call[NodeApi, int], frozen=True, tag=True):
    amount: int


class Spread(Cast[NodeApi], frozen=True, tag=True):
    amount: int


class Total(Call[NodeApi, int], frozen=True, tag=True):
    pass


class Node(Actor[NodeApi]):
    def __init__(self, others: tuple[str, ...]) -> None:
        self.others = others
        self.total = 0

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Add)
    async def add(self, message: Add) -> int:
        self.total += message.amount
        for other in self.others:
            self.ctx.whereis(other, NodeApi).cast(Spread(message.amount))
        if message.amount % 3 == 0:
            await self.ctx.whereis(self.others[0], NodeApi).call(Total(), timeout=0.5)
        return self.total

    @on_cast(Spread)
    def spread(self, message: Spread) -> None:
        self.total += message.amount

    @on(Total)
    def read(self, message: Total) -> int:
        return self.total


def tree() -> SupSpec:
    names = ("a", "b", "c")

    def node(name: str) -> ChildSpec:
        others = tuple(n for n in names if n != name)
        return ChildSpec(name, lambda: Node(others), name=name, restart=Restart.PERMANENT)

    return SupSpec(
        children=tuple(map(node, names)),
        strategy=Strategy.ONE_FOR_ONE,
        intensity=1000,
    )


async def scenario(sim: Sim) -> list[Any]:
    outcomes: list[Any] = []

    async def client(name: str) -> None:
        for amount in range(1, 12):
            await trio.sleep(sim.random.uniform(0.0, 0.1))
            try:
                ref = sim.whereis(name, NodeApi)
                outcomes.append(await ref.call(Add(amount), timeout=1.0))
            except ActorError as error:
                outcomes.append(type(error).__name__)

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(client, name)
        await sim.advance(0.2)
        rule = sim.on(message=Spread, drop=0.2, delay=(0.0, 0.3), duplicate=0.2)
        sim.gate.partition({"a"}, {"b"})
        await sim.advance(0.2)
        sim.gate.heal()
        sim.crash_next("b", on=Spread, after=sim.random.random() < 0.5)
        sim.fail_init("c", 2)
        sim.kill("c")
        await sim.advance(0.5)
        sim.off(rule)
    return outcomes


if __name__ == "__main__":
    print("\n".join(hashes(scenario, tree, range(*map(int, sys.argv[1:3])))))  # noqa: T201 - its purpose
