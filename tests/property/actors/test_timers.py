"""Timers against a sorted list: due order, never early, late by a tick at most."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import Actor, Cast, ChildSpec, Ctx, MessageTimer, Runtime, SupSpec, on_cast
from tests.property.actors.play import Loop, loops, played

TICK = 0.01


class ClockApi:
    pass


class Due(Cast[ClockApi], frozen=True, tag=True):
    number: int


class Plan(NamedTuple):
    """A timer: due when, named what, cancelled when."""

    after: float
    name: str | None
    cancel: float | None

    def slot(self, now: float) -> float:
        """Where on the wheel it is: short delays are exact, others go by ticks."""
        ticks = (now + self.after) * 100
        return ticks if self.after < 0.05 else ceil(ticks)


class Clock(Actor[ClockApi]):
    def __init__(self, plans: list[Plan], fired: list[tuple[int, float]]) -> None:
        self.plans, self.fired = plans, fired
        self.timers: list[MessageTimer] = []

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        self.begun = ctx.now()
        for number, plan in enumerate(self.plans):
            self.timers.append(ctx.send_after(plan.after, Due(number), name=plan.name))
        ctx.start_soon(self.cancel)

    async def cancel(self) -> None:
        """Between two ticks, so that it is clear what comes first."""
        cancels = [(plan.cancel, n) for n, plan in enumerate(self.plans) if plan.cancel is not None]
        for at, number in sorted(cancels):
            await anyio.sleep(max(0.0, self.begun + at - self.ctx.now()))
            self.timers[number].cancel()

    @on_cast(Due)
    def due(self, message: Due) -> None:
        self.fired.append((message.number, self.ctx.now() - self.begun))


delays = st.integers(0, 300).map(lambda ms: ms / 1000)
names = st.sampled_from([None, None, "x", "y"])
cancels = st.none() | st.integers(1, 30).map(lambda tick: tick * TICK + 0.0053)


@given(st.lists(st.builds(Plan, delays, names, cancels), max_size=12), loops)
def test_a120_a121_a122_a123_timers_fire_as_a_sorted_list_does(
    plans: list[Plan], loop: Loop
) -> None:
    fired: list[tuple[int, float]] = []

    async def scenario(runtime: Runtime) -> Any:
        start = anyio.current_time()
        await anyio.sleep(1.0)
        return start, runtime.leftovers()["deadlines"]

    spec = SupSpec(children=(ChildSpec("clock", lambda: Clock(plans, fired)),))
    start, left = played(scenario, spec, loop)
    kept = {plan.name: n for n, plan in enumerate(plans) if plan.name is not None}
    slots = [plan.slot(start) for plan in plans]
    expected = [
        (slots[n], n)
        for n, plan in enumerate(plans)
        if (plan.name is None or kept[plan.name] == n)
        and (plan.cancel is None or (start + plan.cancel) * 100 > slots[n])
    ]
    assert [n for n, _ in fired] == [n for _, n in sorted(expected)]
    assert all(-1e-9 <= at - plans[n].after <= TICK + 1e-9 for n, at in fired)
    assert left == 0
