"""Which SQLite this is, and what it says when it cannot."""

import errno
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from keygrove.errors import DiskFullError, StoreError, UnfitError
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


@contextmanager
def unprivileged() -> Generator[None, None, None]:
    """Root may read everything: then be nobody for a while, in all threads."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)


@pytest.mark.anyio
@pytest.mark.parametrize("writable", [True, False])
async def test_a_file_that_is_another_users_is_not_told_as_damaged(
    tmp_path: Path, *, writable: bool
) -> None:
    files = SqliteFiles(tmp_path)
    async with files.open("one.db") as db:
        await db.run(lambda session: session.execute("CREATE TABLE one (a)"))
    (tmp_path / "one.db").chmod(0)
    with unprivileged(), pytest.raises(UnfitError) as refused:
        async with files.open("one.db", writable=writable):
            pass
    said = str(refused.value)
    assert said.startswith(f"cannot open {tmp_path / 'one.db'}: Permission denied: run this as")


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
async def test_securing_writes_a_log_once_more_and_changes_nothing(
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
    await files.secure("shard/some.db")
    assert synchronised == [log.stat().st_ino]
    assert log.read_bytes() == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "raised"), [(errno.EIO, StoreError), (errno.ENOSPC, DiskFullError)]
)
async def test_a_log_that_cannot_be_secured_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raised: type[StoreError]
) -> None:
    files = SqliteFiles(tmp_path)
    await files.secure("some.db")  # there is no log yet, and nothing to do
    async with files.open("some.db") as db:
        await db.run(write)

    def fail(file: int) -> None:
        raise OSError(code, os.strerror(code), file)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(raised, match=r"some\.db-wal"):
        await files.secure("some.db")
