"""How far each target is, in a file.

    place (target, standing, lost, sum)

`standing` is a `Standing` in MessagePack, `lost` when it was lost how far the target was before
(seconds, UTC), or null, `sum` a checksum of the columns before it: a bit that flips would else
be a place farther on, and what lies between would never be sent. What runs on a connection's thread
is a function of this module.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from keygrove.ports import SqlSession
from keygrove.push.outbox import Standing
from keygrove.storage.rows import seal

FILE: Final = "push.db"


class Kept(msgspec.Struct, frozen=True):
    """What is remembered of a target."""

    standing: Standing
    lost_at: int | None


def prepare(db: SqlSession) -> None:
    """Make it ready to be used. What was written before there were checksums gets them."""
    db.execute("PRAGMA main.journal_mode = WAL").fetchall()
    db.execute("PRAGMA main.synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "CREATE TABLE IF NOT EXISTS place (target TEXT PRIMARY KEY, standing BLOB, lost INTEGER, "
        "sum BLOB) WITHOUT ROWID"
    )
    columns = [name for _, name, *_ in db.execute("PRAGMA table_info(place)").fetchall()]
    if "sum" not in columns:
        db.execute("ALTER TABLE place ADD COLUMN lost INTEGER")
        db.execute("ALTER TABLE place ADD COLUMN sum BLOB")
        for to, octets in db.execute("SELECT target, standing FROM place").fetchall():
            db.execute("UPDATE place SET sum = ? WHERE target = ?", (seal((to, octets, None)), to))
    db.execute("COMMIT")


def load(db: SqlSession) -> tuple[dict[str, Kept], tuple[str, ...]]:
    """All that is as it was written, and the targets of what is not."""
    rows = db.execute("SELECT target, standing, lost, sum FROM place").fetchall()
    found = {row[0]: kept for row in rows if (kept := _kept(row)) is not None}
    return found, tuple(row[0] for row in rows if row[0] not in found)


def drop(targets: Sequence[str], db: SqlSession) -> None:
    """Forget these."""
    db.executemany("DELETE FROM place WHERE target = ?", [(target,) for target in targets])


def _kept(row: tuple[object, ...]) -> Kept | None:
    target, octets, lost_at, sum_ = row
    if sum_ != seal((target, octets, lost_at)) or not isinstance(octets, bytes):
        return None
    assert isinstance(lost_at, int | None)
    try:
        return Kept(msgspec.msgpack.decode(octets, type=Standing), lost_at)
    except msgspec.MsgspecError:  # it was, before it got its checksum
        return None


def save(target: str, kept: Kept, db: SqlSession, *, is_synced: bool) -> None:
    """Remember it.

    Args:
        is_synced: it outlasts a loss of power.
    """
    octets = msgspec.msgpack.encode(kept.standing)
    sum_ = seal((target, octets, kept.lost_at))
    db.execute(f"PRAGMA main.synchronous = {'FULL' if is_synced else 'NORMAL'}")
    row = (target, octets, kept.lost_at, sum_)
    db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)", row)


def checkpoint(db: SqlSession) -> None:
    """Keep its log short."""
    db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()
