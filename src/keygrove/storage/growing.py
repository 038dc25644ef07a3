"""The tree of what the index and the overlay have."""

from collections.abc import Iterator
from itertools import chain

import anyio.lowlevel

from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import index
from keygrove.storage.merkle import Tree, blake3_256
from keygrove.storage.overlay import Overlay

PAGE = 16_384
"""Entries to a statement."""
SLICE = 64


async def grow(reader: SqlDatabase, overlay: Overlay) -> Tree:
    """Make it. The index is read in one go on the reader's thread; nobody writes meanwhile."""
    tree = await reader.run(_tree_of, can_stop=True)
    changes = [(one.key, one.found.value if one.found else None) for one in overlay.entries()]
    for start in range(0, len(changes), SLICE):
        tree = tree.updated(changes[start : start + SLICE])
        await anyio.lowlevel.checkpoint()
    return tree


def _tree_of(db: SqlSession) -> Tree:
    """The tree of the certificates in the index."""
    return Tree.build_from(blake3_256, _entries(db))


def _entries(db: SqlSession) -> Iterator[bytes]:
    after = b""
    while found := index.values(db, after, PAGE):
        yield b"".join(chain.from_iterable(found))
        after = found[-1][0]
