"""The index behind the heap: when it is flushed, what happens when it cannot be."""

from collections.abc import Iterator

import pytest
import trio
from msgspec.structs import replace
from trio.testing import wait_all_tasks_blocked

from keygrove.errors import DiskFullError
from keygrove.storage import heap, index
from keygrove.storage.follower import (
    FLUSH_AFTER_S,
    FLUSH_ENTRIES,
    OVERLAY_ENTRIES_MAX,
    RETRY_S,
    Follower,
)
from keygrove.storage.merkle import EMPTY
from keygrove.storage.rows import row_of
from keygrove.storage.tally import Tally
from keygrove.storage.version import Head
from keygrove.storage.write import Cause, Put
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_chaos.databases import InlineDatabase, Statement, ignore
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


@pytest.fixture
def indexer() -> Iterator[InlineDatabase]:
    database = InlineDatabase()
    yield database
    database.close()


@pytest.fixture
async def follower(indexer: InlineDatabase) -> Follower:
    await indexer.run(lambda db: index.create(db, bytes(16)))
    return Follower(indexer, 0, Tally())


def commit(follower: Follower, seq: int, put: Put) -> None:
    row = row_of(put, seq, seq, None)
    follower.add([(row, None)], [put])


def bare(number: int) -> Put:
    """A put of next to nothing: thousands of them are wanted."""
    name = Fingerprint(number.to_bytes(20))
    return Put(name, Digest(bytes(16)), b"", frozenset(), frozenset(), Cause.LOAD, CREATED)


async def flushed(indexer: InlineDatabase) -> int:
    row = await indexer.run(lambda db: db.execute("SELECT seq FROM done").fetchone())
    number: int = row[0]
    return number


async def is_settled(indexer: InlineDatabase) -> bool:
    """Whether its last end was in order, as `index.is_usable` asks."""
    row = await indexer.run(lambda db: db.execute("SELECT is_settled FROM done").fetchone())
    return bool(row[0])


async def test_the_index_follows_after_a_second(
    follower: Follower, indexer: InlineDatabase
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        commit(follower, 1, put_of(made(1, "Alice")))
        await trio.sleep(FLUSH_AFTER_S - 0.1)
        commit(follower, 2, put_of(made(2)))
        assert (await flushed(indexer), len(follower.overlay)) == (0, 2)
        await trio.sleep(0.2)
        assert (await flushed(indexer), len(follower.overlay)) == (2, 0)
        nursery.cancel_scope.cancel()


async def test_the_index_follows_again_and_again(
    follower: Follower, indexer: InlineDatabase
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        for seq in range(1, 4):
            commit(follower, seq, put_of(made(seq)))
            await trio.sleep(FLUSH_AFTER_S + 0.1)
            assert await flushed(indexer) == seq
        nursery.cancel_scope.cancel()


async def test_upkeep_goes_on_after_somebody_else_flushed(
    follower: Follower, indexer: InlineDatabase
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        await wait_all_tasks_blocked()
        await follower.flush()
        commit(follower, 1, put_of(made(1)))
        await trio.sleep(FLUSH_AFTER_S + 0.1)
        assert await flushed(indexer) == 1
        nursery.cancel_scope.cancel()


async def test_an_index_that_was_settled_is_written_no_more_until_something_changes(
    follower: Follower, indexer: InlineDatabase
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        commit(follower, 1, put_of(made(1)))
        await trio.sleep(FLUSH_AFTER_S / 2)  # upkeep has seen it, and waits for more
        await follower.settle()
        assert await is_settled(indexer)
        await trio.sleep(2 * FLUSH_AFTER_S)
        assert await is_settled(indexer)
        commit(follower, 2, put_of(made(2)))
        await trio.sleep(FLUSH_AFTER_S + 0.1)
        assert not await is_settled(indexer)
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_crowd_is_flushed_at_once(follower: Follower, indexer: InlineDatabase) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        begun = trio.current_time()
        for seq in range(1, FLUSH_ENTRIES + 1):
            commit(follower, seq, bare(seq))
        while await flushed(indexer) == 0:
            await trio.lowlevel.checkpoint()
        assert trio.current_time() - begun < FLUSH_AFTER_S
        nursery.cancel_scope.cancel()


async def test_a_full_disk_is_tried_again_and_counted_once(
    follower: Follower, indexer: InlineDatabase
) -> None:
    def watch(statement: Statement) -> None:
        if "UPDATE done" in statement.sql:
            raise DiskFullError("index.db")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        indexer.watch = watch
        commit(follower, 1, put_of(made(1)))
        await trio.sleep(FLUSH_AFTER_S + 0.1)
        assert (await flushed(indexer), len(follower.overlay)) == (0, 1)
        indexer.watch = ignore
        await trio.sleep(RETRY_S + FLUSH_AFTER_S)
        assert (await flushed(indexer), len(follower.overlay)) == (1, 0)
        nursery.cancel_scope.cancel()
    _, tally = await indexer.run(lambda db: index.read_tally(db, "main"))
    assert tally.certificates == follower.tally.certificates == 1


@pytest.mark.slow
async def test_commits_wait_for_an_index_that_is_far_behind(
    follower: Follower, indexer: InlineDatabase
) -> None:
    for seq in range(1, OVERLAY_ENTRIES_MAX + 1):
        commit(follower, seq, bare(seq))
    begun = trio.current_time()
    with pytest.raises(DiskFullError, match=r"index\.db"):
        await follower.room()
    assert trio.current_time() - begun == pytest.approx(RETRY_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.room)
        await wait_all_tasks_blocked()
        await follower.flush()
    assert len(follower.overlay) == 0
    await follower.room()


async def heap_of(number: int) -> InlineDatabase:
    """A heap with so many rows, which differ by their names alone."""
    found, put = InlineDatabase(), put_of(made(1, "Alice"))
    await found.run(lambda db: heap.create(db, "0/1", bytes(16)))
    rows = [
        row_of(replace(put, fingerprint=Fingerprint(n.to_bytes(20))), n, 1, None)
        for n in range(1, number + 1)
    ]
    commit = heap.Commit(
        rows=rows,
        head=Head(1, EMPTY, number),
        seq=number,
        at=CREATED,
        epoch=heap.Epoch(0, 1),
    )
    await found.run(lambda db: heap.append(db, commit))
    return found


async def replay_all(follower: Follower, reader: InlineDatabase) -> None:
    while await follower.replay(reader):
        pass


@pytest.mark.slow
async def test_a_replay_without_room_goes_on_in_memory_up_to_its_bound(
    follower: Follower, indexer: InlineDatabase
) -> None:
    reader = await heap_of(OVERLAY_ENTRIES_MAX + 1_000)

    def watch(statement: Statement) -> None:
        if "COMMIT" in statement.sql:
            raise DiskFullError("index.db")

    indexer.watch = watch
    with pytest.raises(DiskFullError, match=r"index\.db"):
        await replay_all(follower, reader)
    kept = len(follower.overlay)
    assert OVERLAY_ENTRIES_MAX <= kept < OVERLAY_ENTRIES_MAX + 1_000
    with pytest.raises(DiskFullError):
        await follower.replay(reader)
    assert len(follower.overlay) == kept
    indexer.watch = ignore
    await replay_all(follower, reader)
    assert follower.newest == follower.tally.certificates == OVERLAY_ENTRIES_MAX + 1_000
    reader.close()


async def test_what_was_replayed_reaches_the_index_without_another_commit(
    follower: Follower, indexer: InlineDatabase
) -> None:
    reader = await heap_of(3)
    assert await follower.replay(reader)
    assert not await follower.replay(reader)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.upkeep)
        await trio.sleep(FLUSH_AFTER_S + 0.1)
        assert await flushed(indexer) == 3
        nursery.cancel_scope.cancel()
    reader.close()


async def test_an_entry_that_changed_during_a_flush_stays(
    follower: Follower, indexer: InlineDatabase
) -> None:
    old, new = put_of(made(1, "Alice")), put_of(made(1, "Alice", "Bob"))
    commit(follower, 1, old)

    def watch(statement: Statement) -> None:
        if "UPDATE done" in statement.sql:
            commit(follower, 2, new)

    indexer.watch = watch
    await follower.flush()
    indexer.watch = ignore
    entry = follower.overlay.get(new.fingerprint)
    assert entry is not None
    assert entry.seq == 2
    assert await flushed(indexer) == 1


async def test_a_flush_writes_the_words_of_all_it_takes_as_one_segment(
    follower: Follower, indexer: InlineDatabase
) -> None:
    for seq in range(1, 51):
        commit(follower, seq, put_of(made(seq, f"User {seq}")))
    await follower.flush()
    segments = await indexer.run(
        lambda db: db.execute("SELECT count(DISTINCT segid) FROM word_idx").fetchone()
    )
    assert segments == (1,)
