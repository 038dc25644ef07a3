"""A node whose stores take long to be brought up: what it answers meanwhile, and how it stops."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote_from_bytes

import anyio
import pytest

from keygrove.errors import DiskFullError, StartingError
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.store import CertificateStore, Opening, Progress
from keygrove.storage.version import Version
from keygrove_chaos.certificates import armored, made, put_of
from keygrove_chaos.node import SimulatedNode, simulated_node
from keygrove_chaos.servers import Reply
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.keys import Fingerprint

pytestmark = pytest.mark.anyio

ALICE = made(1, "Alice <a@x.example>")
OTHER = made(2, "Other")
BY_NAME = f"/pks/lookup?op=get&search=0x{fingerprint(ALICE).hex()}"
BY_TEXT = "/pks/lookup?op=index&search=a@x.example"
NOT_UP = "this server is still starting: try again shortly, or look up a fingerprint\n"
TOTAL = 40_000


class Slow:
    """See `store.Opening`: of a store that is brought up when a test says so."""

    def __init__(self, *, knows_names: bool = True) -> None:
        self._store = MemoryStore()
        self._knows_names = knows_names
        self._may_finish = anyio.Event()
        self.done = 0
        self.lacks_room = False
        self.tries = 0
        self.is_closed = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        await self._store.commit([put_of(ALICE)])
        yield self
        self.is_closed = True

    def may_finish(self) -> None:
        self._may_finish.set()

    def progress(self) -> Progress:
        """See `store.Opening`."""
        return Progress("bringing the index up", self.done, TOTAL, self.lacks_room)

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.Opening`."""
        if not self._knows_names:
            raise StartingError
        return await self._store.get(fingerprints)

    async def finish(self) -> CertificateStore:
        """See `store.Opening`."""
        self.tries += 1
        if self.lacks_room:
            raise DiskFullError("index.db")
        await self._may_finish.wait()
        return self._store


@asynccontextmanager
async def starting(slow: Slow) -> AsyncGenerator[SimulatedNode, None]:
    """A node of one shard that is slow, in the second hour of its start."""
    settings = Settings(storage=StorageSettings(shards=1))
    async with simulated_node(settings, stores=[slow.open]) as node:
        await anyio.sleep(3600)
        yield node


async def submit(node: SimulatedNode) -> Reply:
    body = b"keytext=" + quote_from_bytes(armored(OTHER), safe="").encode()
    return await node.http.ask("POST", "/pks/add", body)


async def told(node: SimulatedNode, target: str) -> tuple[int, str | None, str]:
    reply = await node.http.ask("GET", target)
    return reply.status, reply.headers.get("retry-after"), reply.text


@pytest.mark.slow
async def test_probes_say_how_far_it_is() -> None:
    slow = Slow()
    async with starting(slow) as node:
        for door in (node.http, node.metrics):
            assert (await door.ask("GET", "/healthz")).status == 200
            slow.done = 12_000
            ready = await door.ask("GET", "/readyz")
            assert (ready.status, ready.headers["retry-after"], ready.text) == (
                503,
                "2",
                "not ready: shard-0 is bringing the index up, 12,000 of 40,000 versions\n",
            )
        slow.may_finish()
        await anyio.sleep(0.1)
        for door in (node.http, node.metrics):
            assert (await door.ask("GET", "/readyz")).status == 200


async def test_clients_are_told_to_come_back_but_for_fingerprints() -> None:
    slow = Slow()
    async with starting(slow) as node:
        begun = anyio.current_time()
        assert (await node.http.ask("GET", BY_NAME)).status == 200
        for target in (BY_TEXT, "/pks/stats"):
            assert await told(node, target) == (503, "10", NOT_UP)
        refused = await submit(node)
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert anyio.current_time() == begun, "at once"
        slow.may_finish()
        await anyio.sleep(0.1)
        assert (await submit(node)).status == 200
        for target in (BY_NAME, BY_TEXT, "/pks/stats"):
            assert (await node.http.ask("GET", target)).status == 200
        assert node.log.events("request failed by a bug") == []
        assert node.log.events("actor ended") == []


async def test_before_its_fingerprints_are_listed_it_knows_nothing() -> None:
    async with starting(Slow(knows_names=False)) as node:
        assert await told(node, BY_NAME) == (503, "10", NOT_UP)


async def test_in_the_first_second_requests_wait() -> None:
    slow = Slow(knows_names=False)
    settings = Settings(storage=StorageSettings(shards=1))
    async with (
        simulated_node(settings, stores=[slow.open]) as node,
        anyio.create_task_group() as tg,
    ):

        async def ask(target: str) -> None:
            assert (await node.http.ask("GET", target)).status == 200

        for target in (BY_NAME, BY_TEXT, "/readyz"):
            tg.start_soon(ask, target)
        await anyio.sleep(0.9)
        slow.may_finish()


async def test_what_starts_says_in_the_log_how_far_it_is() -> None:
    slow = Slow()
    settings = Settings(storage=StorageSettings(shards=1))
    async with simulated_node(settings, stores=[slow.open]) as node:
        await anyio.sleep(1.5)
        slow.done = 20_000
        await anyio.sleep(10)
        slow.may_finish()
        await anyio.sleep(0.1)
        lines = [line.facts for line in node.log.events("store starting")]
        assert lines == [
            {"child": "shard-0", "progress": f"bringing the index up, {done} of 40,000 versions"}
            for done in ("0", "20,000")
        ]
        assert [line.facts for line in node.log.events("store started")] == [{"child": "shard-0"}]


async def test_a_store_that_is_up_at_once_is_not_worth_a_word() -> None:
    async with simulated_node() as node:
        await anyio.sleep(60)
        assert node.log.events("store starting") == node.log.events("store started") == []


@pytest.mark.slow
async def test_a_start_can_be_stopped_at_any_time() -> None:
    slow = Slow()
    async with starting(slow) as node:
        begun = anyio.current_time()
    assert anyio.current_time() == begun
    assert slow.is_closed
    assert [line.facts["reason"] for line in node.log.events("actor ended")] != []
    assert not [line for line in node.log.lines if line.level == "error"]


async def test_without_room_it_serves_what_it_can_and_goes_on_by_itself() -> None:
    slow = Slow()
    slow.lacks_room = True
    async with starting(slow) as node:
        assert (await node.http.ask("GET", BY_NAME)).status == 200
        assert (await submit(node)).status == 507
        assert (await told(node, BY_TEXT))[0] == 503
        ready = await node.http.ask("GET", "/readyz")
        assert ready.status == 503
        assert ready.text.endswith("versions; the disk is full: free some space\n")
        (line, *_) = node.log.events("store starting")
        assert line.level == "warning"
        assert 700 < slow.tries < 730, "every five seconds"
        slow.lacks_room = False
        slow.may_finish()
        await anyio.sleep(6)
        assert (await submit(node)).status == 200
        assert (await node.http.ask("GET", "/readyz")).status == 200
        assert node.log.events("actor ended") == []


@pytest.mark.slow
async def test_metrics_leave_out_what_is_not_up() -> None:
    slow = Slow()
    async with starting(slow) as node:
        metrics = await node.metrics.ask("GET", "/metrics")
        assert metrics.status == 200
        assert 'keygrove_shard_certificates{shard="0"}' not in metrics.text
        assert "keygrove_faults_total" in metrics.text
