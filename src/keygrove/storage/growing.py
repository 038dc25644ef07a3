"""The tree of what the index and the overlay have."""

import anyio.lowlevel

from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import index
from keygrove.storage.merkle import Tree, blake3_256
from keygrove.storage.overlay import Overlay

PAGE = 65_536
SLICE = 64


async def grow(reader: SqlDatabase, overlay: Overlay) -> Tree:
    """Make it. The index is read in one go on the reader's thread; nobody writes meanwhile."""
    tree = await reader.run(_tree_of)
    changes = [(one.key, one.found.value if one.found else None) for one in overlay.entries()]
    for start in range(0, len(changes), SLICE):
        tree = tree.updated(changes[start : start + SLICE])
        await anyio.lowlevel.checkpoint()
    return tree


def _tree_of(db: SqlSession) -> Tree:
    """The tree of the certificates in the index."""
    entries, after = bytearray(), b""
    while found := index.values(db, after, PAGE):
        entries += b"".join(key + value for key, value in found)
        after = found[-1][0]
    return Tree.build(blake3_256, bytes(entries))
