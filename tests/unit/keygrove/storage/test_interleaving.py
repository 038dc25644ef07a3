"""Commits, flushes, checkpoints and readers in each other's way, on SQLite as it is in production.

SQLite before 3.51.3 loses pages where two connections checkpoint and commit ("WAL-reset bug",
sqlite.org/wal.html). Here each file is checkpointed at each commit and each flush, its log begins
anew all the time, and other connections come, read and go meanwhile.
"""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import pytest

from keygrove.points import ARMED
from keygrove.storage.fsck.checking import Subject, check_shard
from keygrove.storage.fsck.findings import Level
from keygrove.storage.fsck.tell import untold
from keygrove.storage.memory import MemoryStore
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import CertificateStore
from keygrove.storage.write import Put
from keygrove.system.rawfiles import RawFiles
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, made, put_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FOLDER = "shard-0"
COMMITS = 150
KEYS = 40
READERS = 3


class Checkpoints:
    """See `points.Points`: before each commit the log is moved into the heap."""

    def __init__(self) -> None:
        self.moved = 0

    def fires(self, name: str) -> bool:
        return name == "heap.checkpoint"

    def crash(self, name: str) -> None:
        self.moved += name == "heap.checkpoint"

    def reached(self, name: str) -> None:
        pass


@pytest.fixture
async def points() -> AsyncGenerator[Checkpoints, None]:
    some = Checkpoints()
    token = ARMED.set(some)
    yield some
    ARMED.reset(token)


@asynccontextmanager
async def opened(root: Path) -> AsyncGenerator[SqliteStore, None]:
    home, turns = Home(FOLDER, "0/1", bytes(16)), anyio.Semaphore(1)
    async with open_store(SqliteFiles(root), home, turns, durable=True) as opening:
        yield await opening.finish()


def batches(seed: int) -> list[list[Put]]:
    """What is committed: new versions of a few certificates."""
    chance = Random(seed)
    return [
        [
            put_of(made(number, f"Name {at}", signatures=chance.randint(0, 3)), CREATED + at)
            for number in sorted(chance.sample(range(KEYS), chance.randint(1, 6)))
        ]
        for at in range(COMMITS)
    ]


def look(path: Path, changes: int) -> int:
    """Read all of a file in one transaction, as another program would; the newest commit seen."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)) as db:
        db.execute("BEGIN")
        newest: int = db.execute("SELECT coalesce(max(n), 0) FROM head").fetchone()[0]
        assert newest >= changes, "what was acknowledged before is there"
        rows, heads = db.execute("SELECT max(seq), (SELECT max(seq) FROM head) FROM obj").fetchone()
        assert rows == heads, "no commit is there in half"
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
        return newest


async def everything(store: CertificateStore) -> object:
    page = await store.page(None, 1_000)
    return store.head(), sorted(page.versions, key=lambda one: one.fingerprint)


async def read_on(store: SqliteStore, path: Path) -> None:
    while True:
        await anyio.to_thread.run_sync(look, path, store.counts().change)


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_though_all_of_them_meet(
    tmp_path: Path, points: Checkpoints, seed: int
) -> None:
    due = MemoryStore()
    heap = tmp_path / FOLDER / "heap.db"
    async with opened(tmp_path) as store, anyio.create_task_group() as tasks:
        await store.commit(first := batches(seed)[0])
        await due.commit(first)
        for _ in range(READERS):
            tasks.start_soon(read_on, store, heap)
        for at, batch in enumerate(batches(seed)[1:]):
            await store.commit(batch)
            await due.commit(batch)
            if at % 5 == 0:
                await store.settle()  # flushes, checkpoints both files, and empties their logs
        tasks.cancel_scope.cancel()
    assert points.moved > COMMITS // 2
    async with opened(tmp_path) as store:
        assert await everything(store) == await everything(due)
        await store.settle()
    subject = Subject(SqliteFiles(tmp_path), RawFiles(tmp_path), FOLDER, 0, 1, is_live=False)
    checked = await check_shard(subject, Level.HISTORY, untold)
    assert (checked.findings.all(), checked.skipped) == ([], ())


def remove(index: Path, *, has_log: bool) -> None:
    """Without its log, or with it."""
    index.unlink(missing_ok=True)
    if not has_log:
        Path(f"{index}-wal").unlink(missing_ok=True)


@pytest.mark.parametrize("has_log", [False, True], ids=["with its log", "its log stays"])
async def test_an_index_may_go_at_any_moment(tmp_path: Path, *, has_log: bool) -> None:
    """While it is open, or between two lives; alone, or with its log."""
    due, chance = MemoryStore(), Random(7)
    index = tmp_path / FOLDER / "index.db"
    some = batches(3)[:60]
    while some:
        async with opened(tmp_path) as store:
            assert await everything(store) == await everything(due)
            lasts, gone = chance.randint(1, 10), chance.randint(0, 10)
            for at, batch in enumerate(some[:lasts]):
                await store.commit(batch)
                await due.commit(batch)
                if chance.random() < 0.4:
                    await store.settle()
                if at == gone:
                    remove(index, has_log=True)
            some = some[lasts:]
        remove(index, has_log=has_log)
