"""What a target is still to be sent: the change logs of the shards, from a place in each on.

The logs are there anyway, so an outbox takes no room, however long a target is away. Compaction
may have dropped some of several changes of one certificate by then: one that is left tells of it,
and what is sent is what is held now. Only who brought those that were dropped is not known any
more.

Places hold for one sharding, and for one past. Where there is another one, be it that the shards
are more or fewer now, or that a backup was restored, it is gone back to the changes of the time
up to which the target was known to have all.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from keygrove.cluster.router import Router
from keygrove.errors import OutOfStepError
from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.messages import Failed
from keygrove.storage.snapshot_messages import ChangeAt, GetHead, NotKept, ReadLog
from keygrove_actors import DeclaredError

PAGE: Final = 100
"""Entries that are read at once, of one shard."""
MARGIN_S: Final = 60
"""By which it is gone back farther: a change has its time before others can see it."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a shard's log has been dealt with."""

    after: int
    """All up to that change is done,"""
    cursor: Cursor | None = None
    """and behind it all up to this entry."""


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a target is."""

    places: tuple[Place, ...]
    """Of each shard, in order."""
    as_of: int
    """It has been sent all that was changed by then: seconds, UTC."""

    def moved(self, shard: int, place: Place) -> "Standing":
        """The same, further on in one shard."""
        places = (*self.places[:shard], place, *self.places[shard + 1 :])
        return Standing(places, self.as_of)


def behind(entry: Logged) -> Place:
    """The place behind an entry."""
    return Place(entry.change - 1, entry.place)


class Outbox:
    """The logs of one node's shards. What a shard cannot answer is an `ActorError`."""

    def __init__(self, router: Router, shards: int) -> None:
        self._router = router
        self._shards = shards

    async def present(self, now: int) -> Standing:
        """Behind all that there is."""
        return Standing(tuple(Place(change) for change in await self.newest()), now)

    async def newest(self) -> list[int]:
        """Of each shard, its newest change."""
        return [head.change for head in await self._router.ask_all(GetHead())]

    async def resumed(self, standing: Standing) -> Standing:
        """The same, or from where to go on if it is of another past, or another sharding."""
        if len(standing.places) == self._shards:
            newest = await self.newest()
            places = zip(standing.places, newest, strict=True)
            if all(place.after <= last for place, last in places):
                return standing
        found = await self._router.ask_all(ChangeAt(max(standing.as_of - MARGIN_S, 0)))
        changes = [change for change in found if not isinstance(change, Failed)]
        if len(changes) < len(found):
            raise OutOfStepError("a shard cannot tell what it held at a time: run keygrove fsck")
        return Standing(tuple(map(Place, changes)), standing.as_of)

    async def read(self, shard: int, place: Place) -> Sequence[Logged]:
        """What comes behind a place, oldest first; nothing if that is all.

        Raises:
            OutOfStepError: the place is of another past, or the log cannot be read.
        """
        message = ReadLog(place.after, place.cursor, PAGE)
        try:
            found = await self._router.ask(shard, message)
        except DeclaredError as error:
            if not isinstance(error.failure, NotKept):
                raise
            raise OutOfStepError(f"shard {shard} has no change {place.after} any more") from error
        if isinstance(found, Failed):
            raise OutOfStepError(f"the log of shard {shard} cannot be read: run keygrove fsck")
        return found.entries
