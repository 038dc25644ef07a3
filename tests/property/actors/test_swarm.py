"""One scenario under many schedules: what happens in between differs, what comes of it does not."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from keygrove_actors import (
    Actor,
    Backoff,
    Call,
    CalleeExit,
    Cast,
    ChildSpec,
    Ctx,
    Down,
    Jitter,
    NoProc,
    Strategy,
    SupSpec,
    abcast,
    on,
    on_cast,
)
from keygrove_actors.testkit import Sim, simulate


class BankApi:
    pass


class Give(Call[BankApi, None], frozen=True, tag=True):
    """Takes `amount` from the receiver and adds it to `to`, if it is there to take."""

    to: str
    amount: int


class Add(Cast[BankApi], frozen=True, tag=True):
    amount: int


class Total(Call[BankApi, int], frozen=True, tag=True):
    pass


class Relay(Call[BankApi, int], frozen=True, tag=True):
    """Has a clerk, which may crash, ask `who` for its total."""

    who: str


class Account(Actor[BankApi]):
    def __init__(self) -> None:
        self.total = 100

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        ctx.join("accounts")
        ctx.send_every(0.3, Add(1), name="interest")

    @on(Give)
    async def give(self, message: Give) -> None:
        await trio.sleep(0.01)
        self.total -= message.amount
        self.ctx.whereis(message.to, BankApi).cast(Add(message.amount))

    @on_cast(Add)
    def add(self, message: Add) -> None:
        self.total += message.amount

    @on(Total)
    def read(self, message: Total) -> int:
        return self.total


class Clerk(Actor[BankApi]):
    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Relay)
    async def relay(self, message: Relay) -> int:
        return await self.ctx.whereis(message.who, BankApi).call(Total())


class Guard(Actor[BankApi]):
    """Counts the clerks' ends."""

    def __init__(self) -> None:
        self.ends = 0

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        ctx.monitor(ctx.whereis("clerk", BankApi))

    def on_down(self, down: Down) -> None:
        self.ends += 1
        self.ctx.send_after(0.05, Add(0))

    @on_cast(Add)
    def again(self, message: Add) -> None:
        self.ctx.monitor(self.ctx.whereis("clerk", BankApi))

    @on(Total)
    def read(self, message: Total) -> int:
        return self.ends


def tree() -> SupSpec:
    accounts = tuple(ChildSpec(name, Account, name=name) for name in "abc")
    backoff = Backoff(base=0.01, first=0.01, cap=0.02, jitter=Jitter.FULL)
    clerk = ChildSpec("clerk", Clerk, name="clerk", backoff=backoff)
    office = SupSpec(children=(clerk,), intensity=50, strategy=Strategy.ONE_FOR_ALL)
    children = (*accounts, ChildSpec("office", office), ChildSpec("guard", Guard, name="guard"))
    return SupSpec(children=children)


async def scenario(sim: Sim) -> dict[str, Any]:
    start = trio.current_time()

    async def customer(name: str, to: str) -> None:
        for amount in (5, 7):
            await trio.sleep(sim.random.uniform(0.0, 0.1))
            await sim.whereis(name, BankApi).call(Give(to, amount))

    async def asker() -> None:
        for who in "abcabc":
            try:
                await sim.whereis("clerk", BankApi).call(Relay(who), wait_up=1.0)
            except (CalleeExit, NoProc):
                await trio.sleep(0.05)

    sim.on(delay=(0.0, 0.05), message=Add)
    async with trio.open_nursery() as nursery:
        for name, to in ("ab", "bc", "ca", "ac"):
            nursery.start_soon(customer, name, to)
        nursery.start_soon(asker)
        for _ in range(3):
            await sim.advance(0.2)
            sim.kill("clerk")
    abcast(sim.runtime.members("accounts"), Add(10))
    await sim.advance(start + 2.0 - trio.current_time())
    names = ("a", "b", "c", "guard")
    totals = {name: await sim.whereis(name, BankApi).call(Total()) for name in names}
    return {**totals, "up": [c.state.value for c in sim.runtime.tree().children]}


# each account got 10 and six times interest, whatever else it gave and took
EXPECTED = {"a": 88 + 16, "b": 100 + 16, "c": 112 + 16, "guard": 3, "up": ["up"] * 5}


def swarm(seeds: range) -> set[str]:
    """The trace of each seed, whose final state has to be the same."""
    traces: set[str] = set()
    for seed in seeds:
        final, sim = simulate(scenario, tree(), seed=seed)
        assert final == EXPECTED, sim.replay_line()
        traces.add(sim.trace_hash())
    return traces


def test_a073_any_schedule_has_the_same_final_state() -> None:
    traces = swarm(range(25))
    assert len(traces) == 25, "the schedules do differ"


@pytest.mark.campaign
def test_a073_any_of_1000_schedules_has_the_same_final_state() -> None:
    swarm(range(1000))
