"""The part of a shard that is asked of snapshots, of former times, and by other servers.

Such a request may take seconds, where a tree of the past has to be made: one task answers them
in turn, beside those that serve. A mark waits with the changes, so that it is behind all that
was taken before it.
"""

from abc import abstractmethod
from typing import Any

import msgspec

from keygrove.errors import DamagedError
from keygrove.storage.committer import MarkRequest
from keygrove.storage.history import LogPage
from keygrove.storage.messages import (
    Failed,
    FetchStored,
    NoSpace,
    Overloaded,
    ShardApi,
    Starting,
    Stored,
)
from keygrove.storage.snapshot_messages import (
    ChangeAt,
    Compare,
    Compared,
    DropSnapshot,
    FetchAt,
    GetHead,
    GetSteps,
    Kept,
    ListDigests,
    ListSnapshots,
    LookBack,
    ReadLog,
    SealSnapshot,
    Taken,
    TakeSnapshot,
    TooMany,
)
from keygrove.storage.snapshots import look_back
from keygrove.storage.steps import Steps
from keygrove.storage.store import CertificateStore, DigestPage, Opening
from keygrove.storage.version import Head, Version
from keygrove.storage.waiting import Waiting
from keygrove_actors import DEFER, Actor, Ctx, DeclaredError, Defer, ReplyTo, on

LOOKS_MAX = 1_000


class _Look(msgspec.Struct, frozen=True):
    message: LookBack
    reply_to: ReplyTo[Any]


class Remembering(Actor[ShardApi]):
    """See above. Who inherits runs `_look_back_forever`."""

    _ctx: Ctx
    _opening: Opening
    _store: CertificateStore | None

    def __init__(self) -> None:
        self._looks: Waiting[_Look] = Waiting(LOOKS_MAX)

    @on(TakeSnapshot)
    def take_snapshot(self, message: TakeSnapshot) -> Taken | TooMany | NoSpace | Defer:
        """With a commit, behind all changes that came before."""
        return self._put_off_change(MarkRequest(message, self._ctx.reply_to))

    @on(SealSnapshot)
    def seal_snapshot(self, message: SealSnapshot) -> bool | NoSpace | Defer:
        """As `take_snapshot`."""
        return self._put_off_change(MarkRequest(message, self._ctx.reply_to))

    @on(DropSnapshot)
    def drop_snapshot(self, message: DropSnapshot) -> bool | NoSpace | Defer:
        """As `take_snapshot`."""
        return self._put_off_change(MarkRequest(message, self._ctx.reply_to))

    @on(ListSnapshots)
    def list_snapshots(self, message: ListSnapshots) -> tuple[Kept, ...] | Failed | Defer:
        """In turn."""
        return self._put_off_look(message)

    @on(ChangeAt)
    def change_at(self, message: ChangeAt) -> int | Failed | Defer:
        """As `list_snapshots`."""
        return self._put_off_look(message)

    @on(Compare)
    def compare(self, message: Compare) -> Compared | Failed | Defer:
        """As `list_snapshots`."""
        return self._put_off_look(message)

    @on(FetchAt)
    def fetch_at(self, message: FetchAt) -> Version | Failed | Defer | None:
        """As `list_snapshots`."""
        return self._put_off_look(message)

    @on(GetHead)
    def get_head(self, _: GetHead) -> Head:
        """At once, also before the store is up."""
        return self._opening.head() if self._store is None else self._store.head()

    @on(GetSteps)
    def get_steps(self, message: GetSteps) -> Steps | Failed | Defer:
        """As `list_snapshots`."""
        return self._put_off_look(message)

    @on(ListDigests)
    def list_digests(self, message: ListDigests) -> DigestPage | Failed | Defer:
        """As `list_snapshots`."""
        return self._put_off_look(message)

    @on(ReadLog)
    def read_log(self, message: ReadLog) -> LogPage | Failed | Defer:
        """As `list_snapshots`."""
        return self._put_off_look(message)

    @on(FetchStored)
    def fetch_stored(self, message: FetchStored) -> tuple[Stored, ...] | Defer:
        """With the next batch of reads."""
        return self._put_off_read(message)

    @abstractmethod
    def _put_off_read(self, message: FetchStored) -> Defer:
        """Let it wait for the next batch of reads."""

    @abstractmethod
    def _put_off_change(self, request: MarkRequest) -> Defer:
        """Let it wait for its commit."""

    @abstractmethod
    def _on_damage(self, error: DamagedError) -> None:
        """A request met what is not as it was written."""

    def _put_off_look(self, message: LookBack) -> Defer:
        if not self._looks.put(_Look(message, self._ctx.reply_to)):
            raise Overloaded().error()
        return DEFER

    async def _look_back_forever(self) -> None:
        while True:
            (look,) = await self._looks.take(1)
            if self._store is None:
                look.reply_to.fail(Starting())
                continue
            try:
                look.reply_to.send(await look_back(self._store, look.message))
            except DeclaredError as error:
                look.reply_to.fail(error.failure)
            except DamagedError as error:
                self._on_damage(error)
                look.reply_to.send(Failed())
