"""SQLite files on a disk without a free block: what was there is read, and writing says why not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keygrove.errors import DiskFullError
from keygrove.ports import SqlSession
from keygrove.storage.heap import empty_log
from keygrove.system.sqlite import SqliteFiles
from tests.small_disk import SmallDisk, mounted

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 4 << 20) as found:
        yield found


def fill_in(db: SqlSession) -> None:
    db.execute("PRAGMA main.journal_mode = WAL").fetchall()
    db.execute("CREATE TABLE t (b BLOB)")
    db.execute("INSERT INTO t VALUES (zeroblob(9000))")


def insert(db: SqlSession) -> None:
    db.execute("INSERT INTO t VALUES (zeroblob(90000))")


def count(db: SqlSession) -> int:
    number: int = db.execute("SELECT count(*) FROM t").fetchone()[0]
    return number


async def test_a_file_without_its_log_is_read_on_a_full_disk_and_written_again_with_room(
    disk: SmallDisk,
) -> None:
    files = SqliteFiles(disk.path)
    async with files.open("s/a.db") as db:
        await db.run(fill_in)
        await db.run(empty_log)
    for suffix in ("-wal", "-shm"):
        (disk.path / "s" / f"a.db{suffix}").unlink()
    disk.fill()
    async with files.open("s/a.db") as db, files.open("s/a.db", writable=False) as reader:
        assert await db.run(count) == await reader.run(count) == 1
        with pytest.raises(DiskFullError, match=r"a\.db"):
            await db.run(insert)
        disk.free()
        await db.run(insert)
        assert await reader.run(count) == 2


async def test_a_new_file_is_refused_for_want_of_room(disk: SmallDisk) -> None:
    disk.fill()
    with pytest.raises(DiskFullError, match=r"a\.db"):
        async with SqliteFiles(disk.path).open("s/a.db") as db:
            await db.run(fill_in)
