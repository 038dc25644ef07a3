"""As many certificates as there are in public, in one store: how it is filled, started and used.

They are small, so that a disk holds them, and are found by their names and digests alone: with
ten terms each, most of the time would go into pages of the terms' table, one for each term.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import uvloop

from keygrove.storage.merkle import differences
from keygrove_bench.report import Report, Row, aimed, load_average, report, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.made import opened, puts
from keygrove_bench.storage.put import BATCH
from keygrove_bench.storage.start import OCTETS, filled
from keygrove_bench.storage.worker import Figures, memory_kib

PUBLIC: Final = 6_500_000
DIFFERENT: Final = 10_240


def measure(keys: int, folder: Path | None) -> Report:
    """Fill a store with so many, and measure it."""
    load = load_average()
    with TemporaryDirectory(dir=folder, prefix="keygrove-bench-") as place:
        made = worker.run(filled, keys, "bare", place)
        found = worker.run(used, place)
    size = f"{keys:,} certificates"

    def limited(name: str, words: str, value: float, unit: str, goal: float) -> Row:
        return aimed(row((name, words), [value], unit, {}), goal, is_limit=True)

    results = [
        row(("fill", f"{size} of {OCTETS} octets, all-in"), [made["us"]], "µs/key", {}),
        row(("fill-octets", "written for each"), [made["octets"]], "octets", {}),
        row(("fill-memory", "most memory meanwhile"), [made["most"]], "MiB", {}),
        limited("start", "start to serving", found["start"], "s", 15),
        limited("memory", "memory of the process then", found["memory"], "MB", 1_200),
        limited("memory-most", "most memory while it starts", found["most"], "MB", 1_200),
        limited("put", "put, batches of 256, p50", found["put"], "µs/key", 70),
        limited("snapshot", "a snapshot", found["snapshot"], "ms", 1),
        limited("diff", f"{DIFFERENT:,} differences", found["diff"], "ms", 100),
    ]
    return report("campaign storage", results, {}, load)


def used(folder: str) -> Figures:
    """Start the store, and put, keep a tree and compare with it."""
    return uvloop.run(_used(Path(folder)))


async def _used(folder: Path) -> Figures:
    begun = perf_counter()
    async with opened(folder) as store:
        start = perf_counter() - begun
        memory, most = memory_kib() * 1.024e-3, memory_kib("VmHWM") * 1.024e-3
        begun = perf_counter()
        before = store.tree()
        snapshot = perf_counter() - begun
        count, took = store.counts().certificates, list[float]()
        for first in range(count, count + DIFFERENT, BATCH):
            writes = puts(first, BATCH, OCTETS, is_indexed=False)
            begun = perf_counter()
            await store.commit(writes)
            took.append((perf_counter() - begun) / BATCH * 1e6)
        begun = perf_counter()
        assert sum(1 for _ in differences(before, store.tree())) == DIFFERENT
        diff = perf_counter() - begun
    return {
        "start": start,
        "memory": memory,
        "most": most,
        "put": median(took),
        "snapshot": snapshot * 1e3,
        "diff": diff * 1e3,
    }
