"""What a shard is asked and what it answers: values only, fit for another process."""

from typing import ClassVar, TypeAlias

import msgspec

from keygrove.storage.absorb import Outcome
from keygrove.storage.audit import Effect
from keygrove.storage.cache import Answer, Form
from keygrove.storage.candidate import Candidate
from keygrove.storage.rollback import Rehearsal, Rollback
from keygrove.storage.store import Counts, Progress, Savings
from keygrove.storage.term import Term
from keygrove.storage.write import Put
from keygrove_actors import Call, CallFailure
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash


class ShardApi:
    """The protocol of a shard."""


class Overloaded(CallFailure, frozen=True, tag=True):
    """As much is waiting as may wait: come back later."""


class Starting(CallFailure, frozen=True, tag=True):
    """The store is still being brought up: come back later."""


class TooBroad(CallFailure, frozen=True, tag=True):
    """There is too much to look through: search for rarer words."""


class ReadOnly(CallFailure, frozen=True, tag=True):
    """The store can only be read, because its disk can."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A bug of ours, met by this certificate alone; it is in the log."""


class Fetch(Call[ShardApi, Answer | Failed | None], frozen=True, tag=True):
    """The certificate with this primary key, in this form; None if it is not held."""

    errors: ClassVar = (Overloaded, Starting)
    fingerprint: Fingerprint
    form: Form


class Find(Call[ShardApi, tuple[Fingerprint, ...]], frozen=True, tag=True):
    """The certificates that carry a term."""

    errors: ClassVar = (Overloaded, Starting)
    term: Term
    limit: int


class Search(Call[ShardApi, tuple[Fingerprint, ...]], frozen=True, tag=True):
    """The certificates that carry all of these words."""

    errors: ClassVar = (Overloaded, Starting, TooBroad)
    words: frozenset[str]
    limit: int


class Sources(Call[ShardApi, tuple[bytes | None, ...]], frozen=True, tag=True):
    """What brought each of these certificates about, see `store.Whole`; None if it is not held."""

    errors: ClassVar = (Overloaded, Starting)
    fingerprints: tuple[Fingerprint, ...]


class Stored(msgspec.Struct, frozen=True, tag=True):
    """All that is stored of a certificate, that which is never served to clients, too."""

    fingerprint: Fingerprint
    digest: Digest
    packets: bytes


class FetchStored(Call[ShardApi, tuple[Stored, ...]], frozen=True, tag=True):
    """What is held and not denied, by digests or fingerprints: each certificate once.

    More than `octets_max` octets together are not read. What is damaged is left out.
    """

    errors: ClassVar = (Overloaded, Starting)
    digests: tuple[Digest, ...]
    fingerprints: tuple[Fingerprint, ...]
    octets_max: int


class Merged(msgspec.Struct, frozen=True, tag=True):
    """What became of a certificate. What is held now is durable, and has this digest.

    Where it is denied nothing is held, and the digest is that of what came in.
    """

    outcome: Outcome
    digest: Digest
    change: int


class NoSpace(msgspec.Struct, frozen=True, tag=True):
    """The disk is full; nothing of this was kept."""


class Merge(Call[ShardApi, Merged | NoSpace | Failed], frozen=True, tag=True):
    """Merge a certificate that was looked into into what is held."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    candidate: Candidate


class Order(msgspec.Struct, frozen=True):
    """On whose behalf an administrator's request is carried out, and why."""

    by: Fingerprint | None
    """The administrator's key; None for whoever works on this machine."""
    reason: str
    nonce: bytes
    """Names the request: for each fingerprint it is carried out once."""


class Administered(msgspec.Struct, frozen=True, tag=True):
    """What became of an administrator's request. It is durable, and in the audit log."""

    effect: Effect
    change: int


class Replayed(msgspec.Struct, frozen=True, tag=True):
    """This request was carried out before, and is in the audit log; nothing was done."""


class Deny(Call[ShardApi, Administered | Replayed | NoSpace | Failed], frozen=True, tag=True):
    """Remove what is held of a fingerprint, if anything is, and take nothing of it any more."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    fingerprint: Fingerprint
    order: Order


class Allow(Call[ShardApi, Administered | Replayed | NoSpace | Failed], frozen=True, tag=True):
    """Lift a denial. What was removed does not come back by itself."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    fingerprint: Fingerprint
    order: Order


class Replace(Call[ShardApi, Administered | Replayed | NoSpace | Failed], frozen=True, tag=True):
    """Hold this in place of what is held of the certificate."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    fingerprint: Fingerprint
    put: Put
    order: Order


class Redact(Call[ShardApi, Administered | Replayed | NoSpace | Failed], frozen=True, tag=True):
    """Remove these user IDs from what is held of a certificate, and take them no more."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    fingerprint: Fingerprint
    user_ids: frozenset[PartHash]
    order: Order


class Unredact(Call[ShardApi, Administered | Replayed | NoSpace | Failed], frozen=True, tag=True):
    """Take these user IDs again. What was removed does not come back by itself."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    fingerprint: Fingerprint
    user_ids: frozenset[PartHash]
    order: Order


Administer: TypeAlias = Deny | Allow | Replace | Redact | Unredact
"""What administrators ask for."""


class Slots(msgspec.Struct, frozen=True, tag=True):
    """The hashes of the slots of a shard's tree, 32 octets for each of 4,096."""

    change: int
    certificates: int
    hashes: bytes


class GetSlots(Call[ShardApi, Slots], frozen=True, tag=True):
    """How the slots of its tree stand; with `keep` that tree is kept for `Trace`, beside one more.

    Whoever has proofs made keeps; two who do so would take each other's away.
    """

    errors: ClassVar = (Overloaded, Starting)
    keep: bool = False


class Traced(msgspec.Struct, frozen=True, tag=True):
    """The way from its slot to where a certificate is in the tree of a shard, or would be."""

    below: tuple[bytes, ...]
    """The hashes of the children of each inner node on it, 512 octets each."""
    leaf: bytes
    """The entries at its end; none where nothing is."""
    packets: bytes = b""
    """The hash of what is served of it; none where it is not held."""
    aside: bytes = b""
    """The hash of what is set aside, if anything is."""


class Outdated(msgspec.Struct, frozen=True, tag=True):
    """The tree is not kept any more, or the certificate has changed since: ask for another."""


class Trace(Call[ShardApi, Traced | Outdated | Failed], frozen=True, tag=True):
    """Where a certificate is in the tree that was kept after this change of the shard."""

    errors: ClassVar = (Overloaded, Starting)
    fingerprint: Fingerprint
    change: int


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """There is no rollback of that name, or it is not at a stage where this can be asked."""


class Roll(Call[ShardApi, Rollback | Unknown | NoSpace | Failed], frozen=True, tag=True):
    """Begin a rollback, or, at stage `UNDOING`, the undo of one that is done.

    The answer comes when it is durable that it is carried out, and tells how it stands. One that
    was begun before goes on, and so does its undo.
    """

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    rollback: Rollback


class Rehearse(Call[ShardApi, Rehearsal | Unknown | Failed], frozen=True, tag=True):
    """What `Roll` would come to."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    rollback: Rollback


class Concerns(Call[ShardApi, bool | Failed], frozen=True, tag=True):
    """Whether anything that is held came by the changes that a rollback selects."""

    errors: ClassVar = (Overloaded, Starting, ReadOnly)
    rollback: Rollback


class Rollbacks(msgspec.Struct, frozen=True, tag=True):
    """A shard's rollbacks, by name."""

    rollbacks: tuple[Rollback, ...]


class GetRollbacks(Call[ShardApi, Rollbacks | Failed], frozen=True, tag=True):
    """How they stand."""

    errors: ClassVar = (Overloaded, Starting)


class ShardStatus(msgspec.Struct, frozen=True, tag=True):
    """A shard's figures. Those that only grow count from its last start."""

    counts: Counts
    """All zero while it is starting."""
    commits: int
    committed: int
    """Certificates in those commits."""
    waiting_reads: int
    waiting_merges: int
    cache_bytes: int
    cache_hits: int
    cache_negative_hits: int
    """Of these, those by which there is nothing."""
    cache_misses: int
    cache_evictions: int
    damaged_rows: int = 0
    """Known to be not what was written."""
    damaged_requests: int = 0
    """That met one of these, and got an error."""
    scrubbed: int = 0
    """The last row that was looked at again."""
    pinned_trees: int = 0
    """Of former times, in memory."""
    starting: Progress | None = None
    """How far its store is, if that is still being brought up."""
    is_read_only: bool = False
    """It was opened on a read-only disk, and not yet anew."""
    savings: Savings = Savings()


class GetStatus(Call[ShardApi, ShardStatus], frozen=True, tag=True):
    """The shard's figures."""

    errors: ClassVar = (Overloaded,)
