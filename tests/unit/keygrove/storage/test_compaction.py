"""What compaction writes, and what it does not touch."""

import hashlib
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from keygrove.errors import DamagedError, DiskFullError, FencedError, HistoryError, StoreError
from keygrove.storage.mark import Snapshot
from keygrove.storage.opening import Home, SqliteOpening, open_store
from keygrove.storage.reading import ReadOnlyOpening
from keygrove.storage.retention import DAY_S, KEEP, Retention
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.training import SAMPLES_MIN
from keygrove.storage.values import CHAIN_MAX
from keygrove.storage.write import Put
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_chaos.databases import Statement, WatchedDatabases, ignore

pytestmark = pytest.mark.anyio

UUID = bytes(range(16))


@pytest.fixture
def files(tmp_path: Path) -> WatchedDatabases:
    return WatchedDatabases(SqliteFiles(tmp_path))


@pytest.fixture
def heap(tmp_path: Path) -> Path:
    return tmp_path / "shard-0" / "heap.db"


@asynccontextmanager
async def opening(
    files: WatchedDatabases, retention: Retention = KEEP
) -> AsyncGenerator[SqliteOpening | ReadOnlyOpening, None]:
    home, turns = Home("shard-0", "0/1", UUID), anyio.Semaphore(1)
    async with open_store(files, home, turns, durable=False, retention=retention) as one:
        yield one


@asynccontextmanager
async def opened(
    files: WatchedDatabases, retention: Retention = KEEP
) -> AsyncGenerator[SqliteStore, None]:
    async with opening(files, retention) as one:
        yield await one.finish()


@contextmanager
def raw(path: Path) -> Generator[sqlite3.Connection, None, None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def version_of(number: int, at: int) -> Put:
    """A version of one certificate: each has some of the same signatures."""
    return put_of(made(1, "Alice", signatures=20 + number), at)


async def grow(store: SqliteStore, versions: int, step_s: int) -> list[Put]:
    """So many versions of a certificate, a step apart."""
    puts = [version_of(number, CREATED + number * step_s) for number in range(versions)]
    for one in puts:
        await store.commit([one])
    await store.settle()
    return puts


def small(first: int, number: int, text: str) -> list[Put]:
    return [put_of(made(n, f"{text} {n * 7919 % 9973}")) for n in range(first, first + number)]


async def test_of_a_year_every_day_is_kept_of_a_month_every_hour_and_of_two_days_all(
    files: WatchedDatabases,
) -> None:
    async with opened(files) as store:
        now = CREATED - CREATED % DAY_S
        times = [now - 365 * DAY_S + 60 * at for at in range(10)]
        times += [now - 20 * DAY_S + 60 * at for at in range(100)]
        times += [now - DAY_S + 60 * at for at in range(10)]
        for number, at in enumerate(times):
            await store.commit([put_of(made(1, f"Alice {number}"), at)])
        await store.settle()
        await store.compact_once()
        kept = [n for n in range(1, len(times) + 1) if await is_kept(store, n)]
        assert kept == [10, 70, 110, *range(111, 121)]
        assert store.savings().dropped_rows == len(times) - len(kept)


async def is_kept(store: SqliteStore, change: int) -> bool:
    try:
        await store.history.head(change)
    except HistoryError:
        return False
    return True


async def test_history_is_kept_no_longer_than_it_is_wanted_but_for_snapshots(
    files: WatchedDatabases,
) -> None:
    async with opened(files, Retention(until_s=10 * DAY_S)) as store:
        await grow(store, 20, DAY_S)
        await store.commit([], marks=[Snapshot("third", b"", CREATED + 19 * DAY_S, 3)])
        await store.settle()
        await store.compact_once()
        kept = [n for n in range(1, 22) if await is_kept(store, n)]
        assert kept == [3, *range(11, 22)]


async def test_a_snapshot_of_what_is_not_kept_any_more_is_refused(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await grow(store, 10, 60)
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.settle()
        await store.compact_once()
        assert not await is_kept(store, 5)
        before = store.head()
        with pytest.raises(HistoryError):
            await store.commit([], marks=[Snapshot("late", b"", CREATED, 5)])
        assert store.head() == before
        assert await store.history.snapshots() == []


async def test_former_versions_take_a_fraction_and_at_most_eight_lean_on_each_other(
    files: WatchedDatabases, heap: Path
) -> None:
    async with opened(files) as store:
        puts = await grow(store, 40, DAY_S)
        await store.compact_once()
        savings = store.savings()
        former = sum(len(one.packets) for one in puts[:-3])
        assert savings.coded_rows > 30
        assert savings.saved_bytes > former * 0.8
    with raw(heap) as db:
        bases = dict(db.execute("SELECT seq, base FROM obj").fetchall())
    assert max(chain(bases, seq) for seq in bases) == CHAIN_MAX
    async with opened(files) as store:
        for change, put in enumerate(puts, 1):
            (version,) = await store.history.get([put.fingerprint], change)
            assert version is not None
            assert version.packets == put.packets


def chain(bases: dict[int, int | None], seq: int) -> int:
    base = bases[seq]
    return 0 if base is None else 1 + chain(bases, base)


async def test_what_was_dropped_since_it_was_listed_is_no_longer_kept(
    files: WatchedDatabases, heap: Path
) -> None:
    async with opened(files) as store:
        puts = await grow(store, 10, 60)
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.settle()
        (past,) = await store.history.past([puts[0].fingerprint], 20)
        await store.compact_once()
        (left,) = await store.history.past([puts[0].fingerprint], 20)
        assert 0 < len(left) < len(past)
        kept = {entry.change for entry in left}
        for entry in past:
            if entry.change in kept:
                whole = await store.history.read(entry)
                assert whole is not None
                assert whole.packets == puts[entry.change - 1].packets
            else:
                with pytest.raises(HistoryError):
                    await store.history.read(entry)
        with raw(heap) as db:
            db.execute("DELETE FROM obj WHERE n = ?", (left[0].change,))
        with pytest.raises(DamagedError):
            await store.history.read(left[0])


async def test_rows_that_the_index_does_not_have_on_the_disk_stay(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        for number in range(10):
            await store.commit([version_of(number, CREATED + number)])
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.compact_once()
        assert store.savings().dropped_rows == 0
        await store.settle()
        await store.compact_once()
        assert store.savings().dropped_rows == 9


@pytest.mark.slow
async def test_small_certificates_are_coded_by_what_they_have_in_common(
    files: WatchedDatabases, heap: Path
) -> None:
    before, after = small(0, SAMPLES_MIN, "Alice"), small(SAMPLES_MIN, 50, "Alice")
    async with opened(files) as store:
        await store.commit(before)
        await store.compact_once()
        await store.commit(after)
        savings = store.savings()
        part = sum(one.size for one in after)
        assert savings.stored_bytes <= savings.plain_bytes - part // 8
        await assert_served(store, before + after)
    async with opened(files) as store:
        await assert_served(store, before + after)
        more = small(SAMPLES_MIN + 50, 10, "Alice")
        await store.commit(more)
        assert store.savings().stored_bytes < store.savings().plain_bytes
    with raw(heap) as db:
        assert db.execute("SELECT count(*) FROM obj WHERE flags > 0").fetchone() == (60,)
        assert db.execute("SELECT count(*) FROM dict").fetchone() == (1,)


@pytest.mark.slow
async def test_small_certificates_change_their_dictionary_when_they_become_others(
    files: WatchedDatabases, heap: Path
) -> None:
    alike, others = small(0, SAMPLES_MIN, "Alice"), strangers(5_000, 2 * SAMPLES_MIN)
    later = strangers(20_000, 50)
    async with opened(files) as store:
        await store.commit(alike)
        await store.compact_once()
        await store.commit(others)
        await store.compact_once()
        await store.commit(later)
        await assert_served(store, [*alike[:20], *others[-20:], *later])
        await store.settle()
    with raw(heap) as db:
        assert db.execute("SELECT count(*) FROM dict").fetchone() == (2,)
    async with opening(files) as one:
        await assert_served(await one.finish(), [*alike[:20], *others[-20:], *later])


def strangers(first: int, number: int) -> list[Put]:
    """Certificates whose user IDs have a long part in common, which those of others have not."""
    text = b64encode(hashlib.shake_256(b"strangers").digest(450)).decode()
    return [put_of(made(n, f"{text} {n}")) for n in range(first, first + number)]


async def assert_served(store: SqliteStore, puts: list[Put]) -> None:
    found = await store.get([one.fingerprint for one in puts])
    newest = {one.fingerprint: one.packets for one in puts}
    assert [one and one.packets for one in found] == [newest[one.fingerprint] for one in puts]


@pytest.mark.slow
async def test_certificates_are_coded_where_an_index_is_made_anew(
    files: WatchedDatabases,
) -> None:
    async with opened(files) as store:
        await store.commit(small(0, SAMPLES_MIN, "Alice"))
        await store.compact_once()
        await store.commit(small(0, 30, "Bob"))
        await store.settle()
        found = await store.search(frozenset({"alice"}), 2 * SAMPLES_MIN)
        counts = store.counts()
    await files.remove("shard-0/index.db")
    async with opened(files) as store:
        assert await store.search(frozenset({"alice"}), 2 * SAMPLES_MIN) == found
        assert store.counts() == counts
        await store.settle()


@pytest.mark.parametrize(
    "harm", ["DELETE FROM dict", "UPDATE dict SET v = x'00'", "UPDATE obj SET flags = 4093"]
)
async def test_a_certificate_that_cannot_be_decoded_is_told_as_damaged(
    files: WatchedDatabases, heap: Path, harm: str
) -> None:
    late = small(SAMPLES_MIN, 1, "Alice")
    async with opened(files) as store:
        await store.commit(small(0, SAMPLES_MIN, "Alice"))
        await store.compact_once()
        await store.commit(late)
        await store.settle()
    with raw(heap) as db:
        db.execute(harm)
    with pytest.raises(DamagedError):
        async with opened(files) as store:
            await store.get([late[0].fingerprint])


@pytest.mark.parametrize("harm", ["DELETE FROM obj WHERE seq = 9", "UPDATE obj SET base = seq"])
async def test_a_former_version_whose_successor_is_gone_is_told_as_damaged(
    files: WatchedDatabases, heap: Path, harm: str
) -> None:
    async with opened(files) as store:
        (first, *_) = await grow(store, 20, DAY_S)
        await store.compact_once()
    with raw(heap) as db:
        db.execute(harm)
    async with opened(files) as store:
        with pytest.raises(DamagedError):
            await store.history.get([first.fingerprint], 8)


async def test_what_is_damaged_is_left_alone_and_does_not_keep_the_rest_from_going(
    files: WatchedDatabases, heap: Path
) -> None:
    async with opened(files) as store:
        await grow(store, 10, 60)
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.settle()
    with raw(heap) as db:
        db.execute("UPDATE obj SET cause = 3 WHERE seq = 5")
    async with opened(files) as store:
        await store.compact_once()
        assert store.savings().skipped_rows
    with raw(heap) as db:
        assert db.execute("SELECT seq FROM obj").fetchall() == [(4,), (5,), (10,), (11,)]


async def test_a_store_that_another_has_written_since_is_not_compacted(
    files: WatchedDatabases, heap: Path
) -> None:
    async with opened(files) as store:
        await grow(store, 10, 60)
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.settle()
        with raw(heap) as db:
            db.execute("UPDATE meta SET v = v + 1 WHERE k = 'epoch'")
        with pytest.raises(FencedError):
            await store.compact_once()
    with raw(heap) as db:
        assert db.execute("SELECT count(*) FROM obj").fetchone() == (11,)


async def test_a_full_disk_ends_it_and_what_is_left_is_done_the_next_time(
    files: WatchedDatabases,
) -> None:
    def watch(statement: Statement) -> None:
        if statement.sql.startswith("DELETE FROM obj"):
            raise DiskFullError("heap.db")

    async with opened(files) as store:
        await grow(store, 10, 60)
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.settle()
        files.watch = watch
        with pytest.raises(DiskFullError):
            await store.compact_once()
        files.watch = ignore
        assert store.savings().dropped_rows == 0
        await store.compact_once()
        assert store.savings().dropped_rows == 9


async def test_an_index_from_before_its_heap_was_compacted_is_made_anew(
    files: WatchedDatabases, tmp_path: Path
) -> None:
    folder = tmp_path / "shard-0"
    async with opened(files) as store:
        await store.commit([version_of(0, CREATED)])
        await store.settle()
    shutil.copy(folder / "index.db", tmp_path / "old.db")
    async with opened(files) as store:
        puts = await grow(store, 10, 60)
        await store.commit([put_of(made(2), CREATED + 10 * DAY_S)])
        await store.settle()
        await store.compact_once()
    await files.remove("shard-0/index.db")
    shutil.copy(tmp_path / "old.db", folder / "index.db")
    with pytest.raises(StoreError, match=r"index\.db"):
        async with opened(files) as store:
            await store.settle()
    async with opened(files) as store:
        await store.settle()
        await assert_served(store, puts[-1:])
