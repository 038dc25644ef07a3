"""The actor that remembers how far each target is, in `push.db`: see `placefile`.

That there is a target is synchronised, or it would take itself for new after a loss of power, and
leave out what changed before. How far it is is not, but for once in a while: then some certificates
are sent once more.

A file that cannot be read keeps the targets waiting, not the server. One that is damaged is made
anew: the targets begin at the end of the logs, and for a month it is told that they did.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from keygrove.errors import DamagedError, DiskFullError, StoreError
from keygrove.ports import Clock, Databases, SqlDatabase
from keygrove.push import placefile
from keygrove.push.around import Watcher
from keygrove.push.messages import (
    LoadStanding,
    PlacesApi,
    SaveStanding,
    Unreadable,
    WhenLost,
)
from keygrove.push.outbox import Standing
from keygrove.push.placefile import FILE, Kept
from keygrove_actors import Actor, Ctx, on

CHECKPOINT_ROWS: Final = 1_000
AGAIN_S: Final = 60.0
"""Between two attempts to read the file."""
LOST_TOLD_S: Final = 30 * 86_400
"""For so long it is told of a target that it was lost how far it was."""


class Places(Actor[PlacesApi]):
    """Remembers. What cannot be written is remembered until the actor's end."""

    _ctx: Ctx
    _file: SqlDatabase | None

    def __init__(self, databases: Databases, clock: Clock, watcher: Watcher) -> None:
        self._databases = databases
        self._clock = clock
        self._watcher = watcher
        self._kept: dict[str, Kept] = {}
        self._lost_at: int | None = None
        """When the places of all, or of nobody knows whom, were lost in this life."""
        self._written = 0
        self._unreadable = ""
        self._again_at = 0.0

    async def init(self, ctx: Ctx) -> None:
        """Read all that is remembered. Without that nobody is to take himself for new."""
        self._ctx = ctx
        self._file = None
        await self._read()

    @on(LoadStanding)
    async def load(self, message: LoadStanding) -> Standing | None:
        """At once, but for another attempt to read the file where there was none for a while."""
        if self._unreadable and self._ctx.now() >= self._again_at:
            await self._read()
        if self._unreadable:
            raise Unreadable(self._unreadable).error()
        kept = self._kept.get(message.target)
        return None if kept is None else kept.standing

    @on(WhenLost)
    def when_lost(self, message: WhenLost) -> int | None:
        """At once."""
        kept = self._kept.get(message.target)
        at = None if kept is None else kept.lost_at
        return at if at is not None and self._clock.now() - at < LOST_TOLD_S else None

    @on(SaveStanding)
    async def save(self, message: SaveStanding) -> None:
        """In a transaction of its own."""
        before = self._kept.get(message.target)
        lost_at = self._lost_at if before is None else before.lost_at
        kept = self._kept[message.target] = Kept(message.standing, lost_at)
        if self._file is None:
            return
        try:
            await self._file.run(
                partial(placefile.save, message.target, kept, is_synced=message.is_synced)
            )
        except DiskFullError:
            return  # what is sent once more because of that does no harm
        self._written += 1
        if self._written >= CHECKPOINT_ROWS:
            await self._file.run(placefile.checkpoint)
            self._written = 0

    async def _read(self) -> None:
        before, self._unreadable = self._unreadable, ""
        try:
            await self._open()
        except (DiskFullError, StoreError) as error:
            self._unreadable = str(error)
            self._again_at = self._ctx.now() + AGAIN_S
            if self._unreadable != before:
                self._watcher.places_unreadable(self._unreadable)

    async def _open(self) -> None:
        if await self._databases.is_read_only():
            await self._open_to_read()
            return
        try:
            self._file = await self._ctx.enter(_prepared(self._databases))
            self._kept, lost = await self._file.run(placefile.load)
            if lost:
                self._tell_lost(f"{FILE}: what it has of {', '.join(lost)} is not what was written")
                await self._file.run(partial(placefile.drop, lost))
        except DamagedError as error:
            self._tell_lost(str(error))
            self._file = None
            await self._databases.remove(FILE)
            self._file = await self._ctx.enter(_prepared(self._databases))

    async def _open_to_read(self) -> None:
        if await self._databases.holds(FILE):
            db = await self._ctx.enter(self._databases.open(FILE, writable=False))
            self._kept, _ = await db.run(placefile.load)

    def _tell_lost(self, why: str) -> None:
        self._lost_at = self._clock.now()
        self._watcher.places_lost(why)


@asynccontextmanager
async def _prepared(databases: Databases) -> AsyncGenerator[SqlDatabase, None]:
    async with databases.open(FILE) as db:
        await db.run(placefile.prepare)
        yield db
