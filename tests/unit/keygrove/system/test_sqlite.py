"""Which SQLite this is, and what it says when it cannot."""

import sqlite3
import threading
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from keygrove.errors import StoreError
from keygrove.ports import SqlSession
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
