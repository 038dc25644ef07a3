"""A disk that begins to fail where it hurts: at each named point, at its first to third visit.

One node in a world of its own takes certificates, one by one, and between them takes snapshots, and
takes back what others brought. At the point its disk becomes full, read-only, or fails to
synchronise; later it is mended. Whatever was acknowledged is there all the time that the node can
be asked, and after a power cut, too; and a rollback that was begun comes to its end.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import anyio
import msgspec
import pytest

from keygrove.errors import KeygroveError
from keygrove.points import CRASHES
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.messages import GetRollbacks, Merge, Merged, Roll, ShardApi
from keygrove.storage.rollback import Rollback, Selector, Stage, Toll
from keygrove.storage.snapshot_messages import TakeSnapshot
from keygrove.storage.write import Cause
from keygrove_actors import ActorError, Ref
from keygrove_chaos.certificates import CREATED, armored, candidate_of, made
from keygrove_chaos.client import Hkp
from keygrove_chaos.disk_faults import DiskFault, Eio, Enospc, Erofs, FsyncFail, Operation
from keygrove_chaos.machine import Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.running import run
from keygrove_chaos.servers import NoReplyError
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import fingerprint

SETTINGS = Settings(storage=StorageSettings(shards=1))
VISITS = (1, 2, 3)
BEFORE, DURING, AFTER = 4, 4, 2
"""Submissions; each waits for the index to be flushed."""
FLUSHED_S = 1.5
MENDED_S = 60.0
ASKED_S = 5.0
FLOOD = 1_000
"""The first number of those that are taken back."""
FULL, READ_ONLY = "full", "read-only"
FAULTS: dict[str, DiskFault] = {
    FULL: Enospc(),  # no room for a single octet
    "no-more-room": Enospc(capacity_bytes=0),  # none for a file to grow
    READ_ONLY: Erofs(),
    "sync": Eio(operation=Operation.SYNC, times=2),
    "sync-drops": FsyncFail(),
    "sync-for-long": Eio(operation=Operation.SYNC),
}


class Strike:
    """See `points.Points`: at that visit of a point the disk begins to fail."""

    def __init__(self, point: str, visit: int, fault: DiskFault) -> None:
        self._point, self._left, self._fault = point, visit, fault
        self.machine: Machine | None = None
        self.has_struck = False

    def fires(self, name: str) -> bool:
        return name == "heap.checkpoint"

    def crash(self, name: str) -> None:
        self._left -= name == self._point
        if not self._left and not self.has_struck:
            assert self.machine is not None
            self.machine.disk.push("strike", self._fault)
            self.has_struck = True

    def reached(self, name: str) -> None:
        pass


class Story:
    """What clients of one node were told, and what they find."""

    def __init__(self, world: World, strike: Strike) -> None:
        self._record = Record(world)
        self.machine = Machine(world, Network(world), "n0", SETTINGS, self._record)
        self.machine.points = strike
        strike.machine = self.machine
        self.statuses: Counter[int] = Counter()
        self.unanswered: Counter[int] = Counter()
        """Lookups of what was acknowledged, by their status where that is not 200; 0: none."""
        self._acknowledged: list[int] = []
        self.begun: set[str] = set()
        """Rollbacks."""
        self._number = 0

    async def submit(self, times: int) -> None:
        for _ in range(times):
            self._number += 1
            status = await self._put(self._number)
            self.statuses[status] += 1
            if status == 200:
                self._acknowledged.append(self._number)
            with suppress(NoReplyError, ActorError, KeygroveError, KeyError):
                await self._take_back()
            await anyio.sleep(FLUSHED_S)
            await self.look()

    async def look(self) -> None:
        for number in self._acknowledged:
            status = await self._get(number)
            if status != 200:
                self.unanswered[status] += 1

    async def ready(self) -> None:
        with anyio.fail_after(MENDED_S):
            while not await self.machine.is_ready():  # noqa: ASYNC110 - no time is real
                await anyio.sleep(0.5)

    async def rolled_back(self) -> None:
        """Wait until all rollbacks that were begun are done."""
        stages: dict[str, Stage] = {}
        with anyio.fail_after(MENDED_S):
            while {stages.get(name) for name in self.begun} - {Stage.DONE}:
                await anyio.sleep(0.5)
                with suppress(ActorError):
                    told = await self._shard().call(GetRollbacks(), timeout=ASKED_S)
                    stages = {one.name: one.stage for one in told.rollbacks}

    def _shard(self) -> Ref[ShardApi]:
        if self.machine.runtime is None:
            raise NoReplyError
        return self.machine.runtime.whereis("shard-0", ShardApi)

    async def _take_back(self) -> None:
        """A snapshot, and a certificate that comes by a load and is taken back."""
        name, shard = f"load-{self._number}", self._shard()
        await shard.call(TakeSnapshot(name), timeout=ASKED_S)
        one = candidate_of(made(FLOOD + self._number, name), Cause.LOAD)
        merged = await shard.call(Merge(msgspec.structs.replace(one, origin=name)), timeout=ASKED_S)
        if isinstance(merged, Merged):
            selector = Selector(merged.change, origins=frozenset({name}))
            rollback = Rollback(name, selector, False, "a test", Stage.RUNNING, Toll(), CREATED)
            begun = await shard.call(Roll(rollback), timeout=ASKED_S)
            if isinstance(begun, Rollback):
                self.begun.add(name)

    async def _put(self, number: int) -> int:
        with suppress(NoReplyError, ActorError, KeygroveError, KeyError):
            return (
                await Hkp(self.machine.door.ask).put(armored(made(number, f"n{number}")))
            ).status
        return 0

    async def _get(self, number: int) -> int:
        with suppress(NoReplyError, ActorError, KeygroveError, KeyError):
            name = fingerprint(made(number)).hex()
            return (await Hkp(self.machine.door.ask).get(name)).status
        return 0


async def tell(world: World, point: str, visit: int, fault: DiskFault) -> Story:
    strike = Strike(point, visit, fault)
    story = Story(world, strike)
    machine = story.machine
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(machine.keep)
        await anyio.sleep(FLUSHED_S)
        await story.submit(BEFORE)
        for _ in VISITS:  # stores are opened once a life
            if not strike.has_struck:
                machine.crash("process")
                await anyio.sleep(FLUSHED_S)
                await story.look()
        assert strike.has_struck
        await story.submit(DURING)
        machine.disk.pop("strike")
        await story.ready()
        lost_meanwhile = story.unanswered.copy()
        await story.look()
        assert story.unanswered == lost_meanwhile, "it is mended"
        await story.rolled_back()
        before = story.statuses[200]
        await story.submit(AFTER)
        assert story.statuses[200] == before + AFTER
        machine.crash("power")
        await anyio.sleep(FLUSHED_S)
        await story.ready()
        lost = story.unanswered.copy()
        await story.look()
        assert story.unanswered == lost, "and it is durable"
        assert len(story.begun) >= AFTER
        await story.rolled_back()
        tasks.cancel_scope.cancel()
    return story


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.parametrize("point", sorted(CRASHES))
def test_what_was_acknowledged_is_there_and_the_node_heals(
    point: str, visit: int, name: str
) -> None:
    story = run(lambda world: tell(world, point, visit, FAULTS[name]), seed=visit).result
    assert set(story.statuses) <= {0, 200, 503, 507}
    is_new = point == "store.open" and visit == 1  # there is no store yet to be served from
    if name not in {FULL, "no-more-room", READ_ONLY} or is_new:
        return
    assert not story.unanswered, "lookups go on"
    assert 503 not in story.statuses if name != READ_ONLY else 507 not in story.statuses
