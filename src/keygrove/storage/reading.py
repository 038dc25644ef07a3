"""A store on SQLite that is only read: beside the server that writes it, or on a read-only disk.

Nothing is made or brought up. The index has to be that of its heap; what it lacks is replayed
into the overlay. Where it is not, certificates are found by fingerprint at least.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from keygrove.errors import DamagedError, ReadOnlyError, StoreError
from keygrove.points import sometimes
from keygrove.ports import Databases, SqlDatabase, SqlSession
from keygrove.storage import heap, index
from keygrove.storage.follower import OVERLAY_ENTRIES_MAX, Follower
from keygrove.storage.growing import grow
from keygrove.storage.merkle import Tree
from keygrove.storage.names import Names
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import Progress
from keygrove.storage.version import Head, Version
from keygrove_protocols.openpgp.keys import Fingerprint

LOOK_S = 1.0
"""How often a read-only file system is asked whether it still is."""


class ReadOnlyStore(SqliteStore):
    """A store on a read-only file system."""

    def __init__(
        self,
        databases: Databases,
        reader: SqlDatabase,
        follower: Follower,
        tip: heap.Tip,
        tree: Tree,
    ) -> None:
        super().__init__(None, reader, follower, tip, tree)
        self._databases = databases

    async def upkeep(self) -> None:
        """Return when it is to be opened anew, because its files can be written."""
        await _until_writable(self._databases)


class ReadOnlyOpening:
    """See `store.Opening`: of files on a read-only file system."""

    def __init__(
        self,
        databases: Databases,
        folder: str,
        shard: str,
        opened: tuple[SqlDatabase, heap.Tip, AsyncExitStack],
    ) -> None:
        self._databases = databases
        self._heap, self._index = f"{folder}/heap.db", f"{folder}/index.db"
        self._shard = shard
        db, self._tip, self._readers = opened
        self._names = Names(db, self._tip.seq)
        self._store: ReadOnlyStore | None = None
        self._has_no_index = False

    def progress(self) -> Progress:
        """See `store.Opening`."""
        step = "making the index" if self._has_no_index else "checking the index"
        return Progress(step, 0, self._tip.seq, is_read_only=True)

    def head(self) -> Head:
        """See `store.Opening`."""
        return self._tip.head

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.Opening`."""
        source = self._names if self._store is None else self._store
        return await source.get(fingerprints)

    async def finish(self) -> ReadOnlyStore:
        """See `store.Opening`. What needs an index that is not there waits for one.

        Raises:
            ReadOnlyError: it could not be brought up, and can by now: open it anew.
        """
        if self._store is None:
            reader = await self._read()
            if reader is None:
                self._has_no_index = True
                await self._names.take_in()
                await _until_writable(self._databases)
                raise ReadOnlyError("index.db")
            self._store = await self._bring_up(reader)
            sometimes("store.frozen")
        return self._store

    async def _read(self) -> SqlDatabase | None:
        """A reader of both files; None where the index is of no use."""
        if not await has_index(self._databases, self._heap, self._index, self._shard):
            return None
        reader = await self._readers.enter_async_context(
            self._databases.open(self._heap, attached=self._index, writable=False)
        )
        done, _ = await reader.run(lambda db: index.read_tally(db, "side"))
        # What it lacks is to be held in memory: no more of it than a writer would hold.
        return reader if self._tip.seq - done <= OVERLAY_ENTRIES_MAX else None

    async def _bring_up(self, reader: SqlDatabase) -> ReadOnlyStore:
        follower = await followed(reader)
        tree = await grow(reader, follower.overlay)
        if tree.root != self._tip.head.root:
            raise DamagedError(f"{self._index} is not that of its heap: its disk is read-only")
        return ReadOnlyStore(self._databases, reader, follower, self._tip, tree)


@asynccontextmanager
async def open_read_only(
    databases: Databases, folder: str, shard: str
) -> AsyncGenerator[ReadOnlyOpening, None]:
    """Open a shard's files on a read-only file system.

    Raises:
        StoreError: the heap cannot be read.
    """
    async with AsyncExitStack() as readers:
        heap_path, index_path = f"{folder}/heap.db", f"{folder}/index.db"
        await miss_nothing(databases, heap_path, index_path)
        for path in (heap_path, index_path):  # a commit may have ended halfway just before
            await databases.secure(path)
        db = await readers.enter_async_context(databases.open(heap_path, writable=False))
        tip = await db.run(lambda session: heap.check(session, shard))
        yield ReadOnlyOpening(databases, folder, shard, (db, tip, readers))


@asynccontextmanager
async def open_reader(
    databases: Databases, folder: str, shard: str
) -> AsyncGenerator[SqliteStore, None]:
    """Open a shard's files to read them only, also beside a server that writes them.

    Raises:
        StoreError: they cannot be read.
    """
    heap_path, index_path = f"{folder}/heap.db", f"{folder}/index.db"
    await miss_nothing(databases, heap_path, index_path)
    async with databases.open(heap_path, writable=False) as db:
        await db.run(lambda session: heap.check(session, shard))
    if not await has_index(databases, heap_path, index_path, shard):
        raise StoreError(
            f"the index of shard {shard} has to be made anew: have `keygrove serve` do so, and "
            "wait until it says that it is ready"
        )
    async with databases.open(heap_path, attached=index_path, writable=False) as reader:
        follower = await followed(reader)
        while True:
            tip = await reader.run(lambda session: heap.check(session, shard))
            if tip.seq <= follower.newest:
                break
            while await follower.replay(reader):
                pass
        yield SqliteStore(None, reader, follower, tip, None)


async def followed(reader: SqlDatabase) -> Follower:
    """All that the index lacks, in an overlay that nobody flushes."""
    done, tally = await reader.run(lambda db: index.read_tally(db, "side"))
    follower = Follower(None, done, tally)
    while await follower.replay(reader):
        pass
    return follower


async def _until_writable(databases: Databases) -> None:
    while await databases.is_read_only():  # noqa: ASYNC110 - nobody tells of a remount
        await anyio.sleep(LOOK_S)


async def miss_nothing(databases: Databases, heap_path: str, index_path: str) -> None:
    """Refuse to begin empty where a heap was.

    Before it is opened: SQLite makes a file that is missing, and deletes the log that lies
    beside an empty one. An index is never made before its heap is on the disk.
    """
    if await databases.holds(heap_path) or not await databases.holds(index_path):
        return
    raise StoreError(
        f"{heap_path} is gone, but {index_path}, which was made from it, is there: put it "
        "back, or restore a backup"
    )


async def has_index(databases: Databases, heap_path: str, path: str, shard: str) -> bool:
    """Whether the index is there, and that of this heap; nothing is written."""

    def look(db: SqlSession) -> bool:
        origin = index.origin(db, "side")
        return origin.fits(heap.check(db, shard))

    try:
        async with databases.open(heap_path, attached=path, writable=False) as db:
            return await db.run(look)
    except StoreError:
        return False
