"""The changes of a shard: what is kept, what is denied, what is lifted, and why."""

from enum import Enum
from typing import TypeAlias

import msgspec

from keygrove.storage.term import Term
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash


class Cause(Enum):
    """Why a certificate changed."""

    UPLOAD = 1
    LOAD = 2
    ADMIN = 3
    RECON = 4
    ROLLBACK = 5
    """What others brought was taken back, or that was undone."""
    REPAIR = 6
    """What was stored rotted, and could not be read any more."""


class Put(msgspec.Struct, frozen=True):
    """Keep these packets in place of any before."""

    fingerprint: Fingerprint
    digest: Digest
    packets: bytes
    terms: frozenset[Term]
    words: frozenset[str]
    cause: Cause
    at: int
    """Seconds, UTC."""
    sks_digest: Digest = Digest(b"")
    """See `Whole`; `digest` unless given."""
    aside: bytes = b""
    source: bytes = b""
    origin: str = ""
    """Which of those that bring certificates for this cause: a partner, a load, a rollback."""

    def __post_init__(self) -> None:
        """Complete what was not given."""
        if not self.sks_digest:
            msgspec.structs.force_setattr(self, "sks_digest", self.digest)

    @property
    def size(self) -> int:
        """Octets of all that is stored."""
        return len(self.packets) + len(self.aside)


class Denial(msgspec.Struct, frozen=True):
    """Remove what is held of this fingerprint, and remember that it is not wanted.

    Of one that is denied already, this takes the place of what is remembered.
    """

    fingerprint: Fingerprint
    reason: str
    at: int
    """Seconds, UTC."""
    digests: tuple[Digest, ...] = ()
    """States of it that are known, and not wanted from others."""
    held: Put | None = None
    """What its key says against itself, which is held and served all the same."""
    cause: Cause = Cause.ADMIN
    origin: str = ""
    since: int | None = None
    """When it was denied, if that was before this change of what is held beside; as `at`."""


class Lift(msgspec.Struct, frozen=True):
    """Deny nothing of a fingerprint. What was removed does not come back by itself."""

    fingerprint: Fingerprint
    at: int
    """Seconds, UTC."""
    held: Put | None = None
    """What is held from now on; None: nothing."""
    cause: Cause = Cause.ADMIN
    origin: str = ""


Write: TypeAlias = Put | Denial | Lift
"""A change of one certificate. A put of what is denied, and a lift of what is neither held nor
denied, are no changes of ours: whoever commits asks before."""


def held_by(write: Write) -> Put | None:
    """What is held of the certificate after that."""
    return write if isinstance(write, Put) else write.held


class Redaction(msgspec.Struct, frozen=True):
    """The parts of a certificate that are not wanted, in place of those remembered before.

    It says nothing of whether the certificate is held or denied, and outlasts both.
    """

    fingerprint: Fingerprint
    parts: frozenset[PartHash]
    """None: all are wanted again."""
    at: int
    """Seconds, UTC."""
    origin: str = ""
    """The rollback that took them out: each remembers its own; empty: administrators did."""


class Redacted(msgspec.Struct, frozen=True):
    """The parts of a certificate that are not wanted, by their origin, as in `Redaction`."""

    by_origin: dict[str, frozenset[PartHash]] = {}

    @property
    def parts(self) -> frozenset[PartHash]:
        """All of them."""
        return frozenset[PartHash]().union(*self.by_origin.values())
