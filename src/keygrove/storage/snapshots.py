"""Snapshots of one shard, and reading as of them: what a store is asked, and by whom.

A snapshot is taken in two commits. The first remembers where the shard stands, which takes the
same time whatever the size; then whoever asked all shards knows the root of what they held
together, and the second writes it down. One without a root was left behind by a crash between.
"""

from itertools import islice

from keygrove.errors import DamagedError, DiskFullError, HistoryError
from keygrove.points import crash_point
from keygrove.storage.history import LogPage
from keygrove.storage.mark import Drop, Snapshot
from keygrove.storage.merkle import differences
from keygrove.storage.messages import NoSpace
from keygrove.storage.snapshot_messages import (
    ChangeAt,
    Compare,
    Compared,
    Differing,
    DropSnapshot,
    FetchAt,
    GetSteps,
    Kept,
    ListDigests,
    ListSnapshots,
    LookBack,
    Marked,
    Marking,
    NotKept,
    ReadLog,
    SealSnapshot,
    Taken,
    TakeSnapshot,
    TooMany,
)
from keygrove.storage.steps import Steps
from keygrove.storage.store import CertificateStore, DigestPage
from keygrove.storage.version import Version
from keygrove_protocols.openpgp.keys import Fingerprint

SNAPSHOTS_MAX = 1_000
"""All are listed at once."""


async def mark(store: CertificateStore, message: Marking, at: int) -> Marked:
    """Do what is asked; it is durable when this returns.

    Args:
        at: seconds UTC.
    """
    there = {one.name: one for one in await store.history.snapshots()}
    known = there.get(message.name)
    try:
        match message:
            case TakeSnapshot() if known is None and len(there) >= SNAPSHOTS_MAX:
                return TooMany(SNAPSHOTS_MAX)
            case TakeSnapshot(name):
                change = await store.commit([], marks=[Snapshot(name, b"", at)])
                crash_point("snapshot.taken")
                # Nobody commits in between: what is there now is what was remembered.
                tree = store.tree()
                return Taken(change, at, len(tree), tree.slots())
            case SealSnapshot(name, change, root, when):
                if known is None or known.change != change:
                    return False
                await store.commit([], marks=[Snapshot(name, root, when, change)])
            case DropSnapshot(name):
                if known is None:
                    return False
                await store.commit([], marks=[Drop(name, at)])
    except DiskFullError:
        return NoSpace()
    return True


async def look_back(
    store: CertificateStore, message: LookBack
) -> tuple[Kept, ...] | int | Compared | Version | Steps | DigestPage | LogPage | None:
    """What is asked of former times.

    Raises:
        DeclaredError: it is not kept.
    """
    try:
        match message:
            case ListSnapshots():
                return await _listed(store)
            case ChangeAt(at):
                return store.head().change if at is None else await store.history.change_at(at)
            case Compare():
                return await _compared(store, message)
            case FetchAt(fingerprint, change):
                (found,) = await store.history.get([fingerprint], change)
                return found
            case GetSteps() | ListDigests() | ReadLog():
                return await _followed(store, message)
    except HistoryError as error:
        raise NotKept(error.change).error() from error


async def _followed(
    store: CertificateStore, message: GetSteps | ListDigests | ReadLog
) -> Steps | DigestPage | LogPage:
    """What those ask who keep up with the store."""
    match message:
        case GetSteps(change, root, limit):
            return await store.history.steps(change, root, limit)
        case ListDigests(cursor, limit):
            return await store.digests(cursor, limit)
        case ReadLog(after, cursor, limit):
            return await store.history.log(cursor, limit, after=after)


async def _listed(store: CertificateStore) -> tuple[Kept, ...]:
    history = store.history
    found = await history.snapshots()
    heads = [await history.head(_change(one)) for one in found]
    return tuple(Kept(one, head.size) for one, head in zip(found, heads, strict=True))


def _change(snapshot: Snapshot) -> int:
    assert snapshot.change is not None, "one that is kept has the number of its commit"
    return snapshot.change


async def _compared(store: CertificateStore, message: Compare) -> Compared:
    history = store.history
    trees = await history.tree(message.old), await history.tree(message.new)
    found = list(islice(differences(*trees, message.after), message.limit))
    names = [_known(name) for name in await history.named([one.key for one in found])]
    denied = await history.are_denied(names, message.new)
    differing = tuple(
        Differing(name, one.old is not None, one.new is not None, is_denied)
        for name, one, is_denied in zip(names, found, denied, strict=True)
    )
    return Compared(differing, found[-1].key if len(found) == message.limit else None)


def _known(name: Fingerprint | None) -> Fingerprint:
    if name is None:
        raise DamagedError("index.db does not know what is in heap.db: remove it, and start anew")
    return name
