"""A node that is still starting says so, wherever it can be asked already."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest

from keygrove.ports import AsgiApp, Endpoint
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.store import CertificateStore
from keygrove_chaos.node import MemoryLog, simulated_node, simulated_ports
from keygrove_chaos.servers import Door, DoorServers

pytestmark = pytest.mark.anyio


async def test_probes_and_metrics_are_answered_while_a_shard_opens() -> None:
    doors: list[Door] = []

    class Spied:
        """See `ports.HttpServers`."""

        _doors = DoorServers()

        def serving(self, app: AsgiApp, endpoint: Endpoint) -> AbstractAsyncContextManager[None]:
            assert isinstance(endpoint, Door)
            doors.append(endpoint)
            return self._doors.serving(app, endpoint)

    opening = anyio.Event()

    @asynccontextmanager
    async def slowly() -> AsyncGenerator[CertificateStore, None]:
        opening.set()
        await anyio.sleep(30)
        yield MemoryStore()

    logs: list[MemoryLog] = []

    async def probe() -> None:
        await opening.wait()
        (monitoring,) = doors
        ready = await monitoring.ask("GET", "/readyz")
        assert (ready.status, ready.text) == (503, "not ready: the server is starting\n")
        assert (await monitoring.ask("GET", "/healthz")).status == 200
        metrics = await monitoring.ask("GET", "/metrics")
        assert metrics.status == 200
        assert "keygrove_faults_total" in metrics.text

    settings = Settings(storage=StorageSettings(shards=1))
    ports = simulated_ports(servers=Spied())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(probe)
        async with simulated_node(settings, stores=[slowly], ports=ports) as node:
            logs.append(node.log)
            assert (await node.metrics.ask("GET", "/readyz")).status == 200
    assert logs[0].events("request failed by a bug") == []
