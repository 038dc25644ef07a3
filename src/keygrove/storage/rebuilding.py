"""The tree of a heap, from nothing but its rows: whoever has no index, or trusts none.

The functions run on a connection's own thread.
"""

from keygrove.errors import DamagedError
from keygrove.ports import SqlSession
from keygrove.storage import heap, versions
from keygrove.storage.merkle import Tree, blake3_256

_NEWEST = "SELECT k, h FROM (SELECT k, h, max(seq) FROM obj GROUP BY k ORDER BY k) WHERE h != x''"
"""SQLite takes the other columns from the row with the greatest `seq`.
Source: sqlite.org/lang_select.html, "bare columns in an aggregate query"."""


SCANNED = 64
"""Rows that are looked at together: each may have megabytes."""


def ensure_intact(db: SqlSession, tip: heap.Tip, shard: str) -> None:
    """See that each row of a heap is as it was written.

    Raises:
        DamagedError: one is not.
    """
    for after in range(0, tip.seq, SCANNED):
        for seq, row in versions.scan(db, after, min(after + SCANNED, tip.seq)):
            if row is None:
                raise DamagedError(
                    f"heap.db of shard {shard} is damaged: row {seq} is not what was written "
                    "there; run keygrove fsck --repair first"
                )


def rebuilt(db: SqlSession, shard: str) -> tuple[heap.Tip, Tree]:
    """The end of a heap, and the tree of the certificates in it. Takes seconds for a million.

    Raises:
        StoreError: as `heap.check`.
        DamagedError: what is in it is not what was committed last.
    """
    tip = heap.check(db, shard)
    db.execute("PRAGMA temp_store = MEMORY")
    newest, entries = db.execute(_NEWEST), bytearray()
    while row := newest.fetchone():
        entries += row[0]
        entries += row[1]
    tree = Tree.build(blake3_256, bytes(entries))
    if (tree.root, len(tree)) != (tip.head.root, tip.head.size):
        raise DamagedError(
            f"heap.db of shard {shard} is damaged: what is in it is not what was committed; "
            "run keygrove fsck"
        )
    return tip, tree
