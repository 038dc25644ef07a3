"""What becomes of a certificate that meets what is already held: pure, one at a time."""

from enum import Enum

import msgspec

from keygrove.storage.derive import derive_from, read
from keygrove.storage.store import Cause, Put
from keygrove_protocols.errors import PrimaryMismatchError
from keygrove_protocols.limits import BULK, SUBMISSION, Limits
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.merge import merge

PACKET_EFFORT = 250
"""Bytes whose handling takes as long as that of an empty packet: a few microseconds."""


class Outcome(Enum):
    """What a submission changed."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    MISMATCHED = "mismatched"
    """Another primary key with this fingerprint is held; it stays."""
    OVERGROWN = "overgrown"
    """Together they would be larger than a certificate may be; what is held stays."""


class Held(msgspec.Struct, frozen=True):
    """A certificate in the form in which it is at hand: stored packets, or read."""

    digest: Digest
    certificate: Certificate | None = None
    packets: bytes = b""

    @property
    def effort(self) -> int:
        """What work on it costs, in bytes of a usual certificate."""
        return len(self.packets) if self.certificate is None else effort(self.certificate)

    def read(self) -> Certificate:
        """The certificate itself."""
        return read(self.packets) if self.certificate is None else self.certificate


class Absorbed(msgspec.Struct, frozen=True):
    """What is held now, and what has to be written for it: nothing where nothing changed."""

    held: Held
    outcome: Outcome
    put: Put | None = None


def absorb(
    held: Held | None, certificate: Certificate, digest: Digest, cause: Cause, now: int
) -> Absorbed:
    """Merge `certificate` (canonical, with its digest) into what is held."""
    if held is None:
        return Absorbed(
            Held(digest, certificate), Outcome.ADDED, _put(certificate, digest, cause, now)
        )
    if held.digest == digest:
        return Absorbed(held, Outcome.UNCHANGED)
    try:
        merged = merge(held.read(), certificate)
    except PrimaryMismatchError:
        return Absorbed(held, Outcome.MISMATCHED)
    if _is_overgrown(merged, BULK if cause is Cause.LOAD else SUBMISSION):
        return Absorbed(held, Outcome.OVERGROWN)
    merged_digest = sks_digest(packets(merged))
    if merged_digest == held.digest:
        return Absorbed(held, Outcome.UNCHANGED)
    put = _put(merged, merged_digest, cause, now)
    return Absorbed(Held(merged_digest, merged), Outcome.CHANGED, put)


def _is_overgrown(certificate: Certificate, limits: Limits) -> bool:
    """Only dumps may make a certificate larger than what one submission may hold."""
    sizes = [len(packet.body) for packet in packets(certificate)]
    return len(sizes) > limits.packets_max or sum(sizes) > limits.certificate_bytes_max


def effort(certificate: Certificate) -> int:
    """What work on a certificate costs, in bytes of a usual one."""
    return sum(len(packet.body) + PACKET_EFFORT for packet in packets(certificate))


def _put(certificate: Certificate, digest: Digest, cause: Cause, now: int) -> Put:
    found = derive_from(certificate)
    return Put(
        fingerprint=fingerprint(certificate),
        digest=digest,
        packets=to_bytes(certificate),
        terms=found.terms,
        words=found.words,
        cause=cause,
        at=now,
    )
