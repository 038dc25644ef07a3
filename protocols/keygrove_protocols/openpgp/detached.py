"""Detached signatures: over octets that are somewhere else, by a key that may sign today.

    kind  is made over
    0x00  the octets as they are
    0x01  the octets with every line end as CR LF

Source: RFC 9580, sections 5.2.1.1, 5.2.1.2 and 5.2.4; for CRs in front of a line's end, which
belong to it, GnuPG.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from keygrove_protocols.errors import (
    BadSignatureError,
    NotACertificateError,
    UnacceptableError,
    UnfitSignerError,
    UnknownSignerError,
)
from keygrove_protocols.limits import Limits
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, key, subkeys
from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from keygrove_protocols.openpgp.findings import Finding, Findings
from keygrove_protocols.openpgp.hashing import MD5, RIPEMD160, SHA1, document_digest
from keygrove_protocols.openpgp.keys import Fingerprint, parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag, split
from keygrove_protocols.openpgp.policy import MINIMAL
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.signatures import (
    CERTIFICATIONS,
    DIRECT_KEY,
    SUBKEY_BINDING,
    Signature,
    read_signature,
)
from keygrove_protocols.openpgp.summary import SubkeySummary, is_expired, summary
from keygrove_protocols.openpgp.verification import verify

BINARY, TEXT = 0x00, 0x01
SKEW_S = 3_600
"""How far ahead of ours the clock may be where a signature was made."""
LIMITS = Limits(body_bytes_max=64 << 10, input_packets_max=8)
"""Of a signature: post-quantum ones take 40 kB in armor."""

_WEAK = frozenset({MD5, SHA1, RIPEMD160})
_VERSIONS = (4, 6)
"""Of keys, and of the signatures that they make."""
_SIGNS = 0x02
_LINE_END = re.compile(rb"(?<!\r)\r*+\n")  # looked for once in a row of CRs: linear


class Detached(msgspec.Struct, frozen=True):
    """A detached signature: its packet's body, and what that says."""

    body: bytes
    says: Signature


class Signed(msgspec.Struct, frozen=True):
    """A signature that holds.

    `signer` is the primary key's name, whichever of its keys signed. `digest` is what was
    signed: nobody else can make another for the same document.
    """

    signer: Fingerprint
    created: int
    digest: bytes


def read_detached(data: bytes) -> Detached:
    """Read a detached signature, armored or binary.

    There has to be one: with two, each could be sent without the other.

    Raises:
        FramingError: it is neither armor nor packets.
        TooLargeError: there is far more of it than of a signature.
        BadSignatureError: it is something else or several, or a signature that is malformed
            or over something else than a document.
    """
    try:
        packets = split(dearmor(data, LIMITS).data, LIMITS)
    except NotACertificateError as error:
        raise BadSignatureError(_NOT_DETACHED) from error
    if not packets or any(packet.tag != Tag.SIGNATURE for packet in packets):
        raise BadSignatureError(_NOT_DETACHED)
    if len(packets) > 1:
        raise BadSignatureError("there is more than one signature: sign with one key")
    return _read(packets[0])


_NOT_DETACHED = "this is no detached signature: make one by gpg --armor --detach-sign"


def _read(packet: Packet) -> Detached:
    says = read_signature(packet.body)
    if says is None or says.issuer is None:
        raise BadSignatureError("the signature is malformed, or names nobody: make it anew")
    if says.kind not in (BINARY, TEXT):
        raise BadSignatureError(_NOT_DETACHED)
    return Detached(packet.body, says)


def verify_detached(
    signature: Detached, document: bytes, signers: Iterable[Certificate], now: int
) -> Signed:
    """Whether one of the signers made this, and may sign `now`.

    A signature is checked before its signer, and only against a key that it names, so that it
    costs little to refuse what a stranger sends.

    Raises:
        UnknownSignerError: it names a key of none of the signers.
        BadSignatureError: it does, and does not hold.
        UnfitSignerError: it holds, by a key that is revoked, expired, or not for signing.
    """
    fault: UnacceptableError = UnknownSignerError(
        "the signature is by none of the keys that may sign this: sign with another key"
    )
    for signer in signers:
        packet = _named(signature.says, signer)
        if packet is None:
            continue
        try:
            return _verify(signature, document, packet, signer, now)
        except UnacceptableError as error:
            fault = error  # a key ID may be that of another signer's key, too
    raise fault


def _verify(
    one: Detached, document: bytes, packet: Packet, signer: Certificate, now: int
) -> Signed:
    digest = _digest(one, document, packet, now)
    material = one.body[one.says.material_at :]
    verdict = load_key(packet.body).verify(
        one.says.algorithm, one.says.hash_algorithm, digest, material
    )
    if verdict is not Verdict.VALID:
        text = "the signature does not hold: sign exactly what is sent"
        if verdict is Verdict.UNVERIFIABLE:
            text = "the signature cannot be verified here: sign with a key of another algorithm"
        raise BadSignatureError(text)
    _check_signer(packet, signer, now)
    return Signed(key(signer).fingerprint, one.says.created, digest)


def _named(says: Signature, signer: Certificate) -> Packet | None:
    """The key of this certificate that a signature says to be made by."""
    keys = (signer.primary, *(component.packet for component in subkeys(signer)))
    return next((packet for packet in keys if says.claims(parse_key(packet.body))), None)


def _digest(one: Detached, document: bytes, packet: Packet, now: int) -> bytes:
    says, made_by = one.says, parse_key(packet.body)
    if says.version != made_by.version or says.version not in _VERSIONS:
        raise BadSignatureError("the signature is of an old version: sign with a newer program")
    if says.has_unknown_critical:
        raise BadSignatureError("the signature says something that is unknown here: sign plainly")
    if says.hash_algorithm in _WEAK:
        raise BadSignatureError("the signature's hash is too weak: use --digest-algo SHA256")
    if not made_by.created <= says.created <= now + SKEW_S:
        text = "the signature is dated in the future, or before its key: set the clock right"
        raise BadSignatureError(text)
    if _has_expired(says, now):
        raise BadSignatureError("the signature has expired: sign anew")
    octets = document if says.kind == BINARY else _LINE_END.sub(b"\r\n", document)
    digest = document_digest(says, one.body, octets)
    if digest is None or digest[:2] != one.body[says.digest_at : says.digest_at + 2]:
        raise BadSignatureError("the signature does not hold: sign exactly what is sent")
    return digest


def _check_signer(packet: Packet, signer: Certificate, now: int) -> None:
    """Look into the whole certificate: what it says of itself counts where it is verified."""
    findings = keep(verify(signer), MINIMAL).findings
    short = summary(findings.certificate())
    if short.is_revoked:
        raise UnfitSignerError("the key that signed is revoked: sign with another key")
    if is_expired(short.expires, now):
        raise UnfitSignerError(f"the key that signed has expired{_SEND_ANEW}")
    if packet == signer.primary:
        speaking = [finding for _, found in findings.places() for finding in found]
        said = _latest(speaking, DIRECT_KEY, *CERTIFICATIONS)
    else:
        said = _binding(findings, packet, short.subkeys, now)
    # Primary keys of old programs say nothing of what they are for, and may sign.
    if said is not None and not (said.flags or 0) & _SIGNS:
        raise UnfitSignerError("the key that signed is not for signing: sign with another key")


def _binding(
    findings: Findings, packet: Packet, subkeys: Sequence[SubkeySummary], now: int
) -> Signature:
    """What the primary key says of a subkey that may be used today."""
    name = parse_key(packet.body).fingerprint
    subkey = next((one for one in subkeys if one.fingerprint == name), None)
    found = next((bundle.findings for bundle in findings.bundles if bundle.packet == packet), ())
    said = _latest(found, SUBKEY_BINDING)
    if subkey is None or said is None:
        raise UnfitSignerError(f"the subkey that signed is not bound{_SEND_ANEW}")
    if subkey.is_revoked:
        raise UnfitSignerError("the subkey that signed is revoked: sign with another key")
    if is_expired(subkey.expires, now) or _has_expired(said, now):
        raise UnfitSignerError(f"the subkey that signed has expired{_SEND_ANEW}")
    return said


_SEND_ANEW = ": submit its certificate as it is now, or sign with another key"


def _has_expired(signature: Signature, now: int) -> bool:
    return bool(signature.expires_s) and signature.created + signature.expires_s <= now


def _latest(findings: Iterable[Finding], *kinds: int) -> Signature | None:
    """The latest of the primary key's signatures of these kinds that says what a key is for."""
    own = [
        one.signature
        for one in findings
        if one.is_own(*kinds) and one.signature is not None and one.signature.flags is not None
    ]
    return max(own, key=lambda signature: signature.created, default=None)
