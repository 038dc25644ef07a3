"""What the SQLite store does beside the contract: files, crashes, checkpoints, full disks."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from keygrove.errors import DamagedError, DiskFullError, StoreError, TooBroadError
from keygrove.ports import SqlSession
from keygrove.storage import heap, index
from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import EMPTY, Tree, blake3_256
from keygrove.storage.opening import Home, open_store
from keygrove.storage.reading import open_reader
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.sqlite_history import PINS_MAX
from keygrove.storage.tally import Tally
from keygrove.storage.term import Term, TermKind
from keygrove.storage.version import Head
from keygrove.storage.wal import CHECKPOINT_BYTES
from keygrove.storage.write import Denial, Lift, Put, Write
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, large, made, put_of
from keygrove_chaos.databases import Statement, WatchedDatabases, ignore
from keygrove_protocols.openpgp.keys import Fingerprint
from tests.processes import PATIENCE_S

pytestmark = pytest.mark.anyio

FOLDER = "shard-0"
UUID = bytes(range(16))


def put(number: int, *user_ids: str) -> Put:
    return put_of(made(number, *user_ids))


@pytest.fixture
def files(tmp_path: Path) -> WatchedDatabases:
    return WatchedDatabases(SqliteFiles(tmp_path))


@pytest.fixture
def heap_path(tmp_path: Path) -> Path:
    return tmp_path / FOLDER / "heap.db"


@pytest.fixture
def index_path(tmp_path: Path) -> Path:
    return tmp_path / FOLDER / "index.db"


@asynccontextmanager
async def opened(
    files: WatchedDatabases, *, durable: bool = True, uuid: bytes = UUID, shard: str = "0/4"
) -> AsyncGenerator[SqliteStore, None]:
    home, turns = Home(FOLDER, shard, uuid), anyio.Semaphore(1)
    async with open_store(files, home, turns, durable=durable) as opening:
        yield await opening.finish()


@contextmanager
def raw(path: Path) -> Generator[sqlite3.Connection, None, None]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as db:
        yield db


async def answers(store: SqliteStore) -> object:
    """All that a client could learn."""
    page = await store.page(None, 1_000)
    words = [await store.search(frozenset({word}), 10) for word in ("alice", "bob", "carol")]
    terms = [Term(TermKind.ADDRESS, b"a@x.example"), Term(TermKind.ADDRESS, b"c@x.example")]
    return page, words, await store.find(terms, 10), store.counts()


def record(name: Fingerprint) -> Record:
    return Record(None, Action.DENY, Effect.DONE, name, "spam", CREATED, b"nonce")


async def test_a_change_and_its_record_are_kept_together_or_not_at_all(
    files: WatchedDatabases,
) -> None:
    one = put(1)
    denial = Denial(one.fingerprint, "spam", CREATED)

    def watch(statement: Statement) -> None:
        if "INTO audit" in statement.sql:
            raise DiskFullError("heap.db")

    async with opened(files) as store:
        await store.commit([one])
        files.watch = watch
        with pytest.raises(DiskFullError):
            await store.commit([denial], [record(one.fingerprint)])
        files.watch = ignore
        assert await store.denials_of([one.fingerprint]) == [None]
        assert (await store.audit(None, 5)).records == ()
    async with opened(files) as store:
        assert (await store.get([one.fingerprint])) != [None]
        assert await store.commit([denial], [record(one.fingerprint)]) == 2
        assert (await store.audit(None, 5)).records == (record(one.fingerprint),)


async def test_the_file_itself_takes_no_request_twice(files: WatchedDatabases) -> None:
    one = put(1)
    async with opened(files) as store:
        await store.commit([one], [record(one.fingerprint)])
        with pytest.raises(StoreError):
            await store.commit([put(2)], [record(one.fingerprint)])
    async with opened(files) as store:
        assert await store.get([put(2).fingerprint]) == [None]


async def test_a_damaged_audit_log_is_told_as_such(
    files: WatchedDatabases, heap_path: Path
) -> None:
    async with opened(files) as store:
        await store.commit([], [record(put(1).fingerprint)])
    with raw(heap_path) as db:
        db.execute("UPDATE audit SET action = 99")
    async with opened(files) as store:
        with pytest.raises(DamagedError, match="audit log"):
            await store.audit(None, 5)


@asynccontextmanager
async def torn(
    files: WatchedDatabases, tmp_path: Path, fails: Callable[[Statement], bool]
) -> AsyncGenerator[object, None]:
    """Two commits, of which the second was lost on its way to the index by a crash.

    Yields what a client could learn before the crash; the files are as the crash left them.
    """

    def watch(statement: Statement) -> None:
        if fails(statement):
            raise StoreError("crashed here")

    async with opened(files) as store:
        await store.commit([put(1, "Alice <a@x.example>"), put(2, "Bob")])
        await store.settle()
        await store.commit([put(1, "Carol <c@x.example>"), put(3, "Bob <a@x.example>")])
        before = await answers(store)
        files.watch = watch
        with pytest.raises(StoreError, match="crashed here"):
            await store.settle()
        shutil.copytree(tmp_path / FOLDER, tmp_path / "left")
        files.watch = ignore
    shutil.rmtree(tmp_path / FOLDER)
    (tmp_path / "left").rename(tmp_path / FOLDER)
    yield before


@pytest.mark.parametrize(
    "where",
    ["BEGIN", "INSERT OR IGNORE INTO term", "'delete'", "INSERT OR REPLACE INTO key", "COMMIT"],
)
async def test_a_crash_between_heap_and_index_is_replayed(
    files: WatchedDatabases, tmp_path: Path, where: str
) -> None:
    def fails(statement: Statement) -> bool:
        return statement.path.endswith("index.db") and where in statement.sql

    async with torn(files, tmp_path, fails) as before, opened(files) as store:
        assert await answers(store) == before
        await store.settle()
        assert await answers(store) == before


async def test_a_crash_between_two_slices_is_replayed(
    files: WatchedDatabases, tmp_path: Path
) -> None:
    is_finishing = "UPDATE stat"
    async with torn(files, tmp_path, lambda s: is_finishing in s.sql) as before:
        with raw(tmp_path / FOLDER / "index.db") as db:
            assert db.execute("SELECT seq FROM done").fetchone() == (2,)
            assert db.execute("SELECT max(seq) FROM key").fetchone() == (4,)
        async with opened(files) as store:
            assert await answers(store) == before
            await store.settle()
        async with opened(files) as store:
            assert await answers(store) == before


async def test_what_is_replayed_is_counted_once(files: WatchedDatabases, tmp_path: Path) -> None:
    async with torn(files, tmp_path, lambda s: "wal_checkpoint" in s.sql) as before:
        for _ in range(3):
            async with opened(files) as store:
                assert await answers(store) == before
                await store.settle()


def execute(sql: str, db: SqlSession) -> object:
    return db.execute(sql).fetchone()


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def size(path: Path) -> int:
    return path.stat().st_size


def remove(path: Path) -> None:
    path.unlink()


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 1_000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def of_other_heap(path: Path) -> None:
    with raw(path) as db:
        db.execute("UPDATE origin SET heap = ?", (bytes(16),))


def of_older_format(path: Path) -> None:
    with raw(path) as db:
        db.execute("UPDATE origin SET format = ?", (index.FORMAT - 1,))


def ahead(path: Path) -> None:
    with raw(path) as db:
        db.execute("UPDATE done SET seq = 1000")


def of_nothing(path: Path) -> None:
    with raw(path) as db:
        db.execute("DELETE FROM origin")


def without_end(path: Path) -> None:
    with raw(path) as db:
        db.execute("DELETE FROM done")


def foreign(path: Path) -> None:
    path.unlink()
    with raw(path) as db:
        db.execute("CREATE TABLE somebody_elses (x)")


@pytest.mark.parametrize(
    "damage",
    [
        remove,
        overwrite,
        empty,
        cut,
        of_other_heap,
        of_older_format,
        of_nothing,
        without_end,
        ahead,
        foreign,
    ],
    ids=lambda damage: damage.__name__,
)
async def test_an_index_that_cannot_be_used_is_made_anew(
    files: WatchedDatabases, index_path: Path, damage: Callable[[Path], None]
) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice <a@x.example>"), put(2, "Bob")])
        await store.commit([put(1, "Carol <c@x.example>")])
        before = await answers(store)
        await store.settle()
    damage(index_path)
    async with opened(files) as store:
        assert await answers(store) == before
        await store.settle()
        assert await answers(store) == before
    with raw(index_path) as db:
        assert db.execute("SELECT heap, format FROM origin").fetchone() == (UUID, index.FORMAT)


async def test_the_root_is_kept_with_each_commit(files: WatchedDatabases, heap_path: Path) -> None:
    alice, denial = put(1, "Alice"), Denial(put(2).fingerprint, "spam", CREATED)
    commits: list[list[Write]] = [[put(1), put(2)], [alice], [denial]]
    heads: list[Head] = []
    async with opened(files) as store:
        assert store.head() == Head(0, EMPTY, 0)
        for writes in commits:
            await store.commit(writes)
            heads.append(store.head())
    alone = Tree(blake3_256).updated([(tree_key(alice.fingerprint), content_hash(alice.packets))])
    assert heads[-1].root == alone.root
    assert [(one.change, one.size) for one in heads] == [(1, 2), (2, 2), (3, 1)]
    with raw(heap_path) as db:
        rows = db.execute("SELECT n, root, size FROM head").fetchall()
    assert [Head(*row) for row in rows] == heads
    async with opened(files) as store:
        assert store.head() == heads[-1]


async def test_an_index_that_is_not_that_of_its_heap_any_more_is_made_anew(
    files: WatchedDatabases, index_path: Path
) -> None:
    """As after a flipped bit that no check of SQLite's sees."""
    async with opened(files) as store:
        await store.commit([put(1, "Alice <a@x.example>"), put(2, "Bob")])
        before, head = await answers(store), store.head()
        await store.settle()
    with raw(index_path) as db:
        db.execute("DELETE FROM key WHERE seq = 2")
    with pytest.raises(StoreError, match="is made anew"):
        async with opened(files):
            pass
    async with opened(files) as store:
        assert await answers(store) == before
        assert store.head() == head


async def test_a_heap_that_lost_a_row_is_damaged(
    files: WatchedDatabases, heap_path: Path, index_path: Path
) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice"), put(2, "Bob")])
        await store.commit([put(3, "Carol")])
    with raw(heap_path) as db:
        db.execute("DELETE FROM obj WHERE seq = 2")
    remove(index_path)
    with pytest.raises(DamagedError, match="not what was committed"):
        async with opened(files):
            pass


@pytest.mark.parametrize("is_made_anew", [True, False])
async def test_denials_that_were_ended_are_counted_over_restarts(
    files: WatchedDatabases, index_path: Path, *, is_made_anew: bool
) -> None:
    names = [put(1, "Alice").fingerprint, put(2, "Bob").fingerprint]
    async with opened(files) as store:
        await store.commit([Denial(name, "spam", CREATED) for name in names])
        await store.commit([Lift(names[0], CREATED)])
    if is_made_anew:
        remove(index_path)
    async with opened(files) as store:
        assert (store.counts().denials, store.counts().lifts) == (1, 1)
        await store.commit([Lift(names[1], CREATED)])
        assert (store.counts().denials, store.counts().lifts) == (0, 2)


async def test_a_long_replay_brings_the_index_up_on_the_way(
    files: WatchedDatabases, index_path: Path
) -> None:
    puts = [put(n, "Alice") for n in range(700)]
    async with opened(files, durable=False) as store:
        await store.commit(puts)
        before = store.counts()
    remove(index_path)
    async with opened(files, durable=False) as store:
        assert store.counts() == before
        names = await store.search(frozenset({"alice"}), 1_000)
        assert set(names) == {one.fingerprint for one in puts}


async def test_a_heap_keeps_its_name(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1)])
    async with opened(files, uuid=bytes(16)):
        pass
    async with files.open("shard-0/heap.db", writable=False) as db:
        assert (await db.run(lambda s: heap.check(s, "0/4"))).uuid == UUID


async def test_a_heap_of_another_shard_is_refused(files: WatchedDatabases) -> None:
    async with opened(files, shard="0/4"):
        pass
    with pytest.raises(StoreError, match=r"belongs to shard 0/4, not 1/4: \w+"):
        async with opened(files, shard="1/4"):
            pass


async def test_a_heap_of_a_newer_format_is_refused(
    files: WatchedDatabases, heap_path: Path
) -> None:
    async with opened(files):
        pass
    with raw(heap_path) as db:
        db.execute(f"PRAGMA user_version = {heap.FORMAT + 1}")
    with pytest.raises(StoreError, match=rf"format {heap.FORMAT + 1}.*run a newer keygrove"):
        async with opened(files):
            pass


async def test_a_heap_of_an_older_format_is_refused_and_left_as_it_is(
    files: WatchedDatabases, heap_path: Path
) -> None:
    async with opened(files):
        pass
    with raw(heap_path) as db:
        db.execute(f"PRAGMA user_version = {heap.FORMAT - 1}")
    before = content(heap_path)
    with pytest.raises(StoreError, match=rf"format {heap.FORMAT - 1}.*load a dump anew"):
        async with opened(files):
            pass
    assert content(heap_path) == before


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM meta", "UPDATE obj SET v = zeroblob(9)", "UPDATE obj SET aside = zeroblob(9)"],
)
async def test_a_heap_that_is_not_what_was_written_is_refused(
    files: WatchedDatabases, heap_path: Path, statement: str
) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice")])
    with raw(heap_path) as db:
        db.execute(statement)
    with pytest.raises(DamagedError, match=r"heap\.db"):
        async with opened(files):
            pass


async def test_a_foreign_database_is_refused_and_left_as_it_is(
    files: WatchedDatabases, heap_path: Path
) -> None:
    write(heap_path, b"")
    with raw(heap_path) as db:
        db.execute("CREATE TABLE somebody_elses (x)")
    before = content(heap_path)
    with pytest.raises(StoreError, match=r"heap\.db of shard 0/4 is not a file of keygrove's: \w+"):
        async with opened(files):
            pass
    assert content(heap_path) == before


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    files: WatchedDatabases, heap_path: Path
) -> None:
    write(heap_path, b"diary\n" * 1_000)
    with pytest.raises(StoreError, match=r"heap\.db"):
        async with opened(files):
            pass
    assert content(heap_path) == b"diary\n" * 1_000


async def test_a_reader_sees_what_was_committed_flushed_or_not(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice <a@x.example>"), put(2, "Bob")])
        await store.settle()
        await store.commit([put(1, "Carol <c@x.example>"), put(3, "Bob")])
        async with open_reader(files, FOLDER, "0/4") as reader:
            assert await answers(reader) == await answers(store)


async def test_a_reader_does_not_mind_a_writer_that_goes_on(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice"), put(2, "Bob")])
        async with open_reader(files, FOLDER, "0/4") as reader:
            first = await reader.page(None, 1)
            await store.commit([put(3, "Carol"), put(4, "Carol")])
            await store.settle()
            assert first.cursor is not None
            rest = await reader.page(first.cursor, 100)
            names = [one.fingerprint for one in (*first.versions, *rest.versions)]
            assert len(names) == len(set(names))
            assert {put(1).fingerprint, put(2).fingerprint} <= set(names)


async def test_a_reader_writes_nothing(files: WatchedDatabases, tmp_path: Path) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice")])
    seen: list[Statement] = []
    files.watch = seen.append
    before = {path.name: path.read_bytes() for path in (tmp_path / FOLDER).glob("*.db")}
    async with open_reader(files, FOLDER, "0/4") as reader:
        await answers(reader)
    assert {path.name: path.read_bytes() for path in (tmp_path / FOLDER).glob("*.db")} == before
    assert {s.sql.split()[0] for s in seen} <= {"SELECT", "PRAGMA", "BEGIN", "COMMIT"}
    assert not any(s.is_writable for s in seen)


async def test_a_reader_of_a_missing_index_says_what_to_do(
    files: WatchedDatabases, index_path: Path
) -> None:
    async with opened(files) as store:
        await store.commit([put(1)])
    remove(index_path)
    with pytest.raises(StoreError, match="have `keygrove serve` do so"):
        async with open_reader(files, FOLDER, "0/4"):
            pass


async def test_a_reader_of_a_foreign_index_says_what_to_do(
    files: WatchedDatabases, index_path: Path
) -> None:
    async with opened(files) as store:
        await store.commit([put(1)])
        await store.settle()
    of_other_heap(index_path)
    with pytest.raises(StoreError, match="have `keygrove serve` do so"):
        async with open_reader(files, FOLDER, "0/4"):
            pass


async def test_a_reader_counts_right_though_a_flush_passes(
    files: WatchedDatabases, index_path: Path
) -> None:
    """The writer ends a flush between any two of the reader's statements."""
    async with opened(files) as store:
        await store.commit([put(1), put(2)])
        await store.settle()
    with raw(index_path) as db:
        db.execute("UPDATE done SET seq = 0")
        db.execute("UPDATE stat SET value = 0")
        asked: list[str] = []

        def watch(statement: Statement) -> None:
            asked.append(statement.sql)
            if "side.done" in statement.sql and any("side.stat" in sql for sql in asked):
                index.finish(db, 2, Tally(2, 2 * len(put(1).packets)))

        files.watch = watch
        async with open_reader(files, FOLDER, "0/4") as reader:
            assert reader.counts().certificates == 2


async def test_only_a_files_own_writer_checkpoints_and_only_that_file(
    files: WatchedDatabases,
) -> None:
    seen: list[Statement] = []
    files.watch = seen.append
    async with opened(files) as store:
        writable = [one.path for one in files.opened if one.is_writable]
        assert sorted(writable) == ["shard-0/heap.db", "shard-0/index.db"]
        for number in range(3):
            await store.commit([put_of(large(number, CHECKPOINT_BYTES // 2))])
        await store.settle()
    checkpoints = [s for s in seen if s.is_checkpoint]
    assert {s.path for s in checkpoints} == {"shard-0/heap.db", "shard-0/index.db"}
    assert all(s.is_writable and s.sql.startswith("PRAGMA main.") for s in checkpoints)
    assert not [s for s in seen if "wal_autocheckpoint" in s.sql]


async def test_a_long_log_is_moved_into_the_heap_between_commits(
    files: WatchedDatabases, heap_path: Path
) -> None:
    async with opened(files, durable=False) as store:
        sizes: list[int] = []
        for number in range(2 * CHECKPOINT_BYTES >> 20):
            await store.commit([put_of(large(number, 1 << 20))])
            sizes.append(size(heap_path))
        assert sizes[0] < CHECKPOINT_BYTES // 2 < sizes[-1]


async def test_the_heaps_log_can_be_emptied_while_the_index_is_brought_up(
    files: WatchedDatabases, heap_path: Path, index_path: Path
) -> None:
    busy: list[int] = []
    async with opened(files) as store:
        await store.commit([put(1, "One"), put(2)])
        await store.settle()
        with raw(heap_path) as db:

            def watch(statement: Statement) -> None:
                if statement.path.endswith(index_path.name) and statement.sql == "COMMIT":
                    busy.append(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

            await store.commit([put(1, "Other"), put(3)])
            files.watch = watch
            await store.settle()
    assert busy
    assert not any(busy)


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)], ids=["full", "relaxed"])
async def test_the_heap_is_synchronised_as_the_operator_says(
    files: WatchedDatabases, *, durable: bool, level: int
) -> None:
    async with opened(files, durable=durable):
        (writer,) = [o for o in files.opened if o.is_writable and o.path.endswith("heap.db")]

        run = writer.database.run
        assert await run(lambda db: db.execute("PRAGMA main.synchronous").fetchone()) == (level,)
        assert await run(lambda db: db.execute("PRAGMA main.journal_mode").fetchone()) == ("wal",)


async def test_no_connection_checkpoints_by_itself(files: WatchedDatabases) -> None:
    async with opened(files):
        assert len(files.opened) == 3
        for one in files.opened:
            pragma = await one.database.run(
                lambda db: db.execute("PRAGMA wal_autocheckpoint").fetchone()
            )
            assert pragma == (0,)


async def test_readers_cannot_write(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1)])
        (reader,) = [one for one in files.opened if not one.is_writable]
        for sql in ("DELETE FROM main.obj", "DELETE FROM side.key"):
            with pytest.raises(StoreError, match="readonly"):
                await reader.database.run(partial(execute, sql))


async def test_the_index_writer_cannot_write_the_heap(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1)])
        (indexer,) = [o for o in files.opened if o.is_writable and o.path.endswith("index.db")]
        with pytest.raises(StoreError, match="readonly"):
            await indexer.database.run(lambda db: db.execute("DELETE FROM side.obj"))


async def test_a_full_disk_keeps_nothing_and_heals(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice")])
        before = await answers(store)
        (writer,) = [o for o in files.opened if o.is_writable and o.path.endswith("heap.db")]
        pages = (await writer.database.run(lambda s: s.execute("PRAGMA page_count").fetchone()))[0]
        await writer.database.run(lambda s: s.execute(f"PRAGMA max_page_count = {pages + 1}"))
        with pytest.raises(DiskFullError):
            await store.commit([put(2, "Bob"), put_of(large(3, 100_000))])
        assert await answers(store) == before
        assert await store.commit([put(4)]) == 2
        await writer.database.run(lambda s: s.execute("PRAGMA max_page_count = 100000"))
        assert await store.commit([put_of(large(3, 100_000))]) == 3
        healed = await answers(store)
    async with opened(files) as store:
        assert await answers(store) == healed


async def test_a_checkpoint_that_finds_no_room_does_not_undo_a_commit(
    files: WatchedDatabases,
) -> None:
    def watch(statement: Statement) -> None:
        if statement.is_checkpoint and statement.path.endswith("heap.db"):
            raise DiskFullError("heap.db")

    one, two = put_of(large(1, CHECKPOINT_BYTES // 2)), put_of(large(2, CHECKPOINT_BYTES))
    async with opened(files, durable=False) as store:
        files.watch = watch
        await store.commit([one])
        change = await store.commit([two])
        files.watch = ignore
        (got,) = await store.get([two.fingerprint])
        assert got is not None
        assert got.change == change == 2


async def test_an_index_without_room_costs_no_commit_and_no_answer(
    files: WatchedDatabases,
) -> None:
    def watch(statement: Statement) -> None:
        if statement.path.endswith("index.db") and "COMMIT" in statement.sql:
            raise DiskFullError("index.db")

    async with opened(files) as store:
        files.watch = watch
        await store.commit([put(1, "Alice <a@x.example>")])
        with pytest.raises(DiskFullError):
            await store.settle()
        await store.commit([put(2, "Bob")])
        before = await answers(store)
        files.watch = ignore
        await store.settle()
        assert await answers(store) == before
    async with opened(files) as store:
        assert await answers(store) == before


async def test_a_find_is_not_cut_short_by_a_commit_that_passes(files: WatchedDatabases) -> None:
    """The first of two that carry a term loses it while the index is being read."""
    numbers = sorted((1, 2), key=lambda number: put(number).fingerprint)
    begun, go_on, passed = threading.Event(), threading.Event(), threading.Event()

    def watch(statement: Statement) -> None:
        if statement.sql == "BEGIN IMMEDIATE":
            begun.set()
            assert go_on.wait(PATIENCE_S)
        if "FROM side.term" in statement.sql:
            go_on.set()
            assert passed.wait(PATIENCE_S)

    async def commit() -> None:
        await store.commit([put(numbers[0], "Carol")])
        passed.set()

    async with opened(files) as store:
        await store.commit([put(number, "Alice <a@x.example>") for number in numbers])
        await store.settle()
        files.watch = watch
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit)
            assert await anyio.to_thread.run_sync(begun.wait, PATIENCE_S)
            found = await store.find([Term(TermKind.ADDRESS, b"a@x.example")], 1)
            assert found == [(put(numbers[1]).fingerprint,)]


async def test_a_find_misses_nothing_when_a_flush_passes(files: WatchedDatabases) -> None:
    """The index gets what it lacks between two looks into it."""
    term = Term(TermKind.ADDRESS, b"a@x.example")
    loop, flush, flushed = asyncio.get_running_loop(), anyio.Event(), threading.Event()
    looks: list[str] = []

    def watch(statement: Statement) -> None:
        if "FROM side.term" in statement.sql:
            looks.append(statement.sql)
            if len(looks) == 2:
                loop.call_soon_threadsafe(flush.set)
                assert flushed.wait(PATIENCE_S)

    async def settle() -> None:
        await flush.wait()
        await store.settle()
        flushed.set()

    async with opened(files) as store:
        await store.commit([put(1, "Alice <a@x.example>")])
        files.watch = watch
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(settle)
            found = await store.find([term, term], 10)
            assert found == [(put(1).fingerprint,)] * 2


async def test_a_damaged_heap_row_is_not_served_as_something_else(
    files: WatchedDatabases, heap_path: Path
) -> None:
    async with opened(files) as store:
        await store.commit([put(1, "Alice")])
        await store.settle()
    data = bytearray(content(heap_path))
    data[heap.PAGE_BYTES :] = b"\xff" * (len(data) - heap.PAGE_BYTES)
    write(heap_path, bytes(data))
    with pytest.raises(StoreError, match=r"heap\.db"):
        async with opened(files) as store:
            await store.get([put(1).fingerprint])


async def test_an_orderly_end_leaves_the_logs_empty_and_in_place(
    files: WatchedDatabases, tmp_path: Path
) -> None:
    """To make them anew would take room, which a full disk does not have."""
    async with opened(files) as store:
        await store.commit([put(1, "Alice")])
        await store.settle()
    left = {path.name: size(path) for path in (tmp_path / FOLDER).iterdir()}
    ends = ("", "-wal", "-shm")
    assert left.keys() == {f"{name}.db{end}" for name in ("heap", "index") for end in ends}
    assert left["heap.db-wal"] == left["index.db-wal"] == 0
    assert left["heap.db-shm"] == left["index.db-shm"] == 32 * 1024


@pytest.mark.parametrize(
    ("words", "postings", "is_answered"),
    [
        (["common", "rare"], 41, True),
        (["common", "rare"], 40, False),
        (["common", "even"], 60, True),
        (["common", "even"], 59, False),
        (["even", "odd"], 39, False),
        (["common"], 1, True),
        (["nobody", "rare"], 1, True),
    ],
)
async def test_several_words_that_too_many_have_are_not_searched(
    files: WatchedDatabases, words: list[str], postings: int, is_answered: bool
) -> None:
    def search(db: SqlSession) -> int:
        return len(index.search(db, words, 100, postings))

    async with opened(files) as store:
        await store.commit(
            [
                put(n, f"common {'odd' if n % 2 else 'even'} {'rare' if n == 7 else 'other'}")
                for n in range(40)
            ]
        )
        await store.settle()
    reader = files.open("shard-0/heap.db", attached="shard-0/index.db", writable=False)
    async with reader as db:
        if is_answered:
            await db.run(search)
        else:
            with pytest.raises(TooBroadError, match="leave common ones out"):
                await db.run(search)


async def test_trees_of_snapshots_are_kept_and_only_so_many(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        trees: list[Tree] = []
        for number in range(PINS_MAX + 4):
            await store.commit([put(number)], marks=[Snapshot(f"s{number}", b"", CREATED)])
            trees.append(store.tree())
        assert store.history.pins() == PINS_MAX
        assert await store.history.tree(PINS_MAX) is trees[PINS_MAX - 1]
        made_anew = await store.history.tree(1)
        assert made_anew is not trees[0]
        assert made_anew.root == trees[0].root
        assert await store.history.tree(1) is made_anew
        assert store.history.pins() == PINS_MAX


async def test_who_only_reads_has_the_trees_of_the_past_too(files: WatchedDatabases) -> None:
    async with opened(files) as store:
        await store.commit([put(1)], marks=[Snapshot("one", b"", CREATED)])
        await store.settle()
        await store.commit([put(2), put(1, "Alice")])
        due = [store.head(), await store.history.head(1)]
        async with open_reader(files, FOLDER, "0/4") as reader:
            found = [await reader.history.tree(change) for change in (2, 1)]
            assert [tree.root for tree in found] == [head.root for head in due]
            assert len((await reader.history.log(None, 10)).entries) == 3
