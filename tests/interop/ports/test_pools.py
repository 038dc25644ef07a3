"""Pools of real workers: replaced one at a time, never fewer than asked for."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest

from keygrove_actors import (
    CalleeExit,
    CallTimeout,
    ChildStarted,
    ChildTerminated,
    PortPool,
    PortSpec,
    Recycle,
    Ref,
    Shutdown,
    Strategy,
    SupSpec,
    run,
)
from keygrove_actors.port_conform import ConformApi, Echo, Sleep, Spawn
from tests.interop.ports.kit import Reports, crashes, gone, tree, zygote
from tests.processes import children_of, parent_of

pytestmark = pytest.mark.anyio

POOLED = PortSpec(
    api=ConformApi,
    works=(Echo, Sleep, Spawn),
    worker="keygrove_actors.port_conform:table",
    zygote="zygote",
)


def pool_of(size: int, **options: Any) -> SupSpec:
    return SupSpec(
        children=(
            zygote(),
            PortPool.child("pool", POOLED, size, name="pool", **options),
        ),
        strategy=Strategy.REST_FOR_ONE,
    )


async def test_p15_requests_go_to_the_worker_with_the_least_to_do() -> None:
    async def nap(pool: Ref[ConformApi]) -> None:
        await pool.call(Sleep(b"300"))

    async with run(pool_of(3)) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(nap, pool)
        assert anyio.current_time() - started < 0.85


@pytest.mark.slow
async def test_p15_a_worker_that_served_its_calls_is_replaced_without_a_gap(
    reports: Reports,
) -> None:
    answered = 0

    async def ask(pool: Ref[ConformApi]) -> None:
        nonlocal answered
        while not any(ended(reports)):
            assert await pool.call(Echo(b"x")) == b"x"
            answered += 1

    recycle = Recycle(calls=20)
    async with run(pool_of(2, recycle=recycle), observe=reports.append) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask, pool)
        assert await pool.call(Echo(b"x")) == b"x"
        seats = [c for c in runtime.tree().children[1].children if c.id.startswith("worker")]
        assert len(seats) == 3
    assert answered > 20
    recycled, *_ = ended(reports)
    new = [r for r in reports if isinstance(r, ChildStarted) and r.incarnation == 2]
    assert reports.index(new[0]) < reports.index(recycled), "the new one is ready before"


def ended(reports: Reports) -> list[ChildTerminated]:
    return [
        r for r in reports if isinstance(r, ChildTerminated) and r.reason == Shutdown("recycled")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("recycle", [Recycle(age_s=0.1), Recycle(memory_bytes=1)], ids=str)
async def test_p15_a_worker_too_old_or_too_big_is_replaced(
    recycle: Recycle, reports: Reports
) -> None:
    async with run(pool_of(1, recycle=recycle), observe=reports.append) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        await reports.until(lambda: ended(reports))
        assert await pool.call(Echo(b"x")) == b"x"
    assert len(ended(reports)) == 1, "one in each period of the supervisor"


async def test_p15_a_killed_worker_costs_only_its_own_calls(reports: Reports) -> None:
    async with run(pool_of(2), observe=reports.append) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lose, pool)
            await anyio.sleep(0.05)
            child = int(await pool.call(Spawn(b"")))
            free = parent_of(child)
            (busy,) = set(children_of(parent_of(free))) - {free}
            os.kill(busy, signal.SIGKILL)
        for _ in range(10):
            assert await pool.call(Echo(b"x")) == b"x"


async def lose(pool: Ref[ConformApi]) -> None:
    with pytest.raises(CalleeExit):
        await pool.call(Sleep(b"5000"))


async def test_p12_a_hung_worker_of_a_pool_is_replaced_while_others_answer(
    reports: Reports,
) -> None:
    spec = msgspec.structs.replace(POOLED, ping_s=0.05, hang_s=0.2)
    async with tree(zygote(), PortPool.child("pool", spec, 2, name="pool"), reports=reports) as r:
        pool = r.whereis("pool", ConformApi)
        stopped = parent_of(int(await pool.call(Spawn(b""))))
        os.kill(stopped, signal.SIGSTOP)
        answers = 0
        while not crashes(reports):
            with suppress(CallTimeout):
                answers += await pool.call(Echo(b"x"), timeout=0.05) == b"x"
        assert answers
        await gone(stopped)
        assert crashes(reports) == ["hang"]
        assert await pool.call(Echo(b"x"), wait_up=3) == b"x"
