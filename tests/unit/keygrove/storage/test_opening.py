"""A store on SQLite while it is being brought up: what it can answer, and what it waits for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from keygrove.errors import DiskFullError, StartingError
from keygrove.storage.follower import FLUSH_ENTRIES
from keygrove.storage.opening import Home, SqliteOpening, open_store
from keygrove.storage.store import CertificateStore
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Put
from keygrove_chaos.certificates import made, put_of
from keygrove_chaos.databases import Statement, WatchedDatabases, ignore
from keygrove_chaos.disk import Disk
from keygrove_chaos.disk_faults import Operation, Slow
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_protocols.openpgp.keys import Fingerprint
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.anyio

HOME = Home("shard-0", "0/1", bytes(16))
INDEX = "shard-0/index.db"
OLD, NEW, OTHER = (
    put_of(made(1, "Alice <a@x.example>")),
    put_of(made(1, "Alice <a@x.example>", "Carol <c@x.example>")),
    put_of(made(2, "Bob <b@x.example>")),
)
CAROL = Term(TermKind.ADDRESS, b"c@x.example")
UNKNOWN = Fingerprint(bytes(20))
CHECK = "PRAGMA main.quick_check"
LIST = "INSERT OR REPLACE INTO temp.newest"
REPLAY = "SELECT x.seq, x.n, x.op, x.k"
FLUSH = "INSERT OR REPLACE INTO key"
"""Each phase of bringing a store up has a statement that no other has."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@pytest.fixture
def disk() -> Disk:
    """It takes a millisecond for all that is asked of it."""
    disk = Disk(SeededTimeline(0), "node")
    disk.push("slow", Slow(delay_s=0.001))
    return disk


@pytest.fixture
def files(disk: Disk) -> Iterator[WatchedDatabases]:
    timeline = SeededTimeline(0)
    simulated = SimulatedDatabases(timeline, "node", disk.boot(), timeline.now)
    yield WatchedDatabases(simulated)
    simulated.close()


def opened(files: WatchedDatabases) -> AbstractAsyncContextManager[SqliteOpening]:
    return open_store(files, HOME, anyio.Semaphore(1), durable=False)


async def fill(files: WatchedDatabases) -> None:
    async with opened(files) as opening:
        store = await opening.finish()
        await store.commit([OLD, OTHER])
        await store.commit([NEW])
        await store.settle()


async def kill(files: WatchedDatabases) -> None:
    """Have the index be one of a process that ended in no order."""
    async with files.open(INDEX) as db:
        await db.run(lambda session: session.execute("UPDATE done SET is_settled = 0"))


def no_room(wherever: Callable[[Statement], bool]) -> Callable[[Statement], None]:
    def watch(statement: Statement) -> None:
        if wherever(statement):
            raise DiskFullError("index.db")

    return watch


async def assert_whole(store: CertificateStore) -> None:
    got = await store.get([NEW.fingerprint, OTHER.fingerprint, UNKNOWN])
    assert [version and version.packets for version in got] == [NEW.packets, OTHER.packets, None]
    assert await store.find([CAROL], 5) == [(NEW.fingerprint,)]
    assert await store.search(frozenset({"bob"}), 5) == (OTHER.fingerprint,)
    assert (store.counts().certificates, store.counts().change) == (2, 2)


async def test_without_an_index_and_room_for_one_fingerprints_are_found(
    files: WatchedDatabases,
) -> None:
    await fill(files)
    await files.remove(INDEX)
    files.watch = no_room(lambda s: s.path.endswith("index.db") and "CREATE" in s.sql)
    async with opened(files) as opening:
        with pytest.raises(StartingError):
            await opening.get([NEW.fingerprint])
        for _ in range(2):
            with pytest.raises(DiskFullError):
                await opening.finish()
            got = await opening.get([NEW.fingerprint, OTHER.fingerprint, UNKNOWN])
            assert [version and (version.packets, version.change) for version in got] == [
                (NEW.packets, 2),
                (OTHER.packets, 1),
                None,
            ]
            assert str(opening.progress()) == (
                "making the index, 0 of 3 versions; the disk is full: free some space"
            )
        files.watch = ignore
        await assert_whole(await opening.finish())
        (version,) = await opening.get([NEW.fingerprint])
        assert version is not None
        assert version.packets == NEW.packets


async def test_an_index_that_cannot_be_written_is_read_and_followed_in_memory(
    files: WatchedDatabases,
) -> None:
    async with opened(files) as opening:
        store = await opening.finish()
        await store.commit([OLD, OTHER])
        await store.settle()
        await store.commit([NEW])
    files.watch = no_room(lambda s: s.is_writable and s.sql.startswith("BEGIN"))
    async with opened(files) as opening:
        store = await opening.finish()
        await assert_whole(store)
        with pytest.raises(DiskFullError):
            await store.settle()
    files.watch = ignore
    async with opened(files) as opening:
        await assert_whole(await opening.finish())


async def test_a_stop_breaks_the_check_of_the_index_off(
    files: WatchedDatabases, disk: Disk
) -> None:
    await fill(files)
    await kill(files)

    def watch(statement: Statement) -> None:
        if statement.sql.startswith(CHECK):
            disk.push("slower", Slow(operations=(Operation.READ,), delay_s=3600.0))
            told.cancel()

    begun = anyio.current_time()
    with anyio.CancelScope() as told:
        async with opened(files) as opening:
            files.watch = watch
            await opening.finish()
    assert told.cancelled_caught
    assert anyio.current_time() - begun < 3600
    disk.pop("slower")
    files.watch = ignore
    async with opened(files) as opening:
        await assert_whole(await opening.finish())


def many(number: int) -> list[Put]:
    return [put_of(made(n, "Alice")) for n in range(number)]


async def lose_index(files: WatchedDatabases, puts: list[Put]) -> None:
    async with opened(files) as opening:
        await (await opening.finish()).commit(puts)
    await files.remove(INDEX)


async def cut_short(opening: SqliteOpening, files: WatchedDatabases, phase: str) -> None:
    """Bring it up until its first statement that begins so, and no further."""
    with anyio.CancelScope() as scope:

        def watch(statement: Statement) -> None:
            if statement.sql.startswith(phase):
                scope.cancel()

        files.watch = watch
        await opening.finish()
    files.watch = ignore
    assert scope.cancelled_caught, f"no statement of {phase}"


@pytest.mark.slow
async def test_fingerprints_are_listed_before_a_long_replay_which_can_be_cut_short(
    files: WatchedDatabases,
) -> None:
    puts = many(FLUSH_ENTRIES + 1)
    await lose_index(files, puts)
    async with opened(files) as opening:
        for phase in (CHECK, LIST):
            await cut_short(opening, files, phase)
            with pytest.raises(StartingError):
                await opening.get([puts[0].fingerprint])
        for phase, done in ((REPLAY, 0), (FLUSH, FLUSH_ENTRIES)):
            await cut_short(opening, files, phase)
            assert opening.progress().done == done
        (version,) = await opening.get([puts[0].fingerprint])
        assert version is not None
        store = await opening.finish()
        assert store.counts().certificates == len(puts)
        names = await store.search(frozenset({"alice"}), len(puts) + 1)
        assert set(names) == {put.fingerprint for put in puts}


@pytest.mark.slow
async def test_long_replays_take_turns_and_short_ones_do_not_wait(files: WatchedDatabases) -> None:
    await lose_index(files, many(FLUSH_ENTRIES + 1))
    turns = anyio.Semaphore(0)
    async with open_store(files, Home("shard-1", "1/2", bytes(16)), turns, durable=False) as short:
        await short.finish()
    async with open_store(files, HOME, turns, durable=False) as long:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(long.finish)
            while not turns.statistics().tasks_waiting:  # noqa: ASYNC110 - no time is real
                await anyio.sleep(1)
            assert long.progress().done == 0
            turns.release()
        assert long.progress().done == FLUSH_ENTRIES + 1


async def test_pages_are_looked_at_unless_the_last_end_was_in_order(
    files: WatchedDatabases,
) -> None:
    checks: list[str] = []

    def watch(statement: Statement) -> None:
        if statement.sql.startswith(CHECK):
            checks.append(statement.sql)

    await fill(files)
    files.watch = watch
    async with opened(files) as opening:
        store = await opening.finish()
        assert checks == []
        await store.commit([put_of(made(3, "Dora"))])
        with anyio.move_on_after(2):
            await store.upkeep()
    async with opened(files) as opening:
        store = await opening.finish()
        assert len(checks) == 1
        await store.settle()
    async with opened(files) as opening:
        await opening.finish()
        assert len(checks) == 1
