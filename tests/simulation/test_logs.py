"""A reader that is stuck: logs stop growing, whoever writes waits, and goes on when it is gone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from keygrove.ports import SqlSession
from keygrove.storage import wal
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove_chaos.certificates import made, put_of
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


async def test_small_commits_do_not_make_a_long_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", LOG_BYTES // 4)
    async with files() as some, some.store() as store:
        put = put_of(made(1))
        for at in range(200):
            await store.commit([msgspec.structs.replace(put, at=at + 1)])
            assert some.log_bytes(HEAP) < 2 * LOG_BYTES
    assert put.size * 200 < LOG_BYTES // 4, "what is stored alone would not be long"
