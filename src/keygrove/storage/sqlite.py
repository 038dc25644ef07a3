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

import anyio

from keygrove.errors import ReadOnlyError, StoreError
from keygrove.points import crash_point
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import heap, index, ledger, paging, versions
from keygrove.storage.address import tree_key
from keygrove.storage.audit import Record
from keygrove.storage.compactor import Compactor
from keygrove.storage.cursor import Cursor
from keygrove.storage.follower import Follower
from keygrove.storage.growing import grow
from keygrove.storage.mark import Mark, Snapshot
from keygrove.storage.merkle import Tree
from keygrove.storage.overlay import Entry
from keygrove.storage.rows import Op, Place, may_follow, row_of
from keygrove.storage.scrub import Scrub
from keygrove.storage.sqlite_history import Pin, SqliteHistory, grown
from keygrove.storage.store import (
    AuditPage,
    Counts,
    DenialPage,
    DigestPage,
    Page,
    Savings,
    Scrubbed,
)
from keygrove.storage.term import Term
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Redacted, Redaction, Write
from keygrove_protocols.openpgp.keys import Fingerprint

T = TypeVar("T")
V = TypeVar("V", bound=Version)

PASSING = 1_024
"""Certificates that may be committed while the index is read, without reading it again."""


class SqliteStore:
    """See `store.CertificateStore`."""

    def __init__(  # noqa: PLR0913, PLR0917 - its connections, and how the files stand
        self,
        compactor: Compactor | None,
        reader: SqlDatabase,
        follower: Follower,
        tip: heap.Tip,
        tree: Tree | None,
        scrub: Scrub | None = None,
    ) -> None:
        self._writer = None if compactor is None else compactor.writer
        self._compactor = compactor
        self._reader = reader
        self._follower = follower
        self._overlay = follower.overlay
        self._seq = tip.seq
        self._head = tip.head
        self._epoch = heap.Epoch(tip.epoch, tip.epoch + 1)
        self._tree = tree
        self._scrub = scrub
        self._history = SqliteHistory(reader, follower.overlay, head=self.head, tip=self._tip)

    @property
    def is_read_only(self) -> bool:
        """See `store.CertificateStore`."""
        return self._writer is None

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.CertificateStore`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Version | None]:
            return [_read(db, versions.version, name, entry) for name, entry in wanted]

        return await self._reader.run(work)

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        """See `store.CertificateStore`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Whole | None]:
            return [_read(db, versions.whole, name, entry) for name, entry in wanted]

        return await self._reader.run(work)

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """See `store.CertificateStore`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[bytes | None]:
            return [_source(db, name, entry) for name, entry in wanted]

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
        ordered = sorted(words)
        found = await self._with_overlay(lambda db, stale: index.search(db, ordered, limit + stale))
        new = {entry.fingerprint for entry in self._overlay.search(words)}
        return self._fresh(found, new, limit)

    async def denials_of(self, fingerprints: Sequence[Fingerprint]) -> list[Denial | None]:
        """See `store.CertificateStore`."""
        if not self._follower.tally.denials:
            return [None] * len(fingerprints)
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Denial | None]:
            return [_denial_of(db, name, entry) for name, entry in wanted]

        return await self._reader.run(work)

    async def redactions_of(self, fingerprints: Sequence[Fingerprint]) -> list[Redacted]:
        """See `store.CertificateStore`."""

        def work(db: SqlSession) -> list[Redacted]:
            return [ledger.redacted(db, name) for name in fingerprints]

        return await self._reader.run(work)

    async def are_recorded(self, requests: Sequence[tuple[Fingerprint, bytes]]) -> list[bool]:
        """See `store.CertificateStore`."""

        def work(db: SqlSession) -> list[bool]:
            return [ledger.is_recorded(db, name, nonce) for name, nonce in requests]

        return await self._reader.run(work)

    async def commit(
        self,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        """See `store.CertificateStore`."""
        if self._writer is None:
            raise ReadOnlyError("heap.db")
        assert self._tree is not None
        assert self._compactor is not None
        await self._follower.room()
        if await self._compactor.wal.room():
            crash_point("heap.checkpoint")
        places = await self._places([write.fingerprint for write in writes]) if writes else []
        change = self._head.change + 1
        rows = [
            (row_of(write, self._seq + 1 + at, change, place), place)
            for at, (write, place) in enumerate(zip(writes, places, strict=True))
        ]
        assert all(may_follow(row.op, place) for row, place in rows)
        tree = await grown(self._tree, [(row.k, row.value) for row, _ in rows])
        head = Head(change, tree.root, len(tree))
        seq = self._seq + len(rows)
        commit = heap.Commit(
            rows=[row for row, _ in rows],
            head=head,
            seq=seq,
            at=max(one.at for part in (writes, records, redactions, marks) for one in part),
            epoch=self._epoch,
            records=records,
            redactions=redactions,
            marks=marks,
            dictionary=self._compactor.in_force,
        )
        stored = await self._writer.run(lambda db: heap.append(db, commit))
        self._seq, self._epoch = seq, heap.Epoch(commit.epoch.own, commit.epoch.own)
        self._head, self._tree = head, tree
        self._follower.add(rows, writes)
        self._compactor.wrote(sum(row.size for row, _ in rows), stored)
        if any(isinstance(mark, Snapshot) and mark.change is None for mark in marks):
            self._history.pin(Pin(head, seq, tree))
        return change

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        found, after = await self._paged(paging.seqs, paging.seq_and_name, cursor, limit)

        def work(db: SqlSession) -> tuple[Whole, ...]:
            return tuple(versions.whole(db, seq, name) for seq, name in found)

        return Page(await self._reader.run(work), after)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        digests, after = await self._paged(paging.digests, paging.digests_held, cursor, limit)
        return DigestPage(tuple(digests), after)

    async def denials(self, cursor: Cursor | None, limit: int) -> DenialPage:
        """See `store.CertificateStore`."""
        denials, after = await self._paged(paging.denials, paging.denial_there, cursor, limit)
        return DenialPage(tuple(denials), after)

    async def audit(self, cursor: Cursor | None, limit: int) -> AuditPage:
        """See `store.CertificateStore`."""
        after = int.from_bytes(cursor or b"")
        found = await self._reader.run(lambda db: ledger.records(db, after, limit + 1))
        page = found[:limit]
        end = Cursor(page[-1][0].to_bytes(8)) if len(found) > limit else None
        return AuditPage(tuple(record for _, record in page), end)

    @property
    def history(self) -> SqliteHistory:
        """See `store.CertificateStore`."""
        return self._history

    def counts(self) -> Counts:
        """See `store.CertificateStore`."""
        return self._follower.tally.counts(self._head.change)

    def savings(self) -> Savings:
        """See `store.CertificateStore`."""
        return Savings() if self._compactor is None else self._compactor.savings()

    def head(self) -> Head:
        """See `store.CertificateStore`."""
        return self._head

    def tree(self) -> Tree:
        """See `store.CertificateStore`."""
        assert self._tree is not None, "a store opened read-only makes no tree"
        return self._tree

    async def upkeep(self) -> None:
        """See `store.CertificateStore`."""
        await self._follower.upkeep()

    async def scrub(self, tell: Callable[[Scrubbed], None]) -> None:
        """See `store.CertificateStore`."""
        if self._scrub is None:
            await anyio.sleep_forever()
        else:
            await self._scrub.run(lambda: self._seq, tell)

    async def compact(self) -> None:
        """See `store.CertificateStore`."""
        assert self._compactor is not None, "a store opened read-only keeps what there is"
        await self._compactor.forever(lambda: self._epoch)

    async def compact_once(self) -> None:
        """What `compact` does once a minute, now, as far as the index is on the disk.

        Raises:
            DiskFullError: there is no room.
        """
        assert self._compactor is not None, "a store opened read-only keeps what there is"
        await self._compactor.once(lambda: self._epoch, self._follower.secured)

    async def settle(self) -> None:
        """See `store.CertificateStore`."""
        if self._writer is None:
            return
        await self._follower.settle()
        await self._writer.run(heap.empty_log)

    async def _tip(self) -> Pin:
        if self._tree is None:  # opened read-only: few ask for it
            tree = await grow(self._reader, self._overlay)
            if tree.root != self._head.root:
                raise StoreError(
                    "a shard's index and its heap do not agree: try again if a server writes them "
                    "now, or run keygrove fsck"
                )
            self._tree = tree
        return Pin(self._head, self._seq, self._tree)

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

    async def _places(self, names: Sequence[Fingerprint]) -> list[Place | None]:
        """Where each stands now. Only the committer asks, so nothing changes that."""
        wanted = [(name, self._overlay.get(name)) for name in names]

        def work(db: SqlSession) -> list[Place | None]:
            return [_find_place(db, name, entry) for name, entry in wanted]

        return await self._reader.run(work)

    async def _paged(
        self,
        read: Callable[[SqlSession, bytes, int], dict[bytes, T]],
        pick: Callable[[Entry], T | None],
        cursor: Cursor | None,
        limit: int,
    ) -> tuple[list[T], Cursor | None]:
        """What `read` finds in the index, and `pick` in the overlay, in tree-key order.

        One more than asked tells whether more follow. A page may be short, or even empty, and
        others follow, where the overlay knows better than the index.
        """
        start = cursor or b""
        found = await self._with_overlay(lambda db, _: read(db, start, limit + 1))
        # The index is read up to here; what the overlay has beyond belongs to later pages.
        end = max(found, default=b"") if len(found) > limit else None
        for entry in self._overlay.entries():
            if entry.key > start and (end is None or entry.key <= end):
                found.pop(entry.key, None)
                picked = pick(entry)
                if picked is not None:
                    found[entry.key] = picked
        keys = sorted(found)
        if len(keys) > limit:
            end = keys[limit - 1]
        return [found[key] for key in keys[:limit]], None if end is None else Cursor(end)


def _call(work: Callable[[SqlSession, int], T], stale: int, db: SqlSession) -> T:
    return work(db, stale)


def _find_place(db: SqlSession, name: Fingerprint, entry: Entry | None) -> Place | None:
    if entry is not None:
        return _place(entry)
    seq = index.seq(db, tree_key(name))
    return None if seq is None else heap.place(db, seq)


def _place(entry: Entry) -> Place:
    size = entry.found.size if entry.found else 0
    if entry.denial is not None:
        return Place(entry.seq, Op.DENY, size)
    return Place(entry.seq, Op.PUT if size else Op.LIFT, size)


def _read(
    db: SqlSession,
    read: Callable[[SqlSession, int, Fingerprint], V],
    name: Fingerprint,
    entry: Entry | None,
) -> V | None:
    """The certificate's current version, as `read` does it."""
    seq = _seq(db, name) if entry is None else _seq_held(entry)
    return None if seq is None else read(db, seq, name)


def _seq(db: SqlSession, name: Fingerprint) -> int | None:
    row = db.execute("SELECT seq FROM side.key WHERE k = ?", (tree_key(name),)).fetchone()
    return None if row is None else row[0]


def _seq_held(entry: Entry) -> int | None:
    return None if entry.found is None else entry.seq


def _denial_of(db: SqlSession, name: Fingerprint, entry: Entry | None) -> Denial | None:
    if entry is not None:
        return entry.denial
    seq = index.denial_seq(db, tree_key(name))
    return None if seq is None else versions.denial(db, seq)


def _source(db: SqlSession, name: Fingerprint, entry: Entry | None) -> bytes | None:
    if entry is None:
        return index.source(db, tree_key(name))
    return None if entry.found is None else entry.found.source
