"""Brings the index up behind the heap: an overlay of what it lacks, and the flush.

After a flush the overlay forgets what the index now has. `flushes` counts them: a reader
that saw no flush end between its look into the index and its look into the overlay has seen
everything.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import anyio
import anyio.lowlevel

from keygrove.errors import DamagedError, DiskFullError
from keygrove.points import at_once, crash_point, sometimes
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import heap, index
from keygrove.storage.derive import Derived, derive, digest_terms
from keygrove.storage.overlay import Entry, Found, Overlay
from keygrove.storage.rows import Op, Place, Row, check, denial_in
from keygrove.storage.store import Digests
from keygrove.storage.tally import Standing, Tally
from keygrove.storage.wal import Wal
from keygrove.storage.write import Write, held_by
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

FLUSH_AFTER_S = 1.0
FLUSH_ENTRIES = 8_192
OVERLAY_ENTRIES_MAX = 32_768
"""Then commits wait for the index: memory stays bounded, and a replay short."""
LOG_BYTES_MAX = 128 << 20
"""Of an index: a flush is one transaction, and after a long wait adds as much again at once."""
SLICE = 256
"""Entries at once, where the event loop is held up by them, or a reader's thread."""
RETRY_S = 5.0
"""Pause after the disk was full."""


class Follower:
    """What the index lacks, and the work that gives it to the index."""

    def __init__(self, indexer: SqlDatabase | None, done: int, tally: Tally) -> None:
        self._indexer = indexer
        self.newest = done
        """Every heap row up to here is in the index or the overlay."""
        self._pending = Tally()
        self._dirty = anyio.Event()
        self._crowded = anyio.Event()
        self._room = anyio.Event()
        self._flushing = anyio.Lock()
        self._wal = None if indexer is None else _wal(indexer)
        self.secured = done
        """Every heap row up to here is in the index, and will be after a power cut, too."""
        self.overlay = Overlay()
        self.tally = tally
        self.flushes = 0

    def add(self, rows: Sequence[tuple[Row, Place | None]], writes: Sequence[Write]) -> None:
        """Take in a commit: its rows, each with what it replaced, and what they were made from."""
        for (row, old), write in zip(rows, writes, strict=True):
            held = held_by(write)
            found = None if held is None else Derived(held.terms, held.words)
            self._enter(_entry(row, found), row, old)
        self._dirty.set()
        if len(self.overlay) >= FLUSH_ENTRIES:
            self._crowded.set()

    async def room(self) -> None:
        """Wait until another commit may come.

        Raises:
            DiskFullError: the index cannot follow, because the disk is full.
        """
        while len(self.overlay) >= OVERLAY_ENTRIES_MAX:
            self._room = anyio.Event()
            with anyio.move_on_after(RETRY_S) as waited:
                await self._room.wait()
            if waited.cancelled_caught:
                raise DiskFullError("index.db")

    async def replay(self, reader: SqlDatabase) -> bool:
        """Take in some of the rows that a former run committed and did not flush.

        Returns:
            Whether there were any; if so, there may be more.

        Raises:
            DamagedError: one of them is not what was committed.
            DiskFullError: the index cannot follow, and the overlay can take no more.
        """
        if self._indexer is not None and len(self.overlay) >= OVERLAY_ENTRIES_MAX:
            await self.flush()
        rows = await reader.run(lambda db: heap.after(db, self.newest, SLICE))
        if not rows:
            return False
        sometimes("index.replayed")
        derived = await reader.run(partial(_derive_all, rows))
        before = len(self.overlay)
        for (row, old), found in zip(rows, derived, strict=True):
            self._enter(_entry(row, found), row, old)
        self._dirty.set()
        is_enough = len(self.overlay) // FLUSH_ENTRIES > before // FLUSH_ENTRIES
        if self._indexer is not None and is_enough:
            with suppress(DiskFullError):  # there is room in the overlay still
                await self.flush()
        return True

    async def upkeep(self) -> None:
        """Flush for as long as this runs: a second after a change, or sooner in a crowd."""
        while True:
            await self._dirty.wait()
            with anyio.move_on_after(FLUSH_AFTER_S):
                await self._crowded.wait()
            try:
                await self.flush()
            except DiskFullError:
                # Nothing is lost: the heap has it. Commits stop when the overlay is full.
                await anyio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Give the index all it lacks; if that is nothing, its file is left as it is.

        Raises:
            DiskFullError: it lacks some of it still.
        """
        # Two at once would take `done` back, and count some changes twice.
        async with self._flushing:
            if not self._dirty.is_set():  # else an index that has been settled would not be so
                return
            try:
                await self._flush()
            except DamagedError:
                # Perhaps it is only behind what its heap has dropped: made anew, it is not.
                assert self._indexer is not None
                await self._indexer.run(index.distrust)
                raise

    async def settle(self) -> None:
        """Flush, and leave no log.

        Raises:
            DiskFullError: the index lacks something still, or its file does.
        """
        await self.flush()
        assert self._indexer is not None
        await self._indexer.run(index.settle)
        await self._indexer.run(heap.empty_log)

    async def _flush(self) -> None:
        assert self._indexer is not None, "a read-only store has no index to write"
        assert self._wal is not None
        await self._wal.room()
        # Whoever waits on an event that is not set must find it set later.
        self._dirty = anyio.Event()
        if self._crowded.is_set():
            self._crowded = anyio.Event()
        entries, newest = self.overlay.by_age(), self.newest
        change, self._pending = self._pending, Tally()
        try:
            step = at_once("index.flush", OVERLAY_ENTRIES_MAX)
            for start in range(0, len(entries), step):
                part = entries[start : start + step]
                await self._indexer.run(partial(index.write, entries=part))
                crash_point("index.flush")
            await self._indexer.run(lambda db: index.finish(db, newest, change))
        except BaseException:
            self._pending.add(change)
            self._dirty.set()
            raise
        crash_point("index.flushed")
        self.flushes += 1
        for start in range(0, len(entries), SLICE):
            for entry in entries[start : start + SLICE]:
                self.overlay.drop(entry)
            # The index has them all: whoever reads meanwhile may find one here or there.
            await anyio.lowlevel.checkpoint()
        self._room.set()
        if await self._wal.checkpoint():
            self.secured = newest

    def _enter(self, entry: Entry, row: Row, old: Place | None) -> None:
        self.newest = row.seq
        self.overlay.add(entry)
        for tally in (self.tally, self._pending):
            _count(tally, row, old)


def _wal(indexer: SqlDatabase) -> Wal:
    return Wal(indexer, "index.db", octets_max=LOG_BYTES_MAX)


def _count(tally: Tally, row: Row, old: Place | None) -> None:
    before = Standing(0, is_denied=False)
    if old is not None:
        before = Standing(old.size, is_denied=old.op is Op.DENY)
    tally.count(before, Standing(row.size, is_denied=row.op is Op.DENY))
    if row.op is Op.PUT:
        tally.count_put(is_first=not before.size, at=row.at)


def _entry(row: Row, derived: Derived | None) -> Entry:
    found: Found | None = None
    if derived is not None:
        digests = Digests(Digest(row.md5), Digest(row.sks))
        terms = derived.terms | digest_terms(row.md5, row.sks)
        found = Found(row.h, digests, row.source, row.size, terms, derived.words)
    denial = denial_in(row) if row.op is Op.DENY else None
    return Entry(row.seq, row.k, Fingerprint(row.fp), found, denial)


def _derive_all(rows: Sequence[tuple[Row, Place | None]], _: SqlSession) -> list[Derived | None]:
    """On the reader's thread, because a long replay must not hold the event loop."""
    for row, _old in rows:
        check(row)
    return [derive(row.v) if row.v else None for row, _ in rows]
