"""One store on SQLite through many lives, held against what it acknowledged.

In each life the power fails with a random operation of the disk: during opening, a commit, a
flush, a checkpoint, closing, or when all is done; or only the process dies then. A store that
fails otherwise is opened anew, as its supervisor does. Each life begins with a look at what the
one before left.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Final

import anyio

from keygrove.errors import (
    DamagedError,
    DiskFullError,
    HistoryError,
    ReadOnlyError,
    StoreError,
)
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.opening import Home, open_store
from keygrove.storage.retention import Retention
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Denial, Lift, Write
from keygrove_chaos.acknowledged import (
    NAMES,
    NUMBERS,
    SNAPSHOTS,
    USER_IDS,
    AlteredError,
    Commit,
    History,
    MissingError,
    look,
)
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.timeline import Timeline
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.keys import Fingerprint

LIVES: Final = 10
"""Of one seed."""
OPERATIONS_MAX: Final = 400
"""Of the disk, within which the power fails."""
COMMITS: Final = (3, 400)
"""In a life, unless the power fails before."""
STEP_S: Final = 1_800
"""Between two commits, by their own clock."""
RETENTION: Final = Retention(
    all_s=4 * STEP_S, fine_s=12 * STEP_S, fine_period_s=2 * STEP_S, coarse_period_s=6 * STEP_S
)
LOOKS: Final = 6
"""At former moments, for each look at the present."""
WALL_S: Final = 1_800_000_000.0
HOME: Final = Home("shard-0", "0/1", bytes(16))


async def scenario(world: World) -> list[str]:
    """Let a store live and die; what it lost."""
    lives = Lives(world)
    try:
        await lives.play(LIVES)
    except MissingError as error:
        return [f"{error.invariant}: {error}"]
    finally:
        world.count("power cuts", lives.cuts)
        world.count("acknowledged", lives.acknowledged)
    return []


class Lives:
    """A disk, and the store that lives on it again and again."""

    def __init__(self, timeline: Timeline, *, is_durable: bool = True) -> None:
        self._timeline = timeline
        self._chance = timeline.stream("work")
        self._marks = timeline.stream("marks")
        self._history = History()
        self._is_durable = is_durable
        self.disk = Disk(timeline, "node")
        self.cuts = 0
        """How often the power failed."""
        self.failures = 0
        """How often the store failed while the power was on."""

    @property
    def acknowledged(self) -> int:
        """How many commits were."""
        return len(self._history.acknowledged)

    async def _look_back(self, store: SqliteStore) -> None:
        """At some moments that no snapshot names, if these are kept."""
        model = await self._history.model(store.counts().change)
        there, due = store.history, model.history
        before = range(1, self.acknowledged)
        for change in sorted(self._chance.sample(before, min(LOOKS, len(before)))):
            try:
                found = await there.get(NAMES, change), (await there.tree(change)).root
            except HistoryError:
                continue
            except DamagedError as error:
                if "SQLITE_IOERR" in str(error):  # as in `look`
                    raise
                raise AlteredError(f"change {change} cannot be read: {error}") from error
            if found != (await due.get(NAMES, change), (await due.tree(change)).root):
                raise AlteredError(f"change {change} does not read as it did")

    async def play(self, lives: int) -> None:
        """So many lives, most of which a power cut ends, and a look at what they left.

        Raises:
            MissingError: a life did not find what those before had acknowledged.
        """
        for _ in range(lives):
            await self._live(self._chance.choice(COMMITS), is_cut=True)
        await self._live(0, is_cut=False)

    async def play_once(self, commits: int) -> None:
        """One life of so many commits, at whose end the power fails; then a look.

        Raises:
            MissingError: as `play`.
        """
        await self._live(commits, is_cut=False)
        await self._live(0, is_cut=False)

    async def play_killed(self, commits: int) -> None:
        """One life of so many commits; when one of them fails, the process dies at once."""
        databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
        with suppress(StoreError):
            async with open_store(databases, HOME, anyio.Semaphore(1), durable=True) as opening:
                try:
                    await self._work(await opening.finish(), commits)
                finally:
                    self.disk.kill()
        databases.close()

    async def play_full(self, lives: int, commits: int) -> int:
        """So many lives on a disk that fills up; how many came up without an index.

        Whatever the disk has room for, in each life all that was acknowledged is found.

        Raises:
            MissingError: it was not.
        """
        without = 0
        for life in range(lives):
            databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
            if life == lives - 1:
                await databases.remove("shard-0/index.db")
            async with open_store(databases, HOME, anyio.Semaphore(1), durable=True) as opening:
                store = None
                with suppress(DiskFullError):
                    store = await opening.finish()
                model = await self._history.model(len(self._history.acknowledged))
                if await opening.get(NAMES) != await model.get(NAMES):
                    raise MissingError(f"after {self.acknowledged} commits, by their fingerprints")
                if store is None:
                    without += 1
                else:
                    await look(store, self._history)
                    await self._look_back(store)
                    await self._work(store, commits)
                    with suppress(DiskFullError):
                        await store.settle()
                if self._chance.random() < 0.5:
                    self.disk.kill()
            databases.close()
        return without

    async def _live(self, commits: int, *, is_cut: bool) -> None:
        databases = SimulatedDatabases(self._timeline, "node", self.disk.boot(), lambda: WALL_S)
        if is_cut and self._chance.random() < 0.3:
            self.disk.crash_in(self._chance.randint(1, 100))  # perhaps while it opens
        try:
            async with open_store(
                databases,
                HOME,
                anyio.Semaphore(1),
                durable=self._is_durable,
                retention=RETENTION,
            ) as opening:
                store = await opening.finish()
                await look(store, self._history)
                await self._look_back(store)
                if is_cut:
                    self.disk.crash_in(self._chance.randint(1, OPERATIONS_MAX))
                await self._with_upkeep(store, commits)
                if not is_cut:
                    self.disk.crash()
        except* (DiskFullError, ReadOnlyError, StoreError, OSError):
            self.failures += self.disk.is_on
        finally:
            databases.close()
            self._end()

    def _end(self) -> None:
        """If the power is still on: it fails now, or only the process dies."""
        if self.disk.is_on and self._chance.random() < 0.5:
            self.disk.kill()
            return
        if self.disk.is_on:
            self.disk.crash()
        self.cuts += 1

    async def _with_upkeep(self, store: SqliteStore, commits: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            await self._work(store, commits)
            tasks.cancel_scope.cancel()

    async def _work(self, store: SqliteStore, commits: int) -> None:
        """Commit and flush, so often or until something fails."""
        history = self._history
        for _ in range(commits):
            at = len(history.acknowledged)
            marks = _marks(self._marks, at)
            drawn = history.pending = _drawn(self._chance, at, history.denied(), marks)
            try:
                await store.commit(drawn.writes, drawn.records, marks=drawn.marks)
            except DiskFullError:
                history.pending = None  # nothing of it was kept, and the store goes on
                continue
            history.acknowledged.append(drawn)
            history.pending = None
            match self._chance.randrange(10):
                case 0:
                    with suppress(DiskFullError):
                        await store.settle()
                case 1:
                    await anyio.sleep(1.0)  # now the index is written, and commits go on
                case 2:
                    with suppress(DiskFullError):
                        await store.settle()
                        await store.compact_once()
                case _:
                    pass


def _marks(chance: Random, at: int) -> list[Mark]:
    """Now and then a snapshot, mostly by a name that another had before; or one is dropped."""
    name, when = chance.choice(SNAPSHOTS), CREATED + at * STEP_S
    match chance.randrange(12):
        case 0 | 1:
            return [Snapshot(name, at.to_bytes(32), when)]
        case 2:
            return [Drop(name, when)]
        case _:
            return []


def _drawn(chance: Random, at: int, denied: set[Fingerprint], marks: list[Mark]) -> Commit:
    numbers = sorted(chance.sample(NUMBERS, chance.randint(1, len(NUMBERS))))
    writes = [_change(chance, number, at, denied) for number in numbers]
    records = [_record(one, at) for one in writes if isinstance(one, Denial | Lift)]
    return Commit(writes, records, marks)


def _record(write: Denial | Lift, at: int) -> Record:
    return Record(
        by=None,
        action=Action.DENY if isinstance(write, Denial) else Action.ALLOW,
        effect=Effect.DONE,
        fingerprint=write.fingerprint,
        reason=f"commit {at}",
        at=write.at,
        nonce=at.to_bytes(8),
    )


def _change(chance: Random, number: int, at: int, denied: set[Fingerprint]) -> Write:
    """Mostly a put, now and then a denial, which sooner or later is lifted."""
    texts, when = chance.sample(USER_IDS, chance.randint(0, 4)), CREATED + at * STEP_S
    put = put_of(made(number, *texts), when)
    if put.fingerprint in denied and chance.random() < 0.5:
        return Lift(put.fingerprint, when)
    if put.fingerprint in denied or chance.random() < 0.1:
        return Denial(put.fingerprint, f"commit {at}", when, (put.digest,))
    return with_aside(put, bytes(number % 3 * 40), bytes([at % 256]) * 16)
