"""A disk that begins to fail where it hurts: at each named point, at its first to third visit.

One node in a world of its own takes certificates, one by one, and takes back what partners brought.
At the point its disk becomes full, read-only, or fails to synchronise; later it is mended. Whatever
was acknowledged is there all the time that the node can be asked, and after a power cut, too; a
rollback that was begun is done, and what it took is not there.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import anyio
import pytest

from keygrove.errors import KeygroveError
from keygrove.points import CRASHES
from keygrove.settings import Settings, StorageSettings
from keygrove.storage.messages import ShardApi
from keygrove.storage.snapshot_messages import TakeSnapshot
from keygrove_actors import ActorError
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Hkp
from keygrove_chaos.control import Control, listed
from keygrove_chaos.disk_faults import DiskFault, Eio, Enospc, Erofs, FsyncFail, Operation
from keygrove_chaos.machine import Machine
from keygrove_chaos.network import Network
from keygrove_chaos.record import Record
from keygrove_chaos.running import run
from keygrove_chaos.servers import NoReplyError
from keygrove_chaos.taken_back import DUE
from keygrove_chaos.web import CutError
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes

SETTINGS = Settings(storage=StorageSettings(shards=1))
VISITS = (1, 2, 3)
BEFORE, DURING, AFTER = 4, 4, 2
"""Submissions; each waits for the index to be flushed."""
FLUSHED_S = 1.5
MENDED_S = 60.0
COMPACTED_S = 30.0
PARTNERS = 1_000
"""From here on are the keys of partners."""
DEATHS = (NoReplyError, ActorError, KeygroveError, KeyError, ConnectionRefusedError)
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
        return name == "heap.checkpoint" or (name, self._point) == ("compaction.soon", "compaction")

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
        self._number = 0
        self._partners = 0

    async def submit(self, times: int) -> None:
        for _ in range(times):
            self._number += 1
            status = await self._put(self._number)
            self.statuses[status] += 1
            if status == 200:
                self._acknowledged.append(self._number)
            await anyio.sleep(FLUSHED_S)
            await self.look()

    async def look(self) -> None:
        for number in self._acknowledged:
            status = await self._get(number)
            if status != 200:
                self.unanswered[status] += 1

    async def roll(self) -> None:
        """Let a partner of its own bring something, and take that back."""
        self._partners += 1
        partner = f"p{self._partners}.example"
        brought = made(PARTNERS + self._partners, "brought")
        with suppress(CutError, *DEATHS):
            await self.machine.offer(partner, to_bytes(brought))
            await Control(self.machine.control.ask).begin(partner)
        await anyio.sleep(FLUSHED_S)
        await self.look()

    async def remember(self) -> None:
        """Take a snapshot."""
        assert self.machine.runtime is not None
        shard = self.machine.runtime.whereis("shard-0", ShardApi)
        with suppress(*DEATHS):
            await shard.call(TakeSnapshot("one"), timeout=FLUSHED_S)

    async def rolled(self) -> dict[str, str]:
        """Wait until nothing is under way; the stage of each partner's rollback."""
        with anyio.fail_after(MENDED_S):
            while True:
                reply = await Control(self.machine.control.ask).rollbacks()
                stages = {one.reason: one.stage for one in listed(reply)}
                if reply.status == 200 and DUE.isdisjoint(stages.values()):
                    return stages
                await anyio.sleep(0.5)

    async def shown(self, partner: str) -> bool:
        """Whether there is anything of what that partner brought."""
        number = int(partner.removeprefix("p").removesuffix(".example"))
        return await self._get(PARTNERS + number) == 200

    async def ready(self) -> None:
        with anyio.fail_after(MENDED_S):
            while not await self.machine.is_ready():  # noqa: ASYNC110 - no time is real
                await anyio.sleep(0.5)

    async def _put(self, number: int) -> int:
        with suppress(*DEATHS):
            return (
                await Hkp(self.machine.door.ask).put(armored(made(number, f"n{number}")))
            ).status
        return 0

    async def _get(self, number: int) -> int:
        with suppress(*DEATHS):
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
            if not strike.has_struck and point.startswith("rollback."):
                await story.roll()
            elif not strike.has_struck and point == "snapshot.taken":
                await story.remember()
            elif not strike.has_struck and point == "compaction":
                await anyio.sleep(COMPACTED_S)
                await story.submit(2)
                await anyio.sleep(FLUSHED_S)
            elif not strike.has_struck:
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
        before = story.statuses[200]
        await story.submit(AFTER)
        assert story.statuses[200] == before + AFTER
        machine.crash("power")
        await anyio.sleep(FLUSHED_S)
        await story.ready()
        lost = story.unanswered.copy()
        await story.look()
        assert story.unanswered == lost, "and it is durable"
        for partner, stage in (await story.rolled()).items():
            assert await story.shown(partner) == (stage != "done")
        tasks.cancel_scope.cancel()
    return story


@pytest.mark.parametrize(
    "name", [FULL, *(pytest.param(one, marks=pytest.mark.slow) for one in FAULTS if one != FULL)]
)
@pytest.mark.parametrize(
    "visit", [1, *(pytest.param(visit, marks=pytest.mark.slow) for visit in VISITS[1:])]
)
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
