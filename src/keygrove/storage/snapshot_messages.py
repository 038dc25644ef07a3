"""What a shard is asked of snapshots, of how it stood before, and of what changed since."""

from typing import ClassVar, TypeAlias

import msgspec

from keygrove.storage.cursor import Cursor
from keygrove.storage.history import LogPage
from keygrove.storage.mark import Snapshot
from keygrove.storage.messages import Failed, NoSpace, Overloaded, ReadOnly, ShardApi, Starting
from keygrove.storage.steps import Steps
from keygrove.storage.store import DigestPage
from keygrove.storage.version import Head, Version
from keygrove_actors import Call, CallFailure
from keygrove_protocols.openpgp.keys import Fingerprint


class NotKept(CallFailure, frozen=True, tag=True):
    """How it stood after that change is not kept."""

    change: int


class Taken(msgspec.Struct, frozen=True, tag=True):
    """A snapshot of one shard. It is durable, and lacks the root of all shards yet."""

    change: int
    at: int
    """Seconds, UTC."""
    certificates: int
    slots: bytes
    """As `messages.Slots` has them, of just that change."""


class TooMany(msgspec.Struct, frozen=True, tag=True):
    """There are as many snapshots as there may be."""

    limit: int


class TakeSnapshot(Call[ShardApi, Taken | TooMany | NoSpace], frozen=True, tag=True):
    """Remember by this name how the shard stands; what had that name is forgotten."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    name: str


class SealSnapshot(Call[ShardApi, bool | NoSpace], frozen=True, tag=True):
    """Give a snapshot that was taken its root, of all shards, and its time.

    The answer is whether it is still the one that was taken.
    """

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    name: str
    change: int
    root: bytes
    at: int


class DropSnapshot(Call[ShardApi, bool | NoSpace], frozen=True, tag=True):
    """Forget a snapshot. The answer is whether there was one."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    name: str


Marking: TypeAlias = TakeSnapshot | SealSnapshot | DropSnapshot
"""What is done by a commit."""
Marked: TypeAlias = Taken | TooMany | bool | NoSpace


class Kept(msgspec.Struct, frozen=True, tag=True):
    """A snapshot of one shard, and how many certificates it held."""

    snapshot: Snapshot
    certificates: int


class ListSnapshots(Call[ShardApi, tuple[Kept, ...] | Failed], frozen=True, tag=True):
    """All of the shard's snapshots, by name."""

    errors: ClassVar = (Overloaded, Starting)


class ChangeAt(Call[ShardApi, int | Failed], frozen=True, tag=True):
    """The newest change made by then, in seconds UTC; the newest of all if that is not said."""

    errors: ClassVar = (Overloaded, Starting)
    at: int | None


class Differing(msgspec.Struct, frozen=True):
    """A certificate that is another after one change than after another change."""

    fingerprint: Fingerprint
    was_held: bool
    is_held: bool
    is_denied: bool


class Compared(msgspec.Struct, frozen=True, tag=True):
    """Some of what differs, in the order of tree keys, and behind which key to go on."""

    differing: tuple[Differing, ...]
    after: bytes | None
    """None at the end."""


class Compare(Call[ShardApi, Compared | Failed], frozen=True, tag=True):
    """What differs between how it stood after two changes, behind a tree key."""

    errors: ClassVar = (Overloaded, Starting, NotKept)
    old: int
    new: int
    after: bytes
    limit: int


class FetchAt(Call[ShardApi, Version | Failed | None], frozen=True, tag=True):
    """What was to be served of a certificate after that change; None if nothing was held."""

    errors: ClassVar = (Overloaded, Starting, NotKept)
    fingerprint: Fingerprint
    change: int


class GetHead(Call[ShardApi, Head], frozen=True, tag=True):
    """How the shard stands, in short: at once, also while it is being brought up."""

    errors: ClassVar = ()


class GetSteps(Call[ShardApi, Steps | Failed], frozen=True, tag=True):
    """What changed since, see `History.steps`."""

    errors: ClassVar = (Overloaded, Starting, NotKept)
    change: int
    root: bytes
    limit: int


class ListDigests(Call[ShardApi, DigestPage | Failed], frozen=True, tag=True):
    """The digests of what is held now, see `CertificateStore.digests`."""

    errors: ClassVar = (Overloaded, Starting)
    cursor: Cursor | None
    limit: int


class ReadLog(Call[ShardApi, LogPage | Failed], frozen=True, tag=True):
    """Some entries of the change log, oldest first, see `History.log`."""

    errors: ClassVar = (Overloaded, Starting, NotKept)
    after: int
    cursor: Cursor | None
    limit: int


LookBack: TypeAlias = (
    ListSnapshots | ChangeAt | Compare | FetchAt | GetSteps | ListDigests | ReadLog
)
"""What is read."""
