"""S-03, S-05 and S-08: the tree in memory, by itself; and branches and differences of stores.

A snapshot is the tree as it stands: whoever keeps it keeps what it does not share with later
ones.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Final

import uvloop
from blake3 import blake3

from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import Tree, blake3_256, differences
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.made import AT, opened, puts
from keygrove_bench.storage.put import BATCH
from keygrove_bench.storage.worker import Figures, memory_kib, quantile

SIZES: Final = (20_000, 100_000, 300_000, 1_000_000)
FEW: Final = 1_000
DIFFERENT: Final = 10_000
ROUNDS: Final = 3
TIMES: Final = 1_000
BRANCHES: Final = 200


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    sizes, rounds = ((FEW, SIZES[0]), 1) if quick else ((FEW, *SIZES), ROUNDS)
    found = {size: [worker.run(trees, size) for _ in range(rounds)] for size in sizes}
    branches = [worker.run(snapshots, FEW, folder / f"{at}") for at in range(rounds)]
    most, least = found[sizes[-1]], found[sizes[0]]

    def of(key: str, figures: list[Figures] = most) -> list[float]:
        return [one[key] for one in figures]

    size = f"{sizes[-1]:,} keys"
    few = {f"{sizes[0]:,} keys": round(median(of("snapshot", least)), 3)}
    peer = {"two dicts": round(median(of("compare")), 1)}
    results = [
        aimed(
            row(("S-03", f"a snapshot of {size}, p99"), of("snapshot"), "µs", few),
            1_000,
            is_limit=True,
        ),
        aimed(
            row(
                ("S-03-name", "a snapshot with a name, durable, p50"),
                [one["p50"] for one in branches],
                "ms",
                {},
            ),
            5,
            is_limit=True,
        ),
        aimed(
            row(("S-05", f"{DIFFERENT:,} differences in {size}"), of("differ"), "ms", peer),
            100,
            is_limit=True,
        ),
        aimed(
            row(("S-05-10", f"10 differences in {size}"), of("differ_10"), "ms", {}),
            1,
            is_limit=True,
        ),
        row(("S-05-put", f"{BATCH} changes of {size}"), of("change"), "µs/key", {}),
    ]
    for number, figures in found.items():
        if number == FEW:
            continue
        memory = row(
            (f"S-08-{number}", f"memory of a tree that grew to {number:,} keys"),
            of("memory", figures),
            "octets/key",
            {"built at a start": round(median(of("built", figures)), 1)},
        )
        results.append(aimed(memory, 135, is_limit=True))
    return results


def trees(keys: str) -> Figures:
    """A tree of so many keys: what it takes, and what is done with it."""
    number, hold = int(keys), list[Tree]()
    gc.collect()
    begun = memory_kib()
    tree, chance = Tree(blake3_256), Random(number)
    for part in _parts(number):
        tree = tree.updated(part)
    gc.collect()
    grown = (memory_kib() - begun) * 1024 / number
    took: list[float] = []
    for _ in range(TIMES):
        at = perf_counter()
        hold.append(Tree(blake3_256, tree.top))
        took.append((perf_counter() - at) * 1e6)
    changes: list[float] = []
    later = tree
    for _ in range(DIFFERENT // BATCH + 1):
        part = [(chance.randbytes(32), chance.randbytes(32)) for _ in range(BATCH)]
        at = perf_counter()
        later = later.updated(part)
        changes.append((perf_counter() - at) / BATCH * 1e6)
    few = tree.updated([(chance.randbytes(32), chance.randbytes(32)) for _ in range(10)])
    differ, differ_10 = _differ(tree, later), _differ(tree, few)
    return {
        "memory": grown,
        "built": _built(tree),
        "snapshot": quantile(took, 0.99),
        "change": median(changes),
        "differ": differ,
        "compare": _compared(tree, later),
        "differ_10": differ_10,
    }


def _parts(number: int) -> Iterator[list[tuple[bytes, bytes]]]:
    for first in range(0, number, BATCH):
        keys = [blake3(at.to_bytes(8)).digest() for at in range(first, min(first + BATCH, number))]
        yield [(key, blake3(key).digest()) for key in keys]


def _built(tree: Tree) -> float:
    entries = b"".join(tree.entries())
    tracemalloc.start()
    built = Tree.build(blake3_256, entries)
    octets, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return octets / len(built)


def _differ(old: Tree, new: Tree) -> float:
    begun = perf_counter()
    found = sum(1 for _ in differences(old, new))
    assert found == len(new) - len(old)
    return (perf_counter() - begun) * 1e3


def snapshots(keys: str, folder: str) -> Figures:
    """Snapshots with names in a store of so many keys: each is a commit of its own."""
    return uvloop.run(_snapshots(int(keys), Path(folder)))


async def _snapshots(keys: int, folder: Path) -> Figures:
    took: list[float] = []
    async with opened(folder) as store:
        await store.commit(puts(0, keys, 100, is_indexed=False))
        for number in range(BRANCHES):
            begun = perf_counter()
            await store.commit((), marks=[Snapshot(f"snapshot {number}", b"", AT)])
            took.append((perf_counter() - begun) * 1e3)
    return {"p50": median(took)}


def _compared(old: Tree, new: Tree) -> float:
    """What two dicts of the same would take, which have no hashes of parts to go by."""
    maps = [
        {
            run[at : at + 32]: run[at + 32 : at + 64]
            for run in tree.entries()
            for at in range(0, len(run), 64)
        }
        for tree in (old, new)
    ]
    begun = perf_counter()
    found = maps[1].items() - maps[0].items()
    took = (perf_counter() - begun) * 1e3
    assert len(found) == len(new) - len(old)
    return took
