"""A crash loop as a few lines, for whoever writes reports down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import anyio
import pytest

from keygrove_actors import (
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Ctx,
    Report,
    Runtime,
    WorkerPrinted,
)
from keygrove_actors.repeats import TOLD, Repeated, Repeats
from tests.unit.actors.children import Child, ChildApi, Crashes

Running: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]
pytestmark = pytest.mark.anyio


class Looping(Child):
    """Crashes a second after each of its first starts."""

    async def init(self, ctx: Ctx) -> None:
        self.ctx = ctx
        if ctx.incarnation <= CRASHES:
            ctx.send_after(1.0, Crashes())


CRASHES = 200
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
        assert str(last).endswith(" times more within a minute: a started again, life 201")
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
    assert said_of(told, ChildTerminated) == [1] * TOLD + [10 - TOLD + 1]
    assert runtime.leftovers()["deadlines"] == 0


def test_a153_what_each_time_says_something_else_is_always_told() -> None:
    told: list[Report | Repeated] = []
    repeats = Repeats(told.append)
    lines = [WorkerPrinted("a", "a", 1, "stdout", str(n)) for n in range(100)]
    for line in lines:
        repeats.observe(line)
    assert told == lines
