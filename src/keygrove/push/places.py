"""The actor that remembers how far each target is, in `push.db`.

    place (target, standing)     `Standing` in MessagePack

That there is a target is synchronised, or it would take itself for new after a loss of power, and
leave out what changed before. How far it is is not, but for once in a while: then some certificates
are sent once more.
"""

from functools import partial
from typing import Final

import msgspec

from keygrove.errors import DamagedError, DiskFullError
from keygrove.ports import Databases, SqlDatabase, SqlSession
from keygrove.push.around import Watcher
from keygrove.push.messages import LoadStanding, PlacesApi, SaveStanding
from keygrove.push.outbox import Standing
from keygrove_actors import Actor, Ctx, on

FILE: Final = "push.db"
CHECKPOINT_ROWS: Final = 1_000


class Places(Actor[PlacesApi]):
    """Remembers. What cannot be written is remembered until the actor's end."""

    _ctx: Ctx
    _file: SqlDatabase | None

    def __init__(self, databases: Databases, watcher: Watcher) -> None:
        self._databases = databases
        self._watcher = watcher
        self._standings: dict[str, Standing] = {}
        self._written = 0

    async def init(self, ctx: Ctx) -> None:
        """Read all that is remembered. Without that nobody is to take himself for new."""
        self._ctx = ctx
        self._file = None
        if await self._databases.is_read_only():
            await self._open_to_read()
            return
        try:
            await self._open()
        except DamagedError as error:
            self._watcher.places_lost(str(error))
            await self._databases.remove(FILE)
            await self._open()

    @on(LoadStanding)
    def load(self, message: LoadStanding) -> Standing | None:
        """At once."""
        return self._standings.get(message.target)

    @on(SaveStanding)
    async def save(self, message: SaveStanding) -> None:
        """In a transaction of its own."""
        self._standings[message.target] = message.standing
        if self._file is None:
            return
        try:
            await self._file.run(partial(_save, message))
        except DiskFullError:
            return  # what is sent once more because of that does no harm
        self._written += 1
        if self._written >= CHECKPOINT_ROWS:
            await self._file.run(_checkpoint)
            self._written = 0

    async def _open(self) -> None:
        db = await self._ctx.enter(self._databases.open(FILE))
        await db.run(_prepare)
        self._standings = await db.run(_load)
        self._file = db

    async def _open_to_read(self) -> None:
        if await self._databases.holds(FILE):
            db = await self._ctx.enter(self._databases.open(FILE, writable=False))
            self._standings = await db.run(_load)


def _prepare(db: SqlSession) -> None:
    db.execute("PRAGMA main.journal_mode = WAL").fetchall()
    db.execute(
        "CREATE TABLE IF NOT EXISTS place (target TEXT PRIMARY KEY, standing BLOB) WITHOUT ROWID"
    )


def _load(db: SqlSession) -> dict[str, Standing]:
    rows = db.execute("SELECT target, standing FROM place").fetchall()
    try:
        return {to: msgspec.msgpack.decode(octets, type=Standing) for to, octets in rows}
    except (msgspec.MsgspecError, TypeError) as error:
        raise DamagedError("push.db is not what was written") from error


def _save(message: SaveStanding, db: SqlSession) -> None:
    octets = msgspec.msgpack.encode(message.standing)
    db.execute(f"PRAGMA main.synchronous = {'FULL' if message.is_synced else 'NORMAL'}")
    db.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", (message.target, octets))


def _checkpoint(db: SqlSession) -> None:
    db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()
