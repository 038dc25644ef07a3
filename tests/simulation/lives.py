"""A store on SQLite through several lives, held against what it acknowledged.

In each life the power fails with a random operation of the disk: during opening, a commit, a
flush, a checkpoint, closing, or when all is done. A store that fails otherwise is opened anew,
as its supervisor does. Each life begins with a look at what the one before left.
"""

from contextlib import suppress
from random import Random

import anyio
import msgspec
import trio
from trio.testing import MockClock

from keygrove.errors import DiskFullError, StoreError
from keygrove.storage.memory import MemoryStore
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import Put
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from tests.contract.test_store_histories import assert_alike
from tests.simulation.timelines import SeededTimeline

NUMBERS = range(5)
USER_IDS = ("Alice <a@x.example>", "Jean-Luc Ä <a@x.example>", "alice bob", "Bob <b@x.example>")
HOME = Home("shard-0", "0/1", bytes(16))
LIVES = 4
OPERATIONS_MAX = 400
COMMITS_MAX = 400
WALL_S = 1_800_000_000.0


class MissingError(Exception):
    """Commits that were acknowledged are not there."""


class History(msgspec.Struct):
    """What was acknowledged, and the commit that nobody heard of any more."""

    acknowledged: list[list[Put]] = []
    pending: list[Put] | None = None

    async def model(self, change: int) -> MemoryStore:
        """The store as it must be after so many commits.

        The one that was under way may be there; then it counts as acknowledged from now on.
        """
        if change == len(self.acknowledged) + 1 and self.pending is not None:
            self.acknowledged.append(self.pending)
        self.pending = None
        if change != len(self.acknowledged):
            raise MissingError(f"{len(self.acknowledged)} were acknowledged, {change} are there")
        model = MemoryStore()
        for puts in self.acknowledged:
            await model.commit(puts)
        return model


class Node:
    """A disk, and the store that lives on it again and again."""

    def __init__(self, seed: int, *, is_durable: bool = True) -> None:
        self._timeline = SeededTimeline(seed)
        self._chance = self._timeline.stream("work")
        self._history = History()
        self._is_durable = is_durable
        self.disk = Disk(self._timeline, "node")
        self.failures = 0
        """How often the store failed while the power was on."""

    def run(self) -> str:
        """All its lives; what they leave on the disk."""
        return trio.run(self._run, clock=MockClock(autojump_threshold=0))

    def run_once(self, commits: int) -> None:
        """One life of so many commits, at whose end the power fails; then a look."""
        trio.run(self._run_once, commits, clock=MockClock(autojump_threshold=0))

    def run_killed(self, commits: int) -> None:
        """One life of so many commits; when one of them fails, the process dies at once."""
        trio.run(self._run_killed, commits, clock=MockClock(autojump_threshold=0))

    def run_full(self, commits: int) -> int:
        """Lives of so many commits on a disk that fills up; how many came up without an index.

        Whatever the disk has room for, in each life all that was acknowledged is found.
        """
        return trio.run(self._run_full, commits, clock=MockClock(autojump_threshold=0))

    async def _run_full(self, commits: int) -> int:
        without = 0
        for life in range(LIVES):
            databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
            if life == LIVES - 1:
                await databases.remove("shard-0/index.db")
            async with open_store(databases, HOME, anyio.Semaphore(1), durable=True) as opening:
                store = None
                with suppress(DiskFullError):
                    store = await opening.finish()
                model = await self._history.model(len(self._history.acknowledged))
                names = [put_of(made(n)).fingerprint for n in NUMBERS]
                assert await opening.get(names) == await model.get(names)
                if store is None:
                    without += 1
                else:
                    await assert_alike(store, model, 3)
                    await self._work(store, commits)
                    with suppress(DiskFullError):
                        await store.settle()
                if self._chance.random() < 0.5:
                    self.disk.kill()
            databases.close()
        return without

    async def _run_killed(self, commits: int) -> None:
        databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
        with suppress(StoreError):
            async with open_store(databases, HOME, anyio.Semaphore(1), durable=True) as opening:
                store = await opening.finish()
                try:
                    await self._work(store, commits)
                finally:
                    self.disk.kill()
        databases.close()

    async def _run(self) -> str:
        for _ in range(LIVES):
            await self._live(self._chance.choice((3, COMMITS_MAX)), is_cut=True)
        await self._live(0, is_cut=False)
        return self.disk.digest()

    async def _run_once(self, commits: int) -> None:
        await self._live(commits, is_cut=False)
        await self._live(0, is_cut=False)

    async def _live(self, commits: int, *, is_cut: bool) -> None:
        databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
        if is_cut and self._chance.random() < 0.3:
            self.disk.crash_in(self._chance.randint(1, 100))  # perhaps while it opens
        try:
            async with open_store(
                databases, HOME, anyio.Semaphore(1), durable=self._is_durable
            ) as opening:
                store = await opening.finish()
                await assert_alike(store, await self._history.model(store.counts().change), 3)
                if is_cut:
                    self.disk.crash_in(self._chance.randint(1, OPERATIONS_MAX))
                await self._with_upkeep(store, commits)
                if not is_cut:
                    self.disk.crash()
        except* (DiskFullError, StoreError, OSError):
            self.failures += self.disk.is_on
        finally:
            databases.close()
            self._end()

    async def _with_upkeep(self, store: SqliteStore, commits: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            await self._work(store, commits)
            tasks.cancel_scope.cancel()

    async def _work(self, store: SqliteStore, commits: int) -> None:
        """Commit and flush, so often or until something fails."""
        history = self._history
        for _ in range(commits):
            puts = history.pending = _drawn(self._chance, len(history.acknowledged))
            try:
                await store.commit(puts)
            except DiskFullError:
                history.pending = None  # nothing of it was kept, and the store goes on
                continue
            history.acknowledged.append(puts)
            history.pending = None
            match self._chance.randrange(10):
                case 0:
                    with suppress(DiskFullError):
                        await store.settle()
                case 1:
                    await anyio.sleep(1.0)  # now the index is written, and commits go on
                case _:
                    pass

    def _end(self) -> None:
        """Nothing failed, or the store alone: the power fails now, or the process dies."""
        if self.disk.is_on and self._chance.random() < 0.5:
            self.disk.crash()
        self.disk.kill()


def _drawn(chance: Random, at: int) -> list[Put]:
    numbers = sorted(chance.sample(NUMBERS, chance.randint(1, len(NUMBERS))))
    return [
        put_of(made(n, *chance.sample(USER_IDS, chance.randint(0, 4))), CREATED + at * 1800)
        for n in numbers
    ]
