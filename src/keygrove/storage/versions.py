"""Versions in the heap: read back, and looked at, before anybody is given them.

A row that is asked for and is not there, or is not what was written, is damage, and so is one
of another certificate than the index says. The functions run on a connection's own thread.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from keygrove.errors import DamagedError, HistoryError
from keygrove.ports import SqlSession
from keygrove.storage import index, values
from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.merkle import Change
from keygrove.storage.rows import Op, Place, Row, check, checksum, denial_in, seal
from keygrove.storage.values import Mended
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Cause, Denial
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

_COLUMNS = Row.__struct_fields__
_FORM = "flags, base, size"
_ROW = f"SELECT {_FORM}, {', '.join(_COLUMNS)} FROM obj WHERE seq = ?"
_SERVED = f"SELECT {_FORM}, {', '.join(_COLUMNS[:-1])} FROM obj WHERE seq = ?"
_SCAN = f"SELECT {_FORM}, {', '.join(_COLUMNS)} FROM obj WHERE seq > ? AND seq <= ? ORDER BY seq"
_SEQ = 3
"""Where the columns of a row begin, behind its form."""
_SUM, _V = -2, -1
_SIZE = _COLUMNS.index("size")
_HEADS = "SELECT n, root, size, at, seq, sum FROM head"
_HEAD = f"{_HEADS} WHERE n = ?"
_HEAD_BY_TIME = f"{_HEADS} WHERE at <= ? ORDER BY n DESC LIMIT 1"


def version(db: SqlSession, seq: int, name: Fingerprint) -> Version:
    """What that row holds to be served; what is set aside is not read for it.

    Raises:
        DamagedError: it is not what was written, or not of that certificate.
    """
    found = db.execute(_SERVED, (seq,)).fetchone()
    if found is None:
        raise _missing(seq)
    form, columns = found[:3], found[3:]
    _, change, _, _, h, ah, _, fp, md5, *_ = columns
    v = values.plain(db, "v", columns[_V], values.form(form))
    if columns[_SUM] != checksum(columns) or content_hash(v, ah) != h or fp != name:
        raise rotten(seq)
    return Version(name, Digest(md5), v, change)


def whole(db: SqlSession, seq: int, name: Fingerprint) -> Whole:
    """All that row holds.

    Raises:
        DamagedError: as `version`.
    """
    one = row(db, seq)
    if one.fp != name:
        raise rotten(seq)
    digests = Digest(one.md5), Digest(one.sks)
    return Whole(name, digests[0], one.v, one.n, digests[1], one.aside, one.source)


def denial(db: SqlSession, seq: int) -> Denial:
    """The denial that row was written for.

    Raises:
        DamagedError: as `version`, or it denies nothing.
    """
    one = row(db, seq)
    if one.op is not Op.DENY:
        raise rotten(seq)
    return denial_in(one)


def row(db: SqlSession, seq: int) -> Row:
    """A row as it was written.

    Raises:
        DamagedError: it is not there, or not as it was written.
    """
    columns = db.execute(_ROW, (seq,)).fetchone()
    if columns is None:
        raise _missing(seq)
    one = intact(db, _stored(columns))
    if one is None:
        raise rotten(seq)
    return one


def scan(
    db: SqlSession, after: int, until: int, mended: Mended = values.AS_IT_IS
) -> list[tuple[int, Row | None]]:
    """The rows behind `after` and up to `until`, in order; None for one that is not as written.

    Args:
        mended: in place of what is there, to decode by.

    Raises:
        DamagedError: a page of these cannot be read.
    """
    db.execute("BEGIN")  # or what a row leans on may be another by the time it is decoded
    rows = db.execute(_SCAN, (after, until)).fetchall()
    found = [(columns[_SEQ], intact(db, _stored(columns), mended)) for columns in rows]
    db.execute("COMMIT")
    return found


def raw(db: SqlSession, seq: int) -> tuple[object, ...] | None:
    """What is stored of a row, whatever it is: `flags`, `base`, and the columns of `Row`."""
    columns = db.execute(_ROW, (seq,)).fetchone()
    return None if columns is None else _stored(columns)


def intact(
    db: SqlSession, stored: Sequence[object], mended: Mended = values.AS_IT_IS
) -> Row | None:
    """The row of which that is stored, as `raw` has it; None if it is not as written."""
    flags, base, *columns, v, aside = stored
    try:
        form = values.form((flags, base, columns[_SIZE]))
        v = values.plain(db, "v", v, form, mended)
        aside = values.plain(db, "aside", aside, form, mended)
        one = msgspec.convert((*columns, v, aside), Row)
        check(one)
    except (msgspec.ValidationError, DamagedError):
        return None
    return one


def _stored(found: tuple[object, ...]) -> tuple[object, ...]:
    flags, base, _, *columns = found
    return (flags, base, *columns)


def as_of(db: SqlSession, seq: int | None, change: int) -> Place | None:
    """Where a certificate stood after that change, which stands at `seq` now."""
    while seq is not None:
        found = db.execute("SELECT n, old, op, size FROM obj WHERE seq = ?", (seq,)).fetchone()
        if found is None:
            raise _missing(seq)
        n, old, op, size = found
        if n <= change:
            return msgspec.convert((seq, op, size), Place)
        seq = old
    return None


def head_at(db: SqlSession, change: int) -> tuple[Head, int] | None:
    """How it stood after that change, and the last row by then; None if that is not kept.

    Raises:
        DamagedError: what is kept is not what was written.
    """
    if change == 0:
        return Head.empty(), 0
    found = db.execute(_HEAD, (change,)).fetchone()
    return None if found is None else (Head(*sealed(found)[:3]), found[4])


def is_denied(db: SqlSession, seq: int | None, change: int) -> bool:
    """Was a certificate denied after that change, which stands at `seq` now?"""
    place = as_of(db, seq, change)
    return place is not None and place.op is Op.DENY


def change_at(db: SqlSession, at: int) -> int:
    """The newest change that was made no later than that, by the clock of its time; or 0.

    Raises:
        DamagedError: as `head_at`.
    """
    # Searched from the end: a clock that was set back reorders nothing.
    found = db.execute(_HEAD_BY_TIME, (at,)).fetchone()
    return 0 if found is None else sealed(found)[0]


def sealed(columns: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row of the table of commits, as it was written.

    Raises:
        DamagedError: it is not.
    """
    if seal(columns[:-1]) != columns[-1]:
        raise DamagedError(f"heap.db is damaged: commit {columns[0]}; run keygrove fsck")
    return columns


class Span(msgspec.Struct, frozen=True):
    """The rows behind `after`, up to `until`."""

    after: int
    until: int


def undoing(db: SqlSession, span: Span, start: int, limit: int) -> tuple[list[Change], int | None]:
    """Some of the changes that take a tree back over these rows.

    Of each certificate the first row of them counts: it tells what stood there before.

    Returns:
        Those found behind row `start`, and behind which row to go on; None at the end.
    """
    rows = db.execute(
        "SELECT x.seq, x.k, o.h FROM obj AS x LEFT JOIN obj AS o ON o.seq = x.old"
        " WHERE x.seq > ? AND x.seq <= ? AND (x.old IS NULL OR x.old <= ?)"
        " ORDER BY x.seq LIMIT ?",
        (start, span.until, span.after, limit),
    ).fetchall()
    return [(k, h or None) for _, k, h in rows], rows[-1][0] if len(rows) == limit else None


def logged(
    db: SqlSession, *, after: int, until: int | None, seq: int | None, limit: int
) -> list[Logged]:
    """Changes behind number `after` and up to `until`, oldest first; those behind row `seq`.

    The heads at its ends may have been dropped: those around them say where its rows are.

    Raises:
        HistoryError: there never was such a change.
    """
    newest: int = db.execute("SELECT coalesce(max(n), 0) FROM head").fetchone()[0]
    until = newest if until is None else until
    for change in (after, until):
        if not 0 <= change <= newest:
            raise HistoryError(change)
    if seq is None:
        before = "SELECT seq FROM head WHERE n <= ? ORDER BY n DESC LIMIT 1"
        (seq,) = db.execute(before, (after,)).fetchone() or (0,)
    behind = "SELECT seq FROM head WHERE n >= ? ORDER BY n LIMIT 1"
    (end,) = db.execute(behind, (until,)).fetchone() or (0,)
    found = db.execute(
        f"{_LOGGED} WHERE x.seq > ? AND x.seq <= ? AND x.n > ? AND x.n <= ? ORDER BY x.seq LIMIT ?",
        (seq, end, after, until, limit),
    )
    return [_logged(columns) for columns in found.fetchall()]


def past(db: SqlSession, seq: int | None, limit: int) -> list[Logged]:
    """The last changes of the certificate that stands at that row, newest first."""
    found: list[Logged] = []
    while seq is not None and len(found) < limit:
        columns = db.execute(f"{_LOGGED} WHERE x.seq = ?", (seq,)).fetchone()
        if columns is None:
            raise _missing(seq)
        found.append(_logged(columns))
        seq = columns[_OLD]
    return found


_LOGGED = (
    "SELECT x.seq, x.old, x.n, x.fp, x.op, o.h, x.h, x.cause, x.origin, x.at, x.md5, x.sks"
    " FROM obj AS x LEFT JOIN obj AS o ON o.seq = x.old"
)
_OLD = 1


def _logged(columns: tuple[Any, ...]) -> Logged:
    seq, _, n, fp, op, before, h, cause, origin, at, md5, sks = columns
    try:
        return Logged(
            change=n,
            fingerprint=Fingerprint(fp),
            before=before or None,
            after=h or None,
            is_denied=Op(op) is Op.DENY,
            cause=Cause(cause),
            origin=origin,
            at=at,
            digests=tuple(dict.fromkeys(Digest(one) for one in (md5, sks) if one)),
            place=Cursor(seq.to_bytes(8)),
        )
    except ValueError as error:
        raise rotten(seq) from error


def named(db: SqlSession, keys: Sequence[bytes]) -> list[Fingerprint | None]:
    """The fingerprints of these tree keys; None of one that the index does not know."""
    found: list[Fingerprint | None] = []
    for key in keys:
        seq = index.seq(db, key)
        one = None if seq is None else db.execute("SELECT fp FROM obj WHERE seq = ?", (seq,))
        name = None if one is None else one.fetchone()
        if name is not None and tree_key(name[0]) != key:
            raise rotten(seq or 0)
        found.append(None if name is None else Fingerprint(name[0]))
    return found


def _missing(seq: int) -> DamagedError:
    return DamagedError(f"heap.db is damaged: row {seq} is gone; run keygrove fsck")


def rotten(seq: int) -> DamagedError:
    """The error for a row that is not what was written."""
    return DamagedError(
        f"heap.db is damaged: row {seq} is not what was written there; run keygrove fsck"
    )
