"""Random histories: SQLite, flushed, reopened and crashed at random, agrees with memory."""

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

from keygrove.errors import DiskFullError, StoreError
from keygrove.storage.cursor import Cursor
from keygrove.storage.derive import digest_terms
from keygrove.storage.memory import MemoryStore
from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import CertificateStore, NamedDigests
from keygrove.storage.version import Whole
from keygrove.storage.write import Denial, Lift, Redaction, Write
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, made, put_of, with_aside
from keygrove_chaos.databases import FailAt, Statement, WatchedDatabases
from keygrove_protocols.openpgp.redaction import user_id_hash
from tests.contract.machines import started

pytestmark = pytest.mark.slow

NUMBERS = range(5)
USER_IDS = ("Alice <a@x.example>", "Jean-Luc Ä <a@x.example>", "alice bob", "Bob <b@x.example>")
WORDS = ("alice", "bob", "jean-luc", "luc", "ä", "nobody")


Batch: TypeAlias = tuple[tuple[int, frozenset[str] | None], ...]
"""Certificates by number, with these user IDs; None: to be denied, or no longer, if it is so."""


class Commit(msgspec.Struct, frozen=True):
    batch: Batch


class Vanish(msgspec.Struct, frozen=True):
    """These are neither held nor denied any more, and a user ID of theirs is redacted."""

    numbers: frozenset[int]


class Settle(msgspec.Struct, frozen=True):
    pass


class Reopen(msgspec.Struct, frozen=True):
    is_settled: bool


class Kill(msgspec.Struct, frozen=True):
    """The process dies while it brings the index up, after so many statements."""

    statements: int


class FullDisk(msgspec.Struct, frozen=True):
    """The disk is full from so many statements into a commit on."""

    statements: int
    batch: Batch


class Look(msgspec.Struct, frozen=True):
    limit: int


Operation = Vanish | Commit | Settle | Reopen | Kill | FullDisk | Look

batches = st.dictionaries(
    st.sampled_from(NUMBERS), st.none() | st.frozensets(st.sampled_from(USER_IDS))
).map(lambda batch: tuple((n, batch[n]) for n in sorted(batch)))
full_batches = batches.filter(bool)
operations = st.one_of(
    st.builds(Commit, full_batches),
    st.builds(Commit, full_batches),
    st.builds(Vanish, st.frozensets(st.sampled_from(NUMBERS), min_size=1)),
    st.builds(Settle),
    st.builds(Reopen, st.booleans()),
    st.builds(Kill, st.integers(0, 40)),
    st.builds(FullDisk, st.integers(0, 6), full_batches),
    st.builds(Look, st.integers(1, 4)),
)


async def writes_of(batch: Batch, clock: int, model: CertificateStore) -> list[Write]:
    """What a shard would commit: nothing but a denial, or its end, for what is denied."""
    writes: list[Write] = []
    at = CREATED + clock * 1800
    for number, texts in batch:
        put = put_of(made(number, *sorted(texts or ())), at)
        (denial,) = await model.denials_of([put.fingerprint])
        if texts is None and denial is not None:
            writes.append(Lift(put.fingerprint, at))
        elif texts is None or denial is not None:
            writes.append(Denial(put.fingerprint, f"reason {clock}", at, (put.digest,) * number))
        else:
            aside, source = bytes(len(texts) % 2 * 100), bytes([clock % 3]) * (clock % 3 * 8)
            writes.append(with_aside(put, aside, source))
    return writes


ALL_TERMS = sorted(
    {term for n in NUMBERS for term in put_of(made(n, *USER_IDS)).terms},
    key=lambda term: (term.kind.value, term.value),
)


async def pages(
    store: CertificateStore, limit: int
) -> tuple[list[Whole], list[NamedDigests], list[Denial]]:
    versions: list[Whole] = []
    digests: list[NamedDigests] = []
    cursor: Cursor | None = None
    while True:
        page = await store.page(cursor, limit)
        versions += page.versions
        cursor = page.cursor
        if cursor is None:
            break
    while True:
        some = await store.digests(cursor, limit)
        digests += some.digests
        cursor = some.cursor
        if cursor is None:
            break
    denials: list[Denial] = []
    while True:
        denied = await store.denials(cursor, limit)
        denials += denied.denials
        cursor = denied.cursor
        if cursor is None:
            denials.sort(key=lambda one: one.fingerprint)
            versions.sort(key=lambda one: one.fingerprint)
            return versions, sorted(digests, key=lambda one: (one.stored, one.sks)), denials


async def assert_alike(store: CertificateStore, model: CertificateStore, limit: int) -> None:
    names = [put_of(made(n)).fingerprint for n in NUMBERS]
    assert await store.get(names) == await model.get(names)
    assert await store.get_whole(names) == await model.get_whole(names)
    assert await store.denials_of(names) == await model.denials_of(names)
    assert await store.redactions_of(names) == await model.redactions_of(names)
    assert await store.sources(names) == await model.sources(names)
    assert await store.find(ALL_TERMS, limit) == await model.find(ALL_TERMS, limit)
    for word in WORDS:
        all_of = await model.search(frozenset({word}), 100)
        some = await store.search(frozenset({word}), limit)
        assert set(some) <= set(all_of)
        assert len(some) == min(limit, len(all_of))
    there = await pages(store, limit)
    assert there == await pages(model, limit)
    digests = [term for one in there[1] for term in digest_terms(one.stored, one.sks)]
    assert await store.find(digests, limit) == await model.find(digests, limit)
    assert store.counts() == model.counts()
    assert store.head() == model.head()


class Machine:
    """A store on files, and the memory that it is held against."""

    def __init__(self, root: Path) -> None:
        self._home = root
        self._lives = 0
        self._watched = WatchedDatabases(SqliteFiles(root), self._watch)
        self._fault: FailAt | None = None
        self._model = MemoryStore()
        self._opened = AsyncExitStack()
        self._clock = 0
        self._store: SqliteStore

    def _watch(self, statement: Statement) -> None:
        if self._fault is not None:
            self._fault(statement)

    async def start(self) -> None:
        opening = await self._opened.enter_async_context(
            open_store(
                self._watched, Home("shard-0", "0/1", bytes(16)), anyio.Semaphore(1), durable=False
            )
        )
        self._store = await opening.finish()

    async def stop(self) -> None:
        await self._opened.aclose()

    async def apply(self, operation: Operation) -> None:
        match operation:
            case Commit() | Vanish():
                await self._change(operation)
            case Settle():
                await self._store.settle()
            case Reopen(is_settled):
                if is_settled:
                    await self._store.settle()
                await self.stop()
                await self.start()
                await assert_alike(self._store, self._model, 3)
            case Kill(statements):
                await self._kill(statements)
            case FullDisk(statements, batch):
                await self._fill_disk(statements, batch)
            case Look(limit):
                await assert_alike(self._store, self._model, limit)

    async def _change(self, operation: Commit | Vanish) -> None:
        self._clock += 1
        redactions: list[Redaction] = []
        if isinstance(operation, Commit):
            writes = await writes_of(operation.batch, self._clock, self._model)
        else:
            writes, redactions = await self._vanishing(operation)
        change = await self._model.commit(writes, [], redactions)
        assert await self._store.commit(writes, [], redactions) == change

    async def _vanishing(self, operation: Vanish) -> tuple[list[Write], list[Redaction]]:
        names = [put_of(made(number)).fingerprint for number in sorted(operation.numbers)]
        held, denied = await self._model.get(names), await self._model.denials_of(names)
        there = [name for name, *some in zip(names, held, denied, strict=True) if any(some)]
        gone = frozenset({user_id_hash(b"%d" % self._clock)} if self._clock % 3 else ())
        return (
            [Lift(name, CREATED) for name in there],
            [Redaction(name, gone, CREATED) for name in names],
        )

    async def _kill(self, statements: int) -> None:
        """Copy the files as they stand, without what closing would still write."""
        self._fault = FailAt(statements, StoreError("killed"))
        with suppress(StoreError):
            await self._store.settle()
        self._lives += 1
        left = self._home / f"life-{self._lives}"
        shutil.copytree(self._home / "shard-0", left)
        self._fault = None
        await self.stop()
        shutil.rmtree(self._home / "shard-0")
        left.rename(self._home / "shard-0")
        await self.start()
        await assert_alike(self._store, self._model, 2)

    async def _fill_disk(self, statements: int, batch: Batch) -> None:
        self._clock += 1
        writes = await writes_of(batch, self._clock, self._model)
        self._fault = FailAt(statements, DiskFullError("heap.db"))
        try:
            await self._store.commit(writes)
        except DiskFullError:
            pass
        else:
            await self._model.commit(writes)
        self._fault = None
        await assert_alike(self._store, self._model, 3)


async def live(history: Sequence[Operation]) -> None:
    async with started(Machine) as subject:
        for operation in history:
            await subject.apply(operation)
        await subject.apply(Look(2))
        await subject.apply(Reopen(is_settled=False))


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(operations, max_size=12))
def test_any_history_leaves_what_it_leaves_in_memory(history: list[Operation]) -> None:
    asyncio.run(live(history))


@pytest.mark.parametrize("statements", range(0, 60, 4))
def test_a_kill_at_any_statement_of_a_removal_loses_nothing(statements: int) -> None:
    first: Batch = tuple((n, frozenset({USER_IDS[0]})) for n in NUMBERS)
    gone, back = tuple((n, None) for n in NUMBERS), tuple((n, None) for n in NUMBERS[:3])
    kill = Kill(statements)
    history: list[Operation] = [
        Commit(first),
        Settle(),
        Commit(gone),
        kill,
        Commit(back),
        kill,
        Commit(first),
        kill,
    ]
    asyncio.run(live(history))


@pytest.mark.parametrize("statements", range(0, 60, 4))
def test_a_kill_at_any_statement_of_a_flush_loses_nothing(statements: int) -> None:
    first = tuple((n, frozenset({USER_IDS[0]})) for n in NUMBERS)
    second = tuple((n, frozenset({USER_IDS[1], USER_IDS[3]})) for n in NUMBERS)
    asyncio.run(live([Commit(first), Settle(), Commit(second), Kill(statements), Look(3)]))
