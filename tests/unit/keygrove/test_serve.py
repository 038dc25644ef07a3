"""What a node is composed of beside its tree."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from trio.testing import MockClock

from keygrove.errors import NodeStopError, StoreError
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.store import Opening
from keygrove.system.clock import SystemClock
from keygrove_actors import Crash
from keygrove_chaos.node import MemoryLog, memory_stores, simulated_node, simulated_ports
from keygrove_chaos.servers import Door

ONE_SHARD = Settings(storage=StorageSettings(shards=1))


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    jumping = {"clock": MockClock(autojump_threshold=0)}
    return request.param, jumping if request.param == "trio" else {}


@asynccontextmanager
async def stuck() -> AsyncGenerator[Opening, None]:
    """A store whose files take an hour to open, and nobody can stop that."""
    with anyio.CancelScope(shield=True):
        await anyio.sleep(3600)
    await anyio.lowlevel.checkpoint()
    async with MemoryStore().opened() as opening:
        yield opening


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_start_that_could_not_be_stopped_in_order_says_so() -> None:
    async def run_for_a_second() -> None:
        with anyio.move_on_after(1.0):
            async with simulated_node(ONE_SHARD, stores=[stuck]) as node:
                await node.runtime.wait()

    with pytest.raises(NodeStopError, match="storage/shard-0 took too long and was killed"):
        await run_for_a_second()


class Disk:
    """Cannot be opened while it is broken."""

    is_broken = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        if self.is_broken:
            raise StoreError("the disk is gone")
        async with MemoryStore().opened() as opening:
            yield opening


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True)
async def test_a_lasting_fault_is_logged_five_times_then_once_a_minute() -> None:
    disk = Disk()
    async with simulated_node(ONE_SHARD, stores=[disk.open]) as node:
        disk.is_broken = True
        node.runtime.whereis("shard-0", object).exit(Crash("Test", ""))
        await anyio.sleep(310)
        log, disk.is_broken = node.log, False
        assert len(log.events("actor did not start")) == 5
        minutes = [line.facts["times"] for line in log.events("actor did not start again")]
        assert len(minutes) == 5
        assert all(isinstance(times, int) and 5 <= times <= 30 for times in minutes)
        await anyio.sleep(10)
        (again,) = [line for line in log.events("actor started") if line.facts["incarnation"] != 1]
        assert again.facts["path"] == "storage/shard-0"


@pytest.mark.anyio
async def test_what_holds_up_the_event_loop_is_told_at_once_and_counted() -> None:
    log, door = MemoryLog(), Door("node.example:9626")
    site = Site(
        ports=simulated_ports(clock=SystemClock()),  # which a thread may ask
        endpoints=Endpoints(metrics=(door,)),
        log=log,
        version="0.test",
        pid=1,
        watch_loop=True,
    )
    async with open_node(ONE_SHARD, site, memory_stores(1)):
        for _ in range(1000):
            time.sleep(0.02)  # noqa: ASYNC251 - to hold it up is the point
            if log.events("event loop held up"):
                break
        with anyio.fail_after(60):
            while await stalls(door) < 2:
                time.sleep(0.15)  # noqa: ASYNC251
    (line,) = log.events("event loop held up")
    assert line.level == "warning"
    assert "in test_what_holds_up_the_event_loop_is_told" in str(line.facts["trace"])


async def stalls(door: Door) -> float:
    await anyio.sleep(0.01)
    lines = (await door.ask("GET", "/metrics")).text.splitlines()
    (number,) = [line.split()[1] for line in lines if line.startswith("keygrove_loop_stalls_")]
    return float(number)
