"""Others' signatures that the owner of a certificate asked for.

Approved are those that the latest attestation on a component lists by digest; of several made
in the same second all count, and one without a digest approves nothing. An attestation with a
hash algorithm weaker than SHA-256 does not count: others could make what it lists. A revocation
of an approved certification is approved with it.

Source: draft-dkg-openpgp-1pa3pc.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from keygrove_protocols.openpgp.crypto.hashes import HASHES
from keygrove_protocols.openpgp.findings import Finding, Findings, Mark
from keygrove_protocols.openpgp.hashing import attested_digest
from keygrove_protocols.openpgp.signatures import (
    ATTESTATION,
    CERTIFICATION_REVOCATION,
    CERTIFICATIONS,
    Signature,
)

_DIGEST_OCTETS_MIN = 32


def approved(findings: Findings) -> frozenset[int]:
    """The findings, by `id`, that the owner approved."""
    found: set[int] = set()
    for bundle in findings.bundles:
        found |= _approved_of(bundle.findings)
    return frozenset(found)


def _approved_of(findings: Iterable[Finding]) -> set[int]:
    """Of the findings on one component."""
    attestations = [
        finding.signature
        for finding in findings
        if finding.signature is not None
        and finding.is_own(ATTESTATION)
        and HASHES[finding.signature.hash_algorithm].octets >= _DIGEST_OCTETS_MIN
    ]
    if not attestations:
        return set()
    latest = max(one.created for one in attestations)
    lists: defaultdict[int, set[bytes]] = defaultdict(set)
    for one in attestations:
        if one.created == latest:
            lists[one.hash_algorithm].update(_digests(one))
    certifications = {
        id(finding): finding.signature.issuer
        for finding in findings
        if finding.mark is Mark.PLAUSIBLE
        and finding.signature is not None
        and finding.signature.kind in CERTIFICATIONS
        and any(
            attested_digest(algorithm, finding.signature, finding.packet.body) in digests
            for algorithm, digests in lists.items()
        )
    }
    issuers = set(certifications.values())
    return certifications.keys() | {
        id(finding)
        for finding in findings
        if finding.mark is Mark.PLAUSIBLE
        and finding.signature is not None
        and finding.signature.kind == CERTIFICATION_REVOCATION
        and finding.signature.issuer in issuers
    }


def _digests(attestation: Signature) -> Iterator[bytes]:
    octets = HASHES[attestation.hash_algorithm].octets
    data = attestation.attested or b""
    if len(data) % octets == 0:
        for at in range(0, len(data), octets):
            yield data[at : at + octets]
