"""The actor that watches the disk: what is refused when, and that it heals."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.http.orders import FROZEN, FULL
from keygrove.ingest.messages import INGEST, IngestApi, Load, Submitted, Unwritable
from keygrove.ports import Room
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import NoSpace
from keygrove.storage.space import (
    CRITICAL_BYTES,
    LOOK_S,
    LOW_BYTES,
    MARGIN,
    RESERVE_BYTES,
    SPACE,
    GetSpace,
    Level,
    MakeRoom,
    SpaceApi,
    SpaceStatus,
    level_of,
    marks_of,
)
from keygrove.storage.store import Opened, Opening, Progress
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Hkp
from keygrove_chaos.node import SimulatedNode, simulated_node, simulated_ports
from keygrove_chaos.stores import HookedStore
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio

TOTAL = 1 << 40
MIB = 1 << 20


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


class Disk:
    """See `ports.Volume`: as much room as a test says, less what is kept in reserve."""

    def __init__(self, spare: int = TOTAL // 2) -> None:
        self.spare = spare
        self.reserved = 0
        self.is_read_only = False
        self.has_quota = False
        self.sync_time_s = 0.001
        self.looks = 0

    async def measure(self) -> Room:
        """See `ports.Volume`."""
        self.looks += 1
        return Room(self.spare - self.reserved, TOTAL, self.reserved, self.is_read_only)

    async def reserve(self, size_bytes: int) -> None:
        """See `ports.Volume`."""
        if self.has_quota:
            raise DiskFullError("reserve")
        self.reserved = size_bytes

    async def release(self) -> None:
        """See `ports.Volume`."""
        if self.is_read_only:
            raise StoreError("read-only")
        self.reserved = 0

    async def sync_s(self, times: int) -> float:
        """See `ports.Volume`."""
        assert times == 50
        return self.sync_time_s


class Site:
    """A disk, and a store on it that does what a test says."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.store = MemoryStore()
        self.commits_that_fail = 0
        self.commits = 0

    async def _before(self, operation: str) -> None:
        if operation == "commit":
            self.commits += 1
            if self.commits <= self.commits_that_fail:
                raise DiskFullError("heap.db")

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Opening, None]:
        yield Opened(HookedStore(self.store, before=self._before))

    @asynccontextmanager
    async def node(self) -> AsyncGenerator[SimulatedNode, None]:
        settings = Settings(storage=StorageSettings(shards=1))
        ports = simulated_ports(volume=self.disk)
        async with simulated_node(settings, stores=[self.open], ports=ports) as node:
            yield node

    async def has(self, node: SimulatedNode, spare: int) -> SpaceStatus:
        """What the actor says after it looked at a disk with so much left."""
        self.disk.spare = spare
        looks = self.disk.looks
        while self.disk.looks < looks + 3:  # noqa: ASYNC110 - no time is real
            await anyio.sleep(LOOK_S)
        return await status(node)


async def status(node: SimulatedNode) -> SpaceStatus:
    return await node.runtime.whereis(SPACE, SpaceApi).call(GetSpace(), timeout=1.0)


async def put(node: SimulatedNode, number: int) -> int:
    return (await Hkp(node.http.ask).put(armored(made(number, f"n{number}")))).status


async def load(node: SimulatedNode, number: int) -> object:
    ingest = node.runtime.whereis(INGEST, IngestApi)
    return await ingest.call(Load((to_bytes(made(number, f"n{number}")),)), timeout=9.0)


def test_small_disks_have_small_marks() -> None:
    assert marks_of(100 * MIB).low_bytes == 5 * MIB
    assert marks_of(100 * MIB).critical_bytes == marks_of(100 * MIB).reserve_bytes == MIB
    large = marks_of(TOTAL)
    assert (large.low_bytes, large.critical_bytes) == (LOW_BYTES, CRITICAL_BYTES)
    assert large.reserve_bytes == RESERVE_BYTES


@pytest.mark.parametrize("held", [0, RESERVE_BYTES])
def test_the_reserve_is_no_room(held: int) -> None:
    def level(spare: int, before: Level = Level.ROOM) -> Level:
        return level_of(Room(spare + RESERVE_BYTES - held, TOTAL, held), before)

    assert level(LOW_BYTES) is Level.ROOM
    assert level(LOW_BYTES - 1) is Level.LOW
    assert level(CRITICAL_BYTES) is Level.LOW
    assert level(CRITICAL_BYTES - 1) is Level.CRITICAL
    for mark, below, above in (
        (LOW_BYTES, Level.LOW, Level.ROOM),
        (CRITICAL_BYTES, Level.CRITICAL, Level.LOW),
    ):
        assert level(mark + mark // MARGIN - 1, below) is below
        assert level(mark + mark // MARGIN, below) is above


def test_a_read_only_disk_is_that_whatever_its_room() -> None:
    assert level_of(Room(0, TOTAL, 0, is_read_only=True), Level.CRITICAL) is Level.READ_ONLY
    assert level_of(Room(TOTAL, TOTAL, 0), Level.READ_ONLY) is Level.ROOM


async def test_below_the_low_mark_loads_are_refused_and_submissions_taken() -> None:
    site = Site()
    async with site.node() as node:
        assert isinstance(await load(node, 1), Submitted)
        assert (await site.has(node, LOW_BYTES)).level is Level.LOW
        assert await load(node, 2) == NoSpace()
        assert isinstance(await load(node, 1), Submitted), "what is known costs no room"
        assert await put(node, 3) == 200
        ready = await node.http.ask("GET", "/readyz")
        assert (ready.status, ready.text.splitlines()[-1]) == (
            200,
            "degraded: disk low: loads are refused",
        )
        metrics = (await node.metrics.ask("GET", "/metrics")).text
        assert "keygrove_disk_refuses_loads 1.0" in metrics
        assert "keygrove_disk_refuses_submissions 0.0" in metrics
        assert site.disk.reserved == RESERVE_BYTES
        assert (await site.has(node, TOTAL // 2)).level is Level.ROOM
        assert isinstance(await load(node, 2), Submitted)
        assert "degraded" not in (await node.http.ask("GET", "/readyz")).text
    told = [(line.level, line.facts["room"]) for line in node.log.events("disk room changed")]
    assert told == [("warning", "low"), ("info", "room")]


async def test_below_the_critical_mark_submissions_are_refused_before_they_are_read() -> None:
    site = Site()
    async with site.node() as node:
        assert await put(node, 1) == 200
        assert (await site.has(node, CRITICAL_BYTES)).level is Level.CRITICAL
        assert site.disk.reserved == 0
        assert await put(node, 2) == 507
        assert await load(node, 3) == NoSpace()
        looked_into = len(node.log.events("submission looked into"))
        assert (await node.http.ask("POST", "/pks/add", b"nonsense")).status == 507
        assert len(node.log.events("submission looked into")) == looked_into
        assert (await Hkp(node.http.ask).get(fingerprint(made(1)).hex())).status == 200
        block = {"action": "block", "fingerprints": [fingerprint(made(1)).hex()]}
        answer = await node.control.ask("POST", "/admin", msgspec.json.encode(block))
        assert answer.status == 200
        assert (await Hkp(node.http.ask).get(fingerprint(made(1)).hex())).status == 404
        assert (await site.has(node, TOTAL // 2)).level is Level.ROOM
        assert site.disk.reserved == RESERVE_BYTES
        assert await put(node, 2) == 200


async def test_a_read_only_disk_is_told_to_submitters_and_probes() -> None:
    site = Site()
    async with site.node() as node:
        site.disk.is_read_only = True
        assert (await site.has(node, TOTAL // 2)).level is Level.READ_ONLY
        reply = await Hkp(node.http.ask).put(armored(made(1, "n1")))
        assert (reply.status, reply.headers["retry-after"]) == (503, "60")
        assert await load(node, 1) == Unwritable()
        assert not await node.runtime.whereis(SPACE, SpaceApi).call(MakeRoom(), timeout=1.0)
        assert "degraded: read-only" in (await node.http.ask("GET", "/readyz")).text
        site.disk.is_read_only = False
        assert (await site.has(node, TOTAL // 2)).level is Level.ROOM
        assert await put(node, 1) == 200


async def test_a_commit_that_meets_the_end_of_the_disk_gets_the_reserve() -> None:
    site = Site()
    site.commits_that_fail = 1
    async with site.node() as node:
        assert site.disk.reserved == RESERVE_BYTES
        assert await put(node, 1) == 200
        assert site.commits == 2
        assert site.disk.reserved == 0
        assert (await status(node)).level is Level.CRITICAL
        assert await put(node, 2) == 507
        assert (await site.has(node, TOTAL // 2)).level is Level.ROOM
        assert await put(node, 2) == 200


async def test_the_reserve_is_given_once() -> None:
    site = Site()
    site.commits_that_fail = 2
    async with site.node() as node:
        assert await put(node, 1) == 507
        assert site.commits == 2
        assert node.log.events("actor ended") == []


async def test_an_administrator_is_told_to_make_room_and_not_to_go_elsewhere() -> None:
    site = Site()
    async with site.node() as node:
        assert await put(node, 1) == 200
        site.commits_that_fail = site.commits + 100
        wanted = {"action": "block", "fingerprints": [fingerprint(made(1)).hex()]}
        told = await node.control.ask("POST", "/admin", msgspec.json.encode(wanted))
        assert (told.status, told.text.strip()) == (507, FULL)
        assert "elsewhere" not in told.text


class Frozen(Opened):
    """An opening of a store whose disk is read-only."""

    def progress(self) -> Progress:
        return Progress("read-only", 0, 0, is_read_only=True)


async def test_an_administrator_is_told_to_have_the_disk_written_again() -> None:
    store = MemoryStore()
    store.is_read_only = True

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Opening, None]:
        yield Frozen(store)

    settings = Settings(storage=StorageSettings(shards=1))
    async with simulated_node(settings, stores=[opened]) as node:
        wanted = {"action": "block", "fingerprints": [fingerprint(made(1)).hex()]}
        told = await node.control.ask("POST", "/admin", msgspec.json.encode(wanted))
        assert (told.status, told.text.strip()) == (503, FROZEN)
        assert (await put(node, 1)) == 503


async def test_without_room_for_the_reserve_there_is_none() -> None:
    """As under a quota that the disk's figures do not show."""
    site = Site()
    site.disk.has_quota = True
    async with site.node() as node:
        assert (await status(node)).level is Level.CRITICAL
        assert await put(node, 1) == 507
        site.disk.has_quota = False
        assert (await site.has(node, TOTAL // 2)).level is Level.ROOM
        assert await put(node, 1) == 200


@pytest.mark.parametrize(("sync_s", "warnings"), [(19e-6, 1), (20e-6, 0)])
async def test_a_disk_that_synchronises_too_fast_is_told(sync_s: float, warnings: int) -> None:
    site = Site()
    site.disk.sync_time_s = sync_s
    async with site.node() as node:
        await anyio.sleep(LOOK_S)
        assert (await status(node)).sync_s == sync_s
        assert len(node.log.events("disk does not seem to synchronise")) == warnings
        metrics = (await node.metrics.ask("GET", "/metrics")).text
        assert f"keygrove_disk_sync_seconds {sync_s}" in metrics


async def test_the_disk_is_not_asked_for_each_request() -> None:
    site = Site()
    async with site.node() as node:
        looks = site.disk.looks
        for number in range(20):
            assert await put(node, number) == 200
        assert site.disk.looks == looks
