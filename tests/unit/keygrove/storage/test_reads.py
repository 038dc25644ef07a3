"""Reads while the writer is at work."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from keygrove.ports import SqlDatabase, SqlRows, SqlSession, SqlValue
from keygrove.storage.cache import Answer, Form
from keygrove.storage.committer import READ_SLICE, Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Fetch, Find, GetStatus, Merge, Search, ShardApi
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.store import Opened
from keygrove.storage.term import Term, TermKind
from keygrove.storage.version import Whole
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import ChildSpec, Ref, SupSpec, run
from keygrove_chaos.certificates import binary, candidate_of, made
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.stores import HookedStore, Notes
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED
from tests.processes import PATIENCE_S

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ALICE, BOB = made(1, "Alice <a@x.example>"), made(1, "Bob")
OTHER = made(2, "Other")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def running(open_it: OpenStore) -> AsyncGenerator[Ref[ShardApi], None]:
    means = Means(LoopClock(), InlineCompute(), InlineCompute(), VERIFIED)
    start = partial(Shard, open_it, means, cache_bytes=1 << 20, watcher=Notes())
    child = ChildSpec("shard-0", start, name="shard-0")
    with anyio.fail_after(PATIENCE_S):
        async with run(SupSpec(children=(child,))) as runtime:
            shard = runtime.whereis("shard-0", ShardApi)
            await shard.call(GetStatus())
            yield shard


async def body(shard: Ref[ShardApi], certificate: Certificate) -> bytes | None:
    answer = await shard.call(Fetch(fingerprint(certificate), Form.BINARY))
    assert not isinstance(answer, Answer) or answer.body is not None
    return answer.body if isinstance(answer, Answer) else None


class Disk:
    """Hangs at a commit, in the writer's thread and within its transaction, while told to."""

    def __init__(self) -> None:
        self._is_well = threading.Event()
        self._is_well.set()
        self._loop = asyncio.get_running_loop()
        self.hangs = asyncio.Event()

    def hang(self) -> None:
        self._is_well.clear()

    def recover(self) -> None:
        self._is_well.set()

    def commit(self) -> None:
        if not self._is_well.is_set():
            self._loop.call_soon_threadsafe(self.hangs.set)
            self._is_well.wait()


class Session:
    def __init__(self, session: SqlSession, disk: Disk) -> None:
        self._session = session
        self._disk = disk

    def execute(self, sql: str, values: Sequence[SqlValue] = (), /) -> SqlRows:
        if sql == "COMMIT":
            self._disk.commit()
        return self._session.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[SqlValue]], /) -> object:
        return self._session.executemany(sql, rows)


class Writer:
    def __init__(self, db: SqlDatabase, disk: Disk) -> None:
        self._db = db
        self._disk = disk

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        return await self._db.run(lambda db: work(Session(db, self._disk)), can_stop=can_stop)


class Files(SqliteFiles):
    def __init__(self, root: Path, disk: Disk) -> None:
        super().__init__(root)
        self._disk = disk

    @asynccontextmanager
    async def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AsyncGenerator[SqlDatabase, None]:
        async with super().open(path, attached=attached, writable=writable) as db:
            yield Writer(db, self._disk) if writable and path.endswith("heap.db") else db


async def test_no_read_waits_for_a_commit_that_hangs_on_the_disk(tmp_path: Path) -> None:
    """Cached or not, held or not; each sees what was acknowledged before."""
    disk = Disk()
    home = Home("shard-0", "0/1", bytes(16))
    open_it = partial(open_store, Files(tmp_path, disk), home, anyio.Semaphore(1), durable=True)
    by_address = Find(Term(TermKind.ADDRESS, b"a@x.example"), 5)
    name = fingerprint(ALICE)
    async with running(open_it) as shard, anyio.create_task_group() as tasks:
        await shard.call(Merge(candidate_of(ALICE)))
        await shard.call(Merge(candidate_of(OTHER)))
        assert await body(shard, ALICE) == binary([ALICE])
        disk.hang()
        try:
            tasks.start_soon(shard.call, Merge(candidate_of(BOB)))
            await disk.hangs.wait()
            for _ in range(2):
                assert await body(shard, ALICE) == binary([ALICE])
                assert await body(shard, OTHER) == binary([OTHER])
                assert await body(shard, made(3)) is None
                assert await shard.call(by_address) == (name,)
                assert await shard.call(Search(frozenset({"alice"}), 5)) == (name,)
                assert await shard.call(Search(frozenset({"bob"}), 5)) == ()
        finally:
            disk.recover()


class Counting(HookedStore):
    """Knows how many certificates were read at once, at most."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.most = 0

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Opened, None]:
        yield Opened(self)

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        self.most = max(self.most, len(fingerprints))
        return await super().get_whole(fingerprints)


async def test_what_a_commit_reads_leaves_gaps_for_the_reads_of_clients() -> None:
    store = Counting()
    number = 3 * READ_SLICE
    async with running(store.opened) as shard:
        async with anyio.create_task_group() as tasks:
            for one in range(number):
                tasks.start_soon(shard.call, Merge(candidate_of(made(one, "Alice"))))
        status = await shard.call(GetStatus())
        assert status.counts.certificates == number
        assert status.commits < 3, "more than a slice went into one commit"
    assert store.most == READ_SLICE
