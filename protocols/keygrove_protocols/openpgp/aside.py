"""How much of what is not served is set aside, under a policy that keeps it as SKS does.

SKS keeps whatever comes and knows no end, so a stranger could make each merge of a certificate
as slow as he likes. Up to a bound that no certificate known in the network reaches, we keep all
that SKS does. Beyond it stays what is served, with the beginning of a fixed order of all that
there is: components; signatures that are the primary key's own or plausible, the oldest first;
others that can be read; those that cannot, which cost nothing to make.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from keygrove_protocols.openpgp.findings import GOOD, Bundle, Fact, Finding, Findings, Mark
from keygrove_protocols.openpgp.policy import Bounds


class _Place(NamedTuple):
    """Where a fact stands in the order: a sort key."""

    group: int
    created: int
    body: bytes
    tag: int
    component: bytes


def within_aside(findings: Findings, served: Findings, bounds: Bounds) -> Findings:
    """What is stored of a certificate of which `served` is served: all, if that is little enough.

    Whether a packet is in the beginning of the order depends on nothing but the packets before
    it, served or not: so what is stored of a union is what is stored of what was stored of its
    parts. As with what is served, a signature that went is not there for a component that is
    bound later. Linear in the packets, but for sorting where there are too many.
    """
    if findings.number() <= bounds.aside_packets and _octets(findings) <= bounds.aside_octets:
        return findings
    chosen = served.facts() | set(_beginning(findings, bounds))
    return Findings(
        findings.primary,
        tuple(one for one in findings.direct if (None, one.packet) in chosen),
        tuple(
            Bundle(
                bundle.packet,
                tuple(one for one in bundle.findings if (bundle.packet, one.packet) in chosen),
            )
            for bundle in findings.bundles
            if (bundle.packet, None) in chosen
        ),
    )


def _octets(findings: Findings) -> int:
    octets = len(findings.primary.body)
    for component, found in findings.places():
        octets += len(component.body) if component else 0
        octets += sum(len(one.packet.body) for one in found)
    return octets


def _beginning(findings: Findings, bounds: Bounds) -> Iterator[Fact]:
    """So many facts as there is room for; the last may end beyond it.

    All components come before any signature, so none is in it without its own.
    """
    octets, packets = len(findings.primary.body), 1
    for _, fact, size in sorted(_weighed(findings), key=itemgetter(0)):
        if octets >= bounds.aside_octets or packets >= bounds.aside_packets:
            return
        octets += size
        packets += 1
        yield fact


def _weighed(findings: Findings) -> Iterator[tuple[_Place, Fact, int]]:
    """Every fact, with its place in the order and its octets."""
    for component, found in findings.places():
        tag, body = (0, b"") if component is None else (component.tag, component.body)
        if component is not None:
            yield _Place(0, 0, b"", tag, body), (component, None), len(body)
        for one in found:
            created = one.signature.created if one.signature else 0
            octets = one.packet.body
            place = _Place(_group(one), created, octets, tag, body)
            yield place, (component, one.packet), len(octets)


def _group(finding: Finding) -> int:
    if finding.mark in GOOD:
        return 1
    return 3 if finding.mark is Mark.MALFORMED else 2
