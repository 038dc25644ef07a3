"""What is dropped of a shard's history, and how what stays of it is made smaller.

A row says what a certificate was from its commit on until the one of the row that replaced it.
Once no moment in between is kept any more, nobody can ask for it, and it goes: the row that
replaced it then tells of the one before as its `old`. This is done gap by gap between moments that
are kept: first their heads go, in the transaction that writes the gap down (table `gap`), and from
then on what was superseded within the gap. So at any time what is said to be kept can be read.

A row that stays is coded by its successor (`values`), because successive versions of a certificate
are nearly equal. Nothing ever leans on a row but the one before it: when a row goes, the one before
is coded anew. Where eight rows would lean on each other one stays whole.

All that is written here is written by the heap's writer, in transactions of a few milliseconds
each. A crash between any two leaves a heap that reads as before, and the rest for later. Space that
becomes free within the file is used again; the file does not become smaller.

Of a row that is damaged nothing is touched, nor is what it would be coded by: a checksum is written
anew only where the old one was right. What says which rows may go has a checksum, too: nothing is
dropped by a head, a snapshot or a gap that is not what was written.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlSession
from keygrove.storage import heap, ledger, values, versions
from keygrove.storage.coding import DELTA_BYTES_MAX, Dictionary
from keygrove.storage.retention import Gap, Moment
from keygrove.storage.rows import Row, checksum, seal
from keygrove.storage.values import CHAIN_MAX, Coded, InForce

SLICE_BYTES: Final = 256 * 1024
"""To be decoded and coded in a transaction: some five milliseconds."""
PAIRS: Final = 64
"""Rows to a transaction at most."""
HEADS: Final = 256
"""Heads to a transaction at most."""
SPAN: Final = 4_096
"""Rows that are looked through at once."""
MOMENTS_MAX: Final = 65_536
"""Heads that are looked through at once, the oldest: ten years have five thousand to keep."""
_COLUMNS: Final = ", ".join(Row.__struct_fields__[: Row.__struct_fields__.index("v")])
_HEADS: Final = "SELECT n, root, size, at, seq, sum FROM head"
_OLD: Final = Row.__struct_fields__.index("old")


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """A row and the one that it replaced."""

    newer: int
    older: int


class Done(msgspec.Struct):
    """What was done since the store was opened."""

    dropped: int = 0
    """Rows."""
    deltas: int = 0
    """Rows that were coded by their successors."""
    saved: int = 0
    """Octets, by either."""
    damaged: int = 0
    """Rows that were left as they are because of what they, or their neighbours, have become."""

    def add(self, other: "Done") -> None:
        """Add what else was done."""
        self.dropped += other.dropped
        self.deltas += other.deltas
        self.saved += other.saved
        self.damaged += other.damaged


class Slice(msgspec.Struct, frozen=True):
    """What one transaction came to."""

    pairs: int
    """So many of those that were given are dealt with."""
    done: Done


def moments(db: SqlSession, done: int) -> tuple[list[Moment], int, set[int]]:
    """The oldest commits, up to row `done`; the time of the newest there is; which have a name.

    Raises:
        DamagedError: one of these, or a snapshot, is not what was written.
    """
    found = db.execute(f"{_HEADS} WHERE seq <= ? ORDER BY n LIMIT ?", (done, MOMENTS_MAX))
    newest = db.execute(f"{_HEADS} ORDER BY n DESC LIMIT 1").fetchone()
    now: int = 0 if newest is None else _moment(newest).at
    named = {one.change or 0 for one in ledger.snapshots(db)}
    return [_moment(one) for one in found.fetchall()], now, named


def _moment(columns: tuple[Any, ...]) -> Moment:
    n, _, _, at, seq, _ = versions.sealed(columns)
    return Moment(n, at, seq)


def forget(db: SqlSession, gap: Gap, epochs: Sequence[int]) -> Gap | None:
    """Forget some of the heads of a gap, the oldest, and write down between which rows that is.

    Returns:
        What is left of the gap.

    Raises:
        DamagedError: a head in between is not what was written; nothing was forgotten.
    """
    chunk, rest = gap.dropped[:HEADS], gap.dropped[HEADS:]
    before = rest[0] if rest else gap.before
    heap.begin(db, *epochs)
    db.executemany(
        # A snapshot may have been made meanwhile of what was to go.
        "DELETE FROM head WHERE n = ? AND n NOT IN (SELECT n FROM snapshot)",
        [(one.n,) for one in chunk],
    )
    spared = db.execute(
        f"{_HEADS} WHERE n > ? AND n < ? ORDER BY n", (gap.after.n, before.n)
    ).fetchall()
    bounds = [gap.after.seq, *(_moment(one).seq for one in spared), before.seq]
    for one in pairwise(bounds):
        db.execute("DELETE FROM gap WHERE first = ? AND last <= ?", one)
        db.execute("INSERT INTO gap VALUES (?, ?, ?)", (*one, seal(one)))
    db.execute("COMMIT")
    return Gap(gap.after, rest, gap.before) if rest else None


def next_gap(db: SqlSession) -> tuple[int, int, int] | None:
    """A gap in which something may have to be dropped: its number, and between which rows it is."""
    for number, *gap, total in db.execute("SELECT rowid, * FROM gap ORDER BY rowid").fetchall():
        if seal(gap) == total:
            return number, gap[0], gap[1]
    return None


def close_gap(db: SqlSession, number: int, epochs: Sequence[int]) -> None:
    """There is nothing to drop in it any more."""
    heap.begin(db, *epochs)
    db.execute("DELETE FROM gap WHERE rowid = ?", (number,))
    db.execute("COMMIT")


def superseded(db: SqlSession, first: int, last: int, after: int) -> list[Pair]:
    """Rows between `first` and `last` that others there replaced, in order from row `after` on."""
    rows = db.execute(
        "SELECT seq, old FROM obj WHERE seq > ? AND seq <= ? AND old > ? ORDER BY seq LIMIT ?",
        (max(first, after), last, first, PAIRS),
    )
    return [Pair(*one) for one in rows.fetchall()]


def coded_up_to(db: SqlSession) -> int:
    """Up to this row all that was replaced is coded as well as it can be."""
    number: int = db.execute("SELECT v FROM meta WHERE k = 'coded'").fetchone()[0]
    return number


def adopt(db: SqlSession, dictionary: Dictionary, share: float, epochs: Sequence[int]) -> InForce:
    """Store a dictionary; whoever codes by it comes later."""
    heap.begin(db, *epochs)
    in_force = values.adopt(db, dictionary, share)
    db.execute("COMMIT")
    return in_force


def drop(
    db: SqlSession, pairs: Sequence[Pair], epochs: Sequence[int], in_force: InForce | None
) -> Slice:
    """Drop the older of each pair, until that is enough for one transaction."""
    heap.begin(db, *epochs)
    done, number, spent = Done(), 0, 0
    for pair in pairs:
        if spent > SLICE_BYTES:
            break
        try:
            spent += _drop(db, pair, done, in_force)
        except DamagedError:
            done.damaged += 1
        number += 1
    db.execute("COMMIT")
    return Slice(number, done)


def code(db: SqlSession, pairs: Sequence[Pair], last: int, epochs: Sequence[int]) -> Slice:
    """Code the older of each pair by the newer, until that is enough for one transaction.

    Args:
        last: the row up to which all is done, once all these pairs are.
    """
    heap.begin(db, *epochs)
    done, number, spent = Done(), 0, 0
    for pair in pairs:
        if spent > SLICE_BYTES:
            break
        try:
            spent += _code(db, pair, done)
        except DamagedError:
            done.damaged += 1
        number += 1
    reached = last if number == len(pairs) else pairs[number - 1].newer
    db.execute("UPDATE meta SET v = ? WHERE k = 'coded'", (reached,))
    db.execute("COMMIT")
    return Slice(number, done)


def to_code(db: SqlSession, after: int, last: int) -> tuple[list[Pair], int]:
    """Pairs behind row `after` and up to `last`, and up to which row these are all."""
    end = min(after + SPAN, last)
    rows = db.execute(
        "SELECT seq, old FROM obj WHERE seq > ? AND seq <= ? AND old IS NOT NULL"
        " ORDER BY seq LIMIT ?",
        (after, end, PAIRS),
    )
    pairs = [Pair(*one) for one in rows.fetchall()]
    return pairs, pairs[-1].newer if len(pairs) == PAIRS else end


def _drop(db: SqlSession, pair: Pair, done: Done, in_force: InForce | None) -> int:
    """Returns the octets worked on."""
    newer, older = _columns(db, pair.newer), _columns(db, pair.older)
    if newer[_OLD] != pair.older:
        raise versions.rotten(pair.newer)
    before = older[_OLD]
    stored = _stored(db, pair.older)
    spent, columns = 0, (*newer[:_OLD], before, *newer[_OLD + 1 :])
    if before is not None and _base(db, before) == pair.older:
        spent = _code_anew(db, before, pair.newer, done, in_force)
    db.execute("DELETE FROM obj WHERE seq = ?", (pair.older,))
    db.execute(
        "UPDATE obj SET old = ?, sum = ? WHERE seq = ?", (before, checksum(columns), pair.newer)
    )
    done.dropped += 1
    done.saved += stored
    return spent + stored


def _columns(db: SqlSession, seq: int) -> tuple[Any, ...]:
    """What a row says, but for what it holds."""
    columns: tuple[Any, ...] | None = db.execute(
        f"SELECT {_COLUMNS} FROM obj WHERE seq = ?", (seq,)
    ).fetchone()
    if columns is None or columns[-1] != checksum(columns):
        raise versions.rotten(seq)
    return columns


def _code_anew(
    db: SqlSession, seq: int, successor: int, done: Done, in_force: InForce | None
) -> int:
    """Have a row lean on another than before, or on none."""
    row = versions.row(db, seq)
    found = _delta(db, row, successor)
    if found is None:
        found = values.coded(row.v, row.aside, in_force)
    done.saved -= found.size - _store(db, seq, found)
    return row.size


def _code(db: SqlSession, pair: Pair, done: Done) -> int:
    sizes = db.execute(
        "SELECT o.size, n.size, o.base FROM obj AS o, obj AS n WHERE o.seq = ? AND n.seq = ?",
        (pair.older, pair.newer),
    ).fetchone()
    if sizes is None:
        raise DamagedError(f"heap.db is damaged: row {pair.older} is gone; run keygrove fsck")
    size: int
    base_size: int
    size, base_size, base = sizes
    if base is not None or not size or not base_size or size + base_size > 2 * DELTA_BYTES_MAX:
        return 0
    found = _delta(db, versions.row(db, pair.older), pair.newer)
    if found is not None:
        done.saved += _store(db, pair.older, found) - found.size
        done.deltas += 1
    return size + base_size


def _delta(db: SqlSession, row: Row, base: int) -> Coded | None:
    """The values of a row by those of its successor, if that saves something and is allowed."""
    if _height(db, row) + 1 + _depth(db, base) > CHAIN_MAX:
        return None
    newer = versions.row(db, base)
    found = values.delta(row.v, row.aside, base, (newer.v, newer.aside))
    if found is None:
        return None
    is_better = found.size < _stored(db, row.seq) or _base(db, row.seq) is not None
    return found if is_better else None


def _store(db: SqlSession, seq: int, found: Coded) -> int:
    """Returns the octets that the values took before."""
    stored = _stored(db, seq)
    db.execute(
        "UPDATE obj SET flags = ?, base = ?, v = ?, aside = ? WHERE seq = ?",
        (*msgspec.structs.astuple(found), seq),
    )
    return stored


def _stored(db: SqlSession, seq: int) -> int:
    """The octets that the values of a row take."""
    found = db.execute("SELECT length(v) + length(aside) FROM obj WHERE seq = ?", (seq,))
    octets: int = found.fetchone()[0]
    return octets


def _base(db: SqlSession, seq: int) -> int | None:
    found = db.execute("SELECT base FROM obj WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else found[0]


def _depth(db: SqlSession, seq: int) -> int:
    """How many rows have to be decoded before that one can be."""
    depth, base = 0, _base(db, seq)
    while base is not None and depth < CHAIN_MAX:
        depth, base = depth + 1, _base(db, base)
    return depth


def _height(db: SqlSession, row: Row) -> int:
    """How many rows lean on that one, one on the other."""
    height, seq, old = 0, row.seq, row.old
    while old is not None and height < CHAIN_MAX:
        found: tuple[Any, ...] | None = db.execute(
            "SELECT base, old FROM obj WHERE seq = ?", (old,)
        ).fetchone()
        if found is None or found[0] != seq:
            break
        height, seq, old = height + 1, old, found[1]
    return height
