"""A crash loop as a few lines, for whoever writes reports down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio
import pytest

from keygrove_actors import (
    Cast,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Crash,
    Ctx,
    Report,
    Restart,
    Runtime,
    Strategy,
    SupSpec,
    WorkerPrinted,
)
from keygrove_actors.repeats import KINDS_MAX, TOLD, Repeated, Repeats
from tests.unit.actors.children import Child, ChildApi, Crashes, Ends

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


class Looping(Child):
    """Crashes a second after each of its first starts."""

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        if ctx.incarnation <= CRASHES:
            ctx.send_after(1.0, Crashes())


CRASHES = 200
BOOM = Crash("ValueError", "boom")
LOOPING = ChildSpec("a", lambda: Looping("a", []), name="a")


def said_of(told: list[Report | Repeated], kind: type[Report]) -> list[int]:
    """For each time that something of this kind was told: how many there were."""
    return [
        one.times if isinstance(one, Repeated) else 1
        for one in told
        if isinstance(one.last if isinstance(one, Repeated) else one, kind)
    ]


async def test_a153_a_crash_loop_is_told_five_times_then_once_a_minute(running: Running) -> None:
    told: list[Report | Repeated] = []
    repeats = Repeats(told.append)
    async with running(LOOPING, intensity=10_000, observe=repeats.observe) as runtime:
        repeats.attach(runtime)
        await anyio.sleep(250.0)
        for kind, number in ((ChildTerminated, 200), (ChildRestarting, 200), (ChildStarted, 201)):
            said = said_of(told, kind)
            assert said[:TOLD] == [1] * TOLD
            assert (len(said), sum(said)) == (TOLD + 4, number), "nothing is lost"
        last = told[-1]
        assert isinstance(last, Repeated)
        assert str(last).endswith(" times more within a minute, lastly: a started again, life 201")
        await anyio.sleep(60.0)
        assert told[-1] is last, "it is over"
        runtime.whereis("a", ChildApi).cast(Crashes())
        await anyio.sleep(0.1)
        assert [str(one) for one in told[-3:]] == [
            "a crashed with ValueError: boom",
            "a is restarted: 1 of 10000 restarts are spent",
            "a started again, life 202",
        ]


async def test_a153_what_is_left_out_at_the_end_is_told_then(running: Running) -> None:
    told: list[Report | Repeated] = []
    repeats = Repeats(told.append)
    async with running(LOOPING, intensity=10_000, observe=repeats.observe) as runtime:
        repeats.attach(runtime)
        await anyio.sleep(10.5)
    repeats.flush()
    repeats.flush()
    assert said_of(told, ChildTerminated) == [1] * TOLD + [1, 10 - TOLD], "the stop by itself"
    assert str(told[-1]).startswith("5 times more within a minute, lastly: a crashed with")
    assert runtime.leftovers()["deadlines"] == 0


class Brief(Child):
    """Crashes, or ends in order, as soon as it is up."""

    def __init__(self, how: Cast[ChildApi]) -> None:
        super().__init__("a", [])
        self.how = how

    async def init(self, ctx: Ctx) -> None:
        ctx.self_ref.cast(self.how)


BRIEF = ChildSpec("session", Brief, restart=Restart.TEMPORARY)


async def test_a153_a_storm_of_dynamic_children_is_told_as_one(running: Running) -> None:
    told: list[Report | Repeated] = []
    repeats = Repeats(told.append)
    sessions = ChildSpec("sessions", SupSpec(strategy=Strategy.DYNAMIC, template=BRIEF))
    async with running(sessions, observe=repeats.observe) as runtime:
        repeats.attach(runtime)
        for _ in range(100):
            await runtime.supervisor("sessions").spawn(Crashes())
        await runtime.supervisor("sessions").spawn(Ends())
        await anyio.sleep(61.0)
        ends = [str(one) for one in told if said_of([one], ChildTerminated)]
    assert len(ends) == TOLD + 2
    assert ends[TOLD] == "sessions/session-101 ended normally", "no crash hides it"
    last = "sessions/session-100 crashed with ValueError: boom"
    assert ends[-1] == f"95 times more within a minute, lastly: {last}"
    assert sum(said_of(told, ChildStarted)) == 1 + 101, "the supervisor, and its children"


NUMBERS = range(1000)
MADE_UP = {
    "ids": [ChildTerminated(f"a{n}", f"s/a{n}", 1, BOOM) for n in NUMBERS],
    "subtrees": [ChildTerminated("a", f"s/t-{n}/a", 1, BOOM) for n in NUMBERS],
    "errors": [ChildTerminated("a", "s/a", 1, Crash(f"E{n}", "")) for n in NUMBERS],
}


@pytest.mark.parametrize("storm", MADE_UP.values(), ids=MADE_UP)
def test_a153_ids_that_are_made_up_do_not_flood_a_log(storm: list[Report]) -> None:
    told: list[Report | Repeated] = []
    repeats = Repeats(told.append)
    for one in storm:
        repeats.observe(one)
    assert told == storm[: KINDS_MAX + TOLD]
    repeats.flush()
    assert told[-1] == Repeated(storm[-1], len(storm) - KINDS_MAX - TOLD)
    lines = len(told)
    repeats.observe(elsewhere := ChildTerminated("b", "b", 1, BOOM))
    assert told[lines:] == [elsewhere]
    for one in storm:
        repeats.observe(one)
    repeats.flush()
    assert len(told) < lines + KINDS_MAX * 3, "one more of each that is known, and of the others"
    repeats.flush()
    repeats.observe(storm[-1])
    assert told[-1:] == [storm[-1]], "it was over, and begins anew"


def test_a153_what_each_time_says_something_else_is_always_told() -> None:
    told: list[Report | Repeated] = []
    repeats = Repeats(told.append)
    lines = [WorkerPrinted("a", "a", 1, "stdout", str(n)) for n in range(100)]
    for line in lines:
        repeats.observe(line)
    assert told == lines
