"""The store on SQLite on a disk that fails now and then: what it acknowledged is there.

The n-th operation of a kind fails, for every n, while a store is made, filled and flushed;
then the power fails. Source: sqlite.org/testing.html, "I/O Error Testing".
"""

from contextlib import suppress

import pytest
from msgspec.structs import replace

from keygrove.errors import StoreError
from keygrove.ports import SqlSession
from keygrove.storage import heap
from keygrove_chaos.disk import Disk
from keygrove_chaos.disk_faults import (
    DiskFault,
    Eio,
    Enospc,
    Erofs,
    FsyncFail,
    Operation,
    Short,
    Slow,
    Torn,
)
from keygrove_chaos.sqlite import SimulatedDatabases
from tests.simulation.lives import Node
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.slow

TIMES_MAX = 400
"""More than a short life has operations of a kind."""
MEDDLING: dict[str, DiskFault] = {
    "read": Eio(operation=Operation.READ, chance=0.02),
    "write": Eio(operation=Operation.WRITE, chance=0.01),
    # Of files only: SQLite does not look whether a folder could be synchronised (test_vfs).
    "sync": Eio(operation=Operation.SYNC, path="*.db*", chance=0.03),
    "entry": Eio(operation=Operation.ENTRY, chance=0.03),
    "sync-drops": FsyncFail(times=None, chance=0.02),
    "sync-evicts": FsyncFail(times=None, chance=0.02, is_evicted=True),
    "full-at-times": Enospc(chance=0.02),
    "full": Enospc(capacity_bytes=200_000),
    "quota": Enospc(chance=0.02, is_quota=True),
    "read-only": Erofs(after=300),
    "short-writes": Short(chance=0.1),
    "short-reads": Short(operation=Operation.READ, chance=0.1),
    "slow": Slow(jitter_s=0.5),
    "torn": Torn(),
}
SEEDS = [range(2), pytest.param(range(2, 8), marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
@pytest.mark.parametrize("name", MEDDLING)
def test_a_disk_that_fails_now_and_then_loses_nothing(name: str, seeds: range) -> None:
    effect = 0
    for seed in seeds:
        node = Node(seed)
        node.disk.push(name, MEDDLING[name])
        node.run()
        effect += node.disk.pop(name)
    assert effect > 0


@pytest.mark.slow
def test_a_disk_of_any_size_that_fills_up_keeps_nothing_from_being_served() -> None:
    without = 0
    for kib in range(136, 360, 16):
        node = Node(kib)
        node.disk.push("full", Enospc(capacity_bytes=kib << 10))
        without += node.run_full(commits=40)
        assert node.disk.pop("full") > 0, "it was never full"
    assert without > 0


ONCE = [
    FsyncFail(),
    Eio(operation=Operation.SYNC, times=1),
    Eio(operation=Operation.WRITE, times=1),
]
NAMES = ["sync-drops", "sync", "write"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ONCE, ids=NAMES)
def test_any_one_failure_loses_nothing(fault: FsyncFail | Eio) -> None:
    for after in range(TIMES_MAX):
        node = Node(1)
        node.disk.push("once", replace(fault, after=after))
        node.run_once(commits=4)
        if not node.disk.effect("once"):
            assert after > 10
            return
    raise AssertionError("it never ends")


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ONCE, ids=NAMES)
async def test_a_file_gets_a_write_ahead_log_or_the_store_does_not_open(
    fault: FsyncFail | Eio,
) -> None:
    """Found by seed 59 under failing syncs: the pragma's commit had failed with nobody told."""
    for after in range(TIMES_MAX):
        timeline = SeededTimeline(0)
        disk = Disk(timeline, "node")
        disk.push("once", replace(fault, after=after))
        databases = SimulatedDatabases(timeline, "node", disk.boot(), timeline.now)
        with suppress(StoreError):
            async with databases.open("s/a.db") as db:
                await db.run(lambda session: heap.set_up(session, durable=True))
                assert await db.run(journal) == "wal", after
        databases.close()
        if not disk.effect("once"):
            assert after > 2
            return
    raise AssertionError("it never ends")


def journal(db: SqlSession) -> str:
    db.execute("CREATE TABLE t (n)")
    return str(db.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.mark.parametrize("seed", range(8))
def test_what_only_the_cache_had_after_a_failed_sync_is_written_anew(seed: int) -> None:
    """Seed 30870 under mixed faults: new commits stood behind frames that no medium had."""
    node = Node(seed)
    node.disk.push("once", FsyncFail(path="*/heap.db-wal", after=4))
    node.run_killed(commits=8)
    assert node.disk.pop("once") == 1
    node.run_once(commits=3)


@pytest.mark.parametrize("after", range(5, 12))
def test_what_was_read_after_a_failed_sync_is_there_after_a_power_cut(after: int) -> None:
    """Seed 896 of the nodes: it was moved into a file that the disk then read an old log over."""
    node = Node(1)
    node.disk.push("once", FsyncFail(path="*/heap.db-wal", after=after))
    node.run_killed(commits=12)
    assert node.disk.pop("once") == 1
    node.run_once(commits=0)
