"""Coded symbols kept beside a set: what a change costs, and making, keeping and copying them."""

from __future__ import annotations

import gc
from random import Random
from time import perf_counter
from typing import Final

from keygrove_bench.report import Row, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.worker import Figures, memory_kib, quantile
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.sketch import Sketch

DIGESTS: Final = 1_000_000
FEW: Final = 3_000
ROUNDS: Final = 3
CHANGES: Final = 1_000


def rows(*, quick: bool = False) -> list[Row]:
    """Measure, each round in a process of its own."""
    size, rounds = (FEW, 1) if quick else (DIGESTS, ROUNDS)
    found = [worker.run(kept, size) for _ in range(rounds)]

    def one(key: str, words: str, unit: str) -> Row:
        return row((f"sketch-{key}", words), [figures[key] for figures in found], unit, {})

    return [
        one("build", f"symbols of {size:,} digests", "s"),
        one("memory", "resident memory of them", "kB"),
        one("insert", "one digest more, p50", "µs"),
        one("remove", "one digest less, p50", "µs"),
        one("snapshot", "a copy for a session, p50", "µs"),
        one("dump", "as octets", "ms"),
        one("load", "from those", "ms"),
    ]


def kept(count: str) -> Figures:
    """Symbols of so many digests, and what there is to do with them."""
    chance = Random(0)
    digests = [Digest(chance.randbytes(16)) for _ in range(int(count))]
    gc.collect()
    begun, at = memory_kib(), perf_counter()
    sketch = Sketch(digests)
    took = perf_counter() - at
    gc.collect()
    memory = memory_kib() - begun
    alone = [Digest(chance.randbytes(16)) for _ in range(CHANGES)]
    insert, remove, copied = list[float](), list[float](), list[float]()
    for digest in alone:
        at = perf_counter()
        sketch.apply(added=[digest])
        insert.append((perf_counter() - at) * 1e6)
    for digest in alone:
        at = perf_counter()
        sketch.apply(removed=[digest])
        remove.append((perf_counter() - at) * 1e6)
        at = perf_counter()
        sketch.snapshot()
        copied.append((perf_counter() - at) * 1e6)
    at = perf_counter()
    octets = sketch.octets()
    dumped = (perf_counter() - at) * 1e3
    at = perf_counter()
    Sketch.from_bytes(octets)
    return {
        "build": took,
        "memory": memory * 1.024,
        "insert": quantile(insert, 0.5),
        "remove": quantile(remove, 0.5),
        "snapshot": quantile(copied, 0.5),
        "dump": dumped,
        "load": (perf_counter() - at) * 1e3,
    }
