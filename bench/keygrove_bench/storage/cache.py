"""The cache of a shard: how often it hits, how quick it is, and whether it is ever stale.

Hits are compared with plain LRU and with Belady's rule, which knows the future: out goes whoever
is asked for last. With equal sizes no rule does better. All three have as many bytes, ours with
the part that it keeps for what is not there, which these requests never ask for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Final, TypeAlias

import anyio
import uvloop

from keygrove.storage.cache import ANSWER_BYTES, Form
from keygrove.storage.committer import Means
from keygrove.storage.messages import Fetch, Find, GetStatus, ShardApi
from keygrove.storage.opening import Home, open_store
from keygrove.storage.shard import Shard
from keygrove.storage.term import Term, TermKind
from keygrove.system.clock import SystemClock
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import ChildSpec, Ref, SupSpec, run
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage.replays import belady, drawn_sizes, lru, ours, trace
from keygrove_chaos.certificates import made, put_of
from keygrove_chaos.node import InlineCompute
from keygrove_chaos.racing import StaleError, race
from keygrove_chaos.stores import Notes, finished
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED

CERTIFICATES: Final = 100_000
REQUESTS: Final = 400_000
ROOM: Final = 0.05
"""Part of all certificates that there is room for."""
EQUAL_BYTES: Final = 4_000
OF_BELADY_MIN: Final = 0.88
OF_LRU_MIN: Final = 1.1

STEPS: Final = 1_000_000
HELD: Final = 2_000
"""Certificates to look up: what lies in SQLite's own cache, as in the reference's figures."""
CALLS: Final = 20_000
CACHED_US_MAX: Final = 20
STORED_US_MAX: Final = 150
QUICK: Final = 20
"""How many times less is done to see that it runs."""

Ask: TypeAlias = Callable[[int], Awaitable[object]]


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure S-04 and S-14, with files in `folder`."""
    part = QUICK if quick else 1
    random = Random(1)
    requests = REQUESTS // part
    zipf = partial(trace, random, CERTIFICATES, requests)
    equal, real = [EQUAL_BYTES] * CERTIFICATES, drawn_sizes(random, CERTIFICATES)
    common = zipf(crawler=0.1)
    return [
        *_aimed_hits("S-14-equal", "equal sizes, every tenth look-up a crawler's", common, equal),
        *_aimed_hits("S-14-debian", "Debian's sizes, every tenth a crawler's", common, real),
        *_hits("S-14-calm", "equal sizes, no crawler", zipf(crawler=0), equal),
        *_hits("S-14-crawled", "equal sizes, every fourth a crawler's", zipf(crawler=0.25), equal),
        _raced(STEPS // part),
        *uvloop.run(_latencies(folder, CALLS // part)),
    ]


def _aimed_hits(name: str, words: str, asked: Sequence[int], sizes: Sequence[int]) -> list[Row]:
    hits, of_belady, of_lru = _hits(name, words, asked, sizes)
    return [hits, aimed(of_belady, OF_BELADY_MIN), aimed(of_lru, OF_LRU_MIN)]


def _hits(name: str, words: str, asked: Sequence[int], sizes: Sequence[int]) -> list[Row]:
    bytes_max = int(ROOM * sum(size + ANSWER_BYTES for size in sizes))
    hit = ours(asked, sizes, bytes_max)
    peers = {"lru": lru(asked, sizes, bytes_max), "belady": belady(asked, sizes, bytes_max)}
    shown = {peer: round(100 * value, 2) for peer, value in peers.items()}
    return [
        row((name, f"look-ups that hit: {words}"), [100 * hit], "%", shown),
        row((f"{name}-belady", "the same, of Belady's"), [hit / peers["belady"]], "ratio", {}),
        row((f"{name}-lru", "the same, of plain LRU's"), [hit / peers["lru"]], "ratio", {}),
    ]


def _raced(steps: int) -> Row:
    """Whether any answer was older than what was acknowledged."""
    try:
        world = race(1, steps)
    except StaleError:
        return aimed(row(("S-14-stale", "stale answers"), [1], "", {}), 0, is_limit=True)
    words = f"stale answers in {steps:,} racing steps, {world.served:,} answers of the cache"
    return aimed(row(("S-14-stale", words), [0], "", {}), 0, is_limit=True)


async def _latencies(folder: Path, calls: int) -> list[Row]:
    """Of calls to the shard's actor, one after the other, on the production loop."""
    certificates = [made(number, f"User {number} <{number}@example.org>") for number in range(HELD)]
    names = [fingerprint(one) for one in certificates]
    home = Home("shard-0", "0/1", bytes(16))
    open_it = partial(open_store, SqliteFiles(folder), home, anyio.Semaphore(1), durable=False)
    async with finished(open_it()) as store:
        await store.commit([put_of(one) for one in certificates])
        await store.settle()
    means = Means(SystemClock(), InlineCompute(), InlineCompute(), VERIFIED)
    found: list[Row] = []
    for cache_bytes in (16 << 20, 0):
        start = partial(Shard, open_it, means, cache_bytes=cache_bytes, watcher=Notes())
        child = ChildSpec("shard-0", start, name="shard-0")
        async with run(SupSpec(children=(child,))) as runtime:
            shard = runtime.whereis("shard-0", ShardApi)
            await shard.call(GetStatus())
            asks = _cached(shard, names) if cache_bytes else _stored(shard, names)
            for (name, words), ask in asks.items():
                limit = CACHED_US_MAX if cache_bytes else STORED_US_MAX
                spent = [await _median_us(ask, calls) for _ in range(3)]
                found.append(aimed(row((name, words), spent, "us", {}), limit, is_limit=True))
    return found


def _cached(shard: Ref[ShardApi], names: Sequence[Fingerprint]) -> dict[tuple[str, str], Ask]:
    def unknown(number: int) -> Fingerprint:
        return Fingerprint(bytes(12) + (number % 100).to_bytes(8))

    def key_id(number: int) -> Term:
        return Term(TermKind.KEY_ID, names[number % 100][-8:])

    return {
        ("S-04-get", "a certificate from the cache, p50"): lambda number: shard.call(
            Fetch(names[number % 100], Form.ARMOR)
        ),
        ("S-04-unknown", "that there is none, from the cache, p50"): lambda number: shard.call(
            Fetch(unknown(number), Form.ARMOR)
        ),
        ("S-04-find", "by key ID, from the cache, p50"): lambda number: shard.call(
            Find(key_id(number), 101)
        ),
    }


def _stored(shard: Ref[ShardApi], names: Sequence[Fingerprint]) -> dict[tuple[str, str], Ask]:
    return {
        ("S-04-stored", "a certificate from SQLite, p50"): lambda number: shard.call(
            Fetch(names[number % HELD], Form.BINARY)
        )
    }


async def _median_us(ask: Ask, calls: int) -> float:
    """Of the time from a call to its answer; what may be cached is, by then."""
    for number in range(HELD):
        await ask(number)
    spent: list[float] = []
    for number in range(calls):
        begun = perf_counter()
        await ask(number)
        spent.append(perf_counter() - begun)
    return 1e6 * sorted(spent)[len(spent) // 2]
