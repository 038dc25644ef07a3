"""The shard actor: the only writer of its store, and the only reader that clients reach.

Requests that need the disk are put off; one task reads for all that wait, another commits
all that wait in one transaction, and a third brings the store up and keeps it so. While a
batch is on its way to the disk the next one gathers: that is the whole of group commit. A
change leaves the cache after its commit and before its acknowledgement.

The actor is up when the store's files are open. Until the store is up, too, requests wait for
a second of the actor's life, and are refused afterwards, but for what it can answer already.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import TypeAlias

import anyio

from keygrove.errors import DamagedError, DiskFullError, ReadOnlyError
from keygrove.points import at_once
from keygrove.storage.cache import NOT_HELD, Answer, Cache
from keygrove.storage.committer import (
    AdminRequest,
    ChangeRequest,
    Committer,
    Interlude,
    MarkRequest,
    Means,
    MergeRequest,
)
from keygrove.storage.damage import Damage
from keygrove.storage.derive import digest_terms
from keygrove.storage.messages import (
    Administered,
    Allow,
    Concerns,
    Deny,
    Failed,
    Fetch,
    Find,
    GetRollbacks,
    GetSlots,
    GetStatus,
    Merge,
    Merged,
    NoSpace,
    Outdated,
    Overloaded,
    ReadOnly,
    Redact,
    Rehearse,
    Replace,
    Replayed,
    Roll,
    Rollbacks,
    Search,
    ShardStatus,
    Slots,
    Sources,
    Starting,
    Trace,
    Traced,
    Unknown,
    Unredact,
)
from keygrove.storage.reads import LookUp, ReadRequest, Reads
from keygrove.storage.remembering import Remembering
from keygrove.storage.rollback import Rehearsal, Rollback
from keygrove.storage.roller import ROLLS_MAX, Roller, RollRequest, Work
from keygrove.storage.space import SPACE, SpaceApi, make_room
from keygrove.storage.store import CertificateStore, Counts, Opening, Savings
from keygrove.storage.term import Term
from keygrove.storage.waiting import Waiting
from keygrove.storage.watcher import Watcher
from keygrove.storage.write import Write, held_by
from keygrove_actors import DEFER, Ctx, Defer, Normal, Reason, Shutdown, on
from keygrove_protocols.openpgp.keys import Fingerprint

READS_MAX = 10_000
READ_BATCH = 256
MERGES_MAX = 4_096
MERGE_BATCH = 1_024
SETTLE_S = 1.0
"""For an index that lags behind at an orderly end; the next start brings it up otherwise."""
PATIENCE_S = 1.0
"""How long requests wait for a store to be brought up: most are within milliseconds."""
TELL_S = 10.0
"""Between two words on how far a store is."""
RETRY_S = 5.0
"""Pause after the disk was full."""

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Opening]]


class Shard(Remembering):
    """Serves one store. `open_store` runs anew at each start."""

    def __init__(
        self,
        open_store: OpenStore,
        means: Means,
        *,
        cache_bytes: int,
        watcher: Watcher,
    ) -> None:
        super().__init__()
        self._open_store = open_store
        self._watcher = watcher
        self._store: CertificateStore | None = None
        self._cache = Cache(cache_bytes, means.clock.elapsed)
        self._reads: Waiting[ReadRequest] = Waiting(READS_MAX)
        self._damage = Damage(lambda error: watcher.damaged(self._ctx.name or "", error))
        self._reader = Reads(
            self._cache, means.answers, on_fault=watcher.fault, on_damage=self._damage.met
        )
        self._merges: Waiting[ChangeRequest] = Waiting(MERGES_MAX)
        self._rolls: Waiting[RollRequest] = Waiting(ROLLS_MAX)
        self._roller = Roller(means, self._between, on_damage=self._damage.met)
        self._is_patient = True
        self._is_committing = False
        self._committer = Committer(
            means,
            on_fault=watcher.fault,
            on_change=self._forget,
            on_damage=self._damage.met,
            make_room=lambda: make_room(self._ctx.whereis(SPACE, SpaceApi)),
        )

    async def init(self, ctx: Ctx) -> None:
        """Open the store's files and start the tasks."""
        self._ctx = ctx
        self._idle = anyio.Event()
        self._up, self._writable = anyio.Event(), anyio.Event()
        self._opening = await ctx.enter(self._open_store())
        ctx.start_soon(self._bring_up)
        ctx.start_soon(self._tell_progress)
        ctx.start_soon(self._read_forever)
        ctx.start_soon(self._commit_forever)
        ctx.start_soon(self._roll_forever)
        ctx.start_soon(self._look_back)
        ctx.start_soon(self._scrub)
        ctx.start_soon(self._compact)

    async def terminate(self, reason: Reason) -> None:
        """At an orderly end, commit what is queued and bring the index up."""
        if isinstance(reason, Normal | Shutdown):
            if self._merges or self._is_committing:
                self._idle = anyio.Event()
                await self._idle.wait()
            if self._store is not None:
                # What a full disk has no room for is brought up after the next start, too.
                with anyio.move_on_after(SETTLE_S), suppress(DiskFullError):
                    await self._store.settle()

    @on(Fetch)
    def fetch(self, message: Fetch) -> Answer | Failed | Defer | None:
        """From the cache at once, or else with the next batch of reads."""
        known = self._cache.get(message.fingerprint, message.form)
        if known is None:
            return self._put_off_read(message)
        return None if known is NOT_HELD else known

    @on(Find)
    def find(self, message: Find) -> tuple[Fingerprint, ...] | Defer:
        """As `fetch`."""
        known = self._cache.find(message.term, message.limit)
        return self._put_off_read(message) if known is None else known

    @on(Search)
    def search(self, message: Search) -> tuple[Fingerprint, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(Sources)
    def sources(self, message: Sources) -> tuple[bytes | None, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(GetSlots)
    def get_slots(self, message: GetSlots) -> Slots:
        """At once: the tree is in memory."""
        if self._store is None:
            raise Starting().error()
        return self._reader.pins.slots(self._store, keep=message.keep)

    @on(Trace)
    def trace(self, message: Trace) -> Traced | Outdated | Failed | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(Merge)
    def merge(self, message: Merge) -> Merged | NoSpace | Failed | Defer:
        """With the next commit."""
        return self._put_off_change(MergeRequest(message, self._ctx.reply_to))

    @on(Deny)
    def deny(self, message: Deny) -> Administered | Replayed | NoSpace | Failed | Defer:
        """With a commit, behind all merges that came before."""
        return self._put_off_change(AdminRequest(message, self._ctx.reply_to))

    @on(Allow)
    def allow(self, message: Allow) -> Administered | Replayed | NoSpace | Failed | Defer:
        """As `deny`."""
        return self._put_off_change(AdminRequest(message, self._ctx.reply_to))

    @on(Replace)
    def replace(self, message: Replace) -> Administered | Replayed | NoSpace | Failed | Defer:
        """As `deny`."""
        return self._put_off_change(AdminRequest(message, self._ctx.reply_to))

    @on(Redact)
    def redact(self, message: Redact) -> Administered | Replayed | NoSpace | Failed | Defer:
        """As `deny`."""
        return self._put_off_change(AdminRequest(message, self._ctx.reply_to))

    @on(Unredact)
    def unredact(self, message: Unredact) -> Administered | Replayed | NoSpace | Failed | Defer:
        """As `deny`."""
        return self._put_off_change(AdminRequest(message, self._ctx.reply_to))

    @on(Roll)
    def roll(self, message: Roll) -> Rollback | Unknown | NoSpace | Defer:
        """When it is durable; it is carried out between commits."""
        return self._put_off_roll(message)

    @on(Rehearse)
    def rehearse(self, message: Rehearse) -> Rehearsal | Unknown | Failed | Defer:
        """Behind the rollbacks that were asked for before."""
        return self._put_off_roll(message)

    @on(Concerns)
    def concerns(self, message: Concerns) -> bool | Failed | Defer:
        """As `rehearse`."""
        return self._put_off_roll(message)

    @on(GetRollbacks)
    def get_rollbacks(self, message: GetRollbacks) -> Rollbacks | Failed | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(GetStatus)
    def get_status(self, message: GetStatus) -> ShardStatus | Defer:
        """At once, but for a shard that has just started."""
        return self._put_off_read(message) if self._is_patient else self._status()

    def _status(self) -> ShardStatus:
        store = self._store
        return ShardStatus(
            counts=Counts(0, 0, 0) if store is None else store.counts(),
            commits=self._committer.commits,
            committed=self._committer.committed,
            waiting_reads=len(self._reads),
            waiting_merges=len(self._merges),
            cache_bytes=self._cache.size_bytes,
            cache_hits=self._cache.hits,
            cache_negative_hits=self._cache.negative_hits,
            cache_misses=self._cache.misses,
            cache_evictions=self._cache.evictions,
            damaged_rows=len(self._damage),
            damaged_requests=self._damage.requests,
            scrubbed=self._damage.scrubbed_until,
            pinned_trees=0 if store is None else store.history.pins(),
            starting=self._opening.progress() if store is None else None,
            is_read_only=store is not None and store.is_read_only,
            savings=Savings() if store is None else store.savings(),
        )

    def _put_off_read(self, message: Fetch | LookUp | GetStatus) -> Defer:
        if not self._reads.put(ReadRequest(message, self._ctx.reply_to)):
            raise Overloaded().error()
        return DEFER

    def _put_off_roll(self, message: Roll | Rehearse | Concerns) -> Defer:
        if self._store is not None and self._store.is_read_only:
            raise ReadOnly().error()
        if not self._rolls.put(RollRequest(message, self._ctx.reply_to)):
            raise Overloaded().error()
        return DEFER

    def _put_off_change(self, request: MergeRequest | AdminRequest | MarkRequest) -> Defer:
        if not self._merges.put(request):
            raise Overloaded().error()
        return DEFER

    async def _bring_up(self) -> None:
        """And keep it up. On a read-only disk, open it anew when that can be written."""
        async with AsyncExitStack() as opened:
            while True:
                with suppress(ReadOnlyError):
                    self._store = await self._finish()
                    self._up.set()
                    if not self._store.is_read_only:
                        self._writable.set()
                    await self._store.upkeep()
                self._opening = await opened.enter_async_context(self._open_store())

    async def _finish(self) -> CertificateStore:
        while True:
            try:
                return await self._opening.finish()
            except DiskFullError:
                await anyio.sleep(RETRY_S)

    async def _scrub(self) -> None:
        await self._writable.wait()
        assert self._store is not None
        await self._store.scrub(self._damage.scrubbed)

    async def _compact(self) -> None:
        await self._writable.wait()
        assert self._store is not None
        await self._store.compact()

    async def _tell_progress(self) -> None:
        """Of a store that takes long only."""
        await self._wait_up(PATIENCE_S)
        if self._up.is_set():
            return
        name = self._ctx.name or ""
        while not self._up.is_set():
            self._watcher.progress(name, self._opening.progress())
            await self._wait_up(TELL_S)
        self._watcher.progress(name, None)

    async def _wait_up(self, at_most_s: float) -> None:
        with anyio.move_on_after(at_most_s):
            await self._up.wait()

    async def _read_forever(self) -> None:
        await self._wait_up(PATIENCE_S)
        self._is_patient = False
        while True:
            reads = await self._reads.take(at_once("shard.read", READ_BATCH))
            await self._reader.answer(reads, self._store, self._opening, self._status)

    async def _look_back(self) -> None:
        await self._wait_up(PATIENCE_S)
        await self._look_back_forever()

    async def _commit_forever(self) -> None:
        await self._wait_up(PATIENCE_S)
        while True:
            merges = await self._merges.take(at_once("shard.commit", MERGE_BATCH))
            self._is_committing = True
            try:
                if self._store is None or self._store.is_read_only:
                    self._refuse(merges)
                else:
                    await self._committer.commit(self._store, merges)
            except BaseException:
                self._idle.set()
                raise
            self._is_committing = False
            if not self._merges:
                self._idle.set()

    async def _roll_forever(self) -> None:
        await self._writable.wait()
        assert self._store is not None
        await self._roller.serve(self._store, self._rolls)

    async def _between(self, work: Work) -> None:
        """See `roller.Between`."""
        over = anyio.Event()
        failures: list[DiskFullError] = []

        def done(error: DiskFullError | None) -> None:
            failures.extend([error] if error else [])
            over.set()

        # The roller does one thing at a time, so there is one of these at most.
        self._merges.insist(Interlude(work, done))
        await over.wait()
        if failures:
            raise failures[0]

    def _forget(self, write: Write) -> None:
        """A certificate changed: what is cached of it, and what is being read, is old."""
        terms: frozenset[Term] = frozenset()
        held = held_by(write)
        if held is not None:
            terms = held.terms | digest_terms(held.digest, held.sks_digest)
        self._cache.invalidate(write.fingerprint, terms)

    def _on_damage(self, error: DamagedError) -> None:
        self._damage.met(error)

    def _refuse(self, requests: list[ChangeRequest]) -> None:
        """There is nothing yet to change."""
        progress = self._opening.progress()
        for request in requests:
            assert not isinstance(request, Interlude), "they begin with a store that can be written"
            if progress.is_read_only:
                request.reply_to.fail(ReadOnly())
            elif progress.lacks_room:
                request.reply_to.send(NoSpace())
            else:
                request.reply_to.fail(Starting())
