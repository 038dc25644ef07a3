"""What a primary key seems to say about its own certificate.

Nothing is verified here: a signature counts as the primary key's own if it names that key
as its issuer. So this may order a certificate and describe it, but it must not decide
what is stored. Malformed signatures, and those with a critical part that is not
understood, count as nobody's.

Source: RFC 9580, sections 5.2.3.10 and 5.2.3.31; GnuPG where these leave it open.
"""

from collections.abc import Iterable

import msgspec

from keygrove_protocols.openpgp.keys import Key
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.signatures import (
    CERTIFICATION_REVOCATION,
    CERTIFICATIONS,
    SOFT_REASONS,
    SUBKEY_BINDING,
    SUBKEY_REVOCATION,
    Signature,
    read_signature,
)

BINDINGS = CERTIFICATIONS | {SUBKEY_BINDING}
REVOCATIONS = frozenset({CERTIFICATION_REVOCATION, SUBKEY_REVOCATION})


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A signature packet, what it says, and whether it says so in the primary key's name."""

    packet: Packet
    signature: Signature | None
    is_self: bool


def read_claim(packet: Packet, primary: Key) -> Claim:
    """Read one signature of a certificate."""
    signature = read_signature(packet.body)
    if signature is None or signature.has_unknown_critical:
        return Claim(packet, signature, is_self=False)
    return Claim(packet, signature, is_self=signature.claims(primary))


def newest(claims: Iterable[Claim], kinds: frozenset[int]) -> Signature | None:
    """The primary key's latest signature of these kinds; of two at once, the larger body."""
    own = [c for c in claims if c.is_self and c.signature is not None and c.signature.kind in kinds]
    return max(own, key=_age).signature if own else None


def is_revoked(claims: Iterable[Claim]) -> bool:
    """Whether a user ID, attribute or subkey is revoked by the primary key.

    A later binding overrides the revocation, but not that of a subkey for a hard reason,
    such as that it was stolen.
    """
    own = [c.signature for c in claims if c.is_self and c.signature is not None]
    bound_at = max((s.created for s in own if s.kind in BINDINGS), default=0)
    return any(s.created >= bound_at or _is_final(s) for s in own if s.kind in REVOCATIONS)


def _is_final(revocation: Signature) -> bool:
    return revocation.kind == SUBKEY_REVOCATION and revocation.reason_code not in SOFT_REASONS


def _age(claim: Claim) -> tuple[int, bytes]:
    return (claim.signature.created if claim.signature else 0, claim.packet.body)
