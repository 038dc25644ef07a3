"""S-03 and S-05 through a store: snapshots with names, what differs since, and reads as of them.

What differs comes as a shard answers it, in pages and with fingerprints. `pinned` has the trees
in memory; `undone` is after a start, so that the tree of a snapshot is made by undoing what came
since. All that differs was added.
"""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Final

import uvloop

from keygrove.cluster.snapshots import PAGE
from keygrove.storage.mark import Snapshot
from keygrove.storage.snapshot_messages import Compare, Compared, Taken, TakeSnapshot
from keygrove.storage.snapshots import look_back, mark
from keygrove.storage.sqlite import SqliteStore
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.made import AT, name, opened, puts
from keygrove_bench.storage.put import BATCH
from keygrove_bench.storage.worker import Figures, quantile

SIZES: Final = (1_000, 100_000, 1_000_000)
QUICK: Final = (500, 1_000)
SNAPSHOTS: Final = 300
FEW: Final = 10
MANY: Final = 10_000
READS: Final = 1_000
OCTETS: Final = 100


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    sizes = QUICK if quick else SIZES
    found = {size: worker.run(lives, size, folder / f"{size}") for size in sizes}
    most = found[sizes[-1]]
    size = f"{sizes[-1]:,} keys"

    def others(key: str) -> dict[str, float | str]:
        return {f"{number:,} keys": round(found[number][key], 3) for number in sizes[:-1]}

    def one(which: str, what: str, key: str, unit: str) -> Row:
        return row((which, what), [most[key]], unit, others(key))

    named = one("S-03-p99", f"a snapshot of {size}, with a name, durable, p99", "p99", "ms")
    many = f"{MANY:,} differences in {size} through a store"
    few = f"{FEW} differences in {size} through a store"
    return [
        aimed(named, 5, is_limit=True),
        one("S-03-p50", f"a snapshot of {size}, with a name, durable, p50", "p50", "ms"),
        one("S-05-pinned", f"{many}, pinned", "many_pinned", "ms"),
        one("S-05-undone", f"{many}, by undoing", "many_undone", "ms"),
        one("S-05-10-pinned", f"{few}, pinned", "few_pinned", "ms"),
        one("S-05-10-undone", f"{few}, by undoing", "few_undone", "ms"),
        one("S-05-get", f"a read as of a snapshot of {size}, p50", "read", "ms"),
    ]


def lives(keys: str, folder: str) -> Figures:
    """Two lives of a store of so many keys."""
    return uvloop.run(_lives(int(keys), Path(folder)))


async def _lives(keys: int, folder: Path) -> Figures:
    figures: dict[str, float] = {}
    chance = Random(keys)
    async with opened(folder) as store:
        for first in range(0, keys, BATCH):
            count = min(BATCH, keys - first)
            await store.commit(puts(first, count, OCTETS, is_indexed=False))
        await store.settle()
        took = [await _timed(_take(store, f"s{at}")) for at in range(SNAPSHOTS)]
        figures |= {"p50": median(took), "p99": quantile(took, 0.99)}
        first = await _add(store, keys, MANY)
        second = await _add(store, keys + MANY, FEW)
        figures["many_pinned"] = await _timed(_differing(store, first, second, MANY))
        figures["few_pinned"] = await _timed(_differing(store, second, None, FEW))
        reads = [chance.randrange(keys) for _ in range(READS)]
        took = [await _timed(store.history.get([name(at)], first)) for at in reads]
        figures["read"] = median(took)
        await store.settle()
    async with opened(folder) as store:
        figures["few_undone"] = await _timed(_differing(store, second, None, FEW))
    async with opened(folder) as store:
        figures["many_undone"] = await _timed(_differing(store, first, second, MANY))
    return figures


async def _take(store: SqliteStore, name: str) -> None:
    assert isinstance(await mark(store, TakeSnapshot(name), AT), Taken)


async def _add(store: SqliteStore, first: int, count: int) -> int:
    """A snapshot, and behind it so many certificates more; the snapshot's change."""
    change = await store.commit([], marks=[Snapshot(f"before {first}", b"", AT)])
    for at in range(0, count, BATCH):
        some = puts(first + at, min(BATCH, count - at), OCTETS, is_indexed=False)
        await store.commit(some)
    return change


async def _differing(store: SqliteStore, old: int, new: int | None, due: int) -> None:
    found, after = 0, b""
    until = store.head().change if new is None else new
    while True:
        page = await look_back(store, Compare(old, until, after, PAGE))
        assert isinstance(page, Compared)
        found += len(page.differing)
        if page.after is None:
            break
        after = page.after
    assert found == due, (found, due)


async def _timed(work: Awaitable[object]) -> float:
    begun = perf_counter()
    await work
    return (perf_counter() - begun) * 1e3
