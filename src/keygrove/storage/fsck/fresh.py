"""The heap that a salvage writes: what is done on its connection."""

from collections.abc import Iterable, Sequence

import msgspec

from keygrove.ports import SqlSession, SqlValue
from keygrove.storage import heap, values
from keygrove.storage.address import tree_key
from keygrove.storage.merkle import Change, Tree
from keygrove.storage.rollback import Rollback
from keygrove.storage.rows import Place, Row, checksum, seal
from keygrove.storage.values import InForce
from keygrove.storage.version import Head
from keygrove_protocols.openpgp.keys import Fingerprint

WIDTHS = {"head": 6, "gap": 3, "snapshot": 5, "audit": 10, "redact": 7, "rollback": 3}
"""Tables beside that of rows, and how many columns each has."""


class Grown(msgspec.Struct, frozen=True):
    """How far the trees of the commits were followed."""

    tree: Tree
    seq: int
    """The last row in it."""
    head: Head
    """The last commit that is kept."""


def begin(
    db: SqlSession, shard: str, uuid: bytes, epoch: int, in_force: InForce | None
) -> InForce | None:
    """Lay out an empty file; what small values in it are coded by, which is that of the old one."""
    heap.set_up(db, durable=False)
    heap.create(db, shard, uuid)
    db.execute("UPDATE meta SET v = ? WHERE k = 'epoch'", (epoch,))
    if in_force is not None:
        in_force = values.adopt(db, in_force.dictionary, in_force.share)
    db.execute(
        "CREATE TEMP TABLE standing (k BLOB PRIMARY KEY, seq INTEGER NOT NULL, fp BLOB NOT NULL)"
        " WITHOUT ROWID"
    )
    return in_force


def put(db: SqlSession, rows: Iterable[Row], in_force: InForce | None) -> set[int]:
    """Write rows, each chained to the one that is there of its certificate.

    Returns:
        The rows that they had replaced and that are not there.
    """
    chained: list[Row] = []
    missing: set[int] = set()
    db.execute("BEGIN IMMEDIATE")
    for row in rows:
        place = db.execute("SELECT seq FROM temp.standing WHERE k = ?", (row.k,)).fetchone()
        before = None if place is None else place[0]
        if row.old != before and row.old is not None:
            missing.add(row.old)
        chained.append(row if row.old == before else _chained(row, before))
        stands = (row.k, row.seq, row.fp)
        db.execute("INSERT OR REPLACE INTO temp.standing VALUES (?, ?, ?)", stands)
    heap.insert(db, chained, in_force)
    db.execute("COMMIT")
    return missing


def _chained(row: Row, old: int | None) -> Row:
    row = msgspec.structs.replace(row, old=old)
    return msgspec.structs.replace(row, sum=checksum(msgspec.structs.astuple(row)))


def standing(db: SqlSession, key: bytes) -> tuple[int, Fingerprint] | None:
    """The newest row that is there of the certificate with this tree key, and its fingerprint."""
    row = db.execute("SELECT seq, fp FROM temp.standing WHERE k = ?", (key,)).fetchone()
    return None if row is None else (row[0], Fingerprint(row[1]))


def place(db: SqlSession, key: bytes) -> Place | None:
    """That row, as the one that the next will replace."""
    found = standing(db, key)
    return None if found is None else heap.place(db, found[0])


def audited(db: SqlSession) -> dict[bytes, Fingerprint]:
    """The fingerprints that the audit log has, by tree key."""
    rows = db.execute("SELECT DISTINCT fp FROM audit").fetchall()
    return {tree_key(name): Fingerprint(name) for (name,) in rows}


def kept_snapshots(db: SqlSession, rows: Sequence[Sequence[SqlValue]]) -> list[Sequence[SqlValue]]:
    """Those of these snapshots whose commits are there."""
    known = {n for (n,) in db.execute("SELECT n FROM head").fetchall()} | {0}
    return [row for row in rows if row[1] in known]


def gaps(_: SqlSession, rows: Sequence[Sequence[SqlValue]]) -> list[Sequence[SqlValue]]:
    """All of these: what was to be dropped between two rows still is."""
    return list(rows)


def is_due(row: Sequence[SqlValue]) -> bool:
    """Is there something left to do of this rollback?"""
    return msgspec.msgpack.decode(msgspec.convert(row[1], bytes), type=Rollback).is_due


def copy(db: SqlSession, table: str, rows: Sequence[Sequence[SqlValue]]) -> None:
    """Write rows of a table as they are."""
    marks = ", ".join("?" * WIDTHS[table])
    db.execute("BEGIN IMMEDIATE")
    db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    db.execute("COMMIT")


def changes(db: SqlSession, after: int, until: int) -> list[Change]:
    """What becomes of the tree between two rows; of one certificate the last counts."""
    rows = db.execute(
        "SELECT k, h FROM obj WHERE seq > ? AND seq <= ? ORDER BY seq", (after, until)
    )
    return [(k, h or None) for k, h in dict(rows.fetchall()).items()]


def end(db: SqlSession) -> tuple[int, int]:
    """The last row that is there, and its commit."""
    row = db.execute("SELECT seq, n FROM obj ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def append(db: SqlSession, rows: Sequence[Row], head: Head, seq: int, at: int) -> None:
    """Write a commit of ours, whatever commits are kept before it."""
    columns = (head.change, head.root, head.size, at, seq)
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?, ?)", (*columns, seal(columns)))
    heap.insert(db, rows)
    db.execute("COMMIT")
