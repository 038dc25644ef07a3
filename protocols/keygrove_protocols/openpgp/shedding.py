"""Bounds on what is kept of a certificate, and what goes first where it is more.

What goes is the end of a fixed order, so that any order of arrival leaves the same: of others'
signatures the latest, but revocations in the name of a designated revoker after all else; of
the primary key's own the oldest, and never one of its revocations, for nobody may keep an owner
from revoking by filling the certificate up first. Others may choose the dates, and the names,
in what they sign, so this bounds the damage of a flood and does not undo it: whoever floods a
certificate in the revoker's own name, with dates of before, does push his revocations out.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

from keygrove_protocols.openpgp.findings import Finding, Findings, Mark
from keygrove_protocols.openpgp.keys import Fingerprint, KeyId
from keygrove_protocols.openpgp.packets import Tag
from keygrove_protocols.openpgp.policy import Bounds, Policy
from keygrove_protocols.openpgp.revokers import is_by_one_of, named_revokers
from keygrove_protocols.openpgp.signatures import (
    ATTESTATION,
    CERTIFICATION_REVOCATION,
    KEY_REVOCATION,
    SUBKEY_REVOCATION,
)
from keygrove_protocols.openpgp.variants import signature_id


def is_too_large(findings: Findings, bounds: Bounds) -> bool:
    """Whether it is more than may be kept though everything that may go is gone."""
    tags = Counter(bundle.packet.tag for bundle in findings.bundles)
    return (
        len(findings.primary.body) > bounds.key_octets
        or tags[Tag.USER_ID] + tags[Tag.USER_ATTRIBUTE] > bounds.user_ids
        or tags[Tag.PUBLIC_SUBKEY] > bounds.subkeys
        or not _room(findings, bounds).is_enough
    )


def within_places(findings: Findings, policy: Policy) -> Findings:
    """At each place so many of others' signatures, so many own bindings, and attestations."""
    gone: set[int] = set()
    rank = _rank_of(findings)
    for _, found in findings.places():
        others = [finding for finding in found if finding.mark is not Mark.VALID]
        if len(others) > policy.bounds.third_party_signatures:
            others.sort(key=rank)
            gone.update(id(one) for one in others[policy.bounds.third_party_signatures :])
        own = [finding for finding in found if may_go(finding)]
        if len(own) > policy.bounds.own_signatures:
            for some in apart(own):
                some.sort(key=age, reverse=True)
                gone.update(id(one) for one in some[policy.bounds.own_signatures :])
    return findings.without(gone) if gone else findings


def within_total(findings: Findings, policy: Policy) -> Findings:
    """Of others' signatures those that begin in the room that everything else leaves.

    The last of them may end beyond it: were it left out for its size, a shorter one after it
    would come in or not by what had come before.
    """
    room = _room(findings, policy.bounds)
    others = [
        finding
        for _, found in findings.places()
        for finding in found
        if finding.mark is not Mark.VALID
    ]
    if room.octets >= sum(len(one.packet.body) for one in others) and room.packets >= len(others):
        return findings
    others.sort(key=_rank_of(findings))
    octets, kept = 0, 0
    for one in others:
        if octets >= room.octets or kept >= room.packets:
            break
        octets += len(one.packet.body)
        kept += 1
    return findings.without({id(one) for one in others[kept:]})


def _rank_of(findings: Findings) -> Callable[[Finding], tuple[bool, tuple[int, bytes, bytes]]]:
    """A sort key for others' signatures: the first stay the longest."""

    @cache
    def revokers() -> frozenset[Fingerprint | KeyId]:
        return named_revokers(findings)  # looked for only where something has to go

    return lambda finding: (not is_by_one_of(finding, revokers()), age(finding))


class _Room:
    """What is left for others' signatures; negative where the rest is too much already."""

    def __init__(self, octets: int, packets: int) -> None:
        self.octets = octets
        self.packets = packets
        self.is_enough = octets >= 0 and packets >= 0


def _room(findings: Findings, bounds: Bounds) -> _Room:
    octets, packets = len(findings.primary.body), 1
    for component, found in findings.places():
        octets += len(component.body) if component else 0
        packets += component is not None
        for finding in found:
            if may_go(finding):
                octets += len(finding.packet.body)
                packets += 1
    return _Room(bounds.certificate_octets - octets, bounds.packets - packets)


def may_go(finding: Finding) -> bool:
    """Whether it is the primary key's own, and no revocation."""
    return finding.mark is Mark.VALID and not finding.is_own(
        KEY_REVOCATION, SUBKEY_REVOCATION, CERTIFICATION_REVOCATION
    )


def apart(own: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What binds, and attestations, which do not: neither may push out the other."""
    binding: list[Finding] = []
    attesting: list[Finding] = []
    for finding in own:
        (attesting if finding.is_own(ATTESTATION) else binding).append(finding)
    return binding, attesting


def age(finding: Finding) -> tuple[int, bytes, bytes]:
    """A sort key: when it was made; then which it is, whatever copy; then which copy."""
    created = finding.signature.created if finding.signature else 0
    return (created, signature_id(finding), finding.packet.body)
