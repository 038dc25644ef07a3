"""What is stored is looked at again and again, and what rotted is told, once."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from keygrove.errors import DamagedError
from keygrove.storage.cache import Form
from keygrove.storage.committer import Means
from keygrove.storage.heap import PAGE_BYTES
from keygrove.storage.messages import (
    Administered,
    Deny,
    Failed,
    Fetch,
    Find,
    GetStatus,
    Merge,
    Merged,
    Order,
    ShardApi,
)
from keygrove.storage.opening import Home, open_store
from keygrove.storage.scrub import SLICE_ROWS, Scrub
from keygrove.storage.shard import Shard
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import Scrubbed
from keygrove.storage.term import TermKind
from keygrove.system.clock import SystemClock, ThreadCompute
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import CalleeExit, ChildSpec, Ref, SupSpec, run
from keygrove_chaos.certificates import candidate_of, made, put_of
from keygrove_chaos.stores import Notes
from keygrove_protocols.openpgp.policy import VERIFIED
from tests.processes import PATIENCE_S

pytestmark = pytest.mark.anyio

HOME = Home("shard-0", "0/1", bytes(16))
SOME = [made(number, f"Name{number} " + "x" * 1000) for number in range(20)]
PUTS = [put_of(one) for one in SOME]
ROTTEN = 5
LARGE_PACE = 1 << 30


@asynccontextmanager
async def opened(root: Path) -> AsyncGenerator[SqliteStore, None]:
    async with open_store(SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False) as opening:
        yield await opening.finish()


@pytest.fixture
async def whole(tmp_path: Path) -> Path:
    """A shard of twenty certificates, stopped in order."""
    async with opened(tmp_path) as store:
        await store.commit(PUTS)
        await store.settle()
    return tmp_path


@pytest.fixture
async def root(whole: Path) -> Path:
    """The same, and the fifth rotted."""
    with closing(sqlite3.connect(whole / "shard-0/heap.db", isolation_level=None)) as db:
        db.execute("UPDATE obj SET v = zeroblob(9) WHERE seq = ?", (ROTTEN,))
    return whole


async def test_a_round_looks_at_every_row_and_tells_what_rotted(root: Path) -> None:
    seen = await _round(root)
    assert [one.until for one in seen] == [20]
    (error,) = seen[0].damage
    assert f"row {ROTTEN} " in str(error)


async def test_a_round_goes_on_where_the_last_one_stopped(root: Path) -> None:
    rounds = 2 * SLICE_ROWS // 10
    async with opened(root) as store:
        for at in range(rounds):
            await store.commit([put_of(one, at=at) for one in SOME[10:]])
        await store.settle()
    with closing(sqlite3.connect(root / "shard-0/index.db", isolation_level=None)) as db:
        db.execute("UPDATE scrub SET seq = 10")
    seen = await _round(root)
    assert not any(one.damage for one in seen)
    assert len(seen) > 2
    assert seen[-1].until == 20 + 10 * rounds


async def _round(root: Path) -> list[Scrubbed]:
    """What a scrub tells, up to the end of its first round."""
    seen: list[Scrubbed] = []
    files = SqliteFiles(root)
    end = await _last_row(files)
    async with anyio.create_task_group() as tasks:

        def tell(scrubbed: Scrubbed) -> None:
            seen.append(scrubbed)
            if scrubbed.until == end:
                tasks.cancel_scope.cancel()

        async with (
            files.open("shard-0/heap.db", attached="shard-0/index.db", writable=False) as reader,
            files.open("shard-0/index.db") as indexer,
        ):
            await Scrub(reader, indexer, LARGE_PACE, start_s=0).run(lambda: end, tell)
    return seen


async def _last_row(files: SqliteFiles) -> int:
    async with files.open("shard-0/heap.db", writable=False) as db:
        last: int = await db.run(
            lambda session: session.execute("SELECT max(seq) FROM obj").fetchone()[0]
        )
        return last


@asynccontextmanager
async def shard(root: Path, notes: Notes) -> AsyncGenerator[Ref[ShardApi], None]:
    store = partial(open_store, SqliteFiles(root), HOME, anyio.Semaphore(1), durable=False)
    means = Means(SystemClock(), ThreadCompute(), ThreadCompute(), VERIFIED)
    start = partial(Shard, store, means, cache_bytes=0, watcher=notes)
    child = ChildSpec("shard-0", start, name="shard-0")
    async with run(SupSpec(children=(child,), intensity=2)) as runtime:
        yield runtime.whereis("shard-0", ShardApi)


async def test_what_rotted_is_refused_counted_and_told_once(root: Path) -> None:
    notes = Notes()
    async with shard(root, notes) as ref:
        for _ in range(2):
            rotten = await ref.call(Fetch(PUTS[ROTTEN - 1].fingerprint, Form.BINARY), wait_up=1)
            assert rotten == Failed()
        other = await ref.call(Fetch(PUTS[7].fingerprint, Form.BINARY))
        assert other is not None
        status = await ref.call(GetStatus())
    assert (status.damaged_rows, status.damaged_requests) == (1, 2)
    assert [name for name, _ in notes.damage] == ["shard-0"]
    assert isinstance(notes.damage[0][1], DamagedError)
    assert notes.faults == []


async def test_a_page_of_an_index_that_rotted_costs_one_request(whole: Path) -> None:
    path = whole / "shard-0/index.db"
    data = bytearray(path.read_bytes())
    (term,) = (one for one in PUTS[3].terms if one.kind is TermKind.KEY_ID)
    page = data.rindex(term.value) // PAGE_BYTES * PAGE_BYTES
    data[page : page + PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(data)
    async with shard(whole, Notes()) as ref:
        with pytest.raises(CalleeExit):
            await ref.call(Find(term, 5), wait_up=1)
        found = await ref.call(Find(term, 5), wait_up=PATIENCE_S)
    assert found == (PUTS[3].fingerprint,)


async def test_a_submission_for_what_rotted_fails_and_others_are_kept(root: Path) -> None:
    new = made(99, "New")
    replies: list[object] = []
    async with shard(root, Notes()) as ref:
        await ref.call(GetStatus(), wait_up=1)

        async def submit(number: int) -> None:
            one = SOME[number] if number < 20 else new
            replies.append(await ref.call(Merge(candidate_of(one))))

        async with anyio.create_task_group() as tasks:
            for number in (ROTTEN - 1, 3, 20):
                tasks.start_soon(submit, number)
        assert sum(reply == Failed() for reply in replies) == 1
        assert sum(isinstance(reply, Merged) for reply in replies) == 2
        order = Order(None, "spam", bytes(8))
        name = PUTS[ROTTEN - 1].fingerprint
        assert await ref.call(Deny(name, order)) == Failed()
        assert isinstance(await ref.call(Deny(PUTS[8].fingerprint, order)), Administered)
