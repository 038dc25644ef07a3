"""A reader that is stuck: logs stop growing, whoever writes waits, and goes on when it is gone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from keygrove.ports import SqlSession
from keygrove.storage import moving
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import WAL_BYTES, SqliteStore
from keygrove_chaos.certificates import large, made, put_of
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.anyio

FOLDER = "shard-0"
HEAP, INDEX = f"{FOLDER}/heap.db", f"{FOLDER}/index.db"
LOG_BYTES = 1 << 20
"""In place of what a log may have."""
FRAME_BYTES = 8192 + 24


class Files:
    """A shard's, on a disk of their own."""

    def __init__(self) -> None:
        timeline = SeededTimeline(0)
        self._disk = Disk(timeline, "node")
        self._databases = SimulatedDatabases(timeline, "node", self._disk.boot(), timeline.now)

    @asynccontextmanager
    async def store(self) -> AsyncGenerator[SqliteStore, None]:
        home, turns = Home(FOLDER, "0/1", bytes(16)), anyio.Semaphore(1)
        async with open_store(self._databases, home, turns, durable=True) as opening:
            yield await opening.finish()

    @asynccontextmanager
    async def stuck(self, path: str) -> AsyncGenerator[None, None]:
        """Somebody reads a file, and does not come to an end."""
        async with self._databases.open(path, writable=False) as reader:
            await reader.run(look)
            yield

    def log_bytes(self, path: str) -> int:
        return len(self._disk.names.files()[f"{path}-wal"].cache)

    def close(self) -> None:
        self._disk.kill()
        self._databases.close()


def look(db: SqlSession) -> None:
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()


@asynccontextmanager
async def files() -> AsyncGenerator[Files, None]:
    some = Files()
    try:
        yield some
    finally:
        some.close()


class Writer:
    """Commits for as long as it may."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._put = put_of(large(1, 20_000))
        self.name = self._put.fingerprint
        self.commits = 0

    async def run(self) -> None:
        while True:
            await self._store.commit([msgspec.structs.replace(self._put, at=self.commits + 1)])
            self.commits += 1
            await anyio.sleep(0.5)

    async def until_held(self) -> int:
        """How many it made, when it makes no more."""
        for _ in range(10):
            before = self.commits
            await anyio.sleep(60.0)
            if before == self.commits:
                return before
        raise AssertionError("it never waits")


@pytest.fixture(autouse=True)
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "LOG_BYTES_MAX", LOG_BYTES)
    monkeypatch.setattr("keygrove.storage.sqlite.WAL_BYTES", LOG_BYTES // 4)


async def test_a_heap_whose_log_a_reader_holds_is_written_again_when_that_is_gone() -> None:
    async with files() as some, some.store() as store, anyio.create_task_group() as tasks:
        writer = Writer(store)
        tasks.start_soon(store.upkeep)
        async with some.stuck(HEAP):
            tasks.start_soon(writer.run)
            held = await writer.until_held()
            assert held > 10
            assert LOG_BYTES < some.log_bytes(HEAP) < 2 * LOG_BYTES
            (version,) = await store.get([writer.name])
            assert version is not None, "reads go on"
        await anyio.sleep(60.0)
        assert writer.commits > held
        tasks.cancel_scope.cancel()


async def test_an_index_whose_log_a_reader_holds_follows_when_that_is_gone() -> None:
    async with files() as some, some.store() as store, anyio.create_task_group() as tasks:
        writer = Writer(store)
        tasks.start_soon(store.upkeep)
        tasks.start_soon(writer.run)
        async with some.stuck(INDEX):
            await anyio.sleep(240.0)
            size, commits = some.log_bytes(INDEX), writer.commits
            await anyio.sleep(60.0)
            assert LOG_BYTES < size == some.log_bytes(INDEX) < 2 * LOG_BYTES
            assert writer.commits > commits, "the heap is written still"
        await anyio.sleep(60.0)
        assert some.log_bytes(INDEX) < LOG_BYTES
        tasks.cancel_scope.cancel()


async def test_small_commits_do_not_make_a_long_log() -> None:
    async with files() as some, some.store() as store:
        put = put_of(made(1))
        for at in range(200):
            await store.commit([msgspec.structs.replace(put, at=at + 1)])
            assert some.log_bytes(HEAP) < 2 * LOG_BYTES
    assert put.size * 200 < LOG_BYTES // 4 < WAL_BYTES
