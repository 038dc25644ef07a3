"""A whole node under steady submissions, while its actors crash at random moments."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

import anyio
import pytest

from keygrove.cluster.placement import Placement
from keygrove.errors import StoreError
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.shard import OpenStore
from keygrove.storage.store import Opened, Opening
from keygrove_actors import Actor, Budget, ChildSpec, Crash, OnBudget
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.node import SimulatedNode, simulated_node
from keygrove_chaos.servers import Reply
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
    async def _open(self, number: int) -> AsyncGenerator[Opening, None]:
        yield Opened(HookedStore(self._stores[number], before=self._dawdle, after=self._dawdle))

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
        await anyio.sleep(6)  # longer than the longest pause before a restart
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


class Fault:
    """A disk that fails whenever it is opened, or written to, until it is mended."""

    def __init__(self, *operations: str) -> None:
        self.operations = operations
        self.opened: list[float] = []
        self.store = MemoryStore()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        self.opened.append(anyio.current_time())
        await self._fail("open")
        yield Opened(HookedStore(self.store, before=self._fail))

    async def _fail(self, operation: str) -> None:
        if operation in self.operations:
            raise StoreError("heap.db: disk I/O error")


def keys_of(shard: int) -> Iterator[int]:
    """Numbers of certificates that this one of two shards holds."""
    placement = Placement(2)
    return (n for n in range(1_000) if placement.shard(fingerprint(made(n))) == shard)


async def look_up(node: SimulatedNode, key: int) -> Reply:
    return await node.http.ask("GET", f"/pks/lookup?op=get&search=0x{fingerprint(made(key)).hex()}")


async def add(node: SimulatedNode, key: int) -> Reply:
    body = b"keytext=" + quote_from_bytes(armored(made(key)), safe="").encode()
    return await node.http.ask("POST", "/pks/add", body)


@pytest.mark.parametrize(
    "operation", ["open", *(pytest.param(o, marks=pytest.mark.slow) for o in ("commit", "get"))]
)
async def test_a_lasting_fault_of_one_shard_costs_that_shard_only(operation: str) -> None:
    disk = Fault()
    sound, broken = keys_of(0), keys_of(1)
    held, lost = next(sound), next(broken)
    settings = Settings(storage=StorageSettings(shards=2))
    async with simulated_node(settings, stores=[MemoryStore().opened, disk.open]) as node:
        assert [(await add(node, key)).status for key in (held, lost)] == [200, 200]
        disk.operations = (operation,)
        node.runtime.whereis("shard-1", object).exit(Crash("Chaos", "the disk went away"))
        begun, refusals = anyio.current_time(), 0
        while anyio.current_time() < begun + 3600:
            for reply in (await add(node, next(broken)), await look_up(node, lost)):
                if reply.status != 200:
                    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
                    refusals += 1
            assert (await add(node, held)).status == 200
            assert (await look_up(node, held)).status == 200
            await anyio.sleep(20.0)
        assert refusals > 100
        assert (await node.http.ask("GET", "/healthz")).status == 200
        if operation == "open":
            ready = await node.http.ask("GET", "/readyz")
            assert (ready.status, ready.headers["retry-after"]) == (503, "2")
            pauses = [b - a for a, b in pairwise(disk.opened)]
            assert 2.5 <= min(pauses[10:]) <= max(pauses) <= 5.1, "not more often than that"
        disk.operations = ()
        await anyio.sleep(6.0)
        assert (await look_up(node, lost)).status == 200
        assert (await add(node, next(broken))).status == 200
        assert (await node.http.ask("GET", "/readyz")).status == 200
        assert node.log.events("supervisor gave up") == []
        assert node.log.events("actor given up") == []


async def test_a_thousand_crashes_do_not_end_the_node() -> None:
    async with simulated_node(Settings(storage=StorageSettings(shards=2))) as node:
        for number in range(1_000):
            victim = ("shard-0", "shard-1", "ingest", "http")[number % 4]
            node.runtime.whereis(victim, object).exit(Crash("Chaos", ""))
            await anyio.sleep(0.01)
        await anyio.sleep(6.0)
        assert (await node.http.ask("GET", "/readyz")).status == 200
        assert node.log.events("actor given up") == []


class Fragile(Actor[Any]):
    """Does nothing."""


async def test_the_node_is_not_ready_while_a_child_that_spent_its_restarts_is_down() -> None:
    child = ChildSpec(
        "fragile", Fragile, name="fragile", budget=Budget(0, 60.0), on_budget=OnBudget.GIVE_UP
    )
    async with simulated_node(Settings(storage=StorageSettings(shards=1))) as node:
        root = node.runtime.supervisor("")
        (await root.start_child(child)).exit(Crash("Chaos", ""))
        await anyio.sleep(60.0)
        for door in (node.http, node.metrics):
            ready = await door.ask("GET", "/readyz")
            assert (ready.status, ready.headers["retry-after"], ready.text) == (
                503,
                "2",
                "not ready: fragile spent its restarts and stays down: see the log, then start "
                "the server anew\n",
            )
        metrics = await node.metrics.ask("GET", "/metrics")
        assert 'keygrove_actor_given_up_total{child="fragile",class="Fragile"} 1.0' in metrics.text
        assert 'keygrove_actor_up{child="fragile",class="Fragile"} 0.0' in metrics.text
        await root.restart_child("fragile")
        assert (await node.http.ask("GET", "/readyz")).status == 200
