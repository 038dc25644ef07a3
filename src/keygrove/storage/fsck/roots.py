"""Levels 4 and 6: do the rows make the trees whose roots the commits wrote down?"""

from collections import deque
from functools import partial

import anyio.lowlevel
import msgspec

from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage.fsck.findings import FINDINGS_MAX, Findings, Level
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.heap import Tip
from keygrove.storage.merkle import Change, Tree, blake3_256

HEADS = 256
"""Commits undone at once."""
SLICE = 64

_ENTRIES = "SELECT k, h, max(seq) FROM obj WHERE seq <= ? GROUP BY k ORDER BY k"
_HEADS = (
    ("size < 0 OR length(root) != 32", "its numbers are none that are ever written"),
    ("seq < before", "it ends before the commit before it"),
)
_ORDERED = (
    "FROM (SELECT n, root, size, seq, lag(seq, 1, 0) OVER (ORDER BY n) AS before FROM head"
    " WHERE n <= ?)"
)
_CHAINS = (
    "SELECT seq FROM (SELECT seq, old, lag(seq) OVER (PARTITION BY k ORDER BY seq) AS before"
    " FROM obj WHERE seq <= ?) WHERE old IS NOT before LIMIT ?"
)
_MARKS = (
    "SELECT name FROM snapshot AS s WHERE n <= ? AND n != 0"
    " AND NOT EXISTS (SELECT 1 FROM head WHERE head.n = s.n) LIMIT ?"
)
_UNDONE = (
    "SELECT x.seq, x.k, o.h FROM obj AS x LEFT JOIN obj AS o ON o.seq = x.old"
    " WHERE x.seq > ? AND x.seq <= ? ORDER BY x.seq DESC"
)


async def check_tree(reader: SqlDatabase, tip: Tip, found: Findings, tell: Tell) -> Tree:
    """Is the tree of the newest rows that of the last commit, and are the commits in order?"""
    tell("tree", 0, 0)
    tree = await reader.run(partial(tree_of, until=tip.seq), can_stop=True)
    if tree.root != tip.head.root:
        what = f"the certificates make another tree than commit {tip.head.change} wrote down"
        found.add(Level.TREE, "heap.db", "tree", what)
    if len(tree) != tip.head.size:
        what = f"there are {len(tree):,} certificates, and commit {tip.head.change} wrote down"
        found.add(Level.TREE, "heap.db", "tree", f"{what} {tip.head.size:,}")
    for where, what in await reader.run(partial(_heads, tip=tip), can_stop=True):
        found.add(Level.TREE, "heap.db", where, what)
    return tree


def tree_of(db: SqlSession, until: int) -> Tree:
    """The tree of the newest rows, up to that one."""
    entries = b"".join(k + h for k, h, _ in db.execute(_ENTRIES, (until,)).fetchall() if h)
    return Tree.build(blake3_256, entries)


def _heads(db: SqlSession, tip: Tip) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for condition, what in _HEADS:
        query = f"SELECT n {_ORDERED} WHERE {condition} LIMIT ?"
        for (n,) in db.execute(query, (tip.head.change, FINDINGS_MAX)).fetchall():
            found.append((f"commit {n}", what))
    newest = db.execute("SELECT seq FROM head WHERE n = ?", (tip.head.change,)).fetchone()
    last = 0 if newest is None else newest[0]
    if last != tip.seq:
        what = f"it ends at row {last}, and heap.db at row {tip.seq}"
        found.append((f"commit {tip.head.change}", what))
    return found


async def check_history(
    reader: SqlDatabase, tip: Tip, tree: Tree, found: Findings, tell: Tell
) -> bool:
    """Does undoing each commit give the root before it, and is every row chained to its last?

    Of the commits that are kept: what was dropped between two of them neither needs.

    Returns:
        Whether all were looked at: a server that writes here meanwhile may drop the one that is to
        be gone on from.
    """
    tell("history", 0, 0)
    for where, what in await reader.run(partial(_chains, tip=tip), can_stop=True):
        found.add(Level.HISTORY, "heap.db", where, what)
    if tree.root != tip.head.root:
        return True  # there is nothing right to begin from, and level 4 told so
    change, last = tip.head.change, tip.seq
    while page := await reader.run(partial(_before, change=change, last=last), can_stop=True):
        if not page.is_kept:
            return False
        rows = page.rows
        for head in page.heads:
            # Of one certificate the row furthest back counts: it tells what stood there before.
            changes: dict[bytes, bytes | None] = {}
            while rows and rows[0][0] > head.seq:
                _, key, value = rows.popleft()
                changes[key] = value or None
            tree = await _grown(tree, list(changes.items()))
            if (tree.root, len(tree)) != (head.root, head.size):
                what = "undoing what came behind it does not give what it wrote down"
                found.add(Level.HISTORY, "heap.db", f"commit {head.n}", what)
        change, last = page.heads[-1].n, page.heads[-1].seq
        tell("history", tip.head.change - change, tip.head.change)
    return True


class _Head(msgspec.Struct, frozen=True, array_like=True):
    n: int
    root: bytes
    size: int
    seq: int


async def _grown(tree: Tree, changes: list[Change]) -> Tree:
    for start in range(0, len(changes), SLICE):
        tree = tree.updated(changes[start : start + SLICE])
        await anyio.lowlevel.checkpoint()
    return tree


class _Page(msgspec.Struct, frozen=True):
    is_kept: bool
    """Is the commit that these come before still there?"""
    heads: list[_Head]
    """Newest first, as far as they are kept."""
    rows: deque[tuple[int, bytes, bytes | None]]
    """What came behind the oldest of them: of which certificate, and what stood there before."""


def _before(db: SqlSession, change: int, last: int) -> _Page | None:
    """The commits before that one, which ended at row `last`; None if there are none."""
    db.execute("BEGIN")
    there = db.execute("SELECT 1 FROM head WHERE n = ?", (change,)).fetchone()
    is_kept = there is not None or change == 0
    found = db.execute(
        "SELECT n, root, size, seq FROM head WHERE n < ? ORDER BY n DESC LIMIT ?", (change, HEADS)
    )
    heads = [_Head(*row) for row in found.fetchall()]
    rows = deque(db.execute(_UNDONE, (heads[-1].seq, last)).fetchall() if heads else ())
    db.execute("COMMIT")
    return _Page(is_kept, heads, rows) if heads or not is_kept else None


def _chains(db: SqlSession, tip: Tip) -> list[tuple[str, str]]:
    chains = db.execute(_CHAINS, (tip.seq, FINDINGS_MAX)).fetchall()
    marks = db.execute(_MARKS, (tip.head.change, FINDINGS_MAX)).fetchall()
    return [
        *((f"row {seq}", "it does not name the row that it replaced") for (seq,) in chains),
        *((f"snapshot {name!r}", "the commit that it names is not kept") for (name,) in marks),
    ]
