"""The one order of a certificate's parts, from nothing but its octets.

Never from the time or from who sent what first: two servers that hold the same packets
write the same certificate. What a reader wants first stands first; GnuPG takes the first
user ID for the main one where none says so.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keygrove_protocols.openpgp.claims import BINDINGS, REVOCATIONS, Claim, is_revoked, newest
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import (
    ATTESTATION,
    CERTIFICATION_REVOCATION,
    CERTIFICATIONS,
    DIRECT_KEY,
    KEY_REVOCATION,
)

_DIRECT_GROUPS = {KEY_REVOCATION: 0, DIRECT_KEY: 1, CERTIFICATION_REVOCATION: 2}
_GROUPS = dict.fromkeys((*REVOCATIONS, KEY_REVOCATION), 0) | {ATTESTATION: 2}
_BINDING, _OTHER, _THIRD_PARTY, _MALFORMED = 1, 3, 4, 5


class SignaturePlace(NamedTuple):
    """Where a signature stands among those of its component: a sort key."""

    group: int
    age: int
    issuer: bytes
    body: bytes


class ComponentPlace(NamedTuple):
    """Where a component stands in its certificate: a sort key."""

    kind: int
    state: int
    is_secondary: bool
    age: int
    name: bytes


def direct_place(claim: Claim) -> SignaturePlace:
    """Revocations first, then direct-key signatures, then others' signatures."""
    return _place(claim, _group(claim, _DIRECT_GROUPS))


def signature_place(claim: Claim) -> SignaturePlace:
    """Revocations first, then bindings, newest first, attestations, others' signatures."""
    if claim.is_self and claim.signature and claim.signature.kind in BINDINGS:
        return SignaturePlace(_BINDING, -claim.signature.created, b"", claim.packet.body)
    return _place(claim, _group(claim, _GROUPS))


def _group(claim: Claim, groups: Mapping[int, int]) -> int:
    return groups.get(claim.signature.kind, _OTHER) if claim.signature else _MALFORMED


def _place(claim: Claim, group: int) -> SignaturePlace:
    """The oldest first; in the group given, if it is the primary key's own or nobody's."""
    signature, body = claim.signature, claim.packet.body
    if signature is None:
        return SignaturePlace(group, 0, b"", body)
    if claim.is_self:
        return SignaturePlace(group, signature.created, b"", body)
    return SignaturePlace(_THIRD_PARTY, signature.created, signature.issuer or b"", body)


def component_place(packet: Packet, claims: Iterable[Claim]) -> ComponentPlace:
    """User IDs, the main one first and revoked ones last; attributes likewise; subkeys by age."""
    if packet.tag == Tag.PUBLIC_SUBKEY:
        subkey = parse_key(packet.body)
        name = subkey.fingerprint + packet.body
        return ComponentPlace(2, 0, is_secondary=False, age=subkey.created, name=name)
    claims = list(claims)
    certification = newest(claims, CERTIFICATIONS)
    state = 2 if is_revoked(claims) else 1 if certification is None else 0
    return ComponentPlace(
        kind=0 if packet.tag == Tag.USER_ID else 1,
        state=state,
        is_secondary=certification is None or not certification.is_primary_user_id,
        age=-certification.created if certification else 0,
        name=packet.body,
    )
