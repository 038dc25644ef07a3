"""What a shard commits: the merges that came in together, absorbed and kept in one transaction.

Administrators' requests wait in the same queue, so that what was taken before one of them is
there for it, and what comes after it meets what it did.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from keygrove.errors import DiskFullError
from keygrove.points import crash_point, sometimes
from keygrove.ports import Clock, Compute
from keygrove.storage.absorb import CHANGING, Absorbed, Held, Outcome, absorb
from keygrove.storage.audit import Record
from keygrove.storage.messages import (
    Administer,
    Administered,
    Failed,
    Merge,
    Merged,
    NoSpace,
    ReadOnly,
    Replayed,
)
from keygrove.storage.redacting import Standing, rule_all
from keygrove.storage.store import CertificateStore
from keygrove.storage.turn import SLICE_BYTES, Turn
from keygrove.storage.write import Redaction, Write
from keygrove_actors import ReplyTo
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.policy import Policy


class Means(msgspec.Struct, frozen=True):
    """What a shard works with."""

    clock: Clock
    compute: Compute
    """For merges."""
    answers: Compute
    policy: Policy


class MergeRequest(msgspec.Struct, frozen=True):
    """A merge and whom to tell."""

    message: Merge
    reply_to: ReplyTo[Merged | NoSpace | Failed]


class AdminRequest(msgspec.Struct, frozen=True):
    """What an administrator asks for, and whom to tell."""

    message: Administer
    reply_to: ReplyTo[Administered | Replayed | NoSpace | Failed]


class Committer:
    """Commits for one shard, one batch after the other, and answers everybody."""

    def __init__(
        self,
        means: Means,
        *,
        on_fault: Callable[[str, Exception], None],
        on_change: Callable[[Fingerprint], None],
        make_room: Callable[[], Awaitable[bool]],
    ) -> None:
        self._means = means
        self._on_fault = on_fault
        self._on_change = on_change
        self._make_room = make_room
        self.commits = 0
        self.committed = 0
        """Certificates in those commits."""

    async def commit(
        self, store: CertificateStore, requests: Sequence[MergeRequest | AdminRequest]
    ) -> None:
        """Do all that is wanted, in order; everybody is answered, whatever becomes of it."""
        if store.is_read_only:
            for request in requests:
                request.reply_to.fail(ReadOnly())
            return
        merges: list[MergeRequest] = []
        for request in requests:
            if isinstance(request, MergeRequest):
                merges.append(request)
                continue
            if merges:
                await self._merge(store, merges)
                merges = []
            await self._administer(store, request)
        if merges:
            await self._merge(store, merges)

    async def _administer(self, store: CertificateStore, request: AdminRequest) -> None:
        """One at a time, because they are few."""
        message, reply_to = request.message, request.reply_to
        name = message.fingerprint
        if await store.are_recorded([(name, message.order.nonce)]) == [True]:
            sometimes("shard.replayed")
            reply_to.send(Replayed())
            return
        (held,), (denial,) = await store.get_whole([name]), await store.denials_of([name])
        (redacted,) = await store.redactions_of([name])
        standing = Standing(held, denial, redacted)
        work = partial(rule_all, message, standing, self._means.policy, self._means.clock.now())
        size = 0 if held is None else len(held.aside) or len(held.packets)
        try:
            ruling = await self._means.compute.run(work) if size > SLICE_BYTES else work()
        except Exception as error:  # noqa: BLE001 - a bug that one certificate meets must not stop the shard for all others
            self._on_fault("administer", error)
            reply_to.send(Failed())
            return
        writes = [] if ruling.write is None else [ruling.write]
        redactions = [] if ruling.redaction is None else [ruling.redaction]
        try:
            change = await self._find_room(store, writes, [ruling.record], redactions)
        except DiskFullError:
            reply_to.send(NoSpace())
        else:
            reply_to.send(Administered(ruling.record.effect, change))

    async def _merge(self, store: CertificateStore, merges: Sequence[MergeRequest]) -> None:
        by_name: defaultdict[Fingerprint, list[MergeRequest]] = defaultdict(list)
        for merge in merges:
            by_name[merge.message.candidate.fingerprint].append(merge)
        if len(merges) > 1:
            sometimes("shard.batched")
        if len(by_name) < len(merges):
            sometimes("shard.combined")
        await _turn_away(store, by_name)
        held = await _held(store, set(by_name))
        redacted = dict(zip(by_name, await store.redactions_of(list(by_name)), strict=True))
        now, turn = self._means.clock.now(), Turn()
        absorbed: dict[Fingerprint, Absorbed] = {}
        for name, some in by_name.items():
            incoming = [one.message.candidate for one in some]
            there, gone = held.get(name), redacted[name]
            work = partial(absorb, there, incoming, self._means.policy, now, gone)
            is_new = there is None and len(incoming) == 1 and not gone
            size = sum(one.size for one in incoming) + (there.size if there else 0)
            result = await self._absorb(work, 0 if is_new else size, turn)
            if result is None:
                _answer(some, [Failed()] * len(some))
            else:
                absorbed[name] = result
        puts = [result.put for result in absorbed.values() if result.put is not None]
        try:
            change, is_kept = await self._find_room(store, puts), True
        except DiskFullError:
            sometimes("shard.full")
            change, is_kept = store.counts().change, False
        for name, result in absorbed.items():
            replies = _replies(result, held.get(name), change, is_kept=is_kept)
            _answer(by_name[name], replies)

    async def _absorb(
        self, work: Callable[[], Absorbed], spent: int, turn: Turn
    ) -> Absorbed | None:
        """Merge all that came in for one certificate; None if a bug of ours prevents it."""
        try:
            if spent > SLICE_BYTES:
                return await self._means.compute.run(work)
            await turn.spend(spent)
            return work()
        except Exception as error:  # noqa: BLE001 - a bug that one certificate meets must not stop the shard for all others
            self._on_fault("merge", error)
            return None

    async def _find_room(
        self,
        store: CertificateStore,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
    ) -> int:
        """Commit, on a full disk with what was kept in reserve."""
        try:
            return await self._keep(store, writes, records, redactions)
        except DiskFullError:
            if not await self._make_room():
                raise
        return await self._keep(store, writes, records, redactions)

    async def _keep(
        self,
        store: CertificateStore,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
    ) -> int:
        """Commit; then, before anybody learns of it, forget what was cached."""
        if not writes and not records:
            return store.counts().change
        crash_point("shard.commit.before")
        change = await store.commit(writes, records, redactions)
        crash_point("shard.commit.after")
        for write in writes:
            self._on_change(write.fingerprint)
        self.commits += 1
        self.committed += len(writes)
        return change


async def _turn_away(
    store: CertificateStore, by_name: dict[Fingerprint, list[MergeRequest]]
) -> None:
    """Answer for those that are denied, and take them out."""
    names = sorted(by_name)
    for name, denial in zip(names, await store.denials_of(names), strict=True):
        if denial is not None:
            sometimes("shard.denied")
            change = store.counts().change
            for request in by_name.pop(name):
                merged = Merged(Outcome.DENIED, Digest(b""), change)
                request.reply_to.send(merged)


async def _held(store: CertificateStore, names: set[Fingerprint]) -> dict[Fingerprint, Held]:
    versions = await store.get_whole(sorted(names))
    return {
        version.fingerprint: Held(version.digest, version.packets, version.aside)
        for version in versions
        if version is not None
    }


def _replies(
    result: Absorbed, before: Held | None, change: int, *, is_kept: bool
) -> list[Merged | NoSpace | Failed]:
    """What to tell each; where the disk was full, what is held is what was before."""
    if is_kept:
        return [Merged(outcome, result.digest, change) for outcome in result.outcomes]
    return [
        NoSpace()
        if before is None or outcome in CHANGING
        else Merged(outcome, before.digest, change)
        for outcome in result.outcomes
    ]


def _answer(merges: list[MergeRequest], replies: Sequence[Merged | NoSpace | Failed]) -> None:
    for merge, reply in zip(merges, replies, strict=True):
        merge.reply_to.send(reply)
