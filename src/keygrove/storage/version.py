"""What is held of a certificate, and of all, after a change."""

import msgspec

from keygrove.storage.merkle import EMPTY
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


class Version(msgspec.Struct, frozen=True):
    """What is served of a certificate as it stood after change number `change` of its shard."""

    fingerprint: Fingerprint
    digest: Digest
    """SKS digest of all that is stored of it: of its packets, and of what is set aside."""
    packets: bytes
    change: int


class Whole(Version, frozen=True):
    """All that is stored of a certificate."""

    sks_digest: Digest
    """What an SKS server calls it that was sent the same."""
    aside: bytes
    """What is kept beside the packets and never served: the store does not look into it."""
    source: bytes
    """16 octets that name the input which brought this about; none if that is not known."""


class Head(msgspec.Struct, frozen=True):
    """What a shard holds after a change, in short: equal sets have equal roots."""

    change: int
    root: bytes
    """Of the tree (`merkle`) of its certificates, each by the hash of all that is stored of it."""
    size: int
    """Certificates."""

    @classmethod
    def empty(cls) -> "Head":
        """Before the first change."""
        return cls(0, EMPTY, 0)
