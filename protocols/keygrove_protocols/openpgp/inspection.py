"""What an input is, and what would be kept of it and why, in the terms of the test vectors.

Names are those of `expected` in `tests/vectors/openpgp/index.json`, so that programs can
compare. Fingerprints, key IDs and digests are lower-case hex; user IDs are text, with U+FFFD
for octets that are no UTF-8. It does not depend on the time.
"""

from collections.abc import Iterable, Sequence

import msgspec

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import Limits
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Refused,
    bare_revocation,
    fold,
    group,
    packets,
)
from keygrove_protocols.openpgp.claims import is_revoked, newest, read_claim
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.findings import Findings, Mark
from keygrove_protocols.openpgp.keys import Key, parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag, split
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.revokers import find_revocations
from keygrove_protocols.openpgp.rules import Kept, is_hard_revoked, keep
from keygrove_protocols.openpgp.signatures import (
    ATTESTATION,
    CERTIFICATION_REVOCATION,
    CERTIFICATIONS,
    KEY_REVOCATION,
    SOFT_REASONS,
    Signature,
    read_signature,
)
from keygrove_protocols.openpgp.summary import summary
from keygrove_protocols.openpgp.thirdparty import approved
from keygrove_protocols.openpgp.userattribute import (
    JPEG,
    AttributeSubpacket,
    find_image,
    parse_user_attribute,
)
from keygrove_protocols.openpgp.verification import verify


class InspectedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate. With an `error` nothing of it would be kept.

    `dropped` has a code for each packet that is at fault; `pruned` the number of packets that
    each rule of the policy took. `filtered_digest` is that of what would be kept. `expires` is
    when the primary key does, in seconds (UTC), None for never; `uid_expires` and
    `subkey_expires` have those that do. `user_attributes` says what those are that the primary
    key signed for, kept or not. `revoked_by` has, by the fingerprints of designated revokers
    whose certificates are at hand, whether their revocation is "hard" or soft, as `revoked` has
    it of the key's own. The text of an error is for people.
    """

    version: int | None
    fingerprint: str = ""
    keyid: str = ""
    sks_digest: str = ""
    filtered_digest: str | None = None
    valid_uids: tuple[str, ...] = ()
    valid_subkeys: tuple[str, ...] = ()
    revoked_uids: tuple[str, ...] = ()
    revoked_subkeys: tuple[str, ...] = ()
    uats_valid_but_dropped_by_F6: int = 0  # noqa: N815 - the vectors' name
    user_attributes: tuple[str, ...] = ()
    revoked: str | None = None
    revoked_by: dict[str, str] = {}
    expires: int | None = None
    uid_expires: dict[str, int] = {}
    subkey_expires: dict[str, int] = {}
    self_sigs_kept: int = 0
    third_party_kept: int = 0
    attested_third_party: int | None = None
    dropped: tuple[str, ...] = ()
    pruned: dict[str, int] = {}
    error: str | None = None
    text: str = ""


class BareRevocation(msgspec.Struct, frozen=True):
    """A revocation that came without its certificate: whose, and what it would do there.

    `verifies` is None where the certificate that it names is not at hand.
    """

    issuer: str
    target_fingerprint: str | None = None
    verifies: bool | None = None
    effect: str = "the certificate that it revokes is not at hand"


class Inspection(msgspec.Struct, frozen=True):
    """An input. `outcome` is "ok", "bare_revocation" or "error", and `error` then says why."""

    outcome: str
    error: str | None = None
    certificates: tuple[InspectedCertificate, ...] = ()
    bare_revocation: BareRevocation | None = None
    text: str = ""


def inspect(
    data: bytes, limits: Limits, policy: Policy, beside: Sequence[Certificate] = ()
) -> Inspection:
    """Say what some armored or binary input is.

    `beside` are certificates that are at hand: a revocation alone may be of one of them, and
    designated revokers may be among them, as among those of the input.
    """
    try:
        sequence = split(dearmor(data, limits).data, limits)
        revocation = bare_revocation(sequence)
        if revocation is not None:
            bare = _inspect_revocation(revocation, beside)
            return Inspection("bare_revocation", bare_revocation=bare)
        found = group(sequence, limits)
    except ProtocolError as error:
        return Inspection("error", error.code, text=str(error))
    in_it = (one for one in found if isinstance(one, Certificate))
    primaries = list(dict.fromkeys(one.primary for one in (*beside, *in_it)))
    return Inspection("ok", certificates=tuple(_inspect(one, policy, primaries) for one in found))


def _inspect(
    found: Certificate | Refused, policy: Policy, primaries: Sequence[Packet]
) -> InspectedCertificate:
    if isinstance(found, Refused):
        return InspectedCertificate(
            version=found.version,
            fingerprint=found.fingerprint.hex() if found.fingerprint else "",
            keyid=found.key_id.hex() if found.key_id else "",
            error=found.error,
            text=found.text,
        )
    primary = parse_key(found.primary.body)
    looked_into = verify(found)
    kept = keep(looked_into, policy)
    digest = sks_digest(packets(fold(found))).hex()
    if kept.error is not None:
        return InspectedCertificate(
            version=primary.version,
            fingerprint=primary.fingerprint.hex(),
            keyid=primary.key_id.hex(),
            sks_digest=digest,
            dropped=kept.dropped,
            pruned=kept.pruned,
            error=kept.error,
        )
    return msgspec.structs.replace(
        _inspect_kept(kept, primary, digest),
        uats_valid_but_dropped_by_F6=_attributes_dropped(looked_into, kept.findings),
        user_attributes=_attributes(looked_into),
        revoked_by={
            one.revoker.hex(): _weight(one.signature)
            for one in find_revocations(kept.findings, primaries)
        },
    )


def _inspect_kept(kept: Kept, primary: Key, digest: str) -> InspectedCertificate:
    certificate = kept.findings.certificate()
    names = [one for one in certificate.components if one.packet.tag == Tag.USER_ID]
    subkeys = [one for one in certificate.components if one.packet.tag == Tag.PUBLIC_SUBKEY]
    revoked = {
        one.packet
        for one in certificate.components
        if is_revoked([read_claim(packet, primary) for packet in one.signatures])
    }
    short = summary(certificate)
    own = [finding.mark is Mark.VALID for _, some in kept.findings.places() for finding in some]
    return InspectedCertificate(
        version=primary.version,
        fingerprint=primary.fingerprint.hex(),
        keyid=primary.key_id.hex(),
        sks_digest=digest,
        filtered_digest=sks_digest(packets(certificate)).hex(),
        valid_uids=_texts(one.packet for one in names),
        valid_subkeys=_fingerprints(one.packet for one in subkeys),
        revoked_uids=_texts(one.packet for one in names if one.packet in revoked),
        revoked_subkeys=_fingerprints(one.packet for one in subkeys if one.packet in revoked),
        revoked=_revoked(kept.findings),
        expires=short.expires,
        uid_expires={
            _text(one.text): one.expires for one in short.user_ids if one.expires is not None
        },
        subkey_expires={
            one.fingerprint.hex(): one.expires for one in short.subkeys if one.expires is not None
        },
        self_sigs_kept=sum(own),
        third_party_kept=len(own) - sum(own),
        attested_third_party=_attested(kept.findings),
        dropped=kept.dropped,
        pruned=kept.pruned,
    )


def _attributes_dropped(looked_into: Findings, kept: Findings) -> int:
    """The user attributes that the primary key signed for, and that the policy leaves out."""
    held = {bundle.packet for bundle in kept.bundles}
    return sum(one not in held for one in _own_attributes(looked_into))


def _attributes(looked_into: Findings) -> tuple[str, ...]:
    """What is in the user attributes that the primary key signed for."""
    return tuple(
        sorted(
            _described(part)
            for packet in _own_attributes(looked_into)
            for part in parse_user_attribute(packet.body) or ()
        )
    )


def _own_attributes(looked_into: Findings) -> list[Packet]:
    return [
        bundle.packet
        for bundle in looked_into.bundles
        if bundle.packet.tag == Tag.USER_ATTRIBUTE
        and any(one.is_own(*CERTIFICATIONS, CERTIFICATION_REVOCATION) for one in bundle.findings)
    ]


def _described(part: AttributeSubpacket) -> str:
    image = find_image(part)
    if image is None:
        return f"{len(part.data):,} octets of type {part.kind}"
    name = "JPEG image" if image.encoding == JPEG else f"image of encoding {image.encoding}"
    return f"{name} of {len(image.file):,} octets"


def _weight(revocation: Signature) -> str:
    """How much it revokes, as the vectors have it."""
    is_soft = revocation.reason_code in SOFT_REASONS
    return f"soft:{revocation.reason_code}" if is_soft else "hard"


def _revoked(findings: Findings) -> str | None:
    if is_hard_revoked(findings):
        return "hard"
    claims = [finding.claim() for finding in findings.direct if finding.is_own(KEY_REVOCATION)]
    latest = newest(claims, frozenset({KEY_REVOCATION}))
    return None if latest is None else f"soft:{latest.reason_code}"


def _attested(findings: Findings) -> int | None:
    """How many certifications the owner approved; None where he said nothing of the kind."""
    found = [finding for _, some in findings.places() for finding in some]
    if not any(finding.is_own(ATTESTATION) for finding in found):
        return None
    wanted = approved(findings)
    return sum(
        id(one) in wanted and one.signature is not None and one.signature.kind in CERTIFICATIONS
        for one in found
    )


def _inspect_revocation(packet: Packet, targets: Sequence[Certificate]) -> BareRevocation:
    signature = read_signature(packet.body)
    assert signature is not None, "`bare_revocation` read it"
    issuer = (signature.issuer_fingerprint or signature.issuer or b"").hex()
    named = [one for one in targets if signature.claims(parse_key(one.primary.body))]
    for target in named:
        looked_into = verify(Certificate(target.primary, (packet,)))
        if looked_into.direct[0].mark is Mark.VALID:
            hard = is_hard_revoked(looked_into)
            return BareRevocation(
                issuer,
                _name(target),
                verifies=True,
                effect=f"{'hard' if hard else 'soft'} revocation",
            )
    if not named:
        return BareRevocation(issuer)
    return BareRevocation(issuer, _name(named[0]), verifies=False, effect="refused, 422")


def _name(certificate: Certificate) -> str:
    return parse_key(certificate.primary.body).fingerprint.hex()


def _texts(user_ids: Iterable[Packet]) -> tuple[str, ...]:
    return tuple(sorted(_text(one.body) for one in user_ids))


def _text(user_id: bytes) -> str:
    return user_id.decode(errors="replace")


def _fingerprints(subkeys: Iterable[Packet]) -> tuple[str, ...]:
    return tuple(sorted(parse_key(one.body).fingerprint.hex() for one in subkeys))
