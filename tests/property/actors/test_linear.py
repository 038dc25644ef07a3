"""A register under concurrent callers is linearisable: some order of its calls explains all.

Requests and replies are delayed and lost by the simulation. A call whose outcome its caller
never learnt may have happened at any time after it was sent, or not at all.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import anyio
import trio
from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import Actor, Call, CallTimeout, ChildSpec, SupSpec, on
from keygrove_actors.testkit import Sim, simulate


class RegisterApi:
    pass


class Read(Call[RegisterApi, int], frozen=True, tag=True):
    pass


class Write(Call[RegisterApi, int], frozen=True, tag=True):
    value: int


class Swap(Call[RegisterApi, bool], frozen=True, tag=True):
    """Writes `new` if the value is `old`; whether it was. Takes its time."""

    old: int
    new: int


class Register(Actor[RegisterApi]):
    def __init__(self) -> None:
        self.value = 0

    @on(Read)
    def read(self, message: Read) -> int:
        return self.value

    @on(Write)
    def write(self, message: Write) -> int:
        self.value = message.value
        return message.value

    @on(Swap)
    async def swap(self, message: Swap) -> bool:
        found = self.value == message.old
        await anyio.sleep(0.05)
        if found:
            self.value = message.new
        return found


class Careless(Register):
    """Two of its handlers may run side by side: what the check is there to notice."""

    reentrant = True


class Done(NamedTuple):
    """One call as its caller saw it; `answer` is None if it saw none."""

    call: Any
    begin: float
    end: float
    answer: Any


def applied(value: int, call: Any) -> tuple[int, Any]:
    """The register's next value, and its answer."""
    match call:
        case Write(new):
            return new, new
        case Swap(old, new):
            return (new, True) if value == old else (value, False)
        case _:
            return value, value


def is_linear(history: frozenset[Done], value: int) -> bool:
    """Whether some order explains all; exponential, and meant for a few calls."""
    if all(done.answer is None for done in history):
        return True
    first_end = min(done.end for done in history)
    for done in history:
        if done.begin > first_end:
            continue  # it began when another had ended, so that other comes before it
        after, answer = applied(value, done.call)
        if done.answer in {None, answer} and is_linear(history - {done}, after):
            return True
    return False


def history_of(kind: type[Register], seed: int, plan: list[tuple[int, Any]]) -> list[Done]:
    history: list[Done] = []

    async def one(sim: Sim, start: int, call: Any) -> None:
        await trio.sleep(start / 100)
        begin = trio.current_time()
        try:
            answer = await sim.whereis("register", RegisterApi).call(call, timeout=1.0)
        except CallTimeout:
            history.append(Done(call, begin, inf, None))
        else:
            history.append(Done(call, begin, trio.current_time(), answer))

    async def scenario(sim: Sim) -> None:
        sim.on(delay=(0.0, 0.2), drop=0.05)
        sim.on(delay=(0.0, 0.2), drop=0.05, replies=True)
        async with trio.open_nursery() as nursery:
            for start, call in plan:
                nursery.start_soon(one, sim, start, call)
        await sim.advance(2.0)

    spec = SupSpec(children=(ChildSpec("register", kind, name="register"),))
    simulate(scenario, spec, seed=seed)
    return history


values = st.integers(0, 2)
calls = st.one_of(st.just(Read()), st.builds(Write, values), st.builds(Swap, values, values))


@given(st.integers(0, 2**16), st.lists(st.tuples(st.integers(0, 30), calls), max_size=8))
def test_a110_a_register_is_linearisable(seed: int, plan: list[tuple[int, Any]]) -> None:
    assert is_linear(frozenset(history_of(Register, seed, plan)), 0)


def test_the_check_notices_handlers_that_run_side_by_side() -> None:
    plan = [(0, Swap(0, 1)), (0, Swap(0, 2)), (1, Swap(0, 1)), (1, Swap(0, 2))]
    assert not all(is_linear(frozenset(history_of(Careless, seed, plan)), 0) for seed in range(20))
