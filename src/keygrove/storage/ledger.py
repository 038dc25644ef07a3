"""What `heap.db` has beside the rows of certificates: redactions, the audit log, snapshots.

The tables are those of `heap`. The functions run on a connection's own thread.
"""

from collections.abc import Iterable

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlSession
from keygrove.storage.audit import Record
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.rows import seal
from keygrove.storage.write import Redaction
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import USER_ID_HASH_OCTETS, UserIdHash


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
    rows = [(change, r.fingerprint, r.at, b"".join(sorted(r.user_ids))) for r in some]
    db.executemany(
        "INSERT INTO redact VALUES (NULL, ?, ?, ?, ?, ?)", [(*row, seal(row)) for row in rows]
    )


def redacted(db: SqlSession, fingerprint: Fingerprint) -> frozenset[UserIdHash]:
    """The user IDs of a certificate that are not wanted.

    Raises:
        DamagedError: what is remembered of it is not what was written.
    """
    row = db.execute(
        "SELECT n, fp, at, ids, sum FROM redact WHERE fp = ? ORDER BY seq DESC LIMIT 1",
        (fingerprint,),
    ).fetchone()
    if row is not None and seal(row[:-1]) != row[-1]:
        raise DamagedError("heap.db is damaged: a redaction; run keygrove fsck")
    ids: bytes = b"" if row is None else row[3]
    starts = range(0, len(ids), USER_ID_HASH_OCTETS)
    return frozenset(UserIdHash(ids[at : at + USER_ID_HASH_OCTETS]) for at in starts)


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
    """Write a mark, within the transaction of the commit with that number."""
    match one:
        case Snapshot():
            row = (one.name, change if one.change is None else one.change, one.root, one.at)
            db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)", (*row, seal(row)))
        case Drop():
            db.execute("DELETE FROM snapshot WHERE name = ?", (one.name,))


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
