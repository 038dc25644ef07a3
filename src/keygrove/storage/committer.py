"""What a shard commits: the merges that came in together, absorbed and kept in one transaction.

Administrators' requests wait in the same queue, so that what was taken before one of them is
there for it, and what comes after it meets what it did.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence, Set
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from keygrove.errors import DiskFullError
from keygrove.points import crash_point, sometimes
from keygrove.ports import Clock, Compute
from keygrove.storage.absorb import CHANGING, Absorbed, Held, absorb
from keygrove.storage.audit import Record
from keygrove.storage.candidate import Candidate
from keygrove.storage.denying import deny
from keygrove.storage.mark import Mark
from keygrove.storage.messages import (
    Administer,
    Administered,
    Failed,
    Merge,
    Merged,
    NoSpace,
    Replayed,
)
from keygrove.storage.redacting import Standing, rule_all
from keygrove.storage.snapshot_messages import Marking
from keygrove.storage.snapshots import mark
from keygrove.storage.store import CertificateStore
from keygrove.storage.turn import SLICE_BYTES, Turn
from keygrove.storage.write import Cause, Denial, Redaction, Write
from keygrove_actors import ReplyTo
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.redaction import PartHash

T = TypeVar("T")

READ_SLICE: Final = 128
"""Certificates that are read at once for a commit: a look-up of a client's waits for no more of
them, a few milliseconds, and not for a thousand."""


class Means(msgspec.Struct, frozen=True):
    """What a shard works with."""

    clock: Clock
    compute: Compute
    """For merges."""
    answers: Compute
    policy: Policy


Bringer: TypeAlias = tuple[Cause, str]
"""The cause and origin of a candidate."""


class Meeting(msgspec.Struct, frozen=True):
    """What came in for a certificate, all by one bringer, and how that stands."""

    incoming: Sequence[Candidate]
    held: Held | None
    denial: Denial | None
    redacted: Set[PartHash]

    @property
    def cost(self) -> int:
        """Octets that have to be read."""
        is_new = self.held is None and self.denial is None and not self.redacted
        if is_new and len(self.incoming) == 1:
            return 0
        return sum(one.size for one in self.incoming) + (self.held.size if self.held else 0)


class MergeRequest(msgspec.Struct, frozen=True):
    """A merge and whom to tell."""

    message: Merge
    reply_to: ReplyTo[Merged | NoSpace | Failed]


class Keep(Protocol):
    """Commits, and has everybody forget what was cached of what changed."""

    async def __call__(
        self,
        writes: Sequence[Write] = (),
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        """See `store.CertificateStore.commit`."""
        ...


class Interlude(msgspec.Struct, frozen=True):
    """Work that looks at the store and commits, with no other commit in between."""

    work: Callable[[Keep], Awaitable[None]]
    done: Callable[[DiskFullError | None], None]
    """Told when it is: None, or what there was no room for."""


class AdminRequest(msgspec.Struct, frozen=True):
    """What an administrator asks for, and whom to tell."""

    message: Administer
    reply_to: ReplyTo[Administered | Replayed | NoSpace | Failed]


class MarkRequest(msgspec.Struct, frozen=True):
    """What is asked of snapshots, and whom to tell."""

    message: Marking
    reply_to: ReplyTo[Any]


ChangeRequest: TypeAlias = MergeRequest | AdminRequest | MarkRequest | Interlude
"""Whatever waits for a commit."""


class Committer:
    """Commits for one shard, one batch after the other, and answers everybody."""

    def __init__(
        self,
        means: Means,
        *,
        on_fault: Callable[[str, Exception], None],
        on_change: Callable[[Write], None],
    ) -> None:
        self._means = means
        self._on_fault = on_fault
        self._on_change = on_change
        self.commits = 0
        self.committed = 0
        """Certificates in those commits."""

    async def commit(self, store: CertificateStore, requests: Sequence[ChangeRequest]) -> None:
        """Do all that is wanted, in order; everybody is answered, whatever becomes of it."""
        merges: list[MergeRequest] = []
        brought: dict[Fingerprint, Bringer] = {}
        for request in requests:
            if isinstance(request, MergeRequest):
                one = request.message.candidate
                bringer = one.cause, one.origin
                # What two brought is committed in turn, so that one's part can be taken back.
                if brought.setdefault(one.fingerprint, bringer) == bringer:
                    merges.append(request)
                    continue
            if merges:
                await self._merge(store, merges)
            merges, brought = [], {}
            if isinstance(request, MergeRequest):
                merges.append(request)
                brought[one.fingerprint] = bringer
            else:
                await self._alone(store, request)
        if merges:
            await self._merge(store, merges)

    async def _alone(
        self, store: CertificateStore, request: AdminRequest | MarkRequest | Interlude
    ) -> None:
        match request:
            case AdminRequest():
                await self._administer(store, request)
            case MarkRequest(message, reply_to):
                reply_to.send(await mark(store, message, self._means.clock.now()))
            case Interlude():
                await self._interlude(store, request)

    async def _interlude(self, store: CertificateStore, request: Interlude) -> None:
        try:
            await request.work(partial(self._keep, store))
        except DiskFullError as error:
            request.done(error)
        else:
            request.done(None)

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
            change = await self._keep(store, writes, [ruling.record], redactions)
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
        names = sorted(by_name)
        held = await _held(store, names)
        denials = dict(zip(names, await _in_slices(store.denials_of, names), strict=True))
        redacted = dict(zip(names, await _in_slices(store.redactions_of, names), strict=True))
        now, turn = self._means.clock.now(), Turn()
        absorbed: dict[Fingerprint, Absorbed] = {}
        for name, some in by_name.items():
            meeting = Meeting(
                [one.message.candidate for one in some],
                held.get(name),
                denials[name],
                redacted[name].parts,
            )
            work = partial(_met, meeting, self._means.policy, now)
            result = await self._absorb(work, meeting.cost, turn)
            if result is None:
                _answer(some, [Failed()] * len(some))
            else:
                absorbed[name] = result
        writes = [result.write for result in absorbed.values() if result.write is not None]
        try:
            change, is_kept = await self._keep(store, writes), True
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

    async def _keep(
        self,
        store: CertificateStore,
        writes: Sequence[Write] = (),
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        """Commit; then, before anybody learns of it, forget what was cached."""
        if not writes and not records and not redactions and not marks:
            return store.counts().change
        crash_point("shard.commit.before")
        change = await store.commit(writes, records, redactions, marks)
        crash_point("shard.commit.after")
        for write in writes:
            self._on_change(write)
        self.commits += 1
        self.committed += len(writes)
        return change


def _met(meeting: Meeting, policy: Policy, now: int) -> Absorbed:
    """What becomes of it."""
    incoming, held = meeting.incoming, meeting.held
    if meeting.denial is not None:
        sometimes("shard.denied")
        return deny(meeting.denial, held, incoming, policy, now)
    absorbed = absorb(held, incoming, policy, now, meeting.redacted)
    if absorbed.put is None:
        return absorbed
    put = msgspec.structs.replace(absorbed.put, origin=incoming[0].origin)
    return msgspec.structs.replace(absorbed, put=put)


async def _in_slices(
    read: Callable[[Sequence[Fingerprint]], Awaitable[list[T]]], names: Sequence[Fingerprint]
) -> list[T]:
    """What the store says of these names, asked so that others' reads find gaps to slip into."""
    found: list[T] = []
    for start in range(0, len(names), READ_SLICE):
        found += await read(names[start : start + READ_SLICE])
    return found


async def _held(store: CertificateStore, names: Sequence[Fingerprint]) -> dict[Fingerprint, Held]:
    versions = await _in_slices(store.get_whole, names)
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
