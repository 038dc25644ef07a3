"""The actor that owns the prefix tree: what SKS partners see of this server.

It asks the shards for their changes, once a second and whenever somebody wants the newest; nobody
waits for it who stores or serves. So the tree is a moment behind the stores, and never beside them.
A start goes on from the dump, or makes the tree anew; until it has caught up nobody is shown it.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import anyio

from keygrove.cluster.router import Router
from keygrove.errors import DiskFullError, OutOfStepError, StoreError
from keygrove.points import sometimes
from keygrove.ports import Databases, Entropy
from keygrove.recon.known import KNOWN, Forget, KnownApi, Recall
from keygrove.recon.knownfile import NOTHING, Recalled
from keygrove.recon.messages import (
    CloseSession,
    Ended,
    Feed,
    GetPrefixStatus,
    NotReady,
    Opened,
    OpenSession,
    PrefixApi,
    PrefixStatus,
    Stepped,
    WhoseWere,
)
from keygrove.recon.sessions import Sessions
from keygrove.recon.superseded import Superseded
from keygrove.recon.treefile import Dumped, Standing, TreeFile
from keygrove.recon.upkeep import Upkeep
from keygrove.recon.views import Views
from keygrove.recon.watcher import Watcher
from keygrove_actors import Actor, ActorError, Ctx, Down, Normal, Reason, Ref, Shutdown, on
from keygrove_protocols.errors import BadTreeDumpError
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

PULL_S: Final = 1.0
"""Between two looks at the stores' changes."""
REBUILD_PAUSE_S: Final = 1.0
"""Between two times that the tree is made anew, and twice as long each further time;"""
REBUILD_PAUSE_S_MAX: Final = 600.0
"""as the most. A tree that stood for so long counts as sound."""
DUMP_EVERY_S: Final = 600.0
DUMP_SHARE: Final = 100
"""A dump that took long is made more seldom: no more than one part in so many of all time."""
CHECK_AFTER_S: Final = 60.0
"""After a start that went on from a dump, the tree is held against what is stored."""
CHECKS: Final = 100
"""Looks, a part of a second apart, until both are of the same moment."""
RECALL_S: Final = 5.0
DUMP_STOP_S: Final = 1.0
"""For a dump at an orderly end. Without it the next start has some minutes to bring up."""


class Prefix(Actor[PrefixApi]):
    """Owns the tree of one node."""

    reentrant = True  # one session's solving keeps the others waiting for a message at most
    _ctx: Ctx
    _upkeep: Upkeep
    _superseded: Superseded
    _router: Router
    _known: Ref[KnownApi]
    _views: Views
    _sessions: Sessions

    def __init__(
        self, shards: int, databases: Databases, entropy: Entropy, watcher: Watcher
    ) -> None:
        self._shards = shards
        self._entropy = entropy
        self._databases = databases
        self._file = TreeFile(databases)
        self._watcher = watcher
        self._waiting_for = "it is being loaded"
        self._is_wrong = False
        self._dumped: Standing | None = None
        self._wake, self._looked = anyio.Event(), anyio.Event()
        self._dumps = 0
        self._dumping = anyio.Lock()
        self._dump_at = self._anew_at = self._made_at = 0.0
        self._pause_s = REBUILD_PAUSE_S

    def init(self, ctx: Ctx) -> None:
        """Start to bring it up."""
        self._ctx = ctx
        self._superseded = Superseded(ctx.now)
        self._router = Router(ctx.whereis, self._shards)
        self._known = ctx.whereis(KNOWN, KnownApi)
        self._upkeep = Upkeep(self._router, self._shards, self._superseded)
        self._views = Views(ctx.now, self._entropy)
        self._sessions = Sessions(ctx, self._entropy, lambda: self._upkeep.members, self._forget)
        ctx.start_soon(self._keep)

    async def terminate(self, reason: Reason) -> None:
        """At an orderly end, write down what is not yet, and leave no log."""
        if isinstance(reason, Normal | Shutdown):
            with anyio.move_on_after(DUMP_STOP_S):
                await self._dump()
                await self._file.settle()

    def on_down(self, down: Down) -> None:
        """Whoever had the connection of a session is no more."""
        self._sessions.lost(down)

    @on(GetPrefixStatus)
    def get_status(self, _: GetPrefixStatus) -> PrefixStatus:
        """At once."""
        upkeep = self._upkeep
        return PrefixStatus(
            digests=upkeep.members.tree.size,
            waiting_for=self._waiting_for,
            changes=upkeep.changes,
            newest=tuple(upkeep.newest),
            mismatches=upkeep.mismatches,
            rebuilds=upkeep.rebuilds,
            dumps=self._dumps,
            superseded=len(self._superseded),
            sessions=len(self._sessions),
        )

    @on(WhoseWere)
    def whose_were(self, message: WhoseWere) -> tuple[Fingerprint, ...]:
        """At once."""
        names = self._superseded.of(message.digests)
        if names:
            sometimes("recon.superseded")
        return names

    @on(OpenSession)
    async def open_session(self, message: OpenSession) -> Opened:
        """When what is stored by now is in the tree."""
        # What is known is of what was stored before, so that it is never newer than the tree.
        recalled = await self._recalled(message.partner)
        await self._fresh()
        if self._waiting_for:
            raise NotReady(self._waiting_for).error()
        partner, members = message.partner, self._upkeep.members
        shows = await self._views.shown_to(
            partner, recalled, members, is_keygrove=message.is_keygrove
        )
        if shows.stale:
            self._forget(partner, shows.stale)
        if self._ctx.caller_gone:
            raise NotReady("nobody waits for it any more").error()
        return self._sessions.open(message, shows)

    @on(Feed)
    async def feed(self, message: Feed) -> Stepped:
        """Act on what was read."""
        return await self._sessions.feed(message.session, message.octets)

    @on(CloseSession)
    async def close_session(self, message: CloseSession) -> Ended:
        """When what it learned is held against the tree as it is by now."""
        return await self._sessions.close(message.session)

    async def _recalled(self, partner: str) -> Recalled:
        """What is known of a partner's set; nothing, if that cannot be told now."""
        if not partner:
            return NOTHING
        try:
            statuses = await self._router.status()
            lifts = sum(status.counts.lifts for status in statuses)
            return await self._known.call(Recall(partner, lifts), timeout=RECALL_S)
        except ActorError:
            return NOTHING

    def _forget(self, partner: str, digests: AbstractSet[Digest]) -> None:
        self._known.cast(Forget(partner, tuple(digests)))

    async def _fresh(self) -> None:
        """Wait for a look at the stores that begins after this."""
        self._wake.set()
        if not self._waiting_for:
            await self._looked.wait()

    async def _keep(self) -> None:
        await self._load()
        while True:
            looked, self._looked, self._wake = self._looked, anyio.Event(), anyio.Event()
            try:
                await self._bring_up()
            except OutOfStepError as error:
                self._must_be_made_anew(str(error))
            except (ActorError, StoreError) as error:
                self._waiting_for = f"a shard cannot tell what changed: {error}"
            looked.set()
            self._sessions.expire()
            with anyio.move_on_after(PULL_S):
                await self._wake.wait()

    async def _load(self) -> None:
        try:
            dumped = await self._file.load(self._shards)
        except (BadTreeDumpError, StoreError) as error:
            self._watcher.tree_made_anew(str(error))
            return
        if dumped is not None:
            self._upkeep.resume(dumped)
            self._ctx.start_soon(self._check)
            self._waiting_for = "it is being brought up"
            self._dumped = dumped.standing

    async def _check(self) -> None:
        """Make another tree from all that is stored, and see whether it is the same."""
        await anyio.sleep(CHECK_AFTER_S)
        router = Router(self._ctx.whereis, self._shards)
        other = Upkeep(router, self._shards, Superseded(self._ctx.now))
        try:
            await other.make_anew()
            for _ in range(CHECKS):
                await other.catch_up()
                is_like = self._upkeep.is_like(other)
                if is_like is not None:
                    self._is_wrong = not is_like
                    return
                await anyio.sleep(PULL_S / 10)
        except (ActorError, OutOfStepError, StoreError):
            return  # it is held against the stores by the next start, or by fsck

    async def _bring_up(self) -> None:
        if self._is_wrong:
            self._is_wrong = False
            self._upkeep.mismatches += 1
            raise OutOfStepError("it is not that of what is stored")
        now = self._ctx.now()
        if self._upkeep.places is None:
            if now < self._anew_at:
                return
            self._waiting_for = "it is being made anew"
            self._made_at = now
            await self._upkeep.make_anew()
        await self._upkeep.catch_up()
        if self._waiting_for:
            self._waiting_for = ""
            self._watcher.tree_up(self._upkeep.members.tree.size)
        if now >= self._dump_at:
            await self._dump()

    def _must_be_made_anew(self, why: str) -> None:
        now = self._ctx.now()
        if now - self._made_at > REBUILD_PAUSE_S_MAX:
            self._pause_s = REBUILD_PAUSE_S
        self._anew_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, REBUILD_PAUSE_S_MAX)
        self._upkeep.places, self._dump_at = None, 0.0
        self._waiting_for = f"it has to be made anew: {why}"
        self._watcher.tree_made_anew(why)

    async def _dump(self) -> None:
        async with self._dumping:  # an end in order may come in the middle of one
            whole = self._upkeep.whole
            if whole is not None and self._dumped != whole.standing:
                await self._write_down(whole)

    async def _write_down(self, whole: Dumped) -> None:
        begun = self._ctx.now()
        try:
            if await self._databases.is_read_only():
                return
            await self._file.save(whole)
        except (DiskFullError, StoreError) as error:
            self._watcher.tree_not_dumped(str(error))
        else:
            self._dumped = whole.standing
            self._dumps += 1
            sometimes("recon.dumped")
        took_s = self._ctx.now() - begun
        self._dump_at = begun + max(DUMP_EVERY_S, DUMP_SHARE * took_s)
