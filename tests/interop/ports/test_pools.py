"""Pools of real workers: replaced one at a time, never fewer than asked for."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest

from keygrove_actors import (
    CalleeExit,
    CallTimeout,
    ChildStarted,
    ChildTerminated,
    Offer,
    PortPool,
    PortSpec,
    Recycle,
    Ref,
    Shutdown,
    Strategy,
    SupSpec,
    run,
)
from keygrove_actors.port_conform import Ask, ConformApi, Echo, Lookup, Sleep, Spawn
from tests.interop.ports.kit import Reports, crashes, gone, tree, zygote
from tests.processes import PATIENCE_S, children_of, parent_of

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

POOLED = PortSpec(
    api=ConformApi,
    works=(Ask, Echo, Sleep, Spawn),
    worker="keygrove_actors.port_conform:table",
    zygote="zygote",
)


def pool_of(size: int, offers: tuple[Offer, ...] = (), **options: Any) -> SupSpec:
    spec = msgspec.structs.replace(POOLED, offers=offers)
    return SupSpec(
        children=(
            zygote(),
            PortPool.child("pool", spec, size, name="pool", **options),
        ),
        strategy=Strategy.REST_FOR_ONE,
    )


async def test_p15_requests_go_to_the_worker_with_the_least_to_do() -> None:
    asked = 0
    all_asked = anyio.Event()

    async def meet(message: Lookup) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 3:
            all_asked.set()
        await all_asked.wait()
        return message.data

    async with run(pool_of(3, offers=(Offer(Lookup, meet),))) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):  # two of them at one worker would wait for each other
                tasks.start_soon(partial(pool.call, Ask(b"x"), timeout=PATIENCE_S))


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
            await anyio.wait_all_tasks_blocked()
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
    answered_before: list[list[str]] = []
    spec = msgspec.structs.replace(POOLED, ping_s=0.1, hang_s=1.0)
    async with tree(zygote(), PortPool.child("pool", spec, 2, name="pool"), reports=reports) as r:
        pool = r.whereis("pool", ConformApi)
        stopped = parent_of(int(await pool.call(Spawn(b""))))
        os.kill(stopped, signal.SIGSTOP)

        async def ask() -> None:
            with suppress(CallTimeout):
                await pool.call(Echo(b"x"), timeout=1.0)
                answered_before.append(crashes(reports))

        async with anyio.create_task_group() as tasks:
            for _ in range(2):  # one for each worker
                tasks.start_soon(ask)
        assert answered_before == [[]]
        await reports.until(lambda: crashes(reports))
        await gone(stopped)
        assert crashes(reports) == ["hang"]
        assert await pool.call(Echo(b"x"), wait_up=PATIENCE_S) == b"x"
