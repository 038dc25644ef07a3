"""All that changes a shard, asked of it by a client who remembers what he was told.

Each round merges certificates, several at once, takes back what some of them brought and now and
then undoes that, denies and allows, and takes snapshots. Whatever it draws it draws in order, so
one seed asks the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

import anyio
import msgspec

from keygrove.storage.messages import (
    Administered,
    Allow,
    Deny,
    GetRollbacks,
    GetSlots,
    Merge,
    Merged,
    Order,
    Rehearse,
    Roll,
    Rollbacks,
    ShardApi,
    Unknown,
)
from keygrove.storage.rollback import Rollback, Selector, Stage, Toll
from keygrove.storage.snapshot_messages import DropSnapshot, SealSnapshot, Taken, TakeSnapshot
from keygrove.storage.write import Cause
from keygrove_actors import Ref
from keygrove_chaos.acknowledged import NAMES, NUMBERS, SNAPSHOTS, USER_IDS, MissingError
from keygrove_chaos.certificates import CREATED, candidate_of, made

PATIENCE_S: Final = 60.0
FLOOD: Final = 3
"""Certificates that come together, and are taken back together."""
FLUSHED_S: Final = 1.5
"""After that the index has followed."""


class Client:
    """Who asks. `acknowledged` is the newest change that any answer told of."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._number = 0
        self.acknowledged = 0

    async def round(self, shard: Ref[ShardApi], *, pause_s: float = FLUSHED_S) -> None:
        """Ask for one of each, in some order, and wait until the index has followed."""
        some = [self._merge, self._flood, self._administer, self._snapshot]
        self._chance.shuffle(some)
        for one in some:
            self._number += 1
            await one(shard)
        await anyio.sleep(pause_s)

    async def idle(self, shard: Ref[ShardApi]) -> None:
        """Wait until nothing is left to do of any rollback.

        Raises:
            MissingError: something is.
        """
        nothing = Rollback("nothing", Selector(0), False, "", Stage.UNDOING, Toll(), CREATED)
        told = await shard.call(Rehearse(nothing), timeout=PATIENCE_S, wait_up=PATIENCE_S)
        assert told == Unknown()
        known = await shard.call(GetRollbacks(), timeout=PATIENCE_S)
        assert isinstance(known, Rollbacks)
        for one in known.rollbacks:
            if one.is_due:
                raise MissingError(f"rollback {one.name!r} was begun, and nobody goes on with it")

    async def _merge(self, shard: Ref[ShardApi], origin: str = "") -> None:
        """Some at once, as many clients' submissions come."""
        numbers = self._chance.sample(NUMBERS, FLOOD)
        some = [made(one, *self._chance.sample(USER_IDS, 2), f"n{self._number}") for one in numbers]
        cause = Cause.LOAD if origin else Cause.UPLOAD
        async with anyio.create_task_group() as tasks:
            for one in some:
                candidate = msgspec.structs.replace(candidate_of(one, cause), origin=origin)
                tasks.start_soon(self._merge_one, shard, Merge(candidate))

    async def _merge_one(self, shard: Ref[ShardApi], message: Merge) -> None:
        reply = await shard.call(message, timeout=PATIENCE_S, wait_up=PATIENCE_S)
        assert isinstance(reply, Merged)
        self._told(reply.change)

    async def _flood(self, shard: Ref[ShardApi]) -> None:
        """Take back what a load brought, and some of that again by its undo."""
        name = f"flood-{self._number}"
        await self._merge(shard, name)
        until = (await shard.call(GetSlots(), wait_up=PATIENCE_S)).change
        selector = Selector(until, origins=frozenset({name}))
        rollback = Rollback(name, selector, True, "a flood", Stage.RUNNING, Toll(), CREATED)
        await self._roll(shard, rollback)
        if self._chance.random() < 0.7:
            await self.idle(shard)
            await self._roll(shard, msgspec.structs.replace(rollback, stage=Stage.UNDOING))
        await self._merge(shard)
        await self.idle(shard)

    async def _roll(self, shard: Ref[ShardApi], rollback: Rollback) -> None:
        reply = await shard.call(Roll(rollback), timeout=PATIENCE_S, wait_up=PATIENCE_S)
        assert isinstance(reply, Rollback)

    async def _administer(self, shard: Ref[ShardApi]) -> None:
        """Deny one, and allow two: one of them may be denied since a rollback."""
        denied, *allowed = self._chance.sample(NAMES, 3)
        orders: Sequence[Deny | Allow] = [
            Deny(denied, self._order()),
            *(Allow(one, self._order()) for one in allowed),
        ]
        for one in orders:
            reply = await shard.call(one, timeout=PATIENCE_S, wait_up=PATIENCE_S)
            assert isinstance(reply, Administered)
            self._told(reply.change)

    def _order(self) -> Order:
        return Order(None, "a test", self._chance.randbytes(16))

    async def _snapshot(self, shard: Ref[ShardApi]) -> None:
        """In two steps, as the server takes it; sometimes one is dropped."""
        name = self._chance.choice(SNAPSHOTS)
        taken = await shard.call(TakeSnapshot(name), timeout=PATIENCE_S, wait_up=PATIENCE_S)
        assert isinstance(taken, Taken)
        self._told(taken.change)
        seal = SealSnapshot(name, taken.change, self._chance.randbytes(32), taken.at)
        assert await shard.call(seal, timeout=PATIENCE_S) is True
        if self._chance.random() < 0.3:
            assert await shard.call(DropSnapshot(name), timeout=PATIENCE_S) is True

    def _told(self, change: int) -> None:
        self.acknowledged = max(self.acknowledged, change)
