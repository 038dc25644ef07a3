"""What `heap.db` has beside the rows of certificates: redactions, the audit log, snapshots.

The tables are those of `heap`. The functions run on a connection's own thread.
"""

import msgspec

from keygrove.errors import DamagedError, HistoryError
from keygrove.ports import SqlSession
from keygrove.storage.audit import Record
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.rollback import Rollback
from keygrove.storage.write import Redacted
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PART_HASH_OCTETS, PartHash


def redacted(db: SqlSession, fingerprint: Fingerprint) -> Redacted:
    """The parts of a certificate that are not wanted."""
    rows = db.execute("SELECT origin, ids FROM redact WHERE fp = ? ORDER BY seq", (fingerprint,))
    newest: dict[str, bytes] = dict(rows.fetchall())
    return Redacted({origin: _split(ids) for origin, ids in newest.items() if ids})


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
        DamagedError: one of them has values that no entry is written with.
    """
    rows = db.execute(
        "SELECT seq, who, action, effect, fp, reason, at, nonce FROM audit WHERE seq > ?"
        " ORDER BY seq LIMIT ?",
        (after, limit),
    )
    names = Record.__struct_fields__
    try:
        return [
            (seq, msgspec.convert(dict(zip(names, row, strict=True)), Record))
            for seq, *row in rows.fetchall()
        ]
    except msgspec.ValidationError as error:
        raise DamagedError(f"heap.db is damaged: its audit log behind entry {after}") from error


def mark(db: SqlSession, one: Mark, change: int) -> None:
    """Write a mark, within the transaction of the commit with that number.

    Raises:
        HistoryError: how it stood after the change that is to be remembered is not kept.
    """
    match one:
        case Snapshot():
            if (
                one.change
                and not db.execute("SELECT 1 FROM head WHERE n = ?", (one.change,)).fetchone()
            ):
                raise HistoryError(one.change)
            db.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
                (one.name, change if one.change is None else one.change, one.root, one.at),
            )
        case Drop():
            db.execute("DELETE FROM snapshot WHERE name = ?", (one.name,))
        case Rollback():
            known = msgspec.msgpack.encode(one)
            db.execute("INSERT OR REPLACE INTO rollback VALUES (?, ?)", (one.name, known))


def snapshots(db: SqlSession) -> list[Snapshot]:
    """All of them, by name.

    Raises:
        DamagedError: one of them has values that none is written with.
    """
    rows = db.execute("SELECT name, n, root, at FROM snapshot ORDER BY name").fetchall()
    names = ("name", "change", "root", "at")
    try:
        return [msgspec.convert(dict(zip(names, row, strict=True)), Snapshot) for row in rows]
    except msgspec.ValidationError as error:
        raise DamagedError("heap.db is damaged: its snapshots") from error


def rollbacks(db: SqlSession) -> list[Rollback]:
    """All of them, by name.

    Raises:
        DamagedError: one of them is not what was written there.
    """
    rows = db.execute("SELECT v FROM rollback ORDER BY name").fetchall()
    try:
        return [msgspec.msgpack.decode(v, type=Rollback) for (v,) in rows]
    except msgspec.DecodeError as error:
        raise DamagedError("heap.db is damaged: its rollbacks") from error
