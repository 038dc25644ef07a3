"""A whole node under steady submissions, while its actors crash at random moments."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from urllib.parse import quote_from_bytes

import anyio
import pytest

from keygrove.settings import Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.shard import OpenStore
from keygrove.storage.store import CertificateStore
from keygrove_actors import Crash, TreeEnded
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.node import SimulatedNode, simulated_node
from keygrove_chaos.stores import HookedStore
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import fingerprint

pytestmark = pytest.mark.anyio

SHARDS = 3
VICTIMS = (*(f"shard-{number}" for number in range(SHARDS)), "ingest", "http")
LASTS_S = 60.0
CLIENTS = 4


class Simulation:
    """One run, all of its chance from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.acknowledged: set[tuple[int, str]] = set()
        self.statuses: Counter[int] = Counter()
        self.crashes: Counter[str] = Counter()
        self._stores = [MemoryStore() for _ in range(SHARDS)]

    @asynccontextmanager
    async def _open(self, number: int) -> AsyncGenerator[CertificateStore, None]:
        yield HookedStore(self._stores[number], before=self._dawdle, after=self._dawdle)

    async def _dawdle(self, operation: str) -> None:
        """Disks take a while, before and after what they do is done."""
        if operation != "upkeep":
            await anyio.sleep(self.random.expovariate(200))

    def openers(self) -> list[OpenStore]:
        return [partial(self._open, number) for number in range(SHARDS)]

    async def submit(self, node: SimulatedNode, client: int) -> None:
        """Send one user ID after the other, on a few certificates that all clients share."""
        for number in range(1_000_000):
            key, text = self.random.randrange(20), f"client{client} number{number}"
            body = quote_from_bytes(armored(made(key, text)), safe="").encode()
            reply = await node.http.ask("POST", "/pks/add", b"keytext=" + body)
            self._note(reply.status, reply.headers)
            if reply.status == 200:
                self.acknowledged.add((key, text))
            await anyio.sleep(self.random.expovariate(5))

    async def look(self, node: SimulatedNode) -> None:
        while True:
            name = fingerprint(made(self.random.randrange(20))).hex()
            reply = await node.http.ask("GET", f"/pks/lookup?op=get&search=0x{name}")
            self._note(reply.status, reply.headers)
            await anyio.sleep(self.random.expovariate(20))

    def _note(self, status: int, headers: dict[str, str]) -> None:
        self.statuses[status] += 1
        assert status != 503 or "retry-after" in headers

    async def crash(self, node: SimulatedNode) -> None:
        while True:
            await anyio.sleep(self.random.expovariate(1))
            victim = self.random.choice(VICTIMS)
            self.crashes[victim] += 1
            node.runtime.whereis(victim, object).exit(Crash("Chaos", "at random"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_nothing_acknowledged_is_lost_when_actors_crash(seed: int) -> None:
    run = Simulation(seed)
    settings = Settings(storage=StorageSettings(shards=SHARDS))
    async with simulated_node(settings, stores=run.openers()) as node:
        with anyio.move_on_after(LASTS_S):
            async with anyio.create_task_group() as tasks:
                for client in range(CLIENTS):
                    tasks.start_soon(run.submit, node, client)
                tasks.start_soon(run.look, node)
                tasks.start_soon(run.crash, node)
        await anyio.sleep(2)
        for key, text in run.acknowledged:
            target = f"/pks/lookup?op=get&search=0x{fingerprint(made(key)).hex()}"
            reply = await node.http.ask("GET", target)
            assert reply.status == 200
            assert text.encode() in dearmor(reply.body, BULK).data
        ready = await node.http.ask("GET", "/readyz")
        assert ready.status == 200
        assert node.log.events("request failed by a bug") == []
        assert node.log.events("supervisor gave up") == []
    assert len(run.acknowledged) > 200
    assert set(run.crashes) == set(VICTIMS)
    assert set(run.statuses) <= {200, 404, 503}


async def test_a_listener_that_crashes_keeps_nobody_out() -> None:
    async with simulated_node(Settings(storage=StorageSettings(shards=1))) as node:
        for _ in range(5):
            node.runtime.whereis("http", object).exit(Crash("Chaos", ""))
            assert (await node.http.ask("GET", "/healthz")).status == 200


async def test_a_shard_that_never_comes_up_ends_the_node_with_a_reason() -> None:
    store = MemoryStore()
    opened = 0

    @asynccontextmanager
    async def open_once() -> AsyncGenerator[CertificateStore, None]:
        nonlocal opened
        opened += 1
        if opened > 1:
            raise OSError("no such device")
        yield store

    settings = Settings(storage=StorageSettings(shards=1))
    async with simulated_node(settings, stores=[open_once]) as node:
        node.runtime.whereis("shard-0", object).exit(Crash("Chaos", ""))
        with pytest.raises(TreeEnded):
            await node.runtime.wait()
        assert node.log.events("supervisor gave up")
    assert opened > 10
