"""What a list of certificates shows of one."""

from collections.abc import Iterable

import msgspec

from keygrove_protocols.openpgp.certificate import Certificate, Component, key, subkeys, user_ids
from keygrove_protocols.openpgp.claims import Claim, is_revoked, newest, read_claim
from keygrove_protocols.openpgp.keys import Fingerprint, Key, KeyId, parse_key
from keygrove_protocols.openpgp.order import component_place
from keygrove_protocols.openpgp.packets import Packet
from keygrove_protocols.openpgp.signatures import (
    CERTIFICATIONS,
    DIRECT_KEY,
    KEY_REVOCATION,
    SUBKEY_BINDING,
)

_DAY_S = 86_400
_DIRECT_ONLY_VERSION = 6
_DIRECT = frozenset({DIRECT_KEY})
_BINDING = frozenset({SUBKEY_BINDING})
_REVOCATION = frozenset({KEY_REVOCATION})


class UserIdSummary(msgspec.Struct, frozen=True):
    """A user ID as its octets, and what its latest certification by the key says."""

    text: bytes
    created: int | None
    expires: int | None
    is_revoked: bool


class SubkeySummary(msgspec.Struct, frozen=True):
    """A subkey, and what its latest binding says."""

    version: int
    fingerprint: Fingerprint
    key_id: KeyId
    created: int
    expires: int | None
    is_revoked: bool
    algorithm: int
    bits: int
    curve: str | None


class Summary(msgspec.Struct, frozen=True):
    """A certificate in short. Times are UTC seconds; an expiry of None is never.

    It does not depend on the time, so it can be stored: ask `is_expired` when it is shown.
    """

    version: int
    fingerprint: Fingerprint
    key_id: KeyId
    created: int
    expires: int | None
    is_revoked: bool
    algorithm: int
    bits: int
    curve: str | None
    user_ids: tuple[UserIdSummary, ...]
    subkeys: tuple[SubkeySummary, ...]


def is_expired(expires: int | None, now: int) -> bool:
    """Whether a time of expiry has come."""
    return expires is not None and expires <= now


def summary(certificate: Certificate) -> Summary:
    """Summarise a certificate.

    No signature is verified: what names the primary key as its issuer is believed, even
    if it is dated in the future. On an unverified certificate this is what it claims.
    """
    primary = key(certificate)
    direct = _claims(certificate.direct, primary)
    named = [(one, _claims(one.signatures, primary)) for one in user_ids(certificate)]
    return Summary(
        version=primary.version,
        fingerprint=primary.fingerprint,
        key_id=primary.key_id,
        created=primary.created,
        expires=_expires(primary, direct, named),
        is_revoked=newest(direct, _REVOCATION) is not None,
        algorithm=primary.algorithm,
        bits=primary.bits,
        curve=primary.curve,
        user_ids=tuple(_user_id(one, claims) for one, claims in named),
        subkeys=tuple(_subkey(one, primary) for one in subkeys(certificate)),
    )


def _claims(packets: Iterable[Packet], primary: Key) -> list[Claim]:
    """The signatures that may be the primary key's: its key ID is in each of those.

    Searching for it is much cheaper than reading thousands of signatures of others.
    """
    return [
        read_claim(packet, primary) for packet in packets if packet.body.find(primary.key_id) >= 0
    ]


def _expires(
    primary: Key, direct: list[Claim], named: list[tuple[Component, list[Claim]]]
) -> int | None:
    """When the primary key expires.

    The latest direct-key signature that speaks of it decides, else, up to version 5, the
    certification of the main user ID; before version 4 the key says it itself.
    """
    if primary.validity_days:
        return primary.created + primary.validity_days * _DAY_S
    speaking = [c for c in direct if c.signature and c.signature.key_expires_s is not None]
    decisive = newest(speaking, _DIRECT)
    if decisive is None and named and primary.version < _DIRECT_ONLY_VERSION:
        _, claims = min(named, key=lambda one: component_place(one[0].packet, one[1]))
        decisive = newest(claims, CERTIFICATIONS)
    return _after(primary.created, decisive.key_expires_s if decisive else None)


def _after(created: int, seconds: int | None) -> int | None:
    """A span of 0 is "never" in OpenPGP, like none at all."""
    return created + seconds if seconds else None


def _user_id(component: Component, claims: list[Claim]) -> UserIdSummary:
    certification = newest(claims, CERTIFICATIONS)
    return UserIdSummary(
        text=component.packet.body,
        created=certification.created if certification else None,
        expires=_after(certification.created, certification.expires_s) if certification else None,
        is_revoked=is_revoked(claims),
    )


def _subkey(component: Component, primary: Key) -> SubkeySummary:
    subkey = parse_key(component.packet.body)
    claims = _claims(component.signatures, primary)
    binding = newest(claims, _BINDING)
    return SubkeySummary(
        version=subkey.version,
        fingerprint=subkey.fingerprint,
        key_id=subkey.key_id,
        created=subkey.created,
        expires=_after(subkey.created, binding.key_expires_s if binding else None),
        is_revoked=is_revoked(claims),
        algorithm=subkey.algorithm,
        bits=subkey.bits,
        curve=subkey.curve,
    )
