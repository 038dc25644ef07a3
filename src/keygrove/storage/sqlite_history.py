"""How a shard on SQLite stood before.

A certificate is followed from its newest row back. A tree is made from a newer one, by undoing
what came behind; the newest few are kept, which costs no more than where they differ.
"""

from collections.abc import Callable, Sequence
from functools import partial

import anyio.lowlevel
import msgspec

from keygrove.errors import DamagedError, HistoryError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import index, ledger, versions
from keygrove.storage.address import tree_key
from keygrove.storage.cursor import Cursor
from keygrove.storage.history import LogPage
from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import Change, Tree
from keygrove.storage.overlay import Entry, Overlay
from keygrove.storage.version import Head, Version
from keygrove_protocols.openpgp.keys import Fingerprint

PINS_MAX = 8
"""Trees of former times that are kept, the ones asked for last."""
PAGE = 4_096
SLICE = 64
"""Changes of a tree at once: they take up to two milliseconds."""


class Pin(msgspec.Struct, frozen=True):
    """A tree, of which change it is, and the last row by then."""

    head: Head
    seq: int
    tree: Tree


class SqliteHistory:
    """See `History`."""

    def __init__(self, reader: SqlDatabase, overlay: Overlay, tip: Callable[[], Pin]) -> None:
        self._reader = reader
        self._overlay = overlay
        self._tip = tip
        self._pins: dict[int, Pin] = {}

    async def get(self, fingerprints: Sequence[Fingerprint], change: int) -> list[Version | None]:
        """See `History`."""
        wanted = [(name, self._overlay.get(name)) for name in fingerprints]

        def work(db: SqlSession) -> list[Version | None]:
            # Of one moment: otherwise what is walked along could be compacted meanwhile.
            db.execute("BEGIN")
            if versions.head_at(db, change) is None:
                raise HistoryError(change)
            found = [_version_at(db, name, entry, change) for name, entry in wanted]
            db.execute("COMMIT")
            return found

        return await self._reader.run(work)

    async def log(
        self, cursor: Cursor | None, limit: int, *, after: int = 0, until: int | None = None
    ) -> LogPage:
        """See `History`."""
        start = (await self._kept(after))[1] if cursor is None else int.from_bytes(cursor)
        end = self._tip().seq if until is None else (await self._kept(until))[1]
        found = await self._reader.run(lambda db: versions.logged(db, start, end, limit + 1))
        page = found[:limit]
        more = Cursor(page[-1][0].to_bytes(8)) if len(found) > limit else None
        return LogPage(tuple(entry for _, entry in page), more)

    async def head(self, change: int) -> Head:
        """See `History`."""
        return (await self._kept(change))[0]

    async def change_at(self, at: int) -> int:
        """See `History`."""
        return await self._reader.run(lambda db: versions.change_at(db, at))

    async def tree(self, change: int) -> Tree:
        """See `History`."""
        head, seq = await self._kept(change)
        newer = [pin for pin in (*self._pins.values(), self._tip()) if pin.head.change >= change]
        nearest = min(newer, key=lambda pin: pin.seq)
        tree, after = nearest.tree, seq if nearest.seq > seq else None
        # Of what is committed meanwhile nothing is in the tree that is undone, and undoing it
        # changes nothing.
        while after is not None:
            work = partial(versions.undoing, seq=seq, after=after, limit=PAGE)
            changes, after = await self._reader.run(work)
            tree = await grown(tree, changes)
        if tree.root != head.root:
            await self._kept(change)  # it may have been dropped meanwhile
            raise DamagedError(f"heap.db is damaged: the tree after change {change} is not its own")
        self._pins.pop(change, None)
        self._pins[change] = Pin(head, seq, tree)
        if len(self._pins) > PINS_MAX:
            del self._pins[next(iter(self._pins))]
        return tree

    async def named(self, keys: Sequence[bytes]) -> list[Fingerprint | None]:
        """See `History`."""
        recent = {entry.key: entry.fingerprint for entry in self._overlay.entries()}
        found = await self._reader.run(lambda db: versions.named(db, keys))
        return [recent.get(key, name) for key, name in zip(keys, found, strict=True)]

    async def snapshots(self) -> list[Snapshot]:
        """See `History`."""
        return await self._reader.run(ledger.snapshots)

    async def _kept(self, change: int) -> tuple[Head, int]:
        """How it stood after a change, and its last row."""
        found = await self._reader.run(lambda db: versions.head_at(db, change))
        if found is None:
            raise HistoryError(change)
        return found


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
    seq = index.seq(db, tree_key(name)) if entry is None else entry.seq
    place = versions.as_of(db, seq, change)
    return versions.version(db, place.seq, name) if place is not None and place.size else None
