"""What `heap.db` has beside the rows of certificates: redactions, the audit log, snapshots.

The tables are those of `heap`. The functions run on a connection's own thread.
"""

from collections.abc import Iterable

import msgspec

from keygrove.errors import DamagedError, HistoryError
from keygrove.ports import SqlSession, SqlValue
from keygrove.storage.audit import Record
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.rollback import Rollback
from keygrove.storage.rows import seal
from keygrove.storage.write import Redacted, Redaction
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PART_HASH_OCTETS, PartHash


def record(db: SqlSession, some: Iterable[Record], change: int) -> None:
    """Write entries of the audit log, within the transaction of the commit with that number."""
    rows = [
        (change, r.by, r.action.value, r.effect.value, r.fingerprint, r.reason, r.at, r.nonce)
        for r in some
    ]
    db.executemany(
        "INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*row, seal(row)) for row in rows],
    )


def redact(db: SqlSession, some: Iterable[Redaction], change: int) -> None:
    """Write redactions, within the transaction of the commit with that number."""
    rows = [(change, r.fingerprint, r.origin, r.at, b"".join(sorted(r.parts))) for r in some]
    db.executemany(
        "INSERT INTO redact VALUES (NULL, ?, ?, ?, ?, ?, ?)", [(*row, seal(row)) for row in rows]
    )


def redacted(db: SqlSession, fingerprint: Fingerprint) -> Redacted:
    """The parts of a certificate that are not wanted.

    Raises:
        DamagedError: what is remembered of it is not what was written.
    """
    rows = db.execute(
        "SELECT n, fp, origin, at, ids, sum FROM redact WHERE fp = ? ORDER BY seq", (fingerprint,)
    )
    newest: dict[str, bytes] = {}
    for *row, total in rows.fetchall():
        if seal(row) != total:
            raise DamagedError("heap.db is damaged: a redaction; run keygrove fsck")
        newest[row[2]] = row[4]
    return Redacted({origin: _split(ids) for origin, ids in newest.items() if ids})


def redactions(db: SqlSession) -> list[tuple[int, Redaction]]:
    """All that ever were written, oldest first, each behind the number of its commit."""
    rows = db.execute("SELECT n, fp, ids, at, origin FROM redact ORDER BY seq").fetchall()
    return [
        (n, Redaction(Fingerprint(fp), _split(ids), at, origin)) for n, fp, ids, at, origin in rows
    ]


def _split(ids: bytes) -> frozenset[PartHash]:
    starts = range(0, len(ids), PART_HASH_OCTETS)
    return frozenset(PartHash(ids[at : at + PART_HASH_OCTETS]) for at in starts)


def is_recorded(db: SqlSession, fingerprint: Fingerprint, nonce: bytes) -> bool:
    """Does the audit log have that request for that fingerprint?"""
    found = db.execute("SELECT 1 FROM audit WHERE fp = ? AND nonce = ?", (fingerprint, nonce))
    return found.fetchone() is not None


def records(db: SqlSession, after: int, limit: int) -> list[tuple[int, Record]]:
    """Entries of the audit log behind the one numbered `after`, oldest first, by number.

    Raises:
        DamagedError: one of them is not as it was written.
    """
    rows = db.execute(
        "SELECT seq, n, who, action, effect, fp, reason, at, nonce, sum FROM audit WHERE seq > ?"
        " ORDER BY seq LIMIT ?",
        (after, limit),
    )
    names = Record.__struct_fields__
    found: list[tuple[int, Record]] = []
    for seq, *row, total in rows.fetchall():
        if seal(row) != total:
            raise DamagedError(f"heap.db is damaged: its audit log, entry {seq}; run keygrove fsck")
        found.append((seq, msgspec.convert(dict(zip(names, row[1:], strict=True)), Record)))
    return found


def mark(db: SqlSession, one: Mark, change: int) -> None:
    """Write a mark, within the transaction of the commit with that number.

    Raises:
        HistoryError: how it stood after the change that is to be remembered is not kept.
    """
    match one:
        case Snapshot():
            if one.change and not _is_kept(db, one.change):
                raise HistoryError(one.change)
            number = change if one.change is None else one.change
            _replace(db, "snapshot", (one.name, number, one.root, one.at))
        case Drop():
            db.execute("DELETE FROM snapshot WHERE name = ?", (one.name,))
        case Rollback():
            known = msgspec.msgpack.encode(one)
            _replace(db, "rollback", (one.name, known))


def _is_kept(db: SqlSession, change: int) -> bool:
    return db.execute("SELECT 1 FROM head WHERE n = ?", (change,)).fetchone() is not None


def _replace(db: SqlSession, table: str, row: tuple[SqlValue, ...]) -> None:
    marks = ", ".join("?" * (len(row) + 1))
    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", (*row, seal(row)))


def snapshots(db: SqlSession) -> list[Snapshot]:
    """All of them, by name.

    Raises:
        DamagedError: one of them is not as it was written.
    """
    rows = db.execute("SELECT name, n, root, at, sum FROM snapshot ORDER BY name").fetchall()
    for *row, total in rows:
        if seal(row) != total:
            raise DamagedError("heap.db is damaged: its snapshots; run keygrove fsck")
    return [Snapshot(name=name, change=n, root=root, at=at) for name, n, root, at, _ in rows]


def rollbacks(db: SqlSession) -> list[Rollback]:
    """All of them, by name.

    Raises:
        DamagedError: one of them is not what was written there.
    """
    rows = db.execute("SELECT name, v, sum FROM rollback ORDER BY name").fetchall()
    if any(seal(row) != total for *row, total in rows):
        raise DamagedError("heap.db is damaged: its rollbacks; run keygrove fsck")
    return [msgspec.msgpack.decode(v, type=Rollback) for _, v, _ in rows]
