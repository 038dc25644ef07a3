"""The actor that watches how much room the disk has, and keeps some for what must go on.

Below the low mark what can wait does: loads. Below the critical one submissions are refused
before they cost anything, and the reserve is given up, so that what is being committed, and
what makes room, such as denials and deletions, still finds some. When there is room again all
of that is undone. Nobody asks the disk for each request: it is looked at once a second, and
when a commit met the end of it.
"""

from contextlib import suppress
from enum import Enum
from typing import ClassVar, Protocol

import anyio
import msgspec

from keygrove.errors import DiskFullError, StoreError
from keygrove.points import sometimes
from keygrove.ports import Room, Volume
from keygrove_actors import Actor, ActorError, Call, Ctx, Ref, on

SPACE = "space"
"""The name of the actor."""
LOW_BYTES = 1 << 30
CRITICAL_BYTES = 64 << 20
"""As much as may be under way in ingest."""
RESERVE_BYTES = 16 << 20
LOW_SHARE, CRITICAL_SHARE, RESERVE_SHARE = 20, 100, 100
"""Of small disks no more than one part in so many."""
MARGIN = 8
"""A mark counts as passed upwards one part in eight above it: hovering there tells nobody."""
LOOK_S = 1.0
ASK_S = 1.0
MAKE_ROOM_S = 5.0
SYNCS = 50
SYNC_MIN_S = 20e-6
"""No medium that keeps what it was given when the power fails is faster."""


class Level(Enum):
    """How much room there is, by what is taken."""

    ROOM = "room"
    """Everything is."""
    LOW = "low"
    """No loads."""
    CRITICAL = "critical"
    """No submissions either."""
    READ_ONLY = "read-only"
    """Nothing at all."""


class SpaceApi:
    """The protocol of the actor."""


class SpaceStatus(msgspec.Struct, frozen=True, tag=True):
    """What was found when the disk was looked at last."""

    level: Level
    free_bytes: int
    total_bytes: int
    reserved_bytes: int
    sync_s: float | None = None
    """How long a synchronisation took at the start, as the median of fifty; None: not known."""


class GetSpace(Call[SpaceApi, SpaceStatus], frozen=True, tag=True):
    """What is known; the disk is not asked."""

    errors: ClassVar = ()


class MakeRoom(Call[SpaceApi, bool], frozen=True, tag=True):
    """A commit found no room: give up the reserve. Whether there was one, so that it may go on."""

    errors: ClassVar = ()


class Marks(msgspec.Struct, frozen=True):
    """Where a disk of some size counts as low, and as critical, and what is kept in reserve."""

    low_bytes: int
    critical_bytes: int
    reserve_bytes: int


class Watcher(Protocol):
    """Told of what an operator should know."""

    def space(self, space: SpaceStatus) -> None:
        """The level changed."""
        ...

    def synced_too_fast(self, sync_s: float) -> None:
        """The disk says that it has what it cannot have yet."""
        ...


def marks_of(total_bytes: int) -> Marks:
    """The marks of a disk of this size."""
    return Marks(
        low_bytes=min(LOW_BYTES, total_bytes // LOW_SHARE),
        critical_bytes=min(CRITICAL_BYTES, total_bytes // CRITICAL_SHARE),
        reserve_bytes=min(RESERVE_BYTES, total_bytes // RESERVE_SHARE),
    )


def level_of(room: Room, before: Level = Level.ROOM) -> Level:
    """The level of a disk whose level was `before`.

    The reserve does not count, be it there or not: else giving it up would look like room.
    """
    if room.is_read_only:
        return Level.READ_ONLY
    marks = marks_of(room.total_bytes)
    spare = room.free_bytes + room.reserved_bytes - marks.reserve_bytes
    critical, low = marks.critical_bytes, marks.low_bytes
    if before is Level.CRITICAL:
        critical += critical // MARGIN
    if before in {Level.CRITICAL, Level.LOW}:
        low += low // MARGIN
    if spare < critical:
        return Level.CRITICAL
    return Level.LOW if spare < low else Level.ROOM


async def level_now(space: Ref[SpaceApi]) -> Level:
    """What the actor knows; while it is being restarted the commits are what finds out."""
    try:
        return (await space.call(GetSpace(), timeout=ASK_S)).level
    except ActorError:
        return Level.ROOM


async def make_room(space: Ref[SpaceApi]) -> bool:
    """Have the reserve given up; whether there was one."""
    try:
        return await space.call(MakeRoom(), timeout=MAKE_ROOM_S)
    except ActorError:
        return False


class Space(Actor[SpaceApi]):
    """Watches one volume."""

    _status: SpaceStatus

    def __init__(self, volume: Volume, watcher: Watcher) -> None:
        self._volume = volume
        self._watcher = watcher
        self._turn = anyio.Lock()

    async def init(self, ctx: Ctx) -> None:
        """Look once, and then again and again."""
        self._status = SpaceStatus(Level.ROOM, 0, 0, 0)
        await self._look()
        ctx.start_soon(self._look_forever)

    @on(GetSpace)
    def get_space(self, _: GetSpace) -> SpaceStatus:
        """At once."""
        return self._status

    @on(MakeRoom)
    async def make_room(self, _: MakeRoom) -> bool:
        """At once, or when the look under way is done."""
        async with self._turn:
            try:
                room = await self._volume.measure()
                if room.reserved_bytes:
                    await self._volume.release()
                    sometimes("space.released")
                    self._note(Level.CRITICAL, await self._volume.measure())
            except StoreError:  # whoever asked finds out what is the matter
                return False
        return room.reserved_bytes > 0

    async def _look_forever(self) -> None:
        await self._time_syncs()
        while True:
            await anyio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        async with self._turn:
            room = await self._volume.measure()
            level = level_of(room, self._status.level)
            if level is Level.CRITICAL and room.reserved_bytes:
                with suppress(StoreError):  # the next look tries again
                    await self._volume.release()
                    sometimes("space.released")
            elif level in {Level.ROOM, Level.LOW}:
                level = await self._reserve(room, level)
            self._note(level, await self._volume.measure())

    async def _reserve(self, room: Room, level: Level) -> Level:
        """Have a reserve; the level, which is another one if there is no room for it."""
        size = marks_of(room.total_bytes).reserve_bytes
        if room.reserved_bytes == size:
            return level
        try:
            await self._volume.reserve(size)
        except DiskFullError:  # a quota, say, which the disk's figures do not show
            return Level.CRITICAL
        except StoreError:
            pass  # a disk that fails: commits say so to whom it matters, and the next look tries
        return level

    def _note(self, level: Level, room: Room) -> None:
        before = self._status.level
        self._status = msgspec.structs.replace(
            self._status,
            level=level,
            free_bytes=room.free_bytes,
            total_bytes=room.total_bytes,
            reserved_bytes=room.reserved_bytes,
        )
        if level is not before:
            if level is Level.ROOM:
                sometimes("space.healed")
            self._watcher.space(self._status)

    async def _time_syncs(self) -> None:
        """A disk that is too fast to be true keeps no promise of ours; nobody else would notice."""
        if not self._status.reserved_bytes:
            return
        try:
            sync_s = await self._volume.sync_s(SYNCS)
        except (DiskFullError, StoreError):
            return  # it is not known, then
        self._status = msgspec.structs.replace(self._status, sync_s=sync_s)
        if sync_s < SYNC_MIN_S:
            self._watcher.synced_too_fast(sync_s)
