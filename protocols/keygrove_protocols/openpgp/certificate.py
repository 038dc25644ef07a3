"""Certificates: a primary key with what is attached to it, out of packets and back.

    certificate = primary key, direct signatures, components
    component   = (user ID or user attribute or subkey), signatures

A certificate begins at every primary key (tag 6). Components are taken in any order. No
signature is verified, and one in the wrong place stays there: what is to be kept is for
the policy to say.

Source: RFC 9580, sections 4.3 and 10.1.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

import msgspec

from keygrove_protocols.errors import (
    EmptyInputError,
    MalformedPrimaryError,
    NotACertificateError,
    SecretKeyMaterialError,
    TooLargeError,
    UnacceptableError,
    UnknownCriticalPacketError,
    UnsupportedKeyVersionError,
)
from keygrove_protocols.limits import Limits
from keygrove_protocols.openpgp.claims import Claim, read_claim
from keygrove_protocols.openpgp.keys import Fingerprint, Key, KeyId, parse_key
from keygrove_protocols.openpgp.order import (
    ComponentPlace,
    component_place,
    direct_place,
    signature_place,
)
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION, kind_of, read_signature

_SECRET = frozenset({Tag.SECRET_KEY, Tag.SECRET_SUBKEY})
_PASSED_OVER = frozenset({Tag.MARKER, Tag.TRUST, Tag.PADDING})
_COMPONENTS = frozenset({Tag.USER_ID, Tag.USER_ATTRIBUTE, Tag.PUBLIC_SUBKEY})
_NON_CRITICAL = range(40, 64)
_OPAQUE_VERSION = 5
_OLD_VERSIONS = (2, 3)


class Component(msgspec.Struct, frozen=True):
    """A user ID, user attribute or subkey, with the signatures on it."""

    packet: Packet
    signatures: tuple[Packet, ...] = ()


class Certificate(msgspec.Struct, frozen=True):
    """A primary key, the signatures on itself, and its components."""

    primary: Packet
    direct: tuple[Packet, ...] = ()
    components: tuple[Component, ...] = ()


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A certificate that is not taken, while those next to it are.

    `error` is the code of the ProtocolError that says why, `text` its text; what its key is
    called is None as far as that cannot be read.
    """

    fingerprint: Fingerprint | None
    error: str
    text: str
    key_id: KeyId | None = None
    version: int | None = None
    at: int = 0
    """Which certificate of its input it is, from 0."""


def key(certificate: Certificate) -> Key:
    """The primary key, read."""
    return parse_key(certificate.primary.body)


def fingerprint(certificate: Certificate) -> Fingerprint:
    """The name of the certificate: its primary key's."""
    return parse_key(certificate.primary.body).fingerprint


def user_ids(certificate: Certificate) -> tuple[Component, ...]:
    """The user IDs, in the certificate's order."""
    return tuple(c for c in certificate.components if c.packet.tag == Tag.USER_ID)


def subkeys(certificate: Certificate) -> tuple[Component, ...]:
    """The subkeys, in the certificate's order."""
    return tuple(c for c in certificate.components if c.packet.tag == Tag.PUBLIC_SUBKEY)


def packets(certificate: Certificate) -> Iterator[Packet]:
    """All packets, in the certificate's order."""
    yield certificate.primary
    yield from certificate.direct
    for component in certificate.components:
        yield component.packet
        yield from component.signatures


def to_bytes(certificate: Certificate) -> bytes:
    """The certificate as packets in a row, in its own order."""
    return join(packets(certificate))


def group(sequence: Sequence[Packet], limits: Limits) -> list[Certificate | Refused]:
    """Group packets into certificates, in the order of their primary keys.

    Left out: marker, trust and padding packets; packets of unknown non-critical types and
    keys that cannot be read, each with the signatures on it; subkeys of version 2 and 3
    primary keys.

    Raises:
        EmptyInputError: there are no packets.
        SecretKeyMaterialError: one of them is a secret key, wherever it stands.
        NotACertificateError: the first is no primary key.
        TooLargeError: more certificates than are taken at once.
    """
    if not sequence:
        raise EmptyInputError("there are no packets: send a certificate")
    if any(packet.tag in _SECRET for packet in sequence):
        raise SecretKeyMaterialError("there is a private key in this: send public keys only")
    kept = [packet for packet in sequence if packet.tag not in _PASSED_OVER]
    starts = [at for at, packet in enumerate(kept) if packet.tag == Tag.PUBLIC_KEY]
    if not starts or starts[0]:
        raise NotACertificateError("it does not begin with a primary key: send a certificate")
    if limits.certificates_max is not None and len(starts) > limits.certificates_max:
        text = f"{len(starts)} certificates, at most {limits.certificates_max} are taken at once"
        raise TooLargeError(text)
    ends = [*starts[1:], len(kept)]
    runs = [kept[a:b] for a, b in zip(starts, ends, strict=True)]
    return [_group_one(run, at) for at, run in enumerate(runs)]


def bare_revocation(sequence: Sequence[Packet]) -> Packet | None:
    """The revocation of a key, where that is all there is; else None.

    GnuPG writes one for each new key, to be sent without the certificate it revokes.
    """
    kept = [packet for packet in sequence if packet.tag not in _PASSED_OVER]
    if len(kept) != 1 or kept[0].tag != Tag.SIGNATURE:
        return None
    signature = read_signature(kept[0].body)
    is_one = signature is not None and signature.kind == KEY_REVOCATION
    return kept[0] if is_one else None


def _group_one(run: list[Packet], at: int) -> Certificate | Refused:
    """Group the packets from one primary key to the next."""
    primary: Key | None = None
    try:
        primary = parse_key(run[0].body)
        _check_version(primary)
        return _attach(run, primary)
    except UnacceptableError as error:
        if primary is None:
            version = run[0].body[0] if run[0].body else None
            return Refused(None, error.code, str(error), version=version, at=at)
        name = primary.fingerprint
        return Refused(name, error.code, str(error), primary.key_id, primary.version, at)


def _check_version(primary: Key) -> None:
    if primary.version == _OPAQUE_VERSION:
        raise UnsupportedKeyVersionError("a key is of version 5: send one of version 4 or 6")


def _attach(run: list[Packet], primary: Key) -> Certificate:
    """Attach signatures to what they follow; to nothing, where that was left out.

    A revocation of the key is the primary key's wherever it stands: it says what it revokes,
    and `cat certificate revocation` puts it last.
    """
    direct: list[Packet] = []
    components: list[tuple[Packet, list[Packet]]] = []
    current: list[Packet] | None = direct
    for packet in run[1:]:
        if packet.tag == Tag.SIGNATURE:
            place = direct if kind_of(packet.body) == KEY_REVOCATION else current
            if place is not None:
                place.append(packet)
        elif packet.tag in _COMPONENTS:
            current = None
            if _is_taken(packet, primary):
                current = []
                components.append((packet, current))
        elif packet.tag in _NON_CRITICAL:
            current = None
        else:
            text = f"a packet of type {packet.tag} in a certificate: leave it out"
            raise UnknownCriticalPacketError(text)
    return Certificate(
        run[0],
        tuple(direct),
        tuple(Component(packet, tuple(signatures)) for packet, signatures in components),
    )


def _is_taken(packet: Packet, primary: Key) -> bool:
    """Whether a component is one."""
    if packet.tag != Tag.PUBLIC_SUBKEY:
        return True
    return primary.version not in _OLD_VERSIONS and _is_key(packet)


def _is_key(packet: Packet) -> bool:
    try:
        parse_key(packet.body)
    except (MalformedPrimaryError, UnsupportedKeyVersionError):
        return False
    return True


def fold(certificate: Certificate) -> Certificate:
    """Without repetitions, and otherwise in its own order.

    Equal components become one with the signatures of all, equal signatures on one component
    become one; a subkey that is the primary key again is left out.
    """
    bundles: dict[Packet, dict[Packet, None]] = {}
    for component in certificate.components:
        bundles.setdefault(component.packet, {}).update(dict.fromkeys(component.signatures))
    bundles.pop(Packet(Tag.PUBLIC_SUBKEY, certificate.primary.body), None)
    return Certificate(
        certificate.primary,
        tuple(dict.fromkeys(certificate.direct)),
        tuple(Component(packet, tuple(signatures)) for packet, signatures in bundles.items()),
    )


def canonical(certificate: Certificate) -> Certificate:
    """The one form of a certificate, whatever the order and number of its packets.

    It is folded, and in the order of `order`; a signature counts there as valid if it names
    the primary key as its issuer. Canonical is what it returns: once more changes nothing.
    """
    primary, folded = key(certificate), fold(certificate)
    return arranged(
        folded.primary,
        (read_claim(packet, primary) for packet in folded.direct),
        (
            (component.packet, [read_claim(packet, primary) for packet in component.signatures])
            for component in folded.components
        ),
    )


def arranged(
    primary: Packet, direct: Iterable[Claim], components: Iterable[tuple[Packet, Sequence[Claim]]]
) -> Certificate:
    """The canonical form of a certificate without repetitions, whose signatures were read."""
    placed: list[tuple[ComponentPlace, Component]] = []
    for packet, claims in components:
        in_order = sorted(claims, key=signature_place)
        component = Component(packet, tuple(claim.packet for claim in in_order))
        placed.append((component_place(packet, in_order), component))
    return Certificate(
        primary,
        tuple(claim.packet for claim in sorted(direct, key=direct_place)),
        tuple(component for _, component in sorted(placed, key=itemgetter(0))),
    )
