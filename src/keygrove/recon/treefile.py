"""`recon/tree.db`: the prefix tree as it was a while ago, so that a start need not list the stores.

    tree(number, v)    the dump (`keygrove_protocols.recon.dump`) in chunks; its state is `Standing`

It is derived: without it, or where it is damaged, the tree is made anew. All chunks are replaced
in one transaction, and the dump has a checksum, so whatever ends the program, there is the one
before or the one after, or one that is known to be neither. It is never synchronised for its own
sake: an older one only takes longer to be brought up.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from keygrove.errors import DiskFullError, StoreError
from keygrove.ports import Databases, SqlSession
from keygrove.storage import heap
from keygrove_protocols.errors import BadSketchError, BadTreeDumpError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.dump import Loaded, dump, load
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.tree import Tree

TREE_FILE: Final = "recon/tree.db"
VIEW: Final = 1
"""To be raised with every change of what is in the set."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a shard's changes are in the tree."""

    change: int
    root: bytes
    """Of the shard's own tree after it: another one is of another past."""


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """What a tree stands for."""

    view: int
    places: tuple[Place, ...]
    """Of each shard, in order."""
    shared: dict[Digest, int]
    """See `members.Members`."""


class Dumped(msgspec.Struct, frozen=True):
    """A tree, its symbols, and what they stand for."""

    tree: Tree
    sketch: Sketch
    standing: Standing


class _State(msgspec.Struct, frozen=True, array_like=True):
    """What is dumped with the tree."""

    standing: Standing
    symbols: bytes


class TreeFile:
    """The file."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def load(self, shards: int) -> Dumped | None:
        """As `read`, by whoever may write here."""
        dumped = await self.read(shards)
        if dumped is not None:
            await self.settle()
        return dumped

    async def settle(self) -> None:
        """Leave no log, as one that was broken off may have; it is read as well with it."""
        with suppress(DiskFullError, StoreError):
            if await self._databases.holds(TREE_FILE):
                async with self._databases.open(TREE_FILE) as db:
                    await db.run(heap.empty_log)

    async def read(self, shards: int) -> Dumped | None:
        """What is there, if it can be used: of so many shards, and of today's view.

        Raises:
            BadTreeDumpError: it is not what was written.
            StoreError: it cannot be read.
        """
        if not await self._databases.holds(TREE_FILE):
            return None
        async with self._databases.open(TREE_FILE, writable=False) as db:
            loaded = await db.run(lambda session: load(_chunks(session)), can_stop=True)
        dumped = _dumped(loaded)
        is_ours = dumped.standing.view == VIEW and len(dumped.standing.places) == shards
        return dumped if is_ours else None

    async def save(self, dumped: Dumped) -> None:
        """Put this in place of what is there. Cancelled, it leaves what is there.

        Raises:
            DiskFullError: there is no room.
            StoreError: it cannot be written.
        """
        try:
            await self._save(dumped)
        except StoreError:  # it may be damaged: it is no loss
            await self._databases.remove(TREE_FILE)
            await self._save(dumped)

    async def _save(self, dumped: Dumped) -> None:
        state = msgspec.msgpack.encode(_State(dumped.standing, dumped.sketch.octets()))
        tree = dumped.tree.snapshot()
        await self._databases.secure(TREE_FILE)
        async with self._databases.open(TREE_FILE) as db:
            await db.run(lambda session: heap.set_up(session, durable=False))
            await db.run(lambda session: _write(session, tree, state), can_stop=True)
            await db.run(heap.empty_log)


def _dumped(loaded: Loaded) -> Dumped:
    try:
        state = msgspec.msgpack.decode(loaded.state, type=_State)
        return Dumped(loaded.tree, Sketch.from_bytes(state.symbols), state.standing)
    except (msgspec.MsgspecError, BadSketchError) as error:
        raise BadTreeDumpError("this dumped prefix tree does not say what it stands for") from error


def _chunks(db: SqlSession) -> Iterator[bytes]:
    rows = db.execute("SELECT v FROM tree ORDER BY number")
    while (row := rows.fetchone()) is not None:
        if not isinstance(row[0], bytes):
            raise BadTreeDumpError("this is no dumped prefix tree: a chunk of it is no octets")
        yield row[0]


def _write(db: SqlSession, tree: Tree, state: bytes) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TABLE IF NOT EXISTS tree (number INTEGER PRIMARY KEY, v BLOB NOT NULL)")
    db.execute("DELETE FROM tree")
    db.executemany("INSERT INTO tree VALUES (?, ?)", enumerate(dump(tree, state)))
    db.execute("COMMIT")
