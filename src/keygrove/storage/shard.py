"""The shard actor: the only writer of its store, and the only reader that clients reach.

Requests that need the disk are put off; one task reads for all that wait, another commits
all that wait in one transaction, and a third keeps the index up. While a batch is on its
way to the disk the next one gathers: that is the whole of group commit. A change leaves the
cache after its commit and before its acknowledgement.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import msgspec

from keygrove.errors import DamagedError, DiskFullError
from keygrove.points import buggify, crash_point, sometimes
from keygrove.ports import Clock, Compute
from keygrove.storage.absorb import CHANGING, Absorbed, Held, Incoming, absorb, effort
from keygrove.storage.cache import Answer, Cache, Form
from keygrove.storage.forms import serve_form
from keygrove.storage.messages import (
    Failed,
    Fetch,
    Find,
    GetStatus,
    Merge,
    Merged,
    NoSpace,
    Overloaded,
    Search,
    ShardApi,
    ShardStatus,
)
from keygrove.storage.store import CertificateStore, Put, Version
from keygrove.storage.waiting import Waiting
from keygrove_actors import DEFER, Actor, Ctx, Defer, Normal, Reason, ReplyTo, Shutdown, on
from keygrove_protocols.openpgp.keys import Fingerprint

READS_MAX = 10_000
READ_BATCH = 256
MERGES_MAX = 4_096
MERGE_BATCH = 1_024
SETTLE_S = 1.0
"""For an index that lags behind at an orderly end; the next start brings it up otherwise."""
LINGER_S = 0.05
"""As the disk, or other tasks, may have it at any time."""
SLICE_BYTES = 256 * 1024
"""How much is parsed or merged before others get a turn: a few milliseconds. A certificate
that is larger is worked on elsewhere."""

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[CertificateStore]]
OnFault: TypeAlias = Callable[[str, Exception], None]
"""Told of an exception that cost one request only: where, and which."""


class _Merge(msgspec.Struct, frozen=True):
    """A merge and whom to tell."""

    message: Merge
    reply_to: ReplyTo[Merged | NoSpace | Failed]


class _Read(msgspec.Struct, frozen=True):
    """A look-up and whom to tell."""

    message: Fetch | Find | Search
    reply_to: ReplyTo[Any]


class Shard(Actor[ShardApi]):
    """Serves one store. `open_store` runs anew at each start."""

    _ctx: Ctx
    _store: CertificateStore

    def __init__(
        self,
        open_store: OpenStore,
        clock: Clock,
        compute: Compute,
        *,
        cache_bytes: int,
        on_fault: OnFault,
    ) -> None:
        self._open_store = open_store
        self._clock = clock
        self._compute = compute
        self._on_fault = on_fault
        self._cache = Cache(cache_bytes)
        self._reads: Waiting[_Read] = Waiting(READS_MAX)
        self._merges: Waiting[_Merge] = Waiting(MERGES_MAX)
        self._is_committing = False
        self._changed: set[Fingerprint] = set()
        self._commits = self._committed = 0

    async def init(self, ctx: Ctx) -> None:
        """Open the store and start the three tasks."""
        self._ctx = ctx
        self._idle = anyio.Event()
        self._store = await ctx.enter(self._open_store())
        ctx.start_soon(self._read_forever)
        ctx.start_soon(self._commit_forever)
        ctx.start_soon(self._store.upkeep)

    async def terminate(self, reason: Reason) -> None:
        """At an orderly end, commit what is queued and bring the index up."""
        if isinstance(reason, Normal | Shutdown):
            if self._merges or self._is_committing:
                self._idle = anyio.Event()
                await self._idle.wait()
            with anyio.move_on_after(SETTLE_S):
                await self._store.settle()

    @on(Fetch)
    def fetch(self, message: Fetch) -> Answer | Failed | Defer | None:
        """From the cache at once, or else with the next batch of reads."""
        known = self._cache.get(message.fingerprint, message.form)
        return self._put_off_read(message) if known is None else known

    @on(Find)
    def find(self, message: Find) -> tuple[Fingerprint, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(Search)
    def search(self, message: Search) -> tuple[Fingerprint, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(Merge)
    def merge(self, message: Merge) -> Merged | NoSpace | Failed | Defer:
        """With the next commit."""
        if not self._merges.put(_Merge(message, self._ctx.reply_to)):
            raise Overloaded().error()
        return DEFER

    @on(GetStatus)
    def get_status(self, _: GetStatus) -> ShardStatus:
        """At once."""
        return ShardStatus(
            counts=self._store.counts(),
            commits=self._commits,
            committed=self._committed,
            waiting_reads=len(self._reads),
            waiting_merges=len(self._merges),
            cache_bytes=self._cache.size_bytes,
            cache_hits=self._cache.hits,
            cache_misses=self._cache.misses,
        )

    def _put_off_read(self, message: Fetch | Find | Search) -> Defer:
        if not self._reads.put(_Read(message, self._ctx.reply_to)):
            raise Overloaded().error()
        return DEFER

    async def _read_forever(self) -> None:
        while True:
            reads = await self._reads.take(1 if buggify("shard.read") else READ_BATCH)
            self._changed.clear()
            fetches = [
                (read.message, read.reply_to) for read in reads if isinstance(read.message, Fetch)
            ]
            if fetches:
                await self._answer(fetches)
            for read in reads:
                match read.message:
                    case Fetch():
                        pass  # answered: the quick ones first
                    case Find(term, limit):
                        (found,) = await self._store.find([term], limit)
                        read.reply_to.send(found)
                    case Search(words, limit):
                        read.reply_to.send(await self._store.search(words, limit))

    async def _answer(self, fetches: list[tuple[Fetch, ReplyTo[Any]]]) -> None:
        try:
            versions = await self._store.get([message.fingerprint for message, _ in fetches])
        except DamagedError as error:
            await self._answer_one_by_one(fetches, error)
            return
        if buggify("shard.linger"):
            await anyio.sleep(LINGER_S)
        turn = Turn()
        for (message, reply_to), version in zip(fetches, versions, strict=True):
            reply_to.send(None if version is None else await self._dress(version, message.form))
            await turn.spend(len(version.packets) if version else 0)

    async def _answer_one_by_one(
        self, fetches: list[tuple[Fetch, ReplyTo[Any]]], error: DamagedError
    ) -> None:
        """A damaged page costs those certificates that lie on it, not the shard."""
        if len(fetches) == 1:
            self._on_fault("serve", error)
            fetches[0][1].send(Failed())
            return
        for fetch in fetches:
            await self._answer([fetch])

    async def _dress(self, version: Version, form: Form) -> Answer | Failed:
        """Make the bytes to serve, and keep them unless the certificate changed meanwhile."""
        try:
            dress = partial(serve_form, version.packets, form)
            is_large = len(version.packets) > SLICE_BYTES
            body = await self._compute.run(dress) if is_large else dress()
        except Exception as error:  # noqa: BLE001 - a bug that one certificate meets must not stop the shard for all others
            self._on_fault("serve", error)
            return Failed()
        answer = Answer(version.fingerprint, version.digest, version.change, body)
        if version.fingerprint in self._changed:
            sometimes("shard.invalidated")
        else:
            self._cache.put(form, answer)
        return answer

    async def _commit_forever(self) -> None:
        while True:
            merges = await self._merges.take(1 if buggify("shard.commit") else MERGE_BATCH)
            self._is_committing = True
            try:
                await self._commit(merges)
            except BaseException:
                self._idle.set()
                raise
            self._is_committing = False
            if not self._merges:
                self._idle.set()

    async def _commit(self, merges: list[_Merge]) -> None:
        """Merge and keep a batch; everybody is answered, whatever becomes of it."""
        by_name: defaultdict[Fingerprint, list[_Merge]] = defaultdict(list)
        for merge in merges:
            by_name[merge.message.fingerprint].append(merge)
        if len(merges) > 1:
            sometimes("shard.batched")
        if len(by_name) < len(merges):
            sometimes("shard.combined")
        held = await self._held(set(by_name))
        now, turn = self._clock.now(), Turn()
        absorbed: dict[Fingerprint, Absorbed] = {}
        for name, some in by_name.items():
            result = await self._absorb(held.get(name), [one.message for one in some], now, turn)
            if result is None:
                _answer(some, [Failed()] * len(some))
            else:
                absorbed[name] = result
        puts = [result.put for result in absorbed.values() if result.put is not None]
        try:
            change = await self._keep(puts)
        except DiskFullError:
            sometimes("shard.full")
            change = None
        for name, result in absorbed.items():
            _answer(by_name[name], self._replies(result, held.get(name), change))

    def _replies(
        self, result: Absorbed, before: Held | None, change: int | None
    ) -> list[Merged | NoSpace | Failed]:
        """What to tell each; on a full disk (`change` None) what is held is what was before."""
        if change is not None:
            return [Merged(outcome, result.held.digest, change) for outcome in result.outcomes]
        kept = self._store.counts().change
        return [
            NoSpace()
            if before is None or outcome in CHANGING
            else Merged(outcome, before.digest, kept)
            for outcome in result.outcomes
        ]

    async def _held(self, names: set[Fingerprint]) -> dict[Fingerprint, Held]:
        versions = await self._store.get(sorted(names))
        return {
            version.fingerprint: Held(version.digest, packets=version.packets)
            for version in versions
            if version is not None
        }

    async def _absorb(
        self, held: Held | None, messages: list[Merge], now: int, turn: "Turn"
    ) -> Absorbed | None:
        """Merge all that came in for one certificate; None if a bug of ours prevents it."""
        incoming = [Incoming(one.certificate, one.digest, one.cause) for one in messages]
        work = partial(absorb, held, incoming, now)
        spent = sum(effort(one.certificate) for one in messages) + (held.effort if held else 0)
        try:
            if spent > SLICE_BYTES:
                return await self._compute.run(work)
            await turn.spend(spent)
            return work()
        except Exception as error:  # noqa: BLE001 - as above
            self._on_fault("merge", error)
            return None

    async def _keep(self, puts: list[Put]) -> int:
        """Commit; then, before anybody learns of it, forget what was cached."""
        if not puts:
            return self._store.counts().change
        crash_point("shard.commit.before")
        change = await self._store.commit(puts)
        crash_point("shard.commit.after")
        for put in puts:
            self._cache.invalidate(put.fingerprint)
            self._changed.add(put.fingerprint)
        self._commits += 1
        self._committed += len(puts)
        return change


def _answer(merges: list[_Merge], replies: Sequence[Merged | NoSpace | Failed]) -> None:
    for merge, reply in zip(merges, replies, strict=True):
        merge.reply_to.send(reply)


class Turn:
    """Lets others run after every few milliseconds of work."""

    def __init__(self) -> None:
        self._spent_bytes = 0

    async def spend(self, size: int) -> None:
        """Count `size` bytes of work done."""
        self._spent_bytes += size
        if self._spent_bytes > SLICE_BYTES:
            self._spent_bytes = 0
            await anyio.lowlevel.checkpoint()
