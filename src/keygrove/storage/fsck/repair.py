"""Makes a shard whole again that nobody has open: the index from its heap, the heap from itself."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
import msgspec

from keygrove.errors import DamagedError, StoreError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import heap, index
from keygrove.storage.fsck.checking import Checked, Subject
from keygrove.storage.fsck.findings import Level
from keygrove.storage.fsck.restoring import Indexed
from keygrove.storage.fsck.salvage import End, Salvage, Salvaged, Task
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.opening import Home, open_store
from keygrove_protocols.openpgp.keys import Fingerprint

T = TypeVar("T")

NEW = "heap.new.db"
_ENDS = (
    "SELECT coalesce(max(seq), 0), coalesce(max(n), 0) FROM main.head",
    "SELECT seq, n FROM main.obj ORDER BY seq DESC LIMIT 1",
)
_KNOWN = (
    "SELECT seq, k, NULL, 1 FROM side.deny UNION ALL SELECT seq, k, NULL, 0 FROM side.gone"
    " UNION ALL SELECT seq, k, fp, 0 FROM side.key"
)


class Repaired(msgspec.Struct, frozen=True):
    """What was done to a shard."""

    is_index_anew: bool = False
    salvaged: Salvaged | None = None
    kept: str = ""
    """Where the damaged heap lies."""


async def repair(subject: Subject, checked: Checked, task: Task, tell: Tell) -> Repaired:
    """Repair what a check found. What of a heap cannot be read is kept aside, as it is.

    Raises:
        DiskFullError: there is no room; the shard is as it was.
        StoreError: the heap cannot be read at all; the shard is as it was.
    """
    assert not subject.is_live
    damaged = {one.file for one in checked.findings.all() if one.level is not Level.SEMANTIC}
    if not damaged:
        return Repaired()
    salvaged, kept = None, ""
    if "heap.db" in damaged:
        salvaged, kept = await _write_anew(subject, task, tell)
    await subject.databases.remove(subject.index)
    await subject.raw.make(subject.index, subject.heap)
    await _bring_up(subject, task)
    return Repaired(is_index_anew=True, salvaged=salvaged, kept=kept)


async def _write_anew(subject: Subject, task: Task, tell: Tell) -> tuple[Salvaged, str]:
    databases, path = subject.databases, f"{subject.folder}/{NEW}"
    await databases.remove(path)
    try:
        async with databases.open(subject.heap, writable=False) as old:
            await subject.raw.make(path, subject.heap)
            async with databases.open(path) as new:
                end = await _end(subject, old)
                salvaged = await Salvage(old, new, end, tell).run(task, partial(_indexed, subject))
        return salvaged, await subject.raw.replace(subject.heap, path, subject.index)
    except BaseException:
        # What is half written is of no use to anybody, and may be what fills the disk.
        with anyio.CancelScope(shield=True):
            await databases.remove(path)
        raise


async def _end(subject: Subject, old: SqlDatabase) -> End:
    """The end of the heap: the furthest that anything tells of."""
    uuid, epoch = await old.run(lambda db: heap.identify(db, subject.shard))
    ends = [(0, 0)]
    for query in _ENDS:
        with suppress(DamagedError):
            ends.append(await old.run(partial(_ask, query=query)))
    ends.append((await _indexed_up_to(subject), 0))
    seq, change = (max(numbers) for numbers in zip(*ends, strict=True))
    return End(uuid, epoch, seq, change)


def _ask(db: SqlSession, query: str) -> tuple[int, int]:
    return db.execute(query).fetchone() or (0, 0)


async def _indexed(subject: Subject, is_wanted: Callable[[int], bool]) -> Mapping[int, Indexed]:
    """What the index knows of rows, if it is one of this heap."""
    found = await _ask_index(subject, lambda db: _rows_known(db, is_wanted))
    return found or {}


async def _indexed_up_to(subject: Subject) -> int:
    """The last row that the index has."""
    return await _ask_index(subject, lambda db: index.origin(db, "side").done) or 0


async def _ask_index(subject: Subject, work: Callable[[SqlSession], T]) -> T | None:
    """What the index says, if it is one of this heap, and can be read."""
    if not await subject.databases.holds(subject.index):
        return None

    def ask(db: SqlSession) -> T | None:
        uuid, _ = heap.identify(db, subject.shard)
        return work(db) if index.origin(db, "side").heap == uuid else None

    with suppress(StoreError):
        async with subject.databases.open(
            subject.heap, attached=subject.index, writable=False
        ) as db:
            return await db.run(ask, can_stop=True)
    return None


def _rows_known(db: SqlSession, is_wanted: Callable[[int], bool]) -> Mapping[int, Indexed]:
    found: dict[int, Indexed] = {}
    known = db.execute(_KNOWN)
    while row := known.fetchone():
        seq, key, name, is_denial = row
        if is_wanted(seq):
            before = found.get(seq)
            is_denial = bool(is_denial) or (before is not None and before.is_denial)
            found[seq] = Indexed(key, name and Fingerprint(name), is_denial=is_denial)
    return found


async def _bring_up(subject: Subject, task: Task) -> None:
    """Make the index, and see that the tree is the one that was committed."""
    home = Home(subject.folder, subject.shard, task.uuid)
    async with open_store(subject.databases, home, anyio.Semaphore(1), durable=True) as opening:
        store = await opening.finish()
        await store.settle()
