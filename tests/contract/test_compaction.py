"""What compaction keeps reads as before; what it does not keep is told as such.

Random histories, with snapshots, are compacted at random, and held against a store in memory,
which keeps everything.
"""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TypeAlias

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keygrove.errors import DiskFullError, HistoryError, StoreError
from keygrove.storage.history import History
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Drop, Mark, Snapshot
from keygrove.storage.memory import MemoryStore
from keygrove.storage.merkle import EMPTY
from keygrove.storage.opening import Home, open_store
from keygrove.storage.retention import Retention
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.write import Denial, Lift, Put, Write
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_chaos.databases import FailAt, WatchedDatabases, ignore
from tests.contract.machines import started

pytestmark = pytest.mark.slow

NUMBERS = range(3)
USER_IDS = ("Alice <a@x.example>", "Jean-Luc Ä <a@x.example>", "alice bob", "Bob <b@x.example>")
SNAPSHOTS = ("one", "two")
RETENTION = Retention(all_s=100, fine_s=1_000, fine_period_s=60, coarse_period_s=240)
NAMES = [put_of(made(number)).fingerprint for number in NUMBERS]


class Commit(msgspec.Struct, frozen=True):
    """What each certificate becomes: with these user IDs, or denied, or no longer so, by turns."""

    batch: tuple[tuple[int, frozenset[str] | None], ...]
    passed_s: int
    """Since the commit before."""


class Remember(msgspec.Struct, frozen=True):
    """A snapshot of the present, or of so many changes ago, if that is kept."""

    name: str
    ago: int


class Forget(msgspec.Struct, frozen=True):
    name: str


class Compact(msgspec.Struct, frozen=True):
    pass


class Reopen(msgspec.Struct, frozen=True):
    pass


class Distrust(msgspec.Struct, frozen=True):
    """The index is lost, and made anew from what is left."""


class Kill(msgspec.Struct, frozen=True):
    """The process dies while it compacts, after so many statements."""

    statements: int


class FullDisk(msgspec.Struct, frozen=True):
    """The disk is full from so many statements into a compaction on."""

    statements: int


Operation: TypeAlias = Commit | Remember | Forget | Compact | Reopen | Distrust | Kill | FullDisk

batches = st.dictionaries(
    st.sampled_from(NUMBERS),
    st.none() | st.frozensets(st.sampled_from(USER_IDS)),
    min_size=1,
).map(lambda batch: tuple((n, batch[n]) for n in sorted(batch)))
commits = st.builds(Commit, batches, st.sampled_from((1, 20, 61, 300, -50)))
operations = st.one_of(
    commits,
    commits,
    commits,
    st.builds(Remember, st.sampled_from(SNAPSHOTS), st.integers(0, 6)),
    st.builds(Forget, st.sampled_from(SNAPSHOTS)),
    st.builds(Compact),
    st.builds(Compact),
    st.builds(Reopen),
    st.builds(Distrust),
    st.builds(Kill, st.integers(0, 60)),
    st.builds(FullDisk, st.integers(0, 60)),
)


class Machine:
    """A store on files, and the memory that it is held against."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = WatchedDatabases(SqliteFiles(root))
        self._model = MemoryStore()
        self._opened = AsyncExitStack()
        self._at = CREATED
        self._times = {0: 0}
        self._due = {0}
        self._store: SqliteStore

    async def start(self) -> None:
        home, turns = Home("shard-0", "0/1", bytes(16)), anyio.Semaphore(1)
        opening = await self._opened.enter_async_context(
            open_store(self._files, home, turns, durable=False, retention=RETENTION)
        )
        self._store = await opening.finish()

    async def stop(self) -> None:
        await self._opened.aclose()

    async def apply(self, operation: Operation) -> None:
        match operation:
            case Commit(batch, passed_s):
                self._at += passed_s
                await self._commit(await self._writes(batch), ())
            case Remember(name, ago):
                await self._remember(name, ago)
            case Forget(name):
                await self._commit([], (Drop(name, self._at),))
            case Compact():
                await self._compact()
            case _:
                await self._befall(operation)
        await self.look()

    async def _befall(self, operation: Reopen | Distrust | Kill | FullDisk) -> None:
        match operation:
            case Kill(statements):
                await self._kill(statements)
            case FullDisk(statements):
                await self._fill_disk(statements)
            case Reopen() | Distrust():
                await self.stop()
                if isinstance(operation, Distrust):
                    await self._files.remove("shard-0/index.db")
                await self.start()

    async def _commit(self, writes: Sequence[Write], marks: Sequence[Mark]) -> None:
        change = await self._model.commit(writes, marks=marks)
        assert await self._store.commit(writes, marks=marks) == change
        self._times[change] = max(one.at for part in (writes, marks) for one in part)
        self._due.add(change)

    async def _writes(self, batch: Sequence[tuple[int, frozenset[str] | None]]) -> list[Write]:
        writes: list[Write] = []
        for number, texts in batch:
            put = put_of(made(number, *sorted(texts or ()), signatures=3), self._at)
            (denial,) = await self._model.denials_of([put.fingerprint])
            if texts is None and denial is not None:
                writes.append(Lift(put.fingerprint, self._at))
            elif texts is None or denial is not None:
                writes.append(Denial(put.fingerprint, "spam", self._at, held=self._held(put)))
            else:
                aside = put.packets * 2 if len(texts) % 2 else b""
                writes.append(with_aside(put, aside))
        return writes

    def _held(self, put: Put) -> Put | None:
        return put if self._at % 2 else None

    async def _remember(self, name: str, ago: int) -> None:
        change = max(0, self._store.head().change - ago)
        snapshot = Snapshot(name, b"", self._at, change if ago else None)
        if change not in self._due:
            with pytest.raises(HistoryError):
                await self._store.commit([], marks=[snapshot])
        else:
            await self._commit([], [snapshot])

    async def _compact(self) -> None:
        await self._store.settle()
        await self._store.compact_once()
        await self._thinned()
        for change in self._due:
            assert change in due(self._due, self._times, await self._named()), change

    async def _kill(self, statements: int) -> None:
        """Copy the files as they stand, without what closing would still write."""
        await self._store.settle()
        self._files.watch = FailAt(statements, StoreError("killed"))
        with suppress(StoreError):
            await self._store.compact_once()
        left = self._root / "left"
        shutil.copytree(self._root / "shard-0", left)
        self._files.watch = ignore
        await self.stop()
        shutil.rmtree(self._root / "shard-0")
        left.rename(self._root / "shard-0")
        await self.start()
        await self._thinned()

    async def _fill_disk(self, statements: int) -> None:
        await self._store.settle()
        self._files.watch = FailAt(statements, DiskFullError("heap.db"))
        with suppress(DiskFullError):
            await self._store.compact_once()
        self._files.watch = ignore
        await self._thinned()

    async def _thinned(self) -> None:
        """Some of what was not to be kept is not kept any more; after a whole compaction, all."""
        must = due(self._due, self._times, await self._named())
        self._due = must | {change for change in self._due if await self._is_there(change)}

    async def _named(self) -> set[int | None]:
        return {one.change for one in await self._model.history.snapshots()}

    async def _is_there(self, change: int) -> bool:
        try:
            await self._store.history.head(change)
        except HistoryError:
            return False
        return True

    async def look(self) -> None:
        there, model = self._store.history, self._model.history
        assert self._store.head() == self._model.head()
        assert await self._store.denials_of(NAMES) == await self._model.denials_of(NAMES)
        assert await self._store.get_whole(NAMES) == await self._model.get_whole(NAMES)
        assert await there.snapshots() == await model.snapshots()
        for change in self._times:
            if change not in self._due:
                with pytest.raises(HistoryError):
                    await there.get(NAMES, change)
                with pytest.raises(HistoryError):
                    await there.tree(change)
                continue
            assert await there.get(NAMES, change) == await model.get(NAMES, change)
            assert await there.head(change) == await model.head(change)
            # That the tree is its own the store looks after itself, when it has undone the rows.
            assert (await there.tree(change)).root == (await model.head(change)).root
            await assert_led_on(there, model, change)
        await assert_linked(there)


def due(candidates: set[int], times: dict[int, int], snapshots: set[int | None]) -> set[int]:
    """What is to be kept of these changes: said once more, and otherwise than the product does."""
    now = times[max(times)]
    found = {0}
    for change in candidates - {0}:
        age = now - times[change]
        length = 60 if age < 1_000 else 240
        later = [
            other
            for other in candidates
            if other > change
            and now - times[other] >= 100
            and (60 if now - times[other] < 1_000 else 240) == length
            and times[other] // length == times[change] // length
            and other not in snapshots
        ]
        if change in snapshots or age < 100 or not later:
            found.add(change)
    return found


async def assert_led_on(there: History, model: History, change: int) -> None:
    """Each step from that change on fits what there was, and they lead to what there is."""
    told = (await model.steps(0, EMPTY, 10_000)).steps
    served = {one.fingerprint: one.after for one in told if one.change <= change}
    head = await there.head(change)
    while True:
        some = await there.steps(head.change, head.root, 10_000)
        for one in some.steps:
            assert one.before == served.get(one.fingerprint)
            served[one.fingerprint] = one.after
        if some.head.change == head.change:
            break
        head = some.head
    assert served == {one.fingerprint: one.after for one in told}


async def assert_linked(history: History) -> None:
    """Each entry of the log begins where the one before it of that certificate ended."""
    last: dict[bytes, bytes | None] = {}
    entries: Sequence[Logged] = (await history.log(None, 1_000)).entries
    for entry in entries:
        assert entry.before == last.get(entry.fingerprint)
        last[entry.fingerprint] = entry.after


async def live(history: Sequence[Operation]) -> None:
    async with started(Machine) as subject:
        for operation in history:
            await subject.apply(operation)
        for _ in range(2):
            await subject.apply(Compact())
        await subject.apply(Reopen())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(operations, max_size=25))
def test_whatever_is_kept_reads_as_before(history: list[Operation]) -> None:
    asyncio.run(live(history))


def test_of_twenty_versions_those_that_a_snapshot_or_a_period_needs_are_kept() -> None:
    history: list[Operation] = []
    for number in range(20):
        texts = frozenset({USER_IDS[number % 4], USER_IDS[number % 3]})
        history.append(Commit(((0, texts),), 25))
        if number in {4, 9}:
            history.append(Remember(SNAPSHOTS[number == 9], 0))
    asyncio.run(live([*history, Compact(), Forget("one"), Compact(), Distrust()]))


@pytest.mark.parametrize("statements", range(0, 120, 6))
def test_a_kill_at_any_statement_of_a_compaction_loses_nothing(statements: int) -> None:
    history: list[Operation] = []
    for number in range(16):
        texts = frozenset({USER_IDS[number % 4], USER_IDS[number % 3]})
        history.append(Commit(((number % 2, texts),), 35))
        if number == 5:
            history.append(Remember("one", 0))
    asyncio.run(live([*history, Kill(statements), Forget("one"), Kill(statements)]))
