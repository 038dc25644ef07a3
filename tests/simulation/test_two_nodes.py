"""Two nodes with different settings in one event loop: in memory, and on files and sockets."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

import httpx
import msgspec
import pytest

from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import HttpSettings, Settings, StorageSettings
from keygrove.system.sockets import listen
from keygrove.system.world import system_ports
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.node import MemoryLog, simulated_node
from keygrove_chaos.servers import Reply
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, key
from tests.loops import Backend, virtual_trio

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

Ask: TypeAlias = Callable[[str, str, bytes], Awaitable[Reply]]

ALICE, BOB = made(1, "Alice <a@x.example>"), made(2, "Bob <b@x.example>")


class Client(msgspec.Struct, frozen=True):
    """How to reach a node, and what it says."""

    http: Ask
    metrics: Ask
    log: MemoryLog


class Open(Protocol):
    """How to open a node."""

    def __call__(self, name: str, settings: Settings) -> AbstractAsyncContextManager[Client]: ...


@pytest.fixture(
    params=[
        "in memory on trio",
        pytest.param("on files and sockets on asyncio", marks=pytest.mark.slow),
    ]
)
def world(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(world: str) -> Backend:
    if world.endswith("asyncio"):
        return "asyncio", {}
    return virtual_trio()


@asynccontextmanager
async def in_memory(name: str, settings: Settings) -> AsyncGenerator[Client, None]:
    async with simulated_node(settings, name=name) as node:
        yield Client(node.http.ask, node.metrics.ask, node.log)


def asking(client: httpx.AsyncClient) -> Ask:
    async def ask(method: str, target: str, body: bytes) -> Reply:
        found = await client.request(method, target, content=body or None)
        return Reply(found.status_code, dict(found.headers), found.content)

    return ask


@asynccontextmanager
async def on_sockets(root: Path, settings: Settings) -> AsyncGenerator[Client, None]:
    log = MemoryLog()
    async with AsyncExitStack() as opened:
        endpoints = [listen("127.0.0.1:0", "[http] listen") for _ in range(2)]
        for endpoint in endpoints:
            opened.callback(endpoint.close)
        site = Site(
            ports=system_ports(root),
            endpoints=Endpoints(tuple(endpoints[:1]), tuple(endpoints[1:])),
            log=log,
            version="0.test",
            pid=1,
        )
        await opened.enter_async_context(open_node(settings, site))
        http, metrics = [
            await opened.enter_async_context(
                httpx.AsyncClient(base_url=f"http://{endpoint.address}", trust_env=False)
            )
            for endpoint in endpoints
        ]
        yield Client(asking(http), asking(metrics), log)


@pytest.fixture
def open_one(world: str, tmp_path: Path) -> Open:
    if world.endswith("asyncio"):
        return lambda name, settings: on_sockets(tmp_path / name, settings)
    return in_memory


def settings(shards: int, *, short_ids: bool) -> Settings:
    return Settings(
        http=HttpSettings(short_ids=short_ids),
        storage=StorageSettings(shards=shards, durability="relaxed"),
    )


FIRST, SECOND = settings(1, short_ids=True), settings(3, short_ids=False)


async def add(client: Client, certificate: Certificate) -> int:
    body = b"".join(b"%%%02X" % octet for octet in armored(certificate))
    return (await client.http("POST", "/pks/add", b"keytext=" + body)).status


async def get(client: Client, search: str) -> int:
    return (await client.http("GET", f"/pks/lookup?op=get&search={search}", b"")).status


async def check(client: Client, own: Certificate, others: Certificate) -> None:
    """What every node answers."""
    name = f"0x{fingerprint(own).hex()}"
    assert await add(client, own) == 200
    assert await get(client, name) == 200
    assert await get(client, f"0x{fingerprint(others).hex()}") == 404
    assert await get(client, "nobody") == 404
    assert (await client.http("GET", "/pks/lookup?op=nonsense", b"")).status == 400
    assert (await client.http("GET", "/nowhere", b"")).status == 404
    assert (await client.http("PUT", "/pks/add", b"")).status == 405
    listed = await client.http("GET", f"/pks/lookup?op=index&options=mr&search={name}", b"")
    assert listed.text.startswith("info:1:1\n")
    assert (await client.http("GET", "/readyz", b"")).status == 200
    stats = msgspec.json.decode((await client.http("GET", "/pks/stats?options=json", b"")).body)
    assert stats["total"] == 1


async def test_two_nodes_pass_the_same_checks_side_by_side(open_one: Open) -> None:
    async with open_one("first", FIRST) as first, open_one("second", SECOND) as second:
        await check(first, ALICE, BOB)
        await check(second, BOB, ALICE)


async def test_each_node_keeps_to_its_own_settings(open_one: Open) -> None:
    short = key(ALICE).key_id.hex()[-8:]
    async with open_one("first", FIRST) as first, open_one("second", SECOND) as second:
        for node, status, shards in ((first, 200, 1), (second, 404, 3)):
            await add(node, ALICE)
            assert await get(node, f"0x{short}") == status
            metrics = (await node.metrics("GET", "/metrics", b"")).text
            assert metrics.count("\nkeygrove_shard_certificates{") == shards


async def test_each_node_has_its_own_metrics_and_log(open_one: Open) -> None:
    async with open_one("first", FIRST) as first, open_one("second", SECOND) as second:
        await get(first, "nobody")
        await get(first, "nobody")
        counted = 'route="/pks/lookup",status="404"} 2.0'
        assert counted in (await first.metrics("GET", "/metrics", b"")).text
        assert "/pks/lookup" not in (await second.metrics("GET", "/metrics", b"")).text
        routes = [line.facts["route"] for line in first.log.events("request answered")]
        assert routes.count("/pks/lookup") == 2
        assert [line.facts["route"] for line in second.log.events("request answered")] == [
            "/metrics"
        ]


async def test_stopping_one_node_does_not_disturb_the_other(open_one: Open) -> None:
    async with open_one("second", SECOND) as second:
        async with open_one("first", FIRST) as first:
            await check(first, ALICE, BOB)
            await add(second, BOB)
        assert await get(second, f"0x{fingerprint(BOB).hex()}") == 200
        assert await get(second, f"0x{fingerprint(ALICE).hex()}") == 404
        assert second.log.events("actor ended") == []
    ended = [line.facts["child"] for line in second.log.events("actor ended")]
    assert ended[0] in {"control", "http"}
    assert {line.level for line in second.log.lines} == {"info"}


@pytest.mark.parametrize("world", ["on files and sockets on asyncio"])
async def test_a_node_can_be_opened_again_where_it_was(open_one: Open) -> None:
    for _ in range(2):
        async with open_one("first", FIRST) as node:
            await check(node, ALICE, BOB)
