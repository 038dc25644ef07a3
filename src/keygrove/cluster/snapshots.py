"""Snapshots of all shards together, and what differs between two moments."""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from keygrove.cluster.placement import Placement
from keygrove.errors import DamagedError, DiskFullError, HistoryError, SnapshotError
from keygrove.storage.forest import Forest, united
from keygrove.storage.mark import NOW, check_name
from keygrove.storage.merkle import blake3_256
from keygrove.storage.messages import Failed, GetSlots, NoSpace, ShardApi
from keygrove.storage.snapshot_messages import (
    ChangeAt,
    Compare,
    Differing,
    DropSnapshot,
    FetchAt,
    Kept,
    ListSnapshots,
    NotKept,
    SealSnapshot,
    Taken,
    TakeSnapshot,
    TooMany,
)
from keygrove.storage.version import Version
from keygrove_actors import Call, DeclaredError
from keygrove_protocols.openpgp.keys import Fingerprint

R = TypeVar("R")

PAGE = 256
"""Differences at a time: they take a shard's event loop a few milliseconds."""
_ROOT = re.compile(r"[0-9A-Fa-f]{64}")
_CHANGES = re.compile(r"@\d{1,18}(\.\d{1,18})*")


class Shards(Protocol):
    """Whoever passes messages on to shards."""

    async def ask(self, shard: int, message: Call[ShardApi, R], /) -> R:
        """What one shard answers."""
        ...

    async def ask_all(self, message: Call[ShardApi, R], /) -> list[R]:
        """What each shard answers, in order."""
        ...


class Listed(msgspec.Struct, frozen=True):
    """A snapshot of all shards."""

    name: str
    at: int
    """When it was taken: seconds, UTC."""
    certificates: int
    root: bytes | None
    """Of what all shards held; None if it is partial: something went wrong while it was made."""
    changes: tuple[int | None, ...]
    """Its change of each shard; None where it is not there."""


Moment: TypeAlias = tuple[int, ...]
"""How all shards stood: a change number of each."""


class Position(msgspec.Struct, frozen=True):
    """Where a page of differences begins: behind a tree key of a shard."""

    shard: int = 0
    after: bytes = b""


class Snapshots:
    """Every method raises `ActorError` when a shard cannot answer, and DamagedError.

    The latter of what is not as it was written; the shard has it in its log.
    """

    def __init__(self, shards: Shards, number: int) -> None:
        self._shards = shards
        self._number = number
        self._placement = Placement(number)

    async def create(self, name: str) -> Listed:
        """Take a snapshot of all shards; it is durable when this returns.

        One of that name that is partial is made anew.

        Raises:
            DiskFullError: it is not, or partial.
            SnapshotError: there is one of that name, or it is no name, or there are too many.
        """
        check_name(name)
        known = await self._find(name)
        if known is not None and known.root is not None:
            raise SnapshotError(f"there is a snapshot {name!r}: drop it, or take another name")
        taken = [_taken(one) for one in await self._shards.ask_all(TakeSnapshot(name))]
        root = Forest(blake3_256, united(one.slots for one in taken)).root
        at = max(one.at for one in taken)
        for shard, one in enumerate(taken):
            seal = SealSnapshot(name, one.change, root, at)
            if not _done(await self._shards.ask(shard, seal), "create"):
                raise SnapshotError(f"another took or dropped {name!r} meanwhile: see the list")
        changes = tuple(one.change for one in taken)
        return Listed(name, at, sum(one.certificates for one in taken), root, changes)

    async def drop(self, name: str) -> None:
        """Forget a snapshot, or what there is of it.

        Raises:
            DiskFullError: it is not dropped, or not by all shards.
            SnapshotError: there is none of that name.
        """
        replies = await self._shards.ask_all(DropSnapshot(name))
        done = [_done(one, "drop") for one in replies]
        if not any(done):
            raise SnapshotError(f"there is no snapshot {name[:80]!r}: see `keygrove snapshot list`")

    async def all(self) -> list[Listed]:
        """All of them, the oldest first."""
        by_name: defaultdict[str, list[Kept | None]] = defaultdict(lambda: [None] * self._number)
        for shard, some in enumerate(await self._shards.ask_all(ListSnapshots())):
            for one in _sound(some):
                by_name[one.snapshot.name][shard] = one
        found = [_listed(name, some) for name, some in by_name.items()]
        return sorted(found, key=lambda one: (one.at, one.name))

    async def moment(self, text: str) -> Moment:
        """What a text means: `now`, a snapshot, its root, the root of now, or a time.

        A time is an ISO 8601 date, with or without a time of day, in UTC unless it says
        otherwise; it means what was committed no later, by the clock of that time. Roots are in
        hexadecimal. What `write_moment` makes is one, too.

        Raises:
            SnapshotError: it means nothing.
        """
        if text == NOW:
            return await self._at(None)
        if _CHANGES.fullmatch(text) and text.count(".") == self._number - 1:
            return tuple(map(int, text[1:].split(".")))
        if _ROOT.fullmatch(text):
            return await self._of_root(bytes.fromhex(text))
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return _whole(text, await self._find(text))
        return await self._at(int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()))

    async def differing(
        self, old: Moment, new: Moment, start: Position
    ) -> tuple[tuple[Differing, ...], Position | None]:
        """Some certificates that differ between two moments, and where the next ones begin.

        They come shard by shard. Pages do not change, whatever is committed meanwhile.

        Raises:
            HistoryError: one of the moments is not kept.
            SnapshotError: `start` is nowhere.
        """
        shard = start.shard
        if not 0 <= shard < self._number:
            raise SnapshotError(f"there is no shard {shard}: begin at the first page again")
        compare = Compare(old[shard], new[shard], start.after, PAGE)
        found = _sound(await self._kept(shard, compare))
        if found.after is not None:
            return found.differing, Position(shard, found.after)
        return found.differing, Position(shard + 1) if shard + 1 < self._number else None

    async def get(self, fingerprint: Fingerprint, moment: Moment) -> Version | None:
        """What was to be served of a certificate at a moment; None if nothing was held.

        Raises:
            HistoryError: that moment is not kept.
        """
        shard = self._placement.shard(fingerprint)
        found = await self._kept(shard, FetchAt(fingerprint, moment[shard]))
        return None if found is None else _sound(found)

    async def _kept(self, shard: int, message: Call[ShardApi, R]) -> R:
        try:
            return await self._shards.ask(shard, message)
        except DeclaredError as error:
            if isinstance(error.failure, NotKept):
                raise HistoryError(error.failure.change) from error
            raise

    async def _find(self, name: str) -> Listed | None:
        return next((one for one in await self.all() if one.name == name), None)

    async def _at(self, at: int | None) -> Moment:
        return tuple(map(_sound, await self._shards.ask_all(ChangeAt(at))))

    async def _of_root(self, root: bytes) -> Moment:
        for one in await self.all():
            if one.root == root:
                return _whole(one.name, one)
        slots = await self._shards.ask_all(GetSlots())
        if Forest(blake3_256, united(one.hashes for one in slots)).root == root:
            return tuple(one.change for one in slots)
        raise SnapshotError(
            f"{root.hex()} is the root of no snapshot, nor of what is held now: see "
            "`keygrove snapshot list`"
        )


def what_is_partial(name: str, at: int) -> str:
    """Says what a partial snapshot is good for; `at` is when it was taken, in seconds UTC."""
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"snapshot {name!r} is partial, of some shards only, and shows nothing: name the time when "
        f"it was taken, {when}, instead; `keygrove snapshot create {name}` takes it anew, of what "
        f"is held now, and `keygrove snapshot drop {name}` forgets it"
    )


def write_moment(moment: Moment) -> str:
    """A text that means just that moment."""
    return "@" + ".".join(map(str, moment))


def _listed(name: str, some: Sequence[Kept | None]) -> Listed:
    there = [one for one in some if one is not None]
    seals = {(one.snapshot.root, one.snapshot.at) for one in there}
    is_whole = len(there) == len(some) and len(seals) == 1 and all(root for root, _ in seals)
    first = there[0].snapshot
    return Listed(
        name,
        max(one.snapshot.at for one in there),
        sum(one.certificates for one in there),
        first.root if is_whole else None,
        tuple(None if one is None else one.snapshot.change for one in some),
    )


def _whole(name: str, listed: Listed | None) -> Moment:
    if listed is None:
        raise _unknown(name)
    changes = tuple(change for change in listed.changes if change is not None)
    if listed.root is None:
        raise SnapshotError(what_is_partial(listed.name, listed.at))
    return changes


def _unknown(name: str) -> SnapshotError:
    return SnapshotError(
        f"{name[:80]!r} is no snapshot, root or time: see `keygrove snapshot list`; a time is "
        "written as 2026-01-31 or 2026-01-31T23:59:59Z"
    )


def _taken(reply: Taken | TooMany | NoSpace) -> Taken:
    match reply:
        case Taken():
            return reply
        case TooMany(limit):
            raise SnapshotError(f"there are {limit:,} snapshots, as many as may be: drop some")
        case NoSpace():
            raise DiskFullError("the snapshot", "free some, then create it again")


def _done(reply: bool | NoSpace, again: str) -> bool:
    if isinstance(reply, NoSpace):
        raise DiskFullError("the snapshot", f"free some, then {again} it again")
    return reply


def _sound(reply: R | Failed) -> R:
    if isinstance(reply, Failed):
        raise DamagedError("a shard met damage in its history: see its log, and run keygrove fsck")
    return reply
