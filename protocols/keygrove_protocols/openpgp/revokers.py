"""Designated revokers: others whom the owner of a certificate lets revoke it.

The owner names them by fingerprint in a signature of his own. Whether one of them revoked the
certificate can only be known where the revoker's own certificate is at hand, which is nothing
that two servers agree on: so nothing here decides what is stored. There a revocation in a
revoker's name is somebody else's signature, which stays where others' have to go.

Source: RFC 9580, sections 5.2.1.11 and 5.2.3.23.
"""

from collections.abc import Iterable

import msgspec

from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from keygrove_protocols.openpgp.findings import Finding, Findings, Mark
from keygrove_protocols.openpgp.hashing import Scope
from keygrove_protocols.openpgp.keys import Fingerprint, KeyId, parse_key
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.signatures import (
    KEY_REVOCATION,
    SUBKEY_REVOCATION,
    Signature,
)


class RevokedBy(msgspec.Struct, frozen=True):
    """A revocation of the primary key that a designated revoker made."""

    revoker: Fingerprint
    signature: Signature


def named_revokers(findings: Findings) -> frozenset[Fingerprint | KeyId]:
    """Whom the owner lets revoke the certificate, by all that they are called."""
    return frozenset(
        name
        for _, found in findings.places()
        for finding in found
        if finding.mark is Mark.VALID and finding.signature is not None
        for revoker in finding.signature.revokers
        for name in (revoker, KeyId(revoker[-8:]))
    )


def is_by_one_of(finding: Finding, revokers: frozenset[Fingerprint | KeyId]) -> bool:
    """Whether one of those whom the owner named signed it, as far as it says itself."""
    signature = finding.signature
    if signature is None or signature.kind not in (KEY_REVOCATION, SUBKEY_REVOCATION):
        return False
    return (signature.issuer_fingerprint or signature.issuer) in revokers


def find_revocations(findings: Findings, primaries: Iterable[Packet]) -> list[RevokedBy]:
    """The revocations of the primary key that designated revokers made.

    `primaries` are the primary keys at hand, of whomever. Whether the revoker's own certificate
    is valid does not matter, as for GnuPG. One verification for each pair of a revocation and a
    revoker that it names.
    """
    names = named_revokers(findings)
    revokers = [one for one in primaries if parse_key(one.body).fingerprint in names]
    scope = Scope(findings.primary)
    return [
        RevokedBy(parse_key(revoker.body).fingerprint, finding.signature)
        for finding in findings.direct
        for revoker in revokers
        if finding.mark is Mark.PLAUSIBLE
        and finding.signature is not None
        and finding.signature.kind == KEY_REVOCATION
        and _is_made_by(revoker, finding.signature, finding.packet.body, scope)
    ]


def _is_made_by(revoker: Packet, signature: Signature, body: bytes, scope: Scope) -> bool:
    key = parse_key(revoker.body)
    digest = scope.digest(signature, body)
    if digest is None or not (signature.claims(key) and signature.fits(key)):
        return False
    material = body[signature.material_at :]
    verdict = load_key(revoker.body).verify(
        signature.algorithm, signature.hash_algorithm, digest, material
    )
    return verdict is Verdict.VALID
