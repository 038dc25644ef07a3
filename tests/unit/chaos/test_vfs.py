"""SQLite's own code on a simulated disk: what a power cut costs it, and what it is told."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import apsw
import pytest

from keygrove_chaos.disk import Disk, Mount
from keygrove_chaos.disk_faults import (
    Eio,
    Enospc,
    Erofs,
    FsyncFail,
    FsyncLie,
    Operation,
    Short,
)
from keygrove_chaos.sqlite import Session
from keygrove_chaos.vfs import DiskVfs, close, code_of
from tests.simulation.timelines import SeededTimeline

PATH = "s/a.db"
ROW_BYTES = 700
OPERATIONS_MAX = 400
WALL_S = 1_800_000_000.0


@contextmanager
def vfs(mount: Mount, seed: int = 0) -> Generator[DiskVfs, None, None]:
    chance = SeededTimeline(seed).stream(f"sqlite:{mount.life}")
    one = DiskVfs(mount, "node", chance, lambda: WALL_S)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def connected(
    one: DiskVfs, synchronous: str = "FULL", *, is_exclusive: bool = True
) -> Generator[Session, None, None]:
    one.own_chance()
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    db = apsw.Connection(PATH, flags=flags, vfs=one.name)
    session = Session(db)
    try:
        if is_exclusive:
            session.execute("PRAGMA locking_mode = EXCLUSIVE")
        session.execute("PRAGMA journal_mode = WAL")
        session.execute(f"PRAGMA synchronous = {synchronous}")
        session.execute("PRAGMA wal_autocheckpoint = 20")
        yield session
    finally:
        close(db)


def new_mount(seed: int = 0, *, is_strict: bool = True) -> Mount:
    mount = Disk(SeededTimeline(seed), "node", is_strict=is_strict).boot()
    mount.make_folder("s")
    mount.sync_folder("")
    return mount


@pytest.fixture
def session() -> Iterator[tuple[Disk, Session]]:
    mount = new_mount()
    with vfs(mount) as one, connected(one) as db:
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
        yield mount.disk, db


# The tester is tested: chaos §1.6.


class Outcome(NamedTuple):
    acknowledged: int
    lost: int
    cannot_open: bool = False
    is_corrupt: bool = False


class Total(NamedTuple):
    acknowledged: int
    lost: int
    cannot_open: int
    corrupt: int


def acknowledged_until_cut(one: DiskVfs, synchronous: str, seed: int) -> int:
    chance, done = SeededTimeline(seed).stream("work"), 0
    one.disk.crash_in(chance.randint(1, OPERATIONS_MAX))
    try:
        with connected(one, synchronous) as db:
            db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
            while True:
                db.execute("INSERT INTO t VALUES (?, ?)", (done + 1, chance.randbytes(ROW_BYTES)))
                done += 1
    except apsw.Error:
        assert not one.disk.is_on
    return done


def looked_at(one: DiskVfs, synchronous: str, acknowledged: int) -> Outcome:
    try:
        with connected(one, synchronous) as db:
            is_corrupt = db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            rows = db.execute("SELECT n FROM t").fetchall() if tables else []
    except (apsw.CorruptError, apsw.NotADBError):
        return Outcome(acknowledged, acknowledged, is_corrupt=True)
    except apsw.Error:
        return Outcome(acknowledged, acknowledged, cannot_open=True)
    found = {n for (n,) in rows}
    lost = sum(n not in found for n in range(1, acknowledged + 1))
    return Outcome(acknowledged, lost, is_corrupt=is_corrupt)


def cycle(seed: int, synchronous: str, *, lies: bool) -> Outcome:
    """One life, a power cut at a random operation, and a look at what it left."""
    # Names are durable at once: otherwise what never synchronises leaves no file to look at.
    mount = new_mount(seed, is_strict=synchronous != "OFF" and not lies)
    if lies:
        mount.disk.push("lie", FsyncLie())
    with vfs(mount, seed) as one:
        acknowledged = acknowledged_until_cut(one, synchronous, seed)
    with vfs(mount.disk.boot(), seed) as one:
        return looked_at(one, synchronous, acknowledged)


def table(seeds: range, synchronous: str, *, lies: bool = False) -> Total:
    outcomes = [cycle(seed, synchronous, lies=lies) for seed in seeds]
    return Total(*(sum(column) for column in zip(*outcomes, strict=True)))


SEEDS = [range(40), pytest.param(range(200), marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_full_loses_nothing(seeds: range) -> None:
    total = table(seeds, "FULL")
    assert total.acknowledged > 20 * len(seeds)
    assert total[1:] == (0, 0, 0)


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_normal_loses_and_never_corrupts(seeds: range) -> None:
    total = table(seeds, "NORMAL")
    assert total.lost > len(seeds)
    assert total[2:] == (0, 0)


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_off_corrupts(seeds: range) -> None:
    total = table(seeds, "OFF")
    assert total.corrupt > len(seeds) // 4
    assert total.lost > total.acknowledged // 2


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_full_on_a_disk_that_lies_loses(seeds: range) -> None:
    total = table(seeds, "FULL", lies=True)
    assert total.lost > total.acknowledged // 2
    assert total.corrupt > len(seeds) // 4


# What SQLite is told.


def failed(disk: Disk, db: Session, fault: Eio | Enospc | Erofs | FsyncFail) -> int:
    disk.push("f", fault)
    with pytest.raises(apsw.Error) as caught:
        db.execute("INSERT INTO t VALUES (1, 2)")
    assert disk.pop("f") >= 1
    return code_of(caught.value)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Eio(operation=Operation.WRITE, times=1), apsw.SQLITE_IOERR_WRITE),
        (Eio(operation=Operation.SYNC, times=1), apsw.SQLITE_IOERR_FSYNC),
        (FsyncFail(), apsw.SQLITE_IOERR_FSYNC),
        (Enospc(times=1), apsw.SQLITE_FULL),
        (Enospc(times=1, is_quota=True), apsw.SQLITE_IOERR_WRITE),
        (Erofs(times=1), apsw.SQLITE_IOERR_WRITE),
    ],
    ids=["write", "sync", "sync-drops", "full", "quota", "read-only"],
)
def test_a_failed_commit_has_its_code_and_the_next_one_succeeds(
    session: tuple[Disk, Session], fault: Eio | Enospc | Erofs | FsyncFail, code: int
) -> None:
    disk, db = session
    assert failed(disk, db, fault) == code
    db.execute("INSERT INTO t VALUES (2, 3)")
    assert db.execute("SELECT n FROM t").fetchall() == [(2,)]


def test_a_folder_that_cannot_be_synchronised_is_told_no_one() -> None:
    """SQLite's own choice (os_unix.c, unixSync): then a log may be lost with all commits in it."""
    lost = 0
    for seed in range(20):
        mount = new_mount(seed)
        with vfs(mount, seed) as one, connected(one) as db:
            mount.disk.push("f", Eio(operation=Operation.SYNC, path="s"))
            db.execute("CREATE TABLE t (n)")
            assert mount.disk.pop("f") == 1
            mount.disk.crash()
        with vfs(mount.disk.boot(), seed) as one, connected(one) as db:
            lost += db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert 0 < lost < 20


def test_short_writes_and_reads_are_gone_on_with(session: tuple[Disk, Session]) -> None:
    disk, db = session
    disk.push("w", Short(operation=Operation.WRITE, chance=0.5))
    disk.push("r", Short(operation=Operation.READ, chance=0.5))
    for n in range(60):
        db.execute("INSERT INTO t VALUES (?, zeroblob(700))", (n,))
    assert db.execute("SELECT count(*) FROM t").fetchone() == (60,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert disk.effect("w") > 10


def test_time_and_chance_are_the_nodes() -> None:
    def drawn(seed: int) -> list[object]:
        mount = new_mount(seed)
        with vfs(mount, seed) as one, connected(one) as db:
            return [
                *db.execute("SELECT datetime('now'), randomblob(8)").fetchone(),
                *db.execute("SELECT random()").fetchone(),
            ]

    assert drawn(1) == drawn(1)
    assert drawn(1)[1:] != drawn(2)[1:]
    assert drawn(1)[0] == "2027-01-15 08:00:00"


def test_the_log_is_written_ahead_under_an_exclusive_lock_and_without_threads() -> None:
    threads = threading.active_count()
    mount = new_mount()
    with vfs(mount) as one, connected(one) as db:
        assert db.execute("PRAGMA locking_mode").fetchone() == ("exclusive",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.execute("CREATE TABLE t (n)")
        assert mount.paths() == ["s/a.db", "s/a.db-wal"]
        assert threading.active_count() == threads
    assert mount.paths() == ["s/a.db"]


def test_connections_share_a_file_as_in_production() -> None:
    mount = new_mount()
    with (
        vfs(mount) as one,
        connected(one, is_exclusive=False) as writer,
        connected(one, is_exclusive=False) as reader,
    ):
        writer.execute("CREATE TABLE t (n)")
        writer.execute("INSERT INTO t VALUES (1)")
        reader.execute("BEGIN")
        assert reader.execute("SELECT n FROM t").fetchall() == [(1,)]
        writer.execute("INSERT INTO t VALUES (2)")
        assert reader.execute("SELECT n FROM t").fetchall() == [(1,)]
        reader.execute("COMMIT")
        assert reader.execute("SELECT n FROM t").fetchall() == [(1,), (2,)]
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(apsw.BusyError):
            reader.execute("BEGIN IMMEDIATE")
        writer.execute("COMMIT")


def test_a_connection_closed_after_the_crash_writes_nothing() -> None:
    for seed in range(20):
        mount = new_mount(seed)
        with vfs(mount, seed) as one:
            with connected(one) as db:
                db.execute("CREATE TABLE t (n)")
                db.execute("INSERT INTO t VALUES (1)")
                mount.disk.crash()
                mount.disk.boot()
                before = mount.disk.digest()
            assert mount.disk.digest() == before


def test_no_vfs_is_left_behind() -> None:
    before = apsw.vfs_names()
    mount = new_mount()
    with vfs(mount) as one, vfs(mount) as other:
        assert one.name != other.name
        assert {one.name, other.name} <= set(apsw.vfs_names())
    assert sorted(apsw.vfs_names()) == sorted(before)
