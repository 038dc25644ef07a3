"""The block around a tree: what leaves it, and what does not."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import uvloop

import keygrove_actors
from keygrove_actors import (
    Actor,
    Call,
    CalleeExit,
    ChildSpec,
    ChildTerminated,
    Ctx,
    Killed,
    Reason,
    Report,
    SupSpec,
    on,
    run,
)
from keygrove_actors.testkit import LeakError, VirtualLoop, leak_gate
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


class SumApi:
    pass


class Add(Call[SumApi, int], frozen=True, tag=True):
    amount: int


class AddSlowly(Call[SumApi, int], frozen=True, tag=True):
    amount: int


class Sum(Actor[SumApi]):
    def __init__(self) -> None:
        self.total = 0

    async def init(self, ctx: Ctx) -> None:
        await anyio.lowlevel.checkpoint()

    @on(Add)
    def add(self, message: Add) -> int:
        return self.plus(message.amount)

    @on(AddSlowly)
    async def add_slowly(self, message: AddSlowly) -> int:
        await anyio.lowlevel.checkpoint()
        return self.plus(message.amount)

    def plus(self, amount: int) -> int:
        if amount < 0:
            raise ValueError("sums only grow")
        self.total += amount
        return self.total

    async def terminate(self, reason: object) -> None:
        await anyio.sleep(1.0)


SUM = ChildSpec("sum", Sum, name="sum")


async def test_an_error_in_the_block_leaves_it_as_it_is(
    running: Running, reports: list[Report]
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with running(SUM):
            raise KeyError("mine")
    assert isinstance(reports[-1], ChildTerminated)


async def test_a177_a_cancelled_block_still_stops_the_tree_in_order(
    running: Running, reports: list[Report]
) -> None:
    with anyio.move_on_after(1.0) as scope:
        async with running(SUM):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert [str(r.reason) for r in reports if isinstance(r, ChildTerminated)] == ["was shut down"]


async def test_the_tree_is_data_and_text(running: Running) -> None:
    sub = ChildSpec("sub", SupSpec(children=(SUM,)))
    async with running(sub, ChildSpec("other", Sum)) as runtime:
        root = runtime.tree()
        assert root.children[0].children[0].path == "sub/sum"
        assert root.text().splitlines() == [
            "root: up, restarts 0, mailbox 0",
            "  sub: up, restarts 0, mailbox 0",
            "    sum: up, restarts 0, mailbox 0",
            "  other: up, restarts 0, mailbox 0",
        ]


async def test_an_observer_that_raises_harms_nobody_and_is_told_at_the_end() -> None:
    def observe(report: Report) -> None:
        raise RuntimeError("cannot write")

    with pytest.raises(RuntimeError, match="cannot write"):
        async with run(SupSpec(children=(SUM,)), observe=observe) as runtime:
            assert await runtime.whereis("sum", SumApi).call(Add(1)) == 1


async def test_the_leak_gate_notices_what_a_runtime_still_holds(running: Running) -> None:
    async with running(SUM) as runtime:

        async def leave_too_early() -> None:
            async with leak_gate() as gate:
                gate.append(runtime)

        with pytest.raises(LeakError, match="'names': 1"):
            await leave_too_early()


async def test_the_leak_gate_notices_a_task() -> None:
    async with anyio.create_task_group() as tasks:
        with pytest.raises(LeakError, match="1 tasks outlive"):
            async with leak_gate():
                tasks.start_soon(anyio.sleep_forever)
        tasks.cancel_scope.cancel()


def test_everything_works_on_uvloop() -> None:
    async def main() -> tuple[Any, ...]:
        async with run(SupSpec(children=(ChildSpec("sum", Quick, name="sum"),))) as runtime:
            ref = runtime.whereis("sum", SumApi)
            with pytest.raises(CalleeExit):
                await ref.call(AddSlowly(-1))
            first = await ref.call(Add(1), wait_up=5.0)
            return first, await ref.call(AddSlowly(2)), len(asyncio.all_tasks())

    class Quick(Sum):
        async def terminate(self, reason: object) -> None:
            await anyio.lowlevel.checkpoint()

    assert uvloop.run(main()) == (1, 3, 2)


def test_a177_a_native_cancellation_of_asyncio_does_not_cut_the_stop_short() -> None:
    reports: list[Report] = []

    async def block() -> None:
        async with run(SupSpec(children=(SUM,)), observe=reports.append):
            await asyncio.sleep(60.0)

    async def main() -> None:
        task = asyncio.create_task(block())
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert [str(r.reason) for r in reports if isinstance(r, ChildTerminated)] == ["was shut down"]


def test_the_package_imports_nothing_of_the_keyserver_and_reads_no_wall_clock() -> None:
    forbidden = re.compile(r"^\s*(from|import) (keygrove\b|keygrove_protocols|logging|time|random)")
    folder = Path(keygrove_actors.__file__).parent
    workers = {"worker.py", "port_conform.py"}  # run where no event loop has a clock
    modules = [path for path in folder.glob("*.py") if path.name not in workers]
    lines = [line for path in modules for line in path.read_text().splitlines()]
    found = [line for line in lines if forbidden.match(line)]
    assert set(found) <= {"from time import monotonic", "from random import Random"}


async def test_a_killed_tree_ends_at_once_and_nobody_cleans_up(
    running: Running, reports: list[Report]
) -> None:
    ended: list[str] = []

    class Tidy(Actor[SumApi]):
        async def terminate(self, reason: Reason) -> None:
            await anyio.sleep(3)
            ended.append("terminate")

    nested = ChildSpec("inner", SupSpec(children=(ChildSpec("tidy", Tidy),)))
    async with running(nested, ChildSpec("other", Tidy)) as runtime:
        begun = anyio.current_time()
        runtime.kill()
    assert anyio.current_time() == begun
    assert ended == []
    reasons = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert len(reasons) == 3
    assert set(map(type, reasons)) == {Killed}
