"""S-01, S-02 and S-07: what a commit costs, alone and amortised, beside other stores.

Sides take turns, round by round, each in a process of its own; what it puts is made before the
clock runs. `all-in` is until the index has followed and both logs are empty.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, TypeAlias

import anyio
import uvloop

from keygrove.errors import DamagedError
from keygrove.storage.committer import Means
from keygrove.storage.messages import Merge, ShardApi
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import Shard
from keygrove.storage.store import Progress
from keygrove.system.clock import SystemClock, ThreadCompute
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import ChildSpec, Ref, SupSpec, run
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import peers, worker
from keygrove_bench.storage.made import opened, puts
from keygrove_bench.storage.worker import Figures, NotRunError, quantile
from keygrove_chaos.certificates import candidate_of, made
from keygrove_protocols.openpgp.policy import VERIFIED

KEYS: Final = 100_000
FEW: Final = 2_000
"""Keys where each is a transaction."""
SOME: Final = 20_480
"""Keys for peers that take a millisecond for each."""
OCTETS: Final = 2_048
BATCH: Final = 256
QUICK: Final = 2 * BATCH
"""Keys in a quick run."""
ROUNDS: Final = 3
WRITERS: Final = 64
SYNCS: Final = 50

Side: TypeAlias = Callable[[Path], Figures]


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure, on the disk of `folder`."""
    many, some = (QUICK, QUICK) if quick else (KEYS, SOME)
    found = _in_turns(_sides(many, some), folder, 1 if quick else ROUNDS)
    return [*_costs(found), *_latencies(found, folder, quick=quick), *_syncs(folder, quick=quick)]


def commits(keys: str, batch: str, kind: str, folder: str) -> Figures:
    """Commit so many keys in batches, `bare` or `indexed`."""
    return uvloop.run(_commits(int(keys), int(batch), kind == "indexed", Path(folder)))


async def _commits(keys: int, batch: int, is_indexed: bool, folder: Path) -> Figures:
    took: list[float] = []
    begun_bytes, spent = worker.written_bytes(), 0.0
    async with opened(folder) as store:
        for first in range(0, keys, batch):
            writes = puts(first, batch, OCTETS, is_indexed=is_indexed)
            begun = perf_counter()
            await store.commit(writes)
            took.append((perf_counter() - begun) / batch * 1e6)
        begun = perf_counter()
        await store.settle()
        spent = sum(took) * batch / 1e6 + perf_counter() - begun
    written = (worker.written_bytes() - begun_bytes) / (keys * OCTETS)
    return {"p50": median(took), "all_in": spent / keys * 1e6, "written": written}


def writers(number: str, each: str, folder: str) -> Figures:
    """So many that each wait for the answer to one small certificate before they send the next."""
    return uvloop.run(_writers(int(number), int(each), Path(folder)))


async def _writers(number: int, each: int, folder: Path) -> Figures:
    candidates = [
        [
            candidate_of(made(who * each + one, f"User {one} <user{who}@example.org>"))
            for one in range(each)
        ]
        for who in range(number)
    ]
    took: list[float] = []

    async def write(shard: Ref[ShardApi], who: int) -> None:
        for one in candidates[who]:
            begun = perf_counter()
            await shard.call(Merge(one))
            took.append((perf_counter() - begun) * 1e3)

    means = Means(SystemClock(), ThreadCompute(), ThreadCompute(), VERIFIED)
    home = Home("0", "0/1", bytes(16))
    store = partial(open_store, SqliteFiles(folder), home, anyio.Semaphore(1), durable=True)
    start = partial(Shard, store, means, cache_bytes=1 << 20, watcher=_Deaf())
    async with run(SupSpec(children=(ChildSpec("shard", start, name="shard"),))) as runtime:
        shard = runtime.whereis("shard", ShardApi)
        begun = perf_counter()
        async with anyio.create_task_group() as tasks:
            for who in range(number):
                tasks.start_soon(write, shard, who)
        rate = number * each / (perf_counter() - begun)
    return {"p50": median(took), "p99": quantile(took, 0.99), "rate": rate}


class _Deaf:
    """A watcher that fails where there is something to hear."""

    def fault(self, where: str, error: Exception) -> None:
        raise AssertionError(where) from error

    def damaged(self, shard: str, error: DamagedError) -> None:
        """Nobody is told."""

    def progress(self, shard: str, progress: Progress | None) -> None:
        pass


def syncs_us(folder: str) -> Figures:
    """What the disk takes to make a page durable."""
    took: list[float] = []
    path = Path(folder) / "synced"
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            begun = perf_counter()
            os.fdatasync(file.fileno())
            took.append((perf_counter() - begun) * 1e6)
    path.unlink()
    return {"p50": median(took)}


def _sides(many: int, some: int) -> dict[str, Side]:
    few = min(FEW, some)
    ours = partial(partial, worker.run, commits)
    theirs: dict[str, tuple[Callable[..., Figures], int, int]] = {
        "sqlite": (peers.sqlite, many, BATCH),
        "sqlite-1": (peers.sqlite, few, 1),
        "lmdb": (peers.lmdb, many, BATCH),
        "git": (peers.git, some, BATCH),
        "dulwich": (peers.dulwich, some, BATCH),
        "prollytree": (peers.prollytree, some, BATCH),
    }
    return {
        "bare": ours(many, BATCH, "bare"),
        "indexed": ours(many, BATCH, "indexed"),
        "bare-16": ours(some, 16, "bare"),
        "bare-1": ours(few, 1, "bare"),
        **{
            name: partial(worker.run, of, keys, batch, OCTETS)
            for name, (of, keys, batch) in theirs.items()
        },
    }


Found: TypeAlias = Mapping[str, Sequence[Figures] | str]


def _in_turns(sides: Mapping[str, Side], folder: Path, rounds: int) -> Found:
    """The figures of each side, or why it could not run."""
    found: defaultdict[str, list[Figures]] = defaultdict(list)
    missing: dict[str, str] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            if name in missing:
                continue
            with TemporaryDirectory(dir=folder) as place:
                try:
                    found[name].append(side(Path(place)))
                except NotRunError as error:
                    missing[name] = str(error)
    return {**found, **missing}


def _values(found: Found, side: str, key: str) -> list[float] | str:
    figures = found[side]
    return figures if isinstance(figures, str) else [one[key] for one in figures]


def _one(found: Found, side: str, key: str) -> float | str:
    values = _values(found, side, key)
    return values if isinstance(values, str) else round(median(values), 2)


def _costs(found: Found) -> list[Row]:
    batched = {
        "sqlite, batches of 256, no tree": _one(found, "sqlite", "p50"),
        "lmdb, batches of 256, no tree": _one(found, "lmdb", "p50"),
    }
    whole = {
        "sqlite, batches of 256, no tree": _one(found, "sqlite", "all_in"),
        "lmdb, batches of 256, no tree": _one(found, "lmdb", "all_in"),
        "git fast-import, a commit of 256": _one(found, "git", "all_in"),
        "dulwich, a pack of 256": _one(found, "dulwich", "all_in"),
        "prollytree, batches of 256": _one(found, "prollytree", "all_in"),
    }
    alone = {"sqlite, autocommit": _one(found, "sqlite-1", "p50")}
    written = {
        "sqlite, batches of 256": _one(found, "sqlite", "written"),
        "lmdb, batches of 256": _one(found, "lmdb", "written"),
    }
    told: tuple[tuple[str, str, str, str, float | None, dict[str, float | str]], ...] = (
        ("S-01", "put, batches of 256, root and all, p50", "bare", "p50", 70, batched),
        ("S-01-key", "the same with the key table, all-in", "bare", "all_in", 80, whole),
        ("S-01-all", "the same with every search index, all-in", "indexed", "all_in", 150, whole),
        ("S-01-16", "put, batches of 16, p50", "bare-16", "p50", None, {}),
        ("S-01-1", "put, one at a time, p50", "bare-1", "p50", None, alone),
        ("S-07-key", "octets written for each of payload", "bare", "written", 4.0, written),
        ("S-07-all", "the same with every search index", "indexed", "written", 5.0, written),
    )
    results: list[Row] = []
    for name, words, side, key, goal, beside in told:
        unit = "octets" if key == "written" else "µs/key"
        one = row((name, words), _values(found, side, key), unit, beside)
        results.append(one if goal is None else aimed(one, goal, is_limit=True))
    return results


def _latencies(found: Found, folder: Path, *, quick: bool) -> list[Row]:
    rounds = 1 if quick else ROUNDS
    sync = median(worker.run(syncs_us, folder)["p50"] for _ in range(rounds))
    sides: dict[str, Side] = {
        "64": partial(worker.run, writers, WRITERS, 10 if quick else 100),
        "1": partial(worker.run, writers, 1, 100 if quick else 2_000),
    }
    told = _in_turns(sides, folder, rounds)
    alone = row(
        ("S-02", "one writer, from request to acknowledgement, by the store, p50"),
        _values(found, "bare-1", "p50"),
        "µs",
        {"fdatasync": round(sync, 1)},
    )
    shard = row(("S-02-1", "the same, by the shard"), _values(told, "1", "p50"), "ms", {})
    crowd = row(("S-02-64", "64 writers, by the shard, p99"), _values(told, "64", "p99"), "ms", {})
    rate = row(("S-02-rate", "the same, acknowledged"), _values(told, "64", "rate"), "/s", {})
    return [
        aimed(alone, round(3 * sync + 500, 1), is_limit=True),
        shard,
        aimed(crowd, 25, is_limit=True),
        rate,
    ]


def _syncs(folder: Path, *, quick: bool) -> list[Row]:
    what = ("S-07", "synchronisations for each key, batches of 256, all-in")
    if shutil.which("strace") is None:
        return [row(what, "strace is not installed: apt-get install strace", "syncs", {})]
    keys = QUICK if quick else SOME
    ours = _counted(folder, keys, partial(worker.run, commits, keys, BATCH, "bare"))
    few = min(keys, FEW)
    plain = _counted(folder, few, partial(worker.run, peers.sqlite, few, 1, OCTETS))
    found = row(what, [ours], "syncs", {"sqlite, autocommit": round(plain, 4)})
    return [aimed(found, 0.01, is_limit=True)]


def _counted(folder: Path, keys: int, side: Callable[..., Figures]) -> float:
    with TemporaryDirectory(dir=folder) as place:
        log = Path(place) / "calls"
        (Path(place) / "store").mkdir()
        calls = "trace=fsync,fdatasync,msync"
        side(Path(place) / "store", tool=("strace", "-f", "-qq", "-e", calls, "-o", str(log)))
        return len(re.findall(r"(?:fsync|fdatasync|msync)\(", log.read_text())) / keys
