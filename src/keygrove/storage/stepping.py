"""Steps between two moments that are kept, as the heap has them.

A row between them may have been dropped since. Then the one that replaced it tells of the one
before it, so what is left leads from the one moment to the other all the same. That holds between
moments that are kept only: what stood at another one may be told by no row any more.

The functions run on a connection's own thread, in a transaction.
"""

from typing import Any

from keygrove.errors import DamagedError, HistoryError
from keygrove.ports import SqlSession
from keygrove.storage import versions
from keygrove.storage.rows import Op
from keygrove.storage.steps import STEPS_MAX, Step, Steps
from keygrove.storage.version import Head
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

_HEADS = "SELECT n, root, size, at, seq, sum FROM head"
_STEPS = (
    "SELECT x.seq, x.n, x.fp, x.op, x.md5, x.old, o.op, o.md5"
    " FROM obj AS x LEFT JOIN obj AS o ON o.seq = x.old"
    " WHERE x.seq > ? AND x.seq <= ? ORDER BY x.seq LIMIT ?"
)


def steps(db: SqlSession, start: tuple[int, bytes], newest: Head, limit: int) -> Steps:
    """See `History.steps`.

    Args:
        start: the change, and the root then.
        newest: the head of the last commit that was acknowledged: a later one may be here already.

    Raises:
        DamagedError: a row, or a commit, is not what was written.
        HistoryError: as there.
    """
    change, root = start
    found, last = versions.head_at(db, change), versions.head_at(db, newest.change)
    if found is None or found[0].root != root or change > newest.change:
        raise HistoryError(change)
    if last is None:
        raise DamagedError(f"heap.db is damaged: commit {newest.change} has no head")
    _, seq = found
    until, end = _end(db, change, seq, limit) or last
    if until.change > newest.change:
        until, end = last
    rows = db.execute(_STEPS, (seq, end, STEPS_MAX + 1)).fetchall()
    if len(rows) > STEPS_MAX:
        raise HistoryError(change)
    return Steps(tuple(map(_step, rows)), until, newest.change)


def _end(db: SqlSession, change: int, seq: int, limit: int) -> tuple[Head, int] | None:
    """The first moment by which there were that many rows, if there were."""
    row = db.execute(
        "SELECT seq FROM obj WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?", (seq, limit - 1)
    ).fetchone()
    if row is None:
        return None
    by_then = f"{_HEADS} WHERE n > ? AND seq >= ? ORDER BY n LIMIT 1"
    found = db.execute(by_then, (change, *row)).fetchone()
    return None if found is None else _head(found)


def _head(columns: tuple[Any, ...]) -> tuple[Head, int]:
    n, root, size, _, seq, _ = versions.sealed(columns)
    return Head(n, root, size), seq


def _step(columns: tuple[Any, ...]) -> Step:
    seq, n, fp, op, md5, old, old_op, old_md5 = columns
    if old is not None and old_md5 is None:
        raise DamagedError(f"heap.db is damaged: row {old} is gone; run keygrove fsck")
    if not all(isinstance(one, bytes) for one in (fp, md5, b"" if old is None else old_md5)):
        raise versions.rotten(seq)
    return Step(n, Fingerprint(fp), _digest(old_op, old_md5), _digest(op, md5))


def _digest(op: object, md5: bytes | None) -> Digest | None:
    return Digest(md5) if md5 and op != Op.DENY else None
