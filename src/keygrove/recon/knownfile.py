"""`recon/known.db`: what partners have that brought nothing here.

It is derived: without it, or where it is damaged, all of that is fetched once more.

    known   partner ‖ digest → why, fingerprint, policy, since when, how often, until when (UTC),
            our digest, how often it was found lacking afterwards
    facts   lifts: denials that had been ended. Others since then: what was denied may not be now
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlSession
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

FILE: Final = "recon/known.db"
FORMAT: Final = 2
DAY_S: Final = 86_400
KEPT_S: Final = 28 * DAY_S
ABSENT_FIRST_S: Final = 120
ABSENT_MAX_S: Final = DAY_S
ROWS_MAX: Final = 500_000
"""Of one partner, some 50 MB; those whose time is over first go first."""
SHOWN_MAX: Final = 20_000
"""Of one partner, that are taken into account in what it is shown."""
SETTLED: Final = 2
"""So often a partner has to be found to have an alias still, after it was told of ours."""
AT_ONCE: Final = 400
"""Digests in one statement."""


class Why(IntEnum):
    """Why a digest is not asked for."""

    ALIAS = 1
    """We have all of it that we want."""
    DENIED = 2
    REFUSED = 3
    ABSENT = 4
    """It did not come."""


_COUNTS: Final = (
    f"until > ? AND until <= ? + CASE why WHEN {int(Why.ABSENT)} THEN {ABSENT_MAX_S} "
    f"ELSE {KEPT_S} END"
)
"""That a row counts now, which is to be given twice. What is remembered for longer than anything is
was written while the clock was ahead."""


class Row(msgspec.Struct, frozen=True):
    """A digest, and why it is not to be asked for."""

    digest: Digest
    why: Why
    fingerprint: Fingerprint | None = None
    ours: Digest | None = None
    """That partners are shown for the same certificate; of an alias."""


class Recalled(msgspec.Struct, frozen=True, tag=True):
    """What stands between a partner's set and ours for good.

    Args:
        shadows: what it has, and is nothing of ours.
        aliases: by our digests, what it has instead.
        settled: those of our digests that it does not take.
    """

    shadows: frozenset[Digest] = frozenset()
    aliases: dict[Digest, Digest] = {}
    settled: frozenset[Digest] = frozenset()

    @property
    def size(self) -> int:
        """How many digests of the partner."""
        return len(self.shadows) + len(self.aliases)

    @property
    def all(self) -> frozenset[Digest]:
        """All digests of the partner."""
        return self.shadows.union(self.aliases.values())


NOTHING: Final = Recalled()


def prepare(db: SqlSession) -> None:
    """Make it ready to be used.

    Raises:
        DamagedError: it is of no use: remove it.
    """
    if db.execute("PRAGMA main.quick_check(1)").fetchall() != [("ok",)]:
        raise DamagedError(f"{FILE} is damaged")  # whoever meets that later starts here again
    db.execute("PRAGMA main.journal_mode = WAL").fetchall()
    db.execute("PRAGMA main.synchronous = NORMAL")
    is_new = db.execute("SELECT 1 FROM main.sqlite_master").fetchone() is None
    if not is_new and db.execute("PRAGMA main.user_version").fetchone() != (FORMAT,):
        raise DamagedError(f"{FILE} is of another format")
    db.execute(
        "CREATE TABLE IF NOT EXISTS known (partner TEXT, digest BLOB, why INTEGER, "
        "fingerprint BLOB, policy BLOB, since INTEGER, times INTEGER, until INTEGER, "
        "ours BLOB, offered INTEGER, PRIMARY KEY (partner, digest)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX IF NOT EXISTS by_digest ON known (digest) WHERE why = 1")
    db.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, number INTEGER)")
    db.execute(f"PRAGMA main.user_version = {FORMAT}")


def checkpoint(db: SqlSession) -> None:
    """Keep its log short."""
    db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()


def known_of(
    policy: bytes, now: int, partner: str, digests: Sequence[Digest], db: SqlSession
) -> set[Digest]:
    """Those of the digests that are remembered, and still count."""
    found = set[Digest]()
    for at in range(0, len(digests), AT_ONCE):
        some = digests[at : at + AT_ONCE]
        marks = ", ".join("?" * len(some))
        rows = db.execute(
            "SELECT digest, why, offered FROM known WHERE partner = ? AND policy = ? "
            f"AND {_COUNTS} AND digest IN ({marks})",
            (partner, policy, now, now, *some),
        ).fetchall()
        found |= {Digest(digest) for digest, _, _ in rows}
        again = [one for one, why, times in rows if why == Why.ALIAS and times < SETTLED]
        _offered(partner, again, db)
    return found


def _offered(partner: str, aliases: Sequence[bytes], db: SqlSession) -> None:
    """Count that these were found lacking once more."""
    if not aliases:
        return
    marks = ", ".join("?" * len(aliases))
    db.execute(
        f"UPDATE known SET offered = offered + 1 WHERE partner = ? AND digest IN ({marks})",
        (partner, *aliases),
    )


def forget(partner: str, digests: Sequence[Digest], db: SqlSession) -> None:
    """A partner has these no more, or not in place of what is held."""
    db.execute("BEGIN IMMEDIATE")
    for digest in digests:
        db.execute("DELETE FROM known WHERE partner = ? AND digest = ?", (partner, digest))
    db.execute("COMMIT")


def recall(policy: bytes, now: int, partner: str, db: SqlSession) -> Recalled:
    """What stands between a partner's set and ours: of too many, those that do for longest.

    So what comes later takes nobody's place, however many they are, and whatever their digests.
    """
    rows = db.execute(
        f"SELECT digest, ours, offered FROM known WHERE partner = ? AND policy = ? AND {_COUNTS} "
        "AND why != ? ORDER BY since, digest LIMIT ?",
        (partner, policy, now, now, int(Why.ABSENT), SHOWN_MAX),
    ).fetchall()
    # Of several for one certificate it has the newest, which is the last.
    aliases = {Digest(ours): (Digest(digest), offered) for digest, ours, offered in rows if ours}
    return Recalled(
        shadows=frozenset(Digest(digest) for digest, ours, _ in rows if not ours),
        aliases={ours: digest for ours, (digest, _) in aliases.items()},
        settled=frozenset(ours for ours, (_, times) in aliases.items() if times >= SETTLED),
    )


def whose(
    policy: bytes, now: int, digests: Sequence[Digest], db: SqlSession
) -> tuple[Fingerprint, ...]:
    """The certificates that these are aliases of."""
    found: dict[Fingerprint, None] = {}
    for at in range(0, len(digests), AT_ONCE):
        some = digests[at : at + AT_ONCE]
        marks = ", ".join("?" * len(some))
        rows = db.execute(
            f"SELECT fingerprint FROM known WHERE why = 1 AND policy = ? AND {_COUNTS} "
            f"AND digest IN ({marks})",
            (policy, now, now, *some),
        ).fetchall()
        found.update(dict.fromkeys(Fingerprint(name) for (name,) in rows if name))
    return tuple(found)


def heed_lifts(lifts: int, db: SqlSession) -> None:
    """Forget what was denied if denials were ended since."""
    before = heeded(db)
    if before == lifts:
        return
    db.execute("BEGIN IMMEDIATE")
    if before is not None:
        db.execute("DELETE FROM known WHERE why = ?", (Why.DENIED,))
    db.execute("INSERT OR REPLACE INTO facts VALUES ('lifts', ?)", (lifts,))
    db.execute("COMMIT")


def heeded(db: SqlSession) -> int | None:
    """The lifts that were heeded last; None if none were."""
    row = db.execute("SELECT number FROM facts WHERE name = 'lifts'").fetchone()
    return None if row is None else row[0]


def note(policy: bytes, now: int, partner: str, noted: Sequence[Row], db: SqlSession) -> None:
    """Remember these of a partner."""
    db.execute("BEGIN IMMEDIATE")
    for row in noted:
        key = (partner, row.digest)
        since, times = _before(db, key, row.why) or (now, 0)
        until = now + (_absent_s(times + 1) if row.why is Why.ABSENT else KEPT_S)
        values = (*key, int(row.why), row.fingerprint, policy, since, times + 1, until, row.ours, 0)
        db.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    db.execute(
        "DELETE FROM known WHERE partner = ?1 AND (until <= ?2 OR until > ?3)",
        (partner, now - DAY_S, now + KEPT_S),
    )
    (held,) = db.execute("SELECT count(*) FROM known WHERE partner = ?", (partner,)).fetchone()
    if held > ROWS_MAX:
        db.execute(
            "DELETE FROM known WHERE partner = ?1 AND digest IN "
            "(SELECT digest FROM known WHERE partner = ?1 ORDER BY until LIMIT ?2)",
            (partner, held - ROWS_MAX),
        )
    db.execute("COMMIT")


def _before(db: SqlSession, key: tuple[str, Digest], why: Why) -> tuple[int, int] | None:
    """Since when, and how often, it was remembered for the same reason."""
    row: tuple[int, int] | None = db.execute(
        "SELECT since, times FROM known WHERE partner = ? AND digest = ? AND why = ?",
        (*key, int(why)),
    ).fetchone()
    return row


def _absent_s(times: int) -> int:
    """How long one is left alone that did not come so often."""
    return min(ABSENT_FIRST_S << min(times - 1, 30), ABSENT_MAX_S)
