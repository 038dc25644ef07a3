"""What becomes of a certificate that meets what is already held: pure, one at a time."""

from collections.abc import Sequence
from enum import Enum
from functools import reduce
from typing import TypeAlias

import msgspec

from keygrove.storage.derive import derive_from, read
from keygrove.storage.store import Cause, Put
from keygrove_protocols.limits import BULK, SUBMISSION, Limits
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet

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
    DENIED = "denied"
    """Its fingerprint is denied: nothing of it is held."""


CHANGING = frozenset({Outcome.ADDED, Outcome.CHANGED})
"""After these something has to be written."""


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


class Incoming(msgspec.Struct, frozen=True):
    """A certificate to be merged: canonical, with its digest."""

    certificate: Certificate
    digest: Digest
    cause: Cause


class Absorbed(msgspec.Struct, frozen=True):
    """What is held now, and what has to be written for it: nothing where nothing changed."""

    held: Held
    outcomes: tuple[Outcome, ...]
    """Of each certificate that came in."""
    put: Put | None = None


def absorb(held: Held | None, incoming: Sequence[Incoming], now: int) -> Absorbed:
    """Merge certificates of one fingerprint into what is held, all in one go.

    What a certificate brings that is new is compared with what was held before all of them,
    so two that bring the same are both `CHANGED`; and what dumps bring comes last, because
    they may make a certificate larger than submissions may.
    """
    outcomes: dict[int, Outcome] = {}
    rest = list(enumerate(incoming))
    current = held
    if current is None:
        at, first = rest.pop(0)
        current = Held(first.digest, first.certificate)
        outcomes[at] = Outcome.ADDED
    cause = incoming[0].cause
    for of, limits in ((Cause.UPLOAD, SUBMISSION), (Cause.LOAD, BULK)):
        some = [(at, one) for at, one in rest if one.cause is of]
        if some:
            current, told = _merge_all(current, [one for _, one in some], limits)
            outcomes |= {at: outcome for (at, _), outcome in zip(some, told, strict=True)}
            cause = of if Outcome.CHANGED in told else cause
    told = [outcomes[at] for at in range(len(incoming))]
    is_new = not CHANGING.isdisjoint(told)
    put = put_of(current.read(), current.digest, cause, now) if is_new else None
    return Absorbed(current, tuple(told), put)


def _merge_all(
    held: Held, incoming: Sequence[Incoming], limits: Limits
) -> tuple[Held, list[Outcome]]:
    """Merge those that bring something new, and say of each what became of it."""
    if all(one.digest == held.digest for one in incoming):
        return held, [Outcome.UNCHANGED] * len(incoming)
    certificate = held.read()
    facts = _facts(certificate)
    outcomes = [_compare(certificate, facts, one.certificate) for one in incoming]
    new = [
        one.certificate
        for one, outcome in zip(incoming, outcomes, strict=True)
        if outcome is Outcome.CHANGED
    ]
    if not new:
        return Held(held.digest, certificate, held.packets), outcomes
    merged = merge(certificate, reduce(merge, new))
    digest = sks_digest(packets(merged))
    if _is_overgrown(merged, limits):
        refused = {Outcome.CHANGED: Outcome.OVERGROWN}
        return held, [refused.get(outcome, outcome) for outcome in outcomes]
    return Held(digest, merged), outcomes


Fact: TypeAlias = tuple[Packet | None, Packet | None]
"""A component, or a signature on one; None for the primary key's place, or for none."""


def _facts(certificate: Certificate) -> set[Fact]:
    """What a certificate says, as the set that merging unites."""
    facts: set[Fact] = {(None, signature) for signature in certificate.direct}
    for component in certificate.components:
        facts.add((component.packet, None))
        facts.update((component.packet, signature) for signature in component.signatures)
    return facts


def _compare(held: Certificate, facts: set[Fact], other: Certificate) -> Outcome:
    if held.primary != other.primary:
        return Outcome.MISMATCHED
    return Outcome.UNCHANGED if _facts(other) <= facts else Outcome.CHANGED


def _is_overgrown(certificate: Certificate, limits: Limits) -> bool:
    """Only dumps may make a certificate larger than what one submission may hold."""
    sizes = [len(packet.body) for packet in packets(certificate)]
    return len(sizes) > limits.packets_max or sum(sizes) > limits.certificate_bytes_max


def effort(certificate: Certificate) -> int:
    """What work on a certificate costs, in bytes of a usual one."""
    return sum(len(packet.body) + PACKET_EFFORT for packet in packets(certificate))


def put_of(certificate: Certificate, digest: Digest, cause: Cause, now: int) -> Put:
    """What has to be written for this certificate, whatever was held before."""
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
