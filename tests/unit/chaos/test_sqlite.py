"""Databases on a simulated disk: what work costs, what fails it, and what is left of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from keygrove.errors import DamagedError, DiskFullError, StoreError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage.heap import empty_log
from keygrove_chaos.disk import Disk
from keygrove_chaos.disk_faults import (
    DiskFault,
    Eio,
    Enospc,
    Erofs,
    Operation,
    Rot,
    Slow,
    Stall,
)
from keygrove_chaos.sqlite import SimulatedDatabases
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.anyio

TIMELINE = SeededTimeline(0)


@asynccontextmanager
async def life(disk: Disk) -> AsyncGenerator[SimulatedDatabases, None]:
    databases = SimulatedDatabases(TIMELINE, "node", disk.boot(), TIMELINE.now)
    try:
        yield databases
    finally:
        databases.close()


@asynccontextmanager
async def opened(disk: Disk) -> AsyncGenerator[SqlDatabase, None]:
    async with life(disk) as databases, databases.open("s/a.db") as db:
        await db.run(prepare)
        yield db


def prepare(db: SqlSession) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE IF NOT EXISTS t (n)")


def insert(db: SqlSession) -> int:
    db.execute("INSERT INTO t VALUES (1)")
    return count(db)


def count(db: SqlSession) -> int:
    return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def new_disk() -> Disk:
    return Disk(TIMELINE, "node")


async def test_work_takes_as_long_as_its_disk() -> None:
    disk = new_disk()
    async with opened(disk) as db:
        disk.push("f", Slow(operations=(Operation.SYNC,), delay_s=5.0))
        start = trio.current_time()
        assert await db.run(insert) == 1
        assert trio.current_time() - start >= 5.0


async def test_others_go_on_while_the_disk_hangs_and_see_what_was_done() -> None:
    disk = new_disk()
    async with life(disk) as databases, databases.open("s/a.db") as db:
        await db.run(prepare)
        disk.push("f", Stall(delay_s=30.0))
        async with (
            databases.open("s/a.db", writable=False) as reader,
            trio.open_nursery() as nursery,
        ):
            start = trio.current_time()
            nursery.start_soon(db.run, insert)
            await trio.sleep(1)
            assert await reader.run(count) == 1
            assert trio.current_time() - start == 1
        assert trio.current_time() - start >= 30.0


async def test_work_is_done_in_the_order_asked_even_if_nobody_waits_for_it_any_more() -> None:
    disk, done = new_disk(), list[str]()

    async def work(db: SqlDatabase, name: str) -> None:
        def note(session: SqlSession) -> None:
            insert(session)
            done.append(name)

        await db.run(note)

    async with opened(disk) as db, trio.open_nursery() as nursery:
        disk.push("f", Stall(delay_s=30.0))
        for name in ("first", "cancelled", "last"):
            with trio.move_on_after(1 if name == "cancelled" else float("inf")):
                if name == "cancelled":
                    await work(db, name)
                else:
                    nursery.start_soon(work, db, name)
                    await trio.sleep(1)
        assert done == ["first"]
    assert done == ["first", "cancelled", "last"]


async def test_closing_waits_for_a_disk_that_hangs() -> None:
    disk = new_disk()
    async with opened(disk) as db:
        start = trio.current_time()
        disk.push("f", Stall(delay_s=30.0))
        with trio.move_on_after(1):
            await db.run(insert)
    assert trio.current_time() - start > 30


async def test_a_transaction_that_work_does_not_finish_is_undone() -> None:
    def half(db: SqlSession) -> None:
        db.execute("BEGIN")
        insert(db)
        raise KeyError

    async with opened(new_disk()) as db:
        with pytest.raises(KeyError):
            await db.run(half)
        assert await db.run(insert) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Enospc(), DiskFullError),
        (Enospc(is_quota=True), StoreError),
        (Eio(operation=Operation.WRITE), StoreError),
        (Eio(operation=Operation.SYNC), StoreError),
        (Erofs(), StoreError),
    ],
    ids=["full", "quota", "write", "sync", "read-only"],
)
async def test_faults_are_the_products_errors(fault: DiskFault, error: type[Exception]) -> None:
    disk = new_disk()
    async with opened(disk) as db:
        disk.push("f", fault)
        with pytest.raises(error):
            await db.run(insert)
        assert disk.pop("f") > 0
        assert await db.run(insert) == 1


async def test_a_write_that_fails_where_there_is_little_room_means_a_full_disk() -> None:
    disk = new_disk()
    async with opened(disk) as db:
        disk.push("room", Enospc(capacity_bytes=disk.used_bytes + 100_000))
        disk.push("f", Eio(operation=Operation.WRITE))
        with pytest.raises(DiskFullError, match=r"a\.db"):
            await db.run(insert)


async def test_what_cannot_be_read_or_is_not_what_was_written_is_damaged() -> None:
    disk = new_disk()
    async with opened(disk) as db:
        await db.run(insert)
        await db.run(empty_log)
    async with life(disk) as databases, databases.open("s/a.db") as db:
        disk.push("f", Eio(operation=Operation.READ))
        with pytest.raises(DamagedError):
            await db.run(count)
        disk.pop("f")
        assert await db.run(count) == 1
    disk.push("rot", Rot(bits=3000, path="*/a.db", first_byte=100))
    async with life(disk) as databases:
        with pytest.raises(DamagedError):
            async with databases.open("s/a.db") as db:
                await db.run(count)


async def test_what_cannot_be_opened_is_the_stores_fault() -> None:
    disk = new_disk()
    async with life(disk) as databases:
        for path, attached in (("none/a.db", None), ("s/b.db", "none/a.db")):
            with pytest.raises(StoreError, match="cannot open"):
                async with databases.open(path, attached=attached, writable=False):
                    pass


async def test_a_life_that_ends_while_the_disk_is_at_work_gets_no_answer() -> None:
    disk = new_disk()
    async with opened(disk) as db:
        disk.push("f", Stall(delay_s=30.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_after_10_s, disk)
            with pytest.raises(StoreError, match="dead"):
                await db.run(insert)
        with pytest.raises(StoreError):
            await db.run(insert)
    async with opened(disk) as db:
        assert await db.run(count) == 1


async def fail_after_10_s(disk: Disk) -> None:
    await trio.sleep(10)
    disk.crash()


async def test_a_removed_file_is_gone_with_its_log() -> None:
    disk = new_disk()
    async with life(disk) as databases, databases.open("s/a.db") as db:
        await db.run(prepare)
        disk.kill()
    async with life(disk) as databases:
        await databases.remove("s/a.db")
        await databases.remove("s/a.db")
        async with databases.open("s/a.db") as db:
            assert await db.run(lambda s: s.execute("SELECT 1 FROM sqlite_master").fetchall()) == []
