"""Requests as clients and a crawler make them, and how many of them each way to cache answers.

Requests are drawn by Zipf's law (exponent 0.99), and a part are a crawler's, who asks for all
certificates in turn. Sizes are equal, or drawn between the quantiles of Debian's certificates.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import accumulate
from random import Random
from typing import Final

from keygrove.storage.cache import ANSWER_BYTES, Answer, Cache, Form
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

EXPONENT: Final = 0.99
SIZES: Final = {
    0.0: 700,
    0.1: 6_844,
    0.25: 11_142,
    0.5: 19_413,
    0.75: 48_444,
    0.9: 104_502,
    0.95: 158_980,
    0.99: 312_478,
    1.0: 490_903,
}
"""Octets of Debian's certificates (keyring of Debian 12), armored, by quantile."""


def trace(random: Random, certificates: int, requests: int, *, crawler: float) -> list[int]:
    """Numbers of certificates, in the order asked; a part of the requests is a crawler's."""
    weights = list(accumulate(1 / rank**EXPONENT for rank in range(1, certificates + 1)))
    by_rank = random.sample(range(certificates), certificates)
    asked: list[int] = []
    at = 0
    for _ in range(requests):
        if random.random() < crawler:
            asked.append(at)
            at = (at + 1) % certificates
        else:
            asked.append(by_rank[bisect_left(weights, random.random() * weights[-1])])
    return asked


def drawn_sizes(random: Random, number: int) -> list[int]:
    """Octets of so many bodies, evenly between the quantiles."""
    ends = list(SIZES)
    drawn: list[int] = []
    for _ in range(number):
        at = random.random()
        above = bisect_left(ends, at)
        low, high = ends[above - 1], ends[above]
        drawn.append(int(SIZES[low] + (SIZES[high] - SIZES[low]) * (at - low) / (high - low)))
    return drawn


def ours(asked: Sequence[int], sizes: Sequence[int], bytes_max: int) -> float:
    """The part of the requests that the cache of a shard answers."""
    cache = Cache(bytes_max, lambda: 0.0)
    names = [Fingerprint(number.to_bytes(20)) for number in range(len(sizes))]
    bodies = bytes(max(sizes))
    for number in asked:
        if cache.get(names[number], Form.ARMOR) is None:
            body = bodies[: sizes[number]]
            with cache.reading() as reading:
                answer = Answer(names[number], Digest(b""), 0, body)
                cache.put(reading, Form.ARMOR, answer)
        assert cache.size_bytes <= bytes_max
    return cache.hits / len(asked)


def lru(asked: Sequence[int], sizes: Sequence[int], bytes_max: int) -> float:
    """The same of plain LRU."""
    kept: OrderedDict[int, int] = OrderedDict()
    hits = used = 0
    for number in asked:
        if number in kept:
            kept.move_to_end(number)
            hits += 1
            continue
        kept[number] = sizes[number] + ANSWER_BYTES
        used += kept[number]
        while used > bytes_max:
            used -= kept.popitem(last=False)[1]
    return hits / len(asked)


def belady(asked: Sequence[int], sizes: Sequence[int], bytes_max: int) -> float:
    """The same of Belady's rule, which may also keep a newcomer out."""
    next_asked = _next_asked(asked)
    kept: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits = used = 0
    for at, number in enumerate(asked):
        if number in kept:
            hits += 1
        else:
            used += sizes[number] + ANSWER_BYTES
        kept[number] = next_asked[at]
        heappush(latest, (-next_asked[at], number))
        while used > bytes_max:
            when, loser = heappop(latest)
            if kept.get(loser) == -when:
                del kept[loser]
                used -= sizes[loser] + ANSWER_BYTES
    return hits / len(asked)


def _next_asked(asked: Sequence[int]) -> list[int]:
    """For each request, when the same is asked for next."""
    following = [0] * len(asked)
    seen: dict[int, int] = {}
    for at in range(len(asked) - 1, -1, -1):
        following[at] = seen.get(asked[at], len(asked) + asked[at])
        seen[asked[at]] = at
    return following
