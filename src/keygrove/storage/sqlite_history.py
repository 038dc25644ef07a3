"""How a shard on SQLite stood before.

A certificate is followed from its newest row back. A tree is made from a newer one, by undoing
what came behind; the newest few are kept, which costs no more than where they differ.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial

import anyio.lowlevel
import msgspec

from keygrove.errors import DamagedError, HistoryError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import index, ledger, stepping, versions
from keygrove.storage.address import tree_key
from keygrove.storage.cursor import Cursor
from keygrove.storage.history import LogPage
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import Change, Tree
from keygrove.storage.overlay import Entry, Overlay
from keygrove.storage.rollback import Rollback
from keygrove.storage.steps import Steps
from keygrove.storage.version import Head, Version, Whole
from keygrove_protocols.openpgp.keys import Fingerprint

PINS_MAX = 8
"""Trees of former times that are kept, the ones asked for last."""
PAGE = 512
"""Rows that are undone at once: look-ups wait for them a few milliseconds."""
SLICE = 64
"""Changes of a tree at once: they take up to two milliseconds."""


class Pin(msgspec.Struct, frozen=True):
    """A tree, of which change it is, and the last row by then."""

    head: Head
    seq: int
    tree: Tree


class SqliteHistory:
    """See `History`."""

    def __init__(
        self,
        reader: SqlDatabase,
        overlay: Overlay,
        *,
        head: Callable[[], Head],
        tip: Callable[[], Awaitable[Pin]],
    ) -> None:
        """Of a store that stands as `head` tells, and `tip` with the tree."""
        self._reader = reader
        self._overlay = overlay
        self._head = head
        self._tip = tip
        self._pins: dict[int, Pin] = {}

    def pins(self) -> int:
        """See `History`."""
        return len(self._pins)

    def pin(self, one: Pin) -> None:
        """Keep this tree, as that of the newest change that was asked for."""
        self._pins.pop(one.head.change, None)
        self._pins[one.head.change] = one
        if len(self._pins) > PINS_MAX:
            del self._pins[next(iter(self._pins))]

    async def get(self, fingerprints: Sequence[Fingerprint], change: int) -> list[Version | None]:
        """See `History`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Version | None]:
            with _held_still(db, change):
                return [_version_at(db, name, entry, change) for name, entry in wanted]

        return await self._reader.run(work)

    async def log(
        self, cursor: Cursor | None, limit: int, *, after: int = 0, until: int | None = None
    ) -> LogPage:
        """See `History`."""
        seq = None if cursor is None else int.from_bytes(cursor)
        work = partial(versions.logged, after=after, until=until, seq=seq, limit=limit + 1)
        found = await self._reader.run(work)
        page = found[:limit]
        return LogPage(tuple(page), page[-1].place if len(found) > limit else None)

    async def steps(self, change: int, root: bytes, limit: int) -> Steps:
        """See `History`."""
        newest = self._head()

        def work(db: SqlSession) -> Steps:
            with _held_still(db, change):
                return stepping.steps(db, (change, root), newest, limit)

        return await self._reader.run(work)

    async def past(
        self, fingerprints: Sequence[Fingerprint], limit: int
    ) -> list[tuple[Logged, ...]]:
        """See `History`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[tuple[Logged, ...]]:
            with _held_still(db):
                return [tuple(versions.past(db, _newest(db, *one), limit)) for one in wanted]

        return await self._reader.run(work)

    async def read(self, entry: Logged) -> Whole | None:
        """See `History`."""
        if entry.after is None:
            return None
        seq = int.from_bytes(entry.place)

        def work(db: SqlSession) -> Whole:
            with _held_still(db):
                was_dropped = versions.raw(db, seq) is None
                if was_dropped and versions.head_at(db, entry.change) is None:
                    raise HistoryError(entry.change)
                return versions.whole(db, seq, entry.fingerprint)

        return await self._reader.run(work)

    async def rollbacks(self) -> list[Rollback]:
        """See `History`."""
        return await self._reader.run(ledger.rollbacks)

    async def head(self, change: int) -> Head:
        """See `History`."""
        return (await self._kept(change))[0]

    async def change_at(self, at: int) -> int:
        """See `History`."""
        return await self._reader.run(lambda db: versions.change_at(db, at))

    async def tree(self, change: int) -> Tree:
        """See `History`."""
        head, seq = await self._kept(change)
        tip = await self._tip()
        newer = [pin for pin in (*self._pins.values(), tip) if pin.head.change >= change]
        nearest = min(newer, key=lambda pin: pin.seq)
        tree, span = nearest.tree, versions.Span(seq, nearest.seq)
        start: int | None = seq
        while start is not None:
            work = partial(versions.undoing, span=span, start=start, limit=PAGE)
            changes, start = await self._reader.run(work)
            tree = await grown(tree, changes)
        if tree.root != head.root:
            if self._pins.pop(nearest.head.change, None) is not None:
                # Its moment may not be kept any more, and what was undone from there not be whole.
                return await self.tree(change)
            await self._kept(change)  # it may have been dropped meanwhile
            raise DamagedError(f"heap.db is damaged: the tree after change {change} is not its own")
        self.pin(Pin(head, seq, tree))
        return tree

    async def are_denied(self, fingerprints: Sequence[Fingerprint], change: int) -> list[bool]:
        """See `History`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[bool]:
            with _held_still(db, change):
                return [versions.is_denied(db, _newest(db, *one), change) for one in wanted]

        return await self._reader.run(work)

    async def named(self, keys: Sequence[bytes]) -> list[Fingerprint | None]:
        """See `History`."""
        # The overlay first: what leaves it meanwhile is in the index by then.
        recent = [self._overlay.named(key) for key in keys]
        found = await self._reader.run(lambda db: versions.named(db, keys))
        return [known or name for known, name in zip(recent, found, strict=True)]

    async def snapshots(self) -> list[Snapshot]:
        """See `History`."""
        return await self._reader.run(ledger.snapshots)

    async def _kept(self, change: int) -> tuple[Head, int]:
        """How it stood after a change, and its last row."""
        found = await self._reader.run(lambda db: versions.head_at(db, change))
        if found is None:
            raise HistoryError(change)
        return found


@contextmanager
def _held_still(db: SqlSession, change: int = 0) -> Generator[None, None, None]:
    """For rows that are walked along: nothing is compacted meanwhile, and that change is kept."""
    db.execute("BEGIN")
    if versions.head_at(db, change) is None:
        raise HistoryError(change)
    yield
    db.execute("COMMIT")


async def grown(tree: Tree, changes: Sequence[Change]) -> Tree:
    """The tree after these changes. Others have their turn in between."""
    for start in range(0, len(changes), SLICE):
        if start:
            await anyio.lowlevel.checkpoint()
        tree = tree.updated(changes[start : start + SLICE])
    return tree


def _version_at(
    db: SqlSession, name: Fingerprint, entry: Entry | None, change: int
) -> Version | None:
    place = versions.as_of(db, _newest(db, name, entry), change)
    return versions.version(db, place.seq, name) if place is not None and place.size else None


def _newest(db: SqlSession, name: Fingerprint, entry: Entry | None) -> int | None:
    return index.seq(db, tree_key(name)) if entry is None else entry.seq
