"""One shard, ended at each named point: by a power cut, or by the end of its process.

A shard's actor on a simulated disk does all that it is there for until it comes to a point of
`keygrove.points` for the first, second or third time. There the power fails, which costs what was
not synchronised, or the process ends, which costs nothing that was written. Perhaps its index is
gone besides. Then it is opened again, works on, and is ended by another power cut. Each time it is
opened, all that it tells is held against a store in memory that the acknowledged commits made; at
last `fsck` looks at its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from random import Random
from typing import Final, get_args

import anyio
import msgspec

from keygrove.errors import KeygroveError
from keygrove.points import ARMED, CRASHES
from keygrove.storage.audit import Record
from keygrove.storage.committer import Means
from keygrove.storage.fsck.checking import Subject, check_shard
from keygrove.storage.fsck.findings import Level
from keygrove.storage.fsck.tell import untold
from keygrove.storage.mark import Mark
from keygrove.storage.messages import ShardApi
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import Shard
from keygrove.storage.store import CertificateStore, Opening
from keygrove.storage.write import Redaction, Write
from keygrove_actors import ActorError, ChildSpec, Runtime, SupSpec
from keygrove_actors import run as run_tree
from keygrove_chaos.acknowledged import Commit, History, MissingError, look
from keygrove_chaos.disk import Disk, Mount, PowerCutError
from keygrove_chaos.fence import NodeDeadError
from keygrove_chaos.machine import HowItEnds
from keygrove_chaos.node import EPOCH, InlineCompute, LoopClock
from keygrove_chaos.shardwork import Client
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.stores import HookedOpening, HookedStore, Notes
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.policy import VERIFIED

VISITS: Final = (1, 2, 3)
FOLDER: Final = "shard-0"
HOME: Final = Home(FOLDER, "0/1", bytes(16))
LIVES_MAX: Final = 6
"""Within which the shard comes to each point often enough: a store is opened once in each."""
ROUNDS: Final = 2
"""In one life."""
RARELY: Final = 0.3
COMPACTION: Final = "compaction"
SOON: Final = "compaction.soon"
_DEATHS: Final = (ActorError, KeygroveError, NodeDeadError, PowerCutError)


def comes_about(name: str, point: str, chance: Random) -> bool:
    """Whether something rare happens where a life is to end at `point`: half of it does.

    History is compacted soon where that is the end, and an index is never taken for another's.
    """
    if name == SOON:
        return point == COMPACTION
    return name != "index.distrusted" and chance.random() < 0.5


class Ending(msgspec.Struct, frozen=True):
    """Where the shard is ended, and how."""

    point: str
    visit: int
    how: HowItEnds

    def __str__(self) -> str:
        return f"{self.point}, visit {self.visit}, {self.how}"


ENDINGS: Final = tuple(
    Ending(*one) for one in product(sorted(CRASHES), VISITS, get_args(HowItEnds))
)
"""All of them. A seed has the one at its place, again and again from the first."""


async def scenario(world: World) -> list[str]:
    """End a shard as its seed says; what that cost."""
    ending = world.planned(ENDINGS[world.seed % len(ENDINGS)])
    subject = Subjected(world, ending)
    try:
        await subject.play()
    except MissingError as error:
        return [f"{error.invariant}: {error}"]
    world.count(f"ended: {ending}")
    world.count("acknowledged", len(subject.history.acknowledged))
    return []


class _Strike:
    """See `points.Points`: ends the shard at that visit, and makes what is rare common."""

    def __init__(self, world: World, ending: Ending, end: Callable[[], None]) -> None:
        self.point = ending.point
        self._chance = world.stream("rare")
        self._ending = ending
        self._end = end
        self._visits = Counter[str]()
        self.has_struck = False

    def fires(self, name: str) -> bool:
        """See `points.Points`."""
        return comes_about(name, self.point, self._chance)

    def crash(self, name: str) -> None:
        """See `points.Points`."""
        self._visits[name] += 1
        ending = self._ending
        if self.has_struck or (name, self._visits[name]) != (ending.point, ending.visit):
            return
        self.has_struck = True
        self._end()
        raise NodeDeadError

    def reached(self, name: str) -> None:
        """See `points.Points`."""


class _Recorded(HookedStore):
    """A store whose commits are remembered, by whether they returned."""

    def __init__(self, store: CertificateStore, history: History) -> None:
        super().__init__(store)
        self._history = history

    async def commit(
        self,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        """See `store.CertificateStore`."""
        commit = Commit(list(writes), list(records), list(marks), list(redactions))
        self._history.pending = commit
        change = await super().commit(writes, records, redactions, marks)
        self._history.acknowledged.append(commit)
        self._history.pending = None
        return change


class _Judged(HookedOpening):
    """An opening whose store is looked at before anybody else has it."""

    def __init__(self, opening: Opening, life: Subjected) -> None:
        super().__init__(opening)
        self._life = life

    async def finish(self) -> CertificateStore:
        """See `store.Opening`."""
        store = await super().finish()
        await self._life.judge(store)
        return _Recorded(store, self._life.history)


class _Log:
    """See `ports.RawFiles`: the logs on a simulated disk."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    async def log(self, path: str) -> bytes:
        """See `ports.RawFiles`."""
        name = f"{path}-wal"
        if not self._mount.exists(name):
            return b""
        file = self._mount.open(name)
        return file.read(file.size, 0)

    async def make(self, path: str, like: str) -> None:
        """See `ports.RawFiles`."""
        raise AssertionError("nothing is repaired here")

    async def replace(self, path: str, by: str, guard: str) -> str:
        """See `ports.RawFiles`."""
        raise AssertionError("nothing is repaired here")


class Subjected:
    """A shard and its disk, through its lives."""

    def __init__(self, world: World, ending: Ending, *, is_durable: bool = True) -> None:
        self.disk = Disk(world, "node")
        self.history = History()
        self._world = world
        self._chance = world.stream("lives")
        self._client = Client(world.stream("work"))
        self._how: HowItEnds = ending.how
        self._strike = _Strike(world, ending, self._end)
        self._is_durable = is_durable
        self._scope = anyio.CancelScope()
        self._runtime: Runtime | None = None
        self._found: MissingError | None = None

    async def play(self) -> None:
        """End it at its point, have it opened again, and end it once more.

        Raises:
            MissingError: something that was acknowledged is not there, or not as it was.
        """
        for _ in range(LIVES_MAX):
            await self._live(ROUNDS)
            if self._strike.has_struck:
                break
        else:
            raise MissingError("the shard never came to that point so often")
        self._lose_index()
        await self._live(ROUNDS // 2)
        self._how = "power"
        self._end()
        await self._live(0)
        await self._check()

    async def judge(self, store: CertificateStore) -> None:
        """Hold what was opened against what was acknowledged; the first that is wrong ends it."""
        told = self._client.acknowledged
        try:
            await look(store, self.history)
        except MissingError as error:
            self._found = error
        if self._found is None and store.counts().change < told:
            self._found = MissingError(f"a client was told of change {told}")
        if self._found is not None:
            self._end()

    async def _live(self, rounds: int) -> None:
        """One life: it ends at the point; or in order, the disk still on, when all is done."""
        mount = self.disk.boot()
        databases = SimulatedDatabases(self._world, "node", mount, lambda: float(EPOCH))
        token = ARMED.set(self._strike)
        self._scope, self._runtime = anyio.CancelScope(), None
        try:
            with self._scope:
                await self._serve(databases, rounds)
        except* _DEATHS:
            if self.disk.is_on:
                raise
        finally:
            ARMED.reset(token)
            databases.close()
        if self._found is not None:
            raise self._found

    async def _serve(self, databases: SimulatedDatabases, rounds: int) -> None:
        clock, compute = LoopClock(), InlineCompute()
        means = Means(clock, compute, compute, VERIFIED)
        opener = partial(self._open, databases)
        start = partial(Shard, opener, means, cache_bytes=1 << 20, watcher=Notes())
        spec = SupSpec(children=(ChildSpec(FOLDER, start, name=FOLDER, shutdown=5.0),))
        async with run_tree(spec) as runtime:
            self._runtime = runtime
            shard = runtime.whereis(FOLDER, ShardApi)
            await self._client.idle(shard)
            for _ in range(rounds):
                await self._client.round(shard)

    @asynccontextmanager
    async def _open(self, databases: SimulatedDatabases) -> AsyncGenerator[Opening, None]:
        turns = anyio.Semaphore(1)
        async with open_store(databases, HOME, turns, durable=self._is_durable) as opening:
            yield _Judged(opening, self)

    def _end(self) -> None:
        """End it now, whoever is doing what."""
        if self._how == "power":
            self.disk.crash()
        else:
            self.disk.kill()
        if self._runtime is not None:
            self._runtime.kill()
        self._scope.cancel()

    def _lose_index(self) -> None:
        """Perhaps somebody removes the index meanwhile, with its log or without.

        One that is made anew from a history that was compacted counts what is left of that.
        """
        if self._strike.point == COMPACTION:
            return
        mount = self.disk.boot()
        for suffix in ("", "-wal"):
            path = f"{FOLDER}/index.db{suffix}"
            if mount.exists(path) and self._chance.random() < RARELY:
                mount.remove(path)
        self.disk.kill()

    async def _check(self) -> None:
        """Have `fsck` look at files that were left in order."""
        mount = self.disk.boot()
        databases = SimulatedDatabases(self._world, "node", mount, lambda: float(EPOCH))
        try:
            subject = Subject(databases, _Log(mount), FOLDER, 0, 1, is_live=False)
            checked = await check_shard(subject, Level.HISTORY, untold)
        finally:
            databases.close()
        if checked.findings.all() or checked.skipped:
            found = "; ".join([*map(str, checked.findings.all()), *checked.skipped])
            raise MissingError(f"fsck: {found}")
