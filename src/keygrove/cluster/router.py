"""The one way to the certificates: each request to the shard or shards that can answer it."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import anyio
import msgspec

from keygrove.cluster.placement import Placement
from keygrove.cluster.rollbacks import Rollbacks
from keygrove.cluster.snapshots import Snapshots
from keygrove.storage.cache import Answer, Form
from keygrove.storage.candidate import Candidate
from keygrove.storage.forest import Forest, united
from keygrove.storage.merkle import blake3_256
from keygrove.storage.messages import (
    Administer,
    Administered,
    Allow,
    Deny,
    Failed,
    Fetch,
    FetchStored,
    Find,
    GetSlots,
    GetStatus,
    Merge,
    Merged,
    NoSpace,
    Order,
    Outdated,
    Redact,
    Replace,
    Replayed,
    Search,
    ShardApi,
    ShardStatus,
    Slots,
    Sources,
    Stored,
    Trace,
    Traced,
    Unredact,
)
from keygrove.storage.term import Term
from keygrove.storage.write import Put
from keygrove_actors import ActorError, Call, Ref
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash

P = TypeVar("P")
R = TypeVar("R")


READ_S = 5.0
MERGE_S = 30.0
"""A commit of a thousand large certificates takes seconds; an answer is worth waiting for."""
WAIT_UP_S = 1.0
"""A shard that crashed is back within milliseconds: reads wait for it, so long at most."""
STATUS_S = 2.0
HISTORY_S = 100.0
"""A tree of the past takes some 20 us for each change since."""


class Whereis(Protocol):
    """How to get the address of a named actor."""

    def __call__(self, name: str, proto: type[P], /) -> Ref[P]:
        """The address of whoever bears `name`."""
        ...


def shard_name(number: int) -> str:
    """The name of a shard actor, and of its folder."""
    return f"shard-{number}"


class Holding(msgspec.Struct, frozen=True):
    """A set of certificates: equal sets have equal roots, however many shards hold them."""

    root: bytes
    certificates: int


class Moment(msgspec.Struct, frozen=True):
    """What all shards held together, each when it was asked; they keep it for proofs."""

    forest: Forest
    certificates: int
    changes: tuple[int, ...]
    """Of each shard, the one after which it held that."""


class Router:
    """Sends messages to shards. Every method raises `ActorError` when a shard cannot answer."""

    def __init__(self, whereis: Whereis, shards: int) -> None:
        self._shards = tuple(whereis(shard_name(number), ShardApi) for number in range(shards))
        self._placement = Placement(shards)
        self.snapshots = Snapshots(self, shards)
        self.rollbacks = Rollbacks(self, shards, self.snapshots)

    async def ask(self, shard: int, message: Call[ShardApi, R]) -> R:
        """See `snapshots.Shards`."""
        return await self._shards[shard].call(message, timeout=HISTORY_S, wait_up=WAIT_UP_S)

    async def ask_all(self, message: Call[ShardApi, R]) -> list[R]:
        """See `snapshots.Shards`."""
        return await self._all(message, timeout=HISTORY_S)

    async def fetch(self, fingerprint: Fingerprint, form: Form) -> Answer | Failed | None:
        """The certificate with this primary key."""
        shard = self._shards[self._placement.shard(fingerprint)]
        return await shard.call(Fetch(fingerprint, form), timeout=READ_S, wait_up=WAIT_UP_S)

    async def fetch_all(
        self, fingerprints: Sequence[Fingerprint], form: Form
    ) -> list[Answer | Failed | None]:
        """Several at once, in the order asked."""
        return await _together([partial(self.fetch, name, form) for name in fingerprints])

    async def fetch_stored(
        self, digests: tuple[Digest, ...], fingerprints: tuple[Fingerprint, ...], octets_max: int
    ) -> list[Stored]:
        """All that is stored of certificates, by digests or fingerprints; up to so many octets."""
        found: list[Stored] = []
        left = octets_max
        for shard in self._shards:
            message = FetchStored(digests, fingerprints, left)
            some = await shard.call(message, timeout=READ_S, wait_up=WAIT_UP_S)
            left -= sum(len(one.packets) for one in some)
            found += some
        return found

    async def find(self, term: Term, limit: int) -> tuple[Fingerprint, ...]:
        """The certificates that carry a term, by fingerprint."""
        return _first(await self._all(Find(term, limit)), limit)

    async def search(self, words: frozenset[str], limit: int) -> tuple[Fingerprint, ...]:
        """The certificates that carry all of these words, by fingerprint."""
        return _first(await self._all(Search(words, limit)), limit)

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """What brought each certificate about, in the order asked; None if it is not held."""
        by_shard: defaultdict[int, list[Fingerprint]] = defaultdict(list)
        for name in fingerprints:
            by_shard[self._placement.shard(name)].append(name)
        replies = await _together(
            [
                partial(
                    self._shards[shard].call,
                    Sources(tuple(names)),
                    timeout=READ_S,
                    wait_up=WAIT_UP_S,
                )
                for shard, names in by_shard.items()
            ]
        )
        found: dict[Fingerprint, bytes | None] = {}
        for names, sources in zip(by_shard.values(), replies, strict=True):
            found.update(zip(names, sources, strict=True))
        return [found[name] for name in fingerprints]

    async def merge(self, candidate: Candidate) -> Merged | NoSpace | Failed:
        """Merge a certificate into what is held; it is durable when this returns."""
        shard = self._shards[self._placement.shard(candidate.fingerprint)]
        return await shard.call(Merge(candidate), timeout=MERGE_S)

    async def merge_all(self, candidates: Sequence[Candidate]) -> list[Merged | NoSpace | Failed]:
        """Several at once, in the order given."""
        return await _together([partial(self.merge, one) for one in candidates])

    async def deny(
        self, fingerprint: Fingerprint, order: Order
    ) -> Administered | Replayed | NoSpace | Failed:
        """Remove a certificate, and take it no more; it is durable when this returns."""
        return await self._administer(Deny(fingerprint, order))

    async def allow(
        self, fingerprint: Fingerprint, order: Order
    ) -> Administered | Replayed | NoSpace | Failed:
        """Lift the denial of a certificate; it is durable when this returns."""
        return await self._administer(Allow(fingerprint, order))

    async def replace(self, put: Put, order: Order) -> Administered | Replayed | NoSpace | Failed:
        """Hold this instead of what is held; it is durable when this returns."""
        return await self._administer(Replace(put.fingerprint, put, order))

    async def redact(
        self, fingerprint: Fingerprint, user_ids: frozenset[PartHash], order: Order
    ) -> Administered | Replayed | NoSpace | Failed:
        """Remove user IDs, and take them no more; it is durable when this returns."""
        return await self._administer(Redact(fingerprint, user_ids, order))

    async def unredact(
        self, fingerprint: Fingerprint, user_ids: frozenset[PartHash], order: Order
    ) -> Administered | Replayed | NoSpace | Failed:
        """Take user IDs again; it is durable when this returns."""
        return await self._administer(Unredact(fingerprint, user_ids, order))

    async def _administer(self, message: Administer) -> Administered | Replayed | NoSpace | Failed:
        shard = self._shards[self._placement.shard(message.fingerprint)]
        return await shard.call(message, timeout=MERGE_S)

    async def holding(self) -> Holding:
        """What all shards hold together, each as it is when it is asked."""
        slots = await self._all(GetSlots())
        return Holding(_forest(slots).root, sum(one.certificates for one in slots))

    async def moment(self) -> Moment:
        """As `holding`, and kept: the shards answer `trace` of it until the next but one."""
        slots = await self._all(GetSlots(keep=True))
        changes = tuple(one.change for one in slots)
        return Moment(_forest(slots), sum(one.certificates for one in slots), changes)

    async def trace(self, fingerprint: Fingerprint, moment: Moment) -> Traced | Outdated | Failed:
        """Where a certificate was, or would have been, at that moment."""
        owner = self._placement.shard(fingerprint)
        message = Trace(fingerprint, moment.changes[owner])
        return await self._shards[owner].call(message, timeout=READ_S, wait_up=WAIT_UP_S)

    async def status(self) -> list[ShardStatus]:
        """The figures of all shards, in order."""
        return await self._all(GetStatus(), timeout=STATUS_S)

    async def each_status(self) -> list[ShardStatus | None]:
        """The figures of each shard, in order; None of one that does not answer."""

        async def ask(shard: Ref[ShardApi]) -> ShardStatus | None:
            try:
                return await shard.call(GetStatus(), timeout=STATUS_S)
            except ActorError:
                return None

        return await _together([partial(ask, shard) for shard in self._shards])

    async def _all(self, message: Call[ShardApi, R], *, timeout: float = READ_S) -> list[R]:  # noqa: ASYNC109 - passed on to each call
        """Ask every shard at once."""
        return await _together(
            [
                partial(shard.call, message, timeout=timeout, wait_up=WAIT_UP_S)
                for shard in self._shards
            ]
        )


def _forest(slots: Sequence[Slots]) -> Forest:
    return Forest(blake3_256, united(one.hashes for one in slots))


async def _together(asks: Sequence[Callable[[], Awaitable[R]]]) -> list[R]:
    """Do all of them at once; the first that fails speaks for all."""
    if len(asks) == 1:
        return [await asks[0]()]
    replies: dict[int, R] = {}

    async def ask(number: int) -> None:
        replies[number] = await asks[number]()

    try:
        async with anyio.create_task_group() as tasks:
            for number in range(len(asks)):
                tasks.start_soon(ask, number)
    except BaseExceptionGroup as group:
        # They fail for reasons of one kind, and callers handle one exception.
        raise group.exceptions[0] from group
    return [replies[number] for number in range(len(asks))]


def _first(found: Sequence[tuple[Fingerprint, ...]], limit: int) -> tuple[Fingerprint, ...]:
    return tuple(sorted({name for names in found for name in names})[:limit])
