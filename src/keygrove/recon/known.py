"""What partners have that brought nothing here, so that it is not fetched again and again.

A partner's digest of a certificate may differ from ours for good: it holds what our policy leaves
out, or what is denied here, or it has cleaned what we have not (recon.md §10.1; storage.md §7).
Each session would find it lacking. So each such digest is remembered, with the partner that has
it, until the policy changes, or some weeks have passed: what stands against it may be gone then.
Digests that were asked for and did not come are left alone for longer and longer.

They are in `recon/known.db`, which is derived: without it, all of them are fetched once more.

    known   partner ‖ digest → why, fingerprint, policy, since when, how often, until when (UTC)
    facts   denials: how many there were. Fewer since then: what was denied may not be any more
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from functools import partial
from typing import ClassVar, Final

import msgspec
from blake3 import blake3

from keygrove.errors import DamagedError, DiskFullError, StoreError
from keygrove.ports import Clock, Databases, SqlDatabase, SqlSession
from keygrove_actors import Actor, Call, Ctx, Normal, Reason, Shutdown, on
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

KNOWN: Final = "recon.known"
"""The name of the actor."""
FILE: Final = "recon/known.db"
DAY_S: Final = 86_400
KEPT_S: Final = 28 * DAY_S
ABSENT_FIRST_S: Final = 120
ABSENT_MAX_S: Final = DAY_S
ROWS_MAX: Final = 500_000
"""Of one partner, some 50 MB; those whose time is over first go first."""
AT_ONCE: Final = 400
"""Digests in one statement."""
CHECKPOINT_ROWS: Final = 5_000


class Why(IntEnum):
    """Why a digest is not asked for."""

    ALIAS = 1
    """We have all of it that we want."""
    DENIED = 2
    REFUSED = 3
    ABSENT = 4
    """It did not come."""


class KnownApi:
    """The protocol of whoever remembers."""


class Row(msgspec.Struct, frozen=True):
    """A digest, and why it is not to be asked for."""

    digest: Digest
    why: Why
    fingerprint: Fingerprint | None = None


class Sift(Call[KnownApi, tuple[Digest, ...]], frozen=True, tag=True):
    """Those among a partner's digests that are worth asking for.

    `denials` is how many certificates are denied here now.
    """

    errors: ClassVar = ()
    partner: str
    digests: tuple[Digest, ...]
    denials: int


class Note(Call[KnownApi, None], frozen=True, tag=True):
    """Remember these of a partner."""

    errors: ClassVar = ()
    partner: str
    rows: tuple[Row, ...]


class Tally(msgspec.Struct, frozen=True, tag=True):
    """How many digests of a partner are remembered, by why."""

    aliases: int = 0
    denied: int = 0
    refused: int = 0
    absent: int = 0


class Count(Call[KnownApi, Tally], frozen=True, tag=True):
    """How many of a partner are remembered."""

    errors: ClassVar = ()
    partner: str


class Known(Actor[KnownApi]):
    """Remembers. The file is opened when it is first needed."""

    _ctx: Ctx
    _file: SqlDatabase | None

    def __init__(self, databases: Databases, clock: Clock, policy: bytes) -> None:
        """Remember what is so under a policy, which `policy` is the octets of."""
        self._databases = databases
        self._clock = clock
        self._policy = blake3(policy).digest(16)
        self._written = 0

    async def init(self, ctx: Ctx) -> None:
        """Open nothing yet."""
        self._ctx = ctx
        self._file = None

    async def terminate(self, reason: Reason) -> None:
        """At an orderly end, leave no log behind, be it of a life before this one."""
        if not isinstance(reason, Normal | Shutdown):
            return
        with suppress(DiskFullError, StoreError):  # it is read as well with its log
            if self._file is not None:
                await self._file.run(_checkpoint)
            elif await self._databases.holds(f"{FILE}-wal"):
                async with self._databases.open(FILE) as db:
                    await db.run(_checkpoint)

    @on(Sift)
    async def sift(self, message: Sift) -> tuple[Digest, ...]:
        """One look into the file for all of them."""
        if not message.digests:
            return ()
        db = await self._opened()
        if db is None:
            return message.digests
        known = await db.run(partial(_known, self._policy, self._clock.now(), message))
        return tuple(digest for digest in message.digests if digest not in known)

    @on(Note)
    async def note(self, message: Note) -> None:
        """In one transaction."""
        if not message.rows:
            return
        db = await self._opened()
        if db is None:
            return
        await db.run(partial(_note, self._policy, self._clock.now(), message))
        self._written += len(message.rows)
        if self._written >= CHECKPOINT_ROWS:
            await db.run(_checkpoint)
            self._written = 0

    @on(Count)
    async def count(self, message: Count) -> Tally:
        """From the file, if there is one."""
        if self._file is None and not await self._databases.holds(FILE):
            return Tally()
        db = await self._opened()
        if db is None:
            return Tally()
        counts = await db.run(partial(_counts, message.partner))
        return Tally(*(counts.get(why, 0) for why in Why))

    async def _opened(self) -> SqlDatabase | None:
        """None where nothing can be written: then all is fetched that is lacking."""
        if self._file is None and not await self._databases.is_read_only():
            self._file = await self._open()
        return self._file

    async def _open(self) -> SqlDatabase:
        try:
            return await self._ctx.enter(_prepared(self._databases))
        except StoreError:
            await self._databases.remove(FILE)
            return await self._ctx.enter(_prepared(self._databases))


@asynccontextmanager
async def _prepared(databases: Databases) -> AsyncGenerator[SqlDatabase, None]:
    async with databases.open(FILE) as db:
        await db.run(_prepare)
        yield db


def _prepare(db: SqlSession) -> None:
    if db.execute("PRAGMA main.quick_check(1)").fetchall() != [("ok",)]:
        raise DamagedError(f"{FILE} is damaged")  # whoever meets that later starts here again
    db.execute("PRAGMA main.journal_mode = WAL").fetchall()
    db.execute("PRAGMA main.synchronous = NORMAL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS known (partner TEXT, digest BLOB, why INTEGER, "
        "fingerprint BLOB, policy BLOB, since INTEGER, times INTEGER, until INTEGER, "
        "PRIMARY KEY (partner, digest)) WITHOUT ROWID"
    )
    db.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, number INTEGER)")


def _checkpoint(db: SqlSession) -> None:
    db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()


def _known(policy: bytes, now: int, message: Sift, db: SqlSession) -> set[Digest]:
    """Those of the digests that are remembered, and still count."""
    _heed_denials(message.denials, db)
    found = set[Digest]()
    for at in range(0, len(message.digests), AT_ONCE):
        some = message.digests[at : at + AT_ONCE]
        marks = ", ".join("?" * len(some))
        rows = db.execute(
            "SELECT digest FROM known WHERE partner = ? AND policy = ? AND until > ? "
            f"AND digest IN ({marks})",
            (message.partner, policy, now, *some),
        ).fetchall()
        found |= {Digest(digest) for (digest,) in rows}
    return found


def _heed_denials(denials: int, db: SqlSession) -> None:
    """Forget what was denied if less is denied by now."""
    before = db.execute("SELECT number FROM facts WHERE name = 'denials'").fetchone()
    if before == (denials,):
        return
    db.execute("BEGIN IMMEDIATE")
    if before is not None and denials < before[0]:
        db.execute("DELETE FROM known WHERE why = ?", (Why.DENIED,))
    db.execute("INSERT OR REPLACE INTO facts VALUES ('denials', ?)", (denials,))
    db.execute("COMMIT")


def _note(policy: bytes, now: int, message: Note, db: SqlSession) -> None:
    db.execute("BEGIN IMMEDIATE")
    for row in message.rows:
        key = (message.partner, row.digest)
        since, times = _before(db, key, row.why) or (now, 0)
        until = now + (_absent_s(times + 1) if row.why is Why.ABSENT else KEPT_S)
        values = (*key, int(row.why), row.fingerprint, policy, since, times + 1, until)
        db.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    db.execute("DELETE FROM known WHERE partner = ? AND until <= ?", (message.partner, now - DAY_S))
    (held,) = db.execute(
        "SELECT count(*) FROM known WHERE partner = ?", (message.partner,)
    ).fetchone()
    if held > ROWS_MAX:
        db.execute(
            "DELETE FROM known WHERE partner = ?1 AND digest IN "
            "(SELECT digest FROM known WHERE partner = ?1 ORDER BY until LIMIT ?2)",
            (message.partner, held - ROWS_MAX),
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


def _counts(partner: str, db: SqlSession) -> dict[int, int]:
    rows = db.execute(
        "SELECT why, count(*) FROM known WHERE partner = ? GROUP BY why", (partner,)
    ).fetchall()
    return dict(rows)
