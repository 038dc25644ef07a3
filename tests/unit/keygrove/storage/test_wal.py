"""A log does not grow for as long as somebody reads."""

import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import follower, heap
from keygrove.storage.wal import CHECKPOINT_BYTES, LOG_BYTES_MAX, Wal
from keygrove.system.sqlite import SqliteFiles
from tests.processes import PATIENCE_S

pytestmark = pytest.mark.anyio

OCTETS_MAX = 1 << 20
PART = 1 << 17


def write(db: SqlSession) -> None:
    db.execute("INSERT INTO noise VALUES (randomblob(?))", (PART,))


def create(db: SqlSession) -> None:
    heap.set_up(db, durable=False)
    db.execute("CREATE TABLE noise (v BLOB)")


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncGenerator[SqlDatabase, None]:
    async with SqliteFiles(tmp_path).open("some.db") as db:
        await db.run(create)
        yield db


async def fill(wal: Wal, writer: SqlDatabase, times: int) -> None:
    for _ in range(times):
        await wal.room()
        await writer.run(write)
        wal.wrote(CHECKPOINT_BYTES + 1)


def test_a_log_is_shorter_than_256_mib() -> None:
    assert LOG_BYTES_MAX + CHECKPOINT_BYTES <= 256 << 20
    assert 2 * follower.LOG_BYTES_MAX <= 256 << 20, "a flush adds much at once"


async def test_a_log_stays_short_where_nobody_reads_it(writer: SqlDatabase, tmp_path: Path) -> None:
    await fill(Wal(writer, "some.db", octets_max=OCTETS_MAX), writer, 4 * OCTETS_MAX // PART)
    assert (tmp_path / "some.db-wal").stat().st_size < 2 * PART


async def test_nothing_is_written_while_a_long_log_is_read_and_afterwards_it_is(
    writer: SqlDatabase, tmp_path: Path
) -> None:
    wal = Wal(writer, "some.db", octets_max=OCTETS_MAX)
    log = tmp_path / "some.db-wal"
    await fill(wal, writer, 1)
    with closing(sqlite3.connect(f"file:{tmp_path}/some.db?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM noise").fetchone()
        with pytest.raises(DiskFullError, match=r"some\.db-wal: end the program"):
            await fill(wal, writer, 4 * OCTETS_MAX // PART)
        assert log.stat().st_size < OCTETS_MAX + 2 * PART
        with pytest.raises(DiskFullError):
            await wal.room()
    await wal.room()
    await fill(wal, writer, 1)


ENDLESS = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT max(n) FROM x"


def endless(db: SqlSession) -> object:
    return db.execute(ENDLESS).fetchone()


async def test_a_long_log_waits_for_a_reader_of_ours(writer: SqlDatabase, tmp_path: Path) -> None:
    wal = Wal(writer, "some.db", octets_max=OCTETS_MAX)
    await fill(wal, writer, 1)
    began = threading.Event()

    def hold(db: SqlSession) -> None:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM noise").fetchone()
        began.set()
        endless(db)

    async def read() -> None:
        async with SqliteFiles(tmp_path, read_s_max=0.2).open("some.db", writable=False) as reader:
            with pytest.raises(StoreError, match="took too long"):
                await reader.run(hold)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        assert await anyio.to_thread.run_sync(began.wait, PATIENCE_S)
        await fill(wal, writer, 4 * OCTETS_MAX // PART)
    assert (tmp_path / "some.db-wal").stat().st_size < 2 * OCTETS_MAX


async def test_a_reader_of_ours_ends_by_itself_and_can_be_used_again(
    writer: SqlDatabase, tmp_path: Path
) -> None:
    files = SqliteFiles(tmp_path, read_s_max=0.05)
    async with files.open("some.db", writable=False) as reader:
        with pytest.raises(StoreError, match="took too long"):
            await reader.run(endless)
        assert await reader.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)
    await fill(Wal(writer, "some.db"), writer, 1)
