"""Which SQLite this is, and what it says when it cannot."""

import errno
import os
import sqlite3
import threading
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from keygrove.errors import StoreError
from keygrove.ports import SqlSession
from keygrove.storage import heap
from keygrove.system.sqlite import SqliteFiles, has_reset_bug
from tests.processes import PATIENCE_S

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize(
    ("version", "has_bug"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
    ids=str,
)
def test_versions_with_the_reset_bug_are_known(
    version: tuple[int, int, int], *, has_bug: bool
) -> None:
    assert has_reset_bug(version) is has_bug


def test_the_engine_names_its_version_and_its_bug(tmp_path: Path) -> None:
    assert SqliteFiles(tmp_path).engine.startswith("SQLite 3.")


@pytest.mark.anyio
async def test_files_that_cannot_be_opened_are_the_stores_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    files = SqliteFiles(tmp_path)
    for path, writable in (("taken/heap.db", True), ("none/heap.db", False)):
        with pytest.raises(StoreError, match="cannot open"):
            async with files.open(path, writable=writable):
                pass


@pytest.mark.anyio
async def test_work_that_may_be_stopped_ends_with_whoever_asked(tmp_path: Path) -> None:
    begun, ends = threading.Event(), list[str]()

    def count(db: SqlSession) -> None:
        begun.set()
        try:
            db.execute(ENDLESS).fetchone()
        except sqlite3.OperationalError as error:
            ends.append(str(error))
            raise

    async with SqliteFiles(tmp_path).open("some.db") as db:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(db.run, count, can_stop=True))
            assert await anyio.to_thread.run_sync(begun.wait, PATIENCE_S)
            tasks.cancel_scope.cancel()
        assert ends == ["interrupted"]
        assert await db.run(lambda s: s.execute("SELECT 1").fetchone()) == (1,)


@pytest.mark.anyio
async def test_work_that_may_be_stopped_before_it_begins_does_not_begin_to_last(
    tmp_path: Path,
) -> None:
    """Its caller is cancelled while the thread is at other work."""
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: SqlSession) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    async with SqliteFiles(tmp_path).open("some.db") as db, anyio.create_task_group() as others:
        others.start_soon(db.run, wait)
        assert await anyio.to_thread.run_sync(begun.wait, PATIENCE_S)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                partial(db.run, lambda s: s.execute(ENDLESS).fetchone(), can_stop=True)
            )
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            go_on.set()


def write(db: SqlSession) -> None:
    heap.set_up(db, durable=True)
    db.execute("CREATE TABLE some (value)")


@pytest.mark.anyio
async def test_a_log_is_made_durable_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, log = SqliteFiles(tmp_path), tmp_path / "shard" / "some.db-wal"
    async with files.open("shard/some.db") as db:
        await db.run(write)
    before, synchronised = log.read_bytes(), list[int]()
    sync = os.fsync

    def seen(file: int) -> None:
        synchronised.append(os.fstat(file).st_ino)
        sync(file)

    monkeypatch.setattr(os, "fsync", seen)
    async with files.open("shard/some.db"):
        assert log.stat().st_ino in synchronised
    assert log.read_bytes() == before


@pytest.mark.anyio
async def test_a_file_whose_log_cannot_be_made_durable_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SqliteFiles(tmp_path)
    async with files.open("some.db") as db:
        await db.run(write)
    log = (tmp_path / "some.db-wal").stat().st_ino

    def fail(file: int) -> None:
        if os.fstat(file).st_ino == log:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match=r"cannot open .*some\.db: .*Input/output error"):
        async with files.open("some.db"):
            pass
    async with files.open("some.db", writable=False) as db:  # who only reads changes nothing
        assert await db.run(lambda s: s.execute("SELECT count(*) FROM some").fetchone()) == (0,)
