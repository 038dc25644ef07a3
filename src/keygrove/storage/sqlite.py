"""The store on SQLite: an append-only heap, an index that follows behind, an overlay between.

A commit appends rows to the heap, synchronises it, and enters the overlay; a second later,
or when the overlay is large, everything in it goes to the index, which then says how far it
is (`done`). Readers ask the overlay before the index, so they see every commit. A crash
between the two is harmless: the rows behind `done` are replayed at the next start (`opening`).
Three connections, each with its own thread: the heap's writer, the index's writer, and one
reader of both. Only a file's writer checkpoints it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from keygrove.points import buggify
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import heap, index
from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.follower import Follower
from keygrove.storage.overlay import Entry
from keygrove.storage.store import (
    Counts,
    Cursor,
    DigestPage,
    Digests,
    Page,
    Put,
    Term,
    Version,
    Whole,
)
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

T = TypeVar("T")

PASSING = 1_024
"""Certificates that may be committed while the index is read, without reading it again."""
WAL_BYTES = 8 << 20
"""Heap bytes between two checkpoints: longer logs make longer pauses."""


class _Place(msgspec.Struct, frozen=True):
    """A current version's row."""

    key: bytes
    seq: int
    size: int
    digests: Digests


class SqliteStore:
    """See `store.CertificateStore`."""

    def __init__(
        self, writer: SqlDatabase | None, reader: SqlDatabase, follower: Follower, tip: heap.Tip
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._follower = follower
        self._overlay = follower.overlay
        self._seq = tip.seq
        self._change = tip.n
        self._log_bytes = 0

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.CertificateStore`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Version | None]:
            seqs = [_seq(db, name) if entry is None else entry.seq for name, entry in wanted]
            return [None if seq is None else _version(db, seq) for seq in seqs]

        return await self._reader.run(work)

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        """See `store.CertificateStore`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Whole | None]:
            seqs = [_seq(db, name) if entry is None else entry.seq for name, entry in wanted]
            return [None if seq is None else _whole(db, seq) for seq in seqs]

        return await self._reader.run(work)

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """See `store.CertificateStore`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[bytes | None]:
            return [
                index.source(db, tree_key(name)) if entry is None else entry.source
                for name, entry in wanted
            ]

        return await self._reader.run(work)

    async def find(self, terms: Sequence[Term], limit: int) -> list[tuple[Fingerprint, ...]]:
        """See `store.CertificateStore`."""

        def work(db: SqlSession, stale: int) -> list[list[Fingerprint]]:
            return [index.find(db, term, limit + stale) for term in terms]

        found = await self._with_overlay(work)
        return [
            self._fresh(old, {entry.fingerprint for entry in self._overlay.find(term)}, limit)
            for term, old in zip(terms, found, strict=True)
        ]

    async def search(self, words: frozenset[str], limit: int) -> tuple[Fingerprint, ...]:
        """See `store.CertificateStore`."""
        if not words:
            return ()
        found = await self._with_overlay(lambda db, stale: index.search(db, words, limit + stale))
        new = {entry.fingerprint for entry in self._overlay.search(words)}
        return self._fresh(found, new, limit)

    async def commit(self, puts: Sequence[Put]) -> int:
        """See `store.CertificateStore`."""
        assert self._writer is not None, "a store opened read-only takes no commits"
        await self._follower.room()
        await self._checkpoint()
        places = await self._places([put.fingerprint for put in puts])
        change = self._change + 1
        rows = [
            (_row(put, self._seq + 1 + at, change, place), place.size if place else 0)
            for at, (put, place) in enumerate(zip(puts, places, strict=True))
        ]
        await self._writer.run(lambda db: heap.append(db, [row for row, _ in rows]))
        self._seq += len(rows)
        self._change = change
        self._follower.add(rows, puts)
        self._log_bytes += sum(put.size for put in puts)
        return change

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        places, after = await self._places_after(cursor, limit)

        def work(db: SqlSession) -> tuple[Whole, ...]:
            return tuple(_whole(db, place.seq) for place in places)

        return Page(await self._reader.run(work), after)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        places, after = await self._places_after(cursor, limit)
        return DigestPage(tuple(place.digests for place in places), after)

    def counts(self) -> Counts:
        """See `store.CertificateStore`."""
        return self._follower.tally.counts(self._change)

    async def upkeep(self) -> None:
        """See `store.CertificateStore`."""
        await self._follower.upkeep()

    async def settle(self) -> None:
        """See `store.CertificateStore`."""
        assert self._writer is not None, "a store opened read-only has nothing to settle"
        await self._follower.settle()
        await self._writer.run(heap.empty_log)

    async def _checkpoint(self) -> None:
        """Before a commit, never after: one that is durable must not fail for want of room."""
        if self._log_bytes > WAL_BYTES or buggify("heap.checkpoint"):
            assert self._writer is not None
            await self._writer.run(heap.checkpoint)
            self._log_bytes = 0

    async def _with_overlay(self, work: Callable[[SqlSession, int], T]) -> T:
        """Ask the index; the overlay as it is on return has all that the answer lacks.

        `work` is told how many of what it finds may be stale, because the overlay has them.
        Commits that pass meanwhile make that more: so many more are allowed for.
        """
        while True:
            flushes, stale = self._follower.flushes, len(self._overlay) + PASSING
            found = await self._reader.run(partial(_call, work, stale))
            if flushes == self._follower.flushes and len(self._overlay) <= stale:
                return found

    def _fresh(
        self, old: Sequence[Fingerprint], new: set[Fingerprint], limit: int
    ) -> tuple[Fingerprint, ...]:
        return tuple(sorted(new | {name for name in old if name not in self._overlay})[:limit])

    async def _places(self, names: Sequence[Fingerprint]) -> list[_Place | None]:
        """Where the current versions are. Only the committer asks, so nothing changes them."""
        entries = [self._overlay.get(name) for name in names]
        missing = [name for name, entry in zip(names, entries, strict=True) if entry is None]

        def work(db: SqlSession) -> dict[Fingerprint, _Place]:
            found = ((name, db.execute(_PLACE, (tree_key(name),)).fetchone()) for name in missing)
            return {name: _place(*row) for name, row in found if row is not None}

        known = await self._reader.run(work) if missing else {}
        return [
            _place_of(entry) if entry else known.get(name)
            for name, entry in zip(names, entries, strict=True)
        ]

    async def _places_after(
        self, cursor: Cursor | None, limit: int
    ) -> tuple[list[_Place], Cursor | None]:
        """Current versions in tree-key order. One more than asked tells whether more follow."""
        start = cursor or b""

        def work(db: SqlSession, _: int) -> list[_Place]:
            rows = db.execute(_PLACES, (start, limit + 1))
            return [_place(*row) for row in rows.fetchall()]

        found = {place.key: place for place in await self._with_overlay(work)}
        # The index is read up to here; what the overlay has beyond belongs to later pages.
        end = max(found, default=b"") if len(found) > limit else None
        for entry in self._overlay.entries():
            if entry.key > start and (end is None or entry.key <= end):
                found[entry.key] = _place_of(entry)
        places = [found[key] for key in sorted(found)]
        return places[:limit], Cursor(places[limit - 1].key) if len(places) > limit else None


def _call(work: Callable[[SqlSession, int], T], stale: int, db: SqlSession) -> T:
    return work(db, stale)


_PLACE = (
    "SELECT x.k, x.seq, length(o.v) + length(o.aside), x.md5, x.sks"
    " FROM side.key AS x JOIN obj AS o ON o.seq = x.seq WHERE x.k = ?"
)
_PLACES = "SELECT k, seq, 0, md5, sks FROM side.key WHERE k > ? ORDER BY k LIMIT ?"
_VERSION = "SELECT fp, md5, v, n FROM obj WHERE seq = ?"
_WHOLE = "SELECT fp, md5, v, n, sks, aside, source FROM obj WHERE seq = ?"


def _place(key: bytes, seq: int, size: int, stored: Digest, sks: Digest) -> _Place:
    return _Place(key, seq, size, Digests(stored, sks))


def _place_of(entry: Entry) -> _Place:
    return _place(entry.key, entry.seq, entry.size, entry.digest, entry.sks_digest)


def _seq(db: SqlSession, name: Fingerprint) -> int | None:
    row = db.execute("SELECT seq FROM side.key WHERE k = ?", (tree_key(name),)).fetchone()
    return None if row is None else row[0]


def _version(db: SqlSession, seq: int) -> Version:
    return Version(*db.execute(_VERSION, (seq,)).fetchone())


def _whole(db: SqlSession, seq: int) -> Whole:
    return Whole(*db.execute(_WHOLE, (seq,)).fetchone())


def _row(put: Put, seq: int, change: int, place: _Place | None) -> heap.Row:
    return heap.Row(
        seq=seq,
        n=change,
        k=tree_key(put.fingerprint),
        h=content_hash(put.packets, put.aside),
        fp=put.fingerprint,
        md5=put.digest,
        sks=put.sks_digest,
        source=put.source,
        old=None if place is None else place.seq,
        cause=put.cause.value,
        at=put.at,
        v=put.packets,
        aside=put.aside,
    )
