"""The prefix tree: making it, keeping it, changing it, and a start from its dump."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.worker import Figures, memory_kib, quantile
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.dump import dump, load
from keygrove_protocols.recon.tree import Tree

DIGESTS: Final = 1_000_000
FEW: Final = 5_000
ROUNDS: Final = 3
CHANGES: Final = 1_000
READ_BYTES: Final = 1 << 16


def rows(*, quick: bool = False) -> list[Row]:
    """Measure, each round in processes of its own."""
    digests, rounds = (FEW, 1) if quick else (DIGESTS, ROUNDS)
    built, loaded = list[Figures](), list[Figures]()
    with TemporaryDirectory(prefix="keygrove-bench-") as folder:
        file = Path(folder) / "tree"
        for _ in range(rounds):
            built.append(worker.run(build, digests, file))
            loaded.append(worker.run(start, file))
    traced = worker.run(trace, digests)
    size = f"of {digests:,} digests"

    def of(key: str, figures: list[Figures] = built) -> list[float]:
        return [one[key] for one in figures]

    memory = {"by tracemalloc": round(traced["octets"], 1), "loaded": of("octets", loaded)[0]}
    return [
        aimed(row(("build", f"a tree {size}"), of("build"), "s", {}), 60, is_limit=True),
        aimed(
            row(
                ("memory", f"resident memory of a tree {size}"),
                of("octets"),
                "octets/digest",
                memory,
            ),
            60,
            is_limit=True,
        ),
        aimed(
            row(
                ("insert", f"one more in a tree {size}, p50"),
                of("insert"),
                "µs",
                {"p99": of("insert_p99")[0]},
            ),
            100,
            is_limit=True,
        ),
        row(("remove", f"one less in a tree {size}, p50"), of("remove"), "µs", {}),
        row(("batch", f"{CHANGES:,} more and as many less at once"), of("batch"), "µs/digest", {}),
        row(
            ("dump", f"a dump of a tree {size}"),
            of("dump"),
            "s",
            {"octets/digest": of("dumped")[0]},
        ),
        aimed(row(("load", "a tree from that"), of("load", loaded), "s", {}), 5, is_limit=True),
    ]


def _digests(count: int, seed: int = 0) -> Iterator[Digest]:
    chance = Random(seed)
    return (Digest(chance.randbytes(16)) for _ in range(count))


def build(count: str, file: str) -> Figures:
    """A tree of so many, what it takes, what changing it takes, and what writing it down does."""
    number = int(count)
    gc.collect()
    begun, at = memory_kib(), perf_counter()
    tree = Tree(_digests(number))
    took = perf_counter() - at
    gc.collect()
    octets = (memory_kib() - begun) * 1024 / number
    at = perf_counter()
    with Path(file).open("wb") as written:
        for chunk in dump(tree, b""):
            written.write(chunk)
    return {
        "build": took,
        "octets": octets,
        "dump": perf_counter() - at,
        "dumped": Path(file).stat().st_size / number,
        **_changed(tree),
    }


def _changed(tree: Tree) -> Figures:
    insert, remove = list[float](), list[float]()
    alone = list(_digests(CHANGES, 1))
    for digest in alone:
        at = perf_counter()
        tree.apply(added=[digest])
        insert.append((perf_counter() - at) * 1e6)
    for digest in alone:
        at = perf_counter()
        tree.apply(removed=[digest])
        remove.append((perf_counter() - at) * 1e6)
    tree.apply(added=alone)
    at = perf_counter()
    tree.apply(added=_digests(CHANGES, 2), removed=alone)
    batch = (perf_counter() - at) / (2 * CHANGES) * 1e6
    return {
        "insert": quantile(insert, 0.5),
        "insert_p99": round(quantile(insert, 0.99), 1),
        "remove": quantile(remove, 0.5),
        "batch": batch,
    }


def start(file: str) -> Figures:
    """The tree again, from what was written down."""
    gc.collect()
    begun, at = memory_kib(), perf_counter()
    with Path(file).open("rb") as written:
        tree = load(iter(lambda: written.read(READ_BYTES), b"")).tree
    took = perf_counter() - at
    gc.collect()
    return {"load": took, "octets": round((memory_kib() - begun) * 1024 / tree.size, 1)}


def trace(count: str) -> Figures:
    """What a tree of so many takes, counted by Python."""
    number = int(count)
    tracemalloc.start()
    tree = Tree(_digests(number))
    gc.collect()
    octets, _ = tracemalloc.get_traced_memory()
    return {"octets": octets / tree.size}
