"""S-08, S-11: from a store's files to one that serves; after a kill, and without its index."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import uvloop

from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.made import name, opened, puts
from keygrove_bench.storage.worker import Figures, memory_kib
from keygrove_chaos.certificates import made, put_of

KEYS: Final = 1_000_000
REAL: Final = 100_000
"""Certificates that are real, for an index that is made from what they say."""
FEW: Final = 1_024
OCTETS: Final = 300
ROUNDS: Final = 3
BATCH: Final = 1_024


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    keys, real, rounds = (FEW, FEW, 1) if quick else (KEYS, REAL, ROUNDS)
    found, lost = folder / "start", folder / "lost"
    for one in (found, lost):
        one.mkdir()
    worker.run(filled, keys, "indexed", found)
    worker.run(filled, real, "real", lost)
    orderly = [worker.run(started, found) for _ in range(rounds)]
    killed = [_killed(found) for _ in range(rounds)]
    smaller = [_killed(lost) for _ in range(rounds)]
    without = [_without_index(lost) for _ in range(rounds)]
    shutil.rmtree(found)
    shutil.rmtree(lost)
    size = f"of {keys:,} certificates"
    return [
        _timed(("S-08-start", f"start {size} to serving"), orderly, 3),
        _timed(("S-08-killed", f"the same, after a kill {size}"), killed, None),
        _timed(("S-11-killed", f"the same, of {real:,}"), smaller, 1),
        _timed(("S-08-index", f"start {real:,}, without an index"), without, 90 * real / KEYS),
        row(
            ("S-08-rss", f"memory of the process {size}, most while it starts"),
            [one["most"] for one in orderly],
            "MiB",
            {"then": orderly[0]["memory"]},
        ),
    ]


def _timed(what: tuple[str, str], figures: Sequence[Figures], goal: float | None) -> Row:
    one = row(what, [each["took"] for each in figures], "s", {})
    return one if goal is None else aimed(one, goal, is_limit=True)


def _killed(folder: Path) -> Figures:
    worker.run(touched, folder)
    return worker.run(started, folder)


def _without_index(folder: Path) -> Figures:
    for path in folder.glob("**/index.db*"):
        path.unlink()
    return worker.run(started, folder)


def filled(keys: str, kind: str, folder: str) -> Figures:
    """A store with so many: `bare`, `indexed`, or `real` ones of an octet each that counts."""
    return uvloop.run(_filled(int(keys), kind, Path(folder)))


async def _filled(keys: int, kind: str, folder: Path) -> Figures:
    begun, spent = worker.written_bytes(), 0.0
    async with opened(folder) as store:
        for first in range(0, keys, BATCH):
            count = min(BATCH, keys - first)
            if kind == "real":
                names = (
                    (at, f"User {at} <user{at}@example.org>") for at in range(first, first + count)
                )
                writes = [put_of(made(number, user)) for number, user in names]
            else:
                writes = puts(first, count, OCTETS, is_indexed=kind == "indexed")
            at = perf_counter()
            await store.commit(writes)
            spent += perf_counter() - at
        at = perf_counter()
        await store.settle()
        spent += perf_counter() - at
    written = worker.written_bytes() - begun
    return {"us": spent / keys * 1e6, "octets": written / keys, "most": memory_kib("VmHWM") / 1024}


def touched(folder: str) -> Figures:
    """One more commit, and the end of a process that is killed behind it."""
    return uvloop.run(_touched(Path(folder)))


async def _touched(folder: Path) -> Figures:
    async with opened(folder) as store:
        count = store.counts().certificates
        await store.commit([put_of(made(count, "Alice"))])  # what is said of it is derived anew
        return {"count": count + 1}


def started(folder: str) -> Figures:
    """How long a start takes, and what the process holds then."""
    return uvloop.run(_started(Path(folder)))


async def _started(folder: Path) -> Figures:
    begun = perf_counter()
    async with opened(folder) as store:
        assert (await store.get([name(0)])) is not None
        took = perf_counter() - begun
        await store.settle()
    return {"took": took, "memory": memory_kib() // 1024, "most": memory_kib("VmHWM") // 1024}
