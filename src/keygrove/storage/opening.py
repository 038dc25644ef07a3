"""A store on SQLite while it is being brought up: from its files to a `SqliteStore`.

The heap is open at once, or the shard cannot start. The index may have to be checked, made
anew, and brought up to the heap, which for a large store takes minutes, and on a full disk
cannot be done at all. That is `finish`, and others go on meanwhile: where it takes long the
heap's fingerprints are listed first, and certificates are found by these.

On a read-only file system none of that can be done: see `reading`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio
import msgspec

from keygrove.errors import DamagedError, DiskFullError, StoreError
from keygrove.points import buggify, crash_point, sometimes
from keygrove.ports import Databases, SqlDatabase
from keygrove.storage import heap, index, values
from keygrove.storage.compactor import Compactor
from keygrove.storage.follower import FLUSH_ENTRIES, Follower
from keygrove.storage.growing import grow
from keygrove.storage.merkle import Tree
from keygrove.storage.names import Names
from keygrove.storage.reading import ReadOnlyOpening, miss_nothing, open_read_only
from keygrove.storage.retention import KEEP, Retention
from keygrove.storage.scrub import Scrub
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import Progress
from keygrove.storage.version import Head, Version
from keygrove_protocols.openpgp.keys import Fingerprint


class Home(msgspec.Struct, frozen=True):
    """Which shard a store is, and where it lives."""

    folder: str
    shard: str
    """Its number and how many there are, as "0/4"."""
    uuid: bytes
    """16 octets that name the heap, if it has to be made."""


class _Files:
    """A shard's two files, and the connections to them.

    Readers are closed behind the writers, so that the last connection to a file is one that may
    not write: its log stays, and opening it again takes no room, which a full disk does not have.
    """

    def __init__(
        self,
        databases: Databases,
        folder: str,
        writers: AsyncExitStack,
        readers: AsyncExitStack,
    ) -> None:
        self._databases = databases
        self._writers = writers
        self._readers = readers
        self._heap = f"{folder}/heap.db"
        self._index = f"{folder}/index.db"

    async def write_heap(self) -> SqlDatabase:
        """A connection that writes the heap, made if need be.

        Raises:
            StoreError: there was one, and it is gone.
        """
        await miss_nothing(self._databases, self._heap, self._index)
        # After a synchronisation that failed, the system may show a log that the disk never got.
        # What is read from there must not be taken back by a power cut, nor be moved into the
        # file while an older log lies on the disk, which would then be read over it.
        await self._databases.secure(self._heap)
        return await self._writers.enter_async_context(self._databases.open(self._heap))

    async def write_index(self, tip: heap.Tip) -> SqlDatabase:
        """A connection that writes the index, made anew unless it is that of this heap."""
        with suppress(StoreError):  # whatever is the matter, it can be made anew from the heap
            if not buggify("index.distrusted"):
                db = await self._try_index(tip)
                if db is not None:
                    return db
        sometimes("index.rebuilt")
        await self._databases.remove(self._index)
        db = await self._try_index(tip)
        if db is None:
            raise StoreError(f"{self._index} is not what was just written there")
        return db

    @asynccontextmanager
    async def leisure(self) -> AsyncGenerator[SqlDatabase, None]:
        """A connection that reads the heap, for what has time and must not hold up a look-up."""
        async with self._databases.open(self._heap, writable=False) as db:
            yield db

    async def read(self) -> SqlDatabase:
        """A connection that reads the heap, and the index as `side`."""
        return await self._readers.enter_async_context(
            self._databases.open(self._heap, attached=self._index, writable=False)
        )

    async def _try_index(self, tip: heap.Tip) -> SqlDatabase | None:
        await self._databases.secure(self._index)
        async with AsyncExitStack() as opened:
            db = await opened.enter_async_context(
                self._databases.open(self._index, attached=self._heap)
            )
            await db.run(lambda session: heap.set_up(session, durable=False))
            await db.run(lambda session: index.create(session, tip.uuid))
            if not await db.run(lambda session: index.is_usable(session, tip), can_stop=True):
                return None
            with suppress(DiskFullError):  # then nothing is written here, and it may stay as it is
                await db.run(index.unsettle)
            self._writers.push_async_callback(opened.pop_all().aclose)
            return db


class SqliteOpening:
    """See `store.Opening`."""

    def __init__(  # noqa: PLR0913, PLR0917 - its files, and how they are to be looked after
        self,
        files: _Files,
        writer: SqlDatabase,
        tip: heap.Tip,
        turns: anyio.Semaphore,
        retention: Retention,
        scrub_bytes_per_s: int,
    ) -> None:
        self._files = files
        self._writer = writer
        self._tip = tip
        self._turns = turns
        self._retention = retention
        self._names = Names(writer, tip.seq)
        self._indexer: SqlDatabase | None = None
        self._reader: SqlDatabase | None = None
        self._follower: Follower | None = None
        self._store: SqliteStore | None = None
        self._scrub: Scrub | None = None
        self._scrub_bytes_per_s = scrub_bytes_per_s
        self._is_listing = self._lacks_room = False
        self._is_anew = False
        """Was the index empty, so that all it has by now is from the heap?"""

    def progress(self) -> Progress:
        """See `store.Opening`."""
        step, done = "checking the index", 0
        if self._is_listing:
            step, done = "listing the fingerprints", self._names.done
        elif self._follower is not None:
            step, done = "bringing the index up", self._follower.newest
        elif self._lacks_room:
            step = "making the index"
        return Progress(step, done, self._tip.seq, self._lacks_room)

    def head(self) -> Head:
        """See `store.Opening`."""
        return self._tip.head

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.Opening`."""
        source = self._names if self._store is None else self._store
        return await source.get(fingerprints)

    async def finish(self) -> SqliteStore:
        """See `store.Opening`."""
        if self._store is None:
            try:
                self._store = await self._bring_up()
            except DiskFullError:
                self._lacks_room = True
                await self._list_names()
                raise
        await self._names.drop()
        return self._store

    async def _bring_up(self) -> SqliteStore:
        if self._indexer is None:
            self._indexer = await self._files.write_index(self._tip)
        if self._reader is None:
            self._reader = await self._files.read()
        if self._follower is None:
            done, tally = await self._reader.run(lambda db: index.read_tally(db, "side"))
            self._follower = Follower(self._indexer, done, tally)
            self._is_anew = done == 0
        if self._tip.seq - self._follower.newest > FLUSH_ENTRIES:
            await self._list_names()
            async with self._turns:
                await self._replay(self._follower, self._reader)
        await self._replay(self._follower, self._reader)
        tree = await self._grow(self._follower, self._reader)
        if self._scrub is None and self._scrub_bytes_per_s:
            own = await self._files.read()
            self._scrub = Scrub(own, self._indexer, self._scrub_bytes_per_s)
        in_force = None
        with suppress(DamagedError):  # what it coded is told as damaged; the rest is served
            in_force = await self._reader.run(values.newest_dictionary)
        compactor = Compactor(
            self._writer,
            self._files.leisure,
            self._follower,
            in_force,
            retention=self._retention,
        )
        return SqliteStore(compactor, self._reader, self._follower, self._tip, tree, self._scrub)

    async def _grow(self, follower: Follower, reader: SqlDatabase) -> Tree:
        """The tree of what the index and the overlay have, which has to be that of the heap.

        Raises:
            StoreError: it is another. The index is made anew by the next try.
        """
        tree = await grow(reader, follower.overlay)
        if tree.root == self._tip.head.root:
            return tree
        if self._is_anew:
            raise DamagedError(
                "heap.db is damaged: what is in it is not what was committed; run keygrove fsck"
            )
        assert self._indexer is not None
        await self._indexer.run(index.distrust)
        raise StoreError("index.db is not that of its heap any more: it is made anew")

    async def _replay(self, follower: Follower, reader: SqlDatabase) -> None:
        while await follower.replay(reader):
            self._lacks_room = False

    async def _list_names(self) -> None:
        self._is_listing = True
        try:
            await self._names.take_in()
        finally:
            self._is_listing = False


@asynccontextmanager
async def open_store(  # noqa: PLR0913 - which files, and how they are to be looked after
    databases: Databases,
    home: Home,
    turns: anyio.Semaphore,
    *,
    durable: bool,
    retention: Retention = KEEP,
    scrub_bytes_per_s: int = 0,
) -> AsyncGenerator[SqliteOpening | ReadOnlyOpening, None]:
    """Open a shard's files, made if need be; on a read-only file system, only to be read.

    Args:
        turns: taken by who has much to bring up: it keeps a core busy, and by measurement four
            at once take twice the time of four in turn, and hold the event loop four times as long.
        retention: how much of its history is kept.
        scrub_bytes_per_s: how much of the heap is looked at again meanwhile; 0: nothing.

    Raises:
        DiskFullError: there is no room for a heap that is not there yet, or to secure its log.
        StoreError: the heap cannot be used.
    """
    if await databases.is_read_only():
        async with open_read_only(databases, home.folder, home.shard) as frozen:
            crash_point("store.open")
            yield frozen
        return
    async with AsyncExitStack() as readers, AsyncExitStack() as writers:
        files = _Files(databases, home.folder, writers, readers)
        writer = await files.write_heap()
        tip = await writer.run(lambda db: heap.prepare(db, home.shard, home.uuid, durable=durable))
        crash_point("store.open")
        yield SqliteOpening(files, writer, tip, turns, retention, scrub_bytes_per_s)
