"""The shard actor: the only writer of its store, and the only reader that clients reach.

Requests that need the disk are put off; one task reads for all that wait, another commits
all that wait in one transaction, and a third brings the store up and keeps it so. While a
batch is on its way to the disk the next one gathers: that is the whole of group commit. A
change leaves the cache after its commit and before its acknowledgement.

The actor is up when the store's files are open. Until the store is up, too, requests wait for
a second of the actor's life, and are refused afterwards, but for what it can answer already.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, Protocol, TypeAlias

import anyio
import msgspec

from keygrove.errors import DamagedError, DiskFullError, StartingError
from keygrove.points import at_once, buggify, sometimes
from keygrove.storage.cache import Answer, Cache, Form
from keygrove.storage.committer import AdminRequest, Committer, Means, MergeRequest
from keygrove.storage.forms import serve_form
from keygrove.storage.messages import (
    Administered,
    Allow,
    Deny,
    Failed,
    Fetch,
    Find,
    GetSlots,
    GetStatus,
    Merge,
    Merged,
    NoSpace,
    Overloaded,
    Redact,
    Replace,
    Replayed,
    Search,
    ShardApi,
    ShardStatus,
    Slots,
    Sources,
    Starting,
    Unredact,
)
from keygrove.storage.store import CertificateStore, Counts, Opening, Progress, Savings
from keygrove.storage.turn import SLICE_BYTES, Turn
from keygrove.storage.version import Version
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
PATIENCE_S = 1.0
"""How long requests wait for a store to be brought up: most are within milliseconds."""
TELL_S = 10.0
"""Between two words on how far a store is."""
RETRY_S = 5.0
"""Pause after the disk was full."""

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Opening]]


class Watcher(Protocol):
    """Told what the runtime cannot know of an actor."""

    def fault(self, where: str, error: Exception) -> None:
        """An exception that cost one request only."""
        ...

    def progress(self, shard: str, progress: Progress | None) -> None:
        """How far a shard's store is that takes long to be up; None: now it is."""
        ...


class _Read(msgspec.Struct, frozen=True):
    """A look-up and whom to tell."""

    message: Fetch | Find | Search | Sources | GetStatus
    reply_to: ReplyTo[Any]


class Shard(Actor[ShardApi]):
    """Serves one store. `open_store` runs anew at each start."""

    _ctx: Ctx
    _opening: Opening

    def __init__(
        self,
        open_store: OpenStore,
        means: Means,
        *,
        cache_bytes: int,
        watcher: Watcher,
    ) -> None:
        self._open_store = open_store
        self._answers = means.answers
        self._watcher = watcher
        self._store: CertificateStore | None = None
        self._cache = Cache(cache_bytes)
        self._reads: Waiting[_Read] = Waiting(READS_MAX)
        self._merges: Waiting[MergeRequest | AdminRequest] = Waiting(MERGES_MAX)
        self._is_patient = True
        self._is_committing = False
        self._changed: set[Fingerprint] = set()
        self._committer = Committer(means, on_fault=watcher.fault, on_change=self._forget)

    async def init(self, ctx: Ctx) -> None:
        """Open the store's files and start the tasks."""
        self._ctx = ctx
        self._idle = anyio.Event()
        self._up = anyio.Event()
        self._opening = await ctx.enter(self._open_store())
        ctx.start_soon(self._bring_up)
        ctx.start_soon(self._tell_progress)
        ctx.start_soon(self._read_forever)
        ctx.start_soon(self._commit_forever)

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
        return self._put_off_read(message) if known is None else known

    @on(Find)
    def find(self, message: Find) -> tuple[Fingerprint, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(Search)
    def search(self, message: Search) -> tuple[Fingerprint, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(Sources)
    def sources(self, message: Sources) -> tuple[bytes | None, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @on(GetSlots)
    def get_slots(self, _: GetSlots) -> Slots:
        """At once: the tree is in memory."""
        if self._store is None:
            raise Starting().error()
        head = self._store.head()
        return Slots(head.change, head.size, self._store.tree().slots())

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
            cache_misses=self._cache.misses,
            starting=self._opening.progress() if store is None else None,
            savings=Savings() if store is None else store.savings(),
        )

    def _put_off_read(self, message: Fetch | Find | Search | Sources | GetStatus) -> Defer:
        if not self._reads.put(_Read(message, self._ctx.reply_to)):
            raise Overloaded().error()
        return DEFER

    def _put_off_change(self, request: MergeRequest | AdminRequest) -> Defer:
        if not self._merges.put(request):
            raise Overloaded().error()
        return DEFER

    async def _bring_up(self) -> None:
        while self._store is None:
            try:
                self._store = await self._opening.finish()
            except DiskFullError:
                await anyio.sleep(RETRY_S)
        self._up.set()
        self._ctx.start_soon(self._store.compact)
        await self._store.upkeep()

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
            self._changed.clear()
            fetches = [
                (read.message, read.reply_to) for read in reads if isinstance(read.message, Fetch)
            ]
            await self._answer(fetches)
            for read in reads:
                match read.message:
                    case Fetch():
                        pass  # answered: the quick ones first
                    case GetStatus():
                        read.reply_to.send(self._status())
                    case _ if self._store is None:
                        read.reply_to.fail(Starting())
                    case Find() | Search() | Sources() as message:
                        read.reply_to.send(await _look_up(self._store, message))

    async def _answer(self, fetches: list[tuple[Fetch, ReplyTo[Any]]]) -> None:
        if not fetches:
            return
        source = self._opening if self._store is None else self._store
        try:
            versions = await source.get([message.fingerprint for message, _ in fetches])
        except StartingError:
            for _, reply_to in fetches:
                reply_to.fail(Starting())
            return
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
            self._watcher.fault("serve", error)
            fetches[0][1].send(Failed())
            return
        for fetch in fetches:
            await self._answer([fetch])

    async def _dress(self, version: Version, form: Form) -> Answer | Failed:
        """Make the bytes to serve, and keep them unless the certificate changed meanwhile."""
        try:
            dress = partial(serve_form, version.packets, form)
            is_large = len(version.packets) > SLICE_BYTES
            body = await self._answers.run(dress) if is_large else dress()
        except Exception as error:  # noqa: BLE001 - a bug that one certificate meets must not stop the shard for all others
            self._watcher.fault("serve", error)
            return Failed()
        answer = Answer(version.fingerprint, version.digest, version.change, body)
        if version.fingerprint in self._changed:
            sometimes("shard.invalidated")
        else:
            self._cache.put(form, answer)
        return answer

    async def _commit_forever(self) -> None:
        await self._wait_up(PATIENCE_S)
        while True:
            merges = await self._merges.take(at_once("shard.commit", MERGE_BATCH))
            self._is_committing = True
            try:
                if self._store is None:
                    self._refuse(merges)
                else:
                    await self._committer.commit(self._store, merges)
            except BaseException:
                self._idle.set()
                raise
            self._is_committing = False
            if not self._merges:
                self._idle.set()

    def _forget(self, fingerprint: Fingerprint) -> None:
        """A certificate changed: what is cached of it, and what is being read, is old."""
        self._cache.invalidate(fingerprint)
        self._changed.add(fingerprint)

    def _refuse(self, requests: list[MergeRequest | AdminRequest]) -> None:
        """There is nothing yet to change."""
        lacks_room = self._opening.progress().lacks_room
        for request in requests:
            if lacks_room:
                request.reply_to.send(NoSpace())
            else:
                request.reply_to.fail(Starting())


async def _look_up(
    store: CertificateStore, message: Find | Search | Sources
) -> tuple[Fingerprint, ...] | tuple[bytes | None, ...]:
    match message:
        case Find(term, limit):
            (found,) = await store.find([term], limit)
            return found
        case Search(words, limit):
            return await store.search(words, limit)
        case Sources(fingerprints):
            return tuple(await store.sources(fingerprints))
