"""What was found out about the signatures of a certificate, as values that can be carried about.

A mark depends on nothing but the primary key, the place and the signature, so it holds wherever
these meet again. `verification` finds it out; nothing here does any arithmetic.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from enum import Enum
from typing import Self, TypeAlias

import msgspec

from keygrove_protocols.openpgp.certificate import Certificate, arranged
from keygrove_protocols.openpgp.claims import Claim, read_claim
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.signatures import Signature


class Mark(Enum):
    """What was found out about a signature. The value is the code that reports name it by."""

    VALID = "Valid"
    """The primary key made it; a binding of a signing subkey has its back-signature."""
    PLAUSIBLE = "Plausible"
    """Somebody else's; it was not altered by accident since."""
    BAD = "BadSelfSig"
    """In the primary key's name, and not made by it."""
    NO_BACKSIG = "NoBacksig"
    """It binds a signing subkey that did not sign that it wants this, or any subkey with a
    forged back-signature where nobody signed it."""
    UNVERIFIABLE = "Unverifiable"
    """In the primary key's name, made in a way that we cannot check, or that proves nothing."""
    UNKNOWN_CRITICAL = "UnknownCriticalSubpacket"
    IMPLAUSIBLE = "Implausible"
    WEAK = "WeakHash"
    """Somebody else's, and its hash algorithm proves nothing."""
    MALFORMED = "MalformedSignature"
    """It cannot be read, or names nobody as its issuer."""
    MISPLACED = "Misplaced"
    LOCAL = "Local"
    """It was not meant for anybody else."""


GOOD = frozenset({Mark.VALID, Mark.PLAUSIBLE})


class Finding(msgspec.Struct, frozen=True, gc=False):
    """A signature, what it says, and what was found out about it."""

    packet: Packet
    signature: Signature | None
    mark: Mark
    names_primary: bool
    """Whether it says that the primary key made it, as in `Claim`."""

    def claim(self) -> Claim:
        """What it says, without what was found out."""
        return Claim(self.packet, self.signature, is_self=self.names_primary)

    def is_own(self, *kinds: int) -> bool:
        """Whether the primary key made it, as one of these kinds."""
        return (
            self.mark is Mark.VALID and self.signature is not None and self.signature.kind in kinds
        )


class Bundle(msgspec.Struct, frozen=True):
    """A component with the findings on it."""

    packet: Packet
    findings: tuple[Finding, ...]


Fact: TypeAlias = tuple[Packet | None, Packet | None]
"""A component, None for the primary key, and a signature on it, None for the component alone."""


class Findings(msgspec.Struct, frozen=True):
    """A certificate looked into."""

    primary: Packet
    direct: tuple[Finding, ...]
    bundles: tuple[Bundle, ...]

    def certificate(self) -> Certificate:
        """All of it, in canonical form."""
        return arranged(
            self.primary,
            map(Finding.claim, self.direct),
            ((bundle.packet, [*map(Finding.claim, bundle.findings)]) for bundle in self.bundles),
        )

    @property
    def marks(self) -> frozenset[Mark]:
        """What was found out about any of the signatures."""
        return frozenset(finding.mark for _, found in self.places() for finding in found)

    def facts(self) -> set[Fact]:
        """What it says, as the set that merging unites; a component alone is one, too."""
        facts: set[Fact] = {(bundle.packet, None) for bundle in self.bundles}
        for place, found in self.places():
            facts.update((place, finding.packet) for finding in found)
        return facts

    def marks_in(self, certificate: Certificate) -> list[Mark]:
        """The marks of its signatures in the order in which they stand in `certificate`."""
        known = marks_of(self)
        at: list[Fact] = [(None, packet) for packet in certificate.direct]
        at += [(one.packet, packet) for one in certificate.components for packet in one.signatures]
        return [known[fact] for fact in at]

    def number(self) -> int:
        """How many packets there are."""
        return 1 + len(self.direct) + sum(1 + len(one.findings) for one in self.bundles)

    def without(self, gone: Set[int]) -> Self:
        """Without some findings, given by `id`."""
        return type(self)(
            self.primary,
            tuple(finding for finding in self.direct if id(finding) not in gone),
            tuple(
                Bundle(one.packet, tuple(f for f in one.findings if id(f) not in gone))
                for one in self.bundles
            ),
        )

    def places(self) -> Iterator[tuple[Packet | None, tuple[Finding, ...]]]:
        """The primary key's own place, None, then each component; with the findings there."""
        yield None, self.direct
        for bundle in self.bundles:
            yield bundle.packet, bundle.findings


def marks_of(findings: Findings) -> dict[Fact, Mark]:
    """What was found out, as `verify` takes it."""
    return {
        (place, finding.packet): finding.mark
        for place, found in findings.places()
        for finding in found
    }


def marked(certificate: Certificate, marks: Iterable[Mark] | None = None) -> Findings:
    """The findings of a certificate that was looked into before, without arithmetic.

    `marks` are those of its signatures, in its order. Without them it is one of which only
    what is good was kept.
    """
    primary = parse_key(certificate.primary.body)
    known = None if marks is None else iter(marks)

    def find(packets: Iterable[Packet]) -> tuple[Finding, ...]:
        found: list[Finding] = []
        for packet in packets:
            claim = read_claim(packet, primary)
            mark = Mark.VALID if claim.is_self else Mark.PLAUSIBLE
            if known is not None:
                mark = next(known)
            found.append(Finding(packet, claim.signature, mark, claim.is_self))
        return tuple(found)

    return Findings(
        certificate.primary,
        find(certificate.direct),
        tuple(Bundle(one.packet, find(one.signatures)) for one in certificate.components),
    )


def unite(these: Sequence[Findings]) -> Findings:
    """All that was found out about one certificate."""
    places: dict[Packet | None, dict[Packet, Finding]] = {None: {}}
    for one in these:
        for place, found in one.places():
            known = places.setdefault(place, {})
            for finding in found:
                known.setdefault(finding.packet, finding)
    return Findings(
        these[0].primary,
        tuple(places.pop(None).values()),
        tuple(Bundle(packet, tuple(known.values())) for packet, known in places.items() if packet),
    )
