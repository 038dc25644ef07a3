"""S-12: what saturated writes do to the event loop, and to reads beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Final

import anyio
import uvloop

from keygrove.storage.sqlite import SqliteStore
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.made import name, opened, puts
from keygrove_bench.storage.worker import Figures, quantile

KEYS: Final = 51_200
FEW: Final = 2_048
OCTETS: Final = 2_048
BATCH: Final = 256
ROUNDS: Final = 3
TICK_S: Final = 0.001
PAUSE_S: Final = 0.002
"""Between two reads."""
SECONDS: Final = 2.0
"""Without writes; with them, it takes as long as they do."""
BATCHES: Final = 120


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    keys, rounds = (FEW, 1) if quick else (KEYS, ROUNDS)
    seconds = SECONDS / 10 if quick else SECONDS
    found = [worker.run(beside, keys, seconds, folder / str(at)) for at in range(rounds)]

    def of(key: str) -> list[float]:
        return [one[key] for one in found]

    idle = {"idle": round(median(of("idle_lag")), 2)}
    reads = {"idle": round(median(of("idle_read")), 2)}
    lag = row(("S-12", "lag of the event loop beside writes, p99"), of("lag"), "ms", idle)
    read = row(("S-12-read", "a read beside writes, p99"), of("read"), "ms", reads)
    return [
        aimed(lag, 10, is_limit=True),
        aimed(read, round(5 * reads["idle"], 2), is_limit=True),
        row(("S-12-rate", "certificates written meanwhile"), of("rate"), "/s", {}),
    ]


def beside(keys: str, seconds: str, folder: str) -> Figures:
    """Lag and reads of a store of so many keys, idle and then while it is written."""
    return uvloop.run(_beside(int(keys), float(seconds), Path(folder)))


async def _beside(keys: int, seconds: float, folder: Path) -> Figures:
    async with opened(folder) as store:
        for first in range(0, keys, BATCH):
            await store.commit(puts(first, BATCH, OCTETS, is_indexed=True))
        await store.settle()
        # Made before, because that would hold the loop up.
        more = [
            puts(keys + at * BATCH, BATCH, OCTETS, is_indexed=True)
            for at in range(min(BATCHES, keys // BATCH))
        ]

        async def write() -> None:
            for batch in more:
                await store.commit(batch)

        idle_lag, idle_read, _ = await _watched(store, keys, partial(anyio.sleep, seconds))
        lag, read, took = await _watched(store, keys, write)
    rate = len(more) * BATCH / took
    return {"idle_lag": idle_lag, "idle_read": idle_read, "lag": lag, "read": read, "rate": rate}


async def _watched(
    store: SqliteStore, keys: int, work: Callable[[], Awaitable[None]]
) -> tuple[float, float, float]:
    """The loop's lag and what a read takes, p99 in milliseconds; and the work, in seconds."""
    lags: list[float] = []
    reads: list[float] = []

    async def watch() -> None:
        while True:
            begun = perf_counter()
            await anyio.sleep(TICK_S)
            lags.append((perf_counter() - begun - TICK_S) * 1e3)

    async def read() -> None:
        chance = Random(0)
        while True:
            begun = perf_counter()
            await store.get([name(chance.randrange(keys))])
            reads.append((perf_counter() - begun) * 1e3)
            await anyio.sleep(PAUSE_S)

    took = 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        tasks.start_soon(read)
        begun = perf_counter()
        await work()
        took = perf_counter() - begun
        tasks.cancel_scope.cancel()
    return quantile(lags, 0.99), quantile(reads, 0.99), took
