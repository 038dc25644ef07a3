"""Replies, timeouts, cancellations and deaths in any order: each call has exactly one outcome."""

from __future__ import annotations

from typing import Any, NamedTuple

import anyio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import (
    DEFER,
    Actor,
    Call,
    CalleeExit,
    CallTimeout,
    Cast,
    ChildSpec,
    Ctx,
    Defer,
    NoProc,
    ReplyTo,
    Runtime,
    SupSpec,
    on,
    on_cast,
)
from tests.property.actors.play import Loop, loops, played


class DeskApi:
    pass


class Ask(Call[DeskApi, int], frozen=True, tag=True):
    """Answered in so many seconds, or never."""

    value: int
    after: float | None


class Due(Cast[DeskApi], frozen=True, tag=True):
    value: int


class Desk(Actor[DeskApi]):
    def __init__(self) -> None:
        self.kept: dict[int, ReplyTo[int]] = {}

    def init(self, ctx: Ctx) -> None:
        self.ctx = ctx

    @on(Ask)
    def ask(self, message: Ask) -> int | Defer:
        if message.after == 0:
            return message.value
        self.kept[message.value] = self.ctx.reply_to
        if message.after is not None:
            self.ctx.send_after(message.after, Due(message.value))
        return DEFER

    @on_cast(Due)
    def due(self, message: Due) -> None:
        self.kept.pop(message.value).send(message.value)


class Plan(NamedTuple):
    """One call, in whole seconds. What happens at the same second is told apart below."""

    start: int
    reply: int | None
    timeout: int | None
    cancel: int | None


seconds = st.none() | st.integers(1, 9)
timeouts = seconds | st.just(1000)
plans = st.lists(
    st.builds(Plan, st.integers(0, 5), st.none() | st.integers(0, 9), timeouts, seconds)
)
# within a second, calls start at 0; then come replies, deadlines, cancellations and deaths
REPLY, TIMEOUT, CANCEL, DEATH = 0.2, 0.4, 0.6, 0.8


def expected(plan: Plan, deaths: list[int]) -> str:
    """Whatever comes first."""
    if plan.reply == 0:
        return "reply"
    times = [(d + DEATH, "CalleeExit") for d in deaths if d + DEATH > plan.start]
    for name, after, fraction in (
        ("reply", plan.reply, REPLY),
        ("CallTimeout", plan.timeout, TIMEOUT),
        ("cancelled", plan.cancel, CANCEL),
    ):
        if after is not None:
            times.append((plan.start + after + fraction, name))
    return min(times)[1]


@given(plans, st.lists(st.integers(0, 9), max_size=2, unique=True), loops)
def test_a090_a_call_has_the_outcome_that_comes_first_and_no_other(
    calls: list[Plan], deaths: list[int], loop: Loop
) -> None:
    outcomes: dict[int, list[str]] = {n: [] for n in range(len(calls))}

    async def call(runtime: Runtime, number: int, plan: Plan) -> None:
        await anyio.sleep(plan.start)
        ref = runtime.whereis("desk", DeskApi)
        after = plan.reply + REPLY if plan.reply else plan.reply
        timeout = None if plan.timeout is None else plan.timeout + TIMEOUT
        cancel = 1e9 if plan.cancel is None else plan.cancel + CANCEL
        outcome = "cancelled"
        with anyio.move_on_after(cancel):
            try:
                assert await ref.call(Ask(number, after), timeout=timeout) == number
                outcome = "reply"
            except (CallTimeout, CalleeExit, NoProc) as error:
                outcome = type(error).__name__
        outcomes[number].append(outcome)

    async def scenario(runtime: Runtime) -> Any:
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for number, plan in enumerate(calls):
                tasks.start_soon(call, runtime, number, plan)
            for death in sorted([*deaths, 30]):
                await anyio.sleep(start + death + DEATH - anyio.current_time())
                runtime.whereis("desk", DeskApi).kill()
        return runtime.leftovers()["deadlines"]

    spec = SupSpec(children=(ChildSpec("desk", Desk, name="desk"),), intensity=9)
    assert played(scenario, spec, loop) == 0, "an entry of the wheel is left"
    last = [*deaths, 30]
    assert outcomes == {n: [expected(plan, last)] for n, plan in enumerate(calls)}
