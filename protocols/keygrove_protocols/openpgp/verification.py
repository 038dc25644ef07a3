"""What holds of a certificate: every signature at its place, with what was found out about it.

A signature that names the primary key as its issuer is the primary key's or nobody's, and is
verified. Of anybody else's it is only known whether it is plausible: whether it carries the
first two octets of the digest that it would be made over, which keeps accidents out, not
forgers. Nothing here depends on the time, on what else is known, or on the order of packets.

    at                       the primary key's own          anybody's
    the primary key          0x30                           0x1F, 0x20
    a user ID or attribute   0x16                           0x10 to 0x13, 0x30
    a subkey                 0x18                           0x28

Source: RFC 9580, sections 5.2.1, 5.2.4 and 10.1; for what is taken beside it, what GnuPG,
Sequoia and Hockeypuck agree on.
"""

from collections.abc import Mapping, Sequence

from keygrove_protocols.limits import EMBEDDED_MAX, SUBPACKETS_MAX
from keygrove_protocols.openpgp.backsigs import backsigs
from keygrove_protocols.openpgp.certificate import Certificate, fold
from keygrove_protocols.openpgp.claims import Claim, read_claim
from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import PublicKey, Verdict
from keygrove_protocols.openpgp.findings import Bundle, Fact, Finding, Findings, Mark
from keygrove_protocols.openpgp.hashing import HASHES_MAX, RIPEMD160, Scope, proves_nothing
from keygrove_protocols.openpgp.keys import KeyId, parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import (
    ATTESTATION,
    CERTIFICATION_REVOCATION,
    CERTIFICATIONS,
    DIRECT_KEY,
    KEY_REVOCATION,
    SUBKEY_BINDING,
    SUBKEY_REVOCATION,
    SUBPACKET_OCTETS_MIN,
    Signature,
    areas_octets,
    kind_of,
)

_ANYBODYS = {
    None: frozenset({DIRECT_KEY, KEY_REVOCATION}),
    Tag.USER_ID: CERTIFICATIONS | {CERTIFICATION_REVOCATION},
    Tag.USER_ATTRIBUTE: CERTIFICATIONS | {CERTIFICATION_REVOCATION},
    Tag.PUBLIC_SUBKEY: frozenset({SUBKEY_REVOCATION}),
}
_OWN = {
    None: _ANYBODYS[None] | {CERTIFICATION_REVOCATION},
    Tag.USER_ID: _ANYBODYS[Tag.USER_ID] | {ATTESTATION},
    Tag.USER_ATTRIBUTE: _ANYBODYS[Tag.USER_ATTRIBUTE] | {ATTESTATION},
    Tag.PUBLIC_SUBKEY: frozenset({SUBKEY_BINDING, SUBKEY_REVOCATION}),
}
_REVOCATIONS = frozenset({KEY_REVOCATION, SUBKEY_REVOCATION, CERTIFICATION_REVOCATION})
_ORIGINAL = (2, 3)
_STRICT = (2, 3, 6)
"""Versions in which the first octets of the digest must match though the signature verifies."""
_NEEDS_BACKSIG = 0x03
"""To certify and to sign. Without the subkey's consent, anybody could adopt it."""
_UNHASHED_OCTETS_MAX = 1024
"""Beside a subkey's consent. Nobody signed that area: it is free room for whoever passes by."""


def verify(certificate: Certificate, known: Mapping[Fact, Mark] | None = None) -> Findings:
    """Look into every signature, once for each place, but for what is `known` of it already.

    Linear in the octets, apart from one verification for each signature in the primary key's
    name, and one for each subkey's consent.

    Raises:
        MalformedPrimaryError: the primary key cannot be read (`certificate.group` refuses it).
        UnsupportedKeyVersionError: as above.
    """
    return _Examiner(certificate.primary, known or {}).examine(certificate)


SIGNATURE_US = 10
"""What reading a signature and hashing a few octets takes, about."""
_SUBPACKETS_US = 100
"""What reading as many subpackets takes as a signature may have."""
_OCTETS_HASHED_PER_MS = 300_000
"""By the slowest hash there is."""


def cost_us(certificate: Certificate) -> int:
    """About how many microseconds `verify` would take, without doing it."""
    primary = parse_key(certificate.primary.body)
    each = load_key(certificate.primary.body).cost_us
    signers = {primary.key_id: each}
    octets = len(certificate.primary.body)
    cost = _cost_us(certificate.direct, primary.key_id, signers, octets)
    for component in certificate.components:
        body = component.packet.body
        if component.packet.tag == Tag.PUBLIC_SUBKEY:
            back = SIGNATURE_US + load_key(body).cost_us + _hashing_us(octets + len(body))
            signers = {primary.key_id: each, parse_key(body).key_id: back}
        else:
            signers = {primary.key_id: each}
        cost += SIGNATURE_US
        cost += _cost_us(component.signatures, primary.key_id, signers, octets + len(body))
    return cost


def _cost_us(
    signatures: Sequence[Packet], primary: KeyId, signers: Mapping[KeyId, int], octets: int
) -> int:
    """Of signatures at one place, in front of each of which `octets` are hashed.

    Those with the primary key's ID in them may be its own, and may hold as many consents of a
    subkey as there are of its ID. The octets are hashed once for each algorithm; again and again
    for version 3, and where a salt stands before them.
    """
    cost, hashed, plain = 0, 0, 0
    for packet in signatures:
        body = packet.body
        cost += SIGNATURE_US + _reading_us(body)
        if body.find(primary) >= 0:
            cost += signers[primary] + sum(
                min(body.count(name), EMBEDDED_MAX) * us
                for name, us in signers.items()
                if name != primary
            )
        hashed += len(body)
        if body[:1] == b"\4":
            plain += 1
        else:
            hashed += octets
    hashed += min(plain, HASHES_MAX) * octets
    return cost + _hashing_us(hashed)


def _reading_us(body: bytes) -> int:
    """Of the subpackets in a signature.

    In a binding also of those in what is embedded in it, once when it is verified and once when
    copies of it are compared.
    """
    subpackets = areas_octets(body) // SUBPACKET_OCTETS_MIN
    read = min(subpackets, SUBPACKETS_MAX)
    if kind_of(body) == SUBKEY_BINDING:
        read += 2 * min(subpackets, EMBEDDED_MAX * SUBPACKETS_MAX)
    return read * _SUBPACKETS_US // SUBPACKETS_MAX


def _hashing_us(octets: int) -> int:
    return octets * 1_000 // _OCTETS_HASHED_PER_MS


class _Examiner:
    """Looks into the signatures of one certificate."""

    def __init__(self, primary: Packet, known: Mapping[Fact, Mark]) -> None:
        self._primary = primary
        self._key = parse_key(primary.body)
        self._public: PublicKey | None = None
        self._known = known

    def examine(self, certificate: Certificate) -> Findings:
        certificate = fold(certificate)
        return Findings(
            certificate.primary,
            self._at(None, certificate.direct),
            tuple(
                Bundle(component.packet, self._at(component.packet, component.signatures))
                for component in certificate.components
            ),
        )

    def _at(self, component: Packet | None, signatures: tuple[Packet, ...]) -> tuple[Finding, ...]:
        scope = Scope(self._primary, component)
        place = None if component is None else Tag(component.tag)
        found: list[Finding] = []
        for packet in signatures:
            claim = read_claim(packet, self._key)
            mark = self._known.get((component, packet)) or self._mark(
                claim, place, scope, component
            )
            found.append(Finding(packet, claim.signature, mark, claim.is_self))
        return tuple(found)

    def _mark(
        self, claim: Claim, place: Tag | None, scope: Scope, component: Packet | None
    ) -> Mark:
        signature, body = claim.signature, claim.packet.body
        if signature is None or signature.issuer is None or _is_stuffed(signature):
            return Mark.MALFORMED
        is_own = signature.claims(self._key)
        fault = _fault(signature, (_OWN if is_own else _ANYBODYS)[place])
        if fault is not None:
            return fault
        if not is_own:
            return _plausible(signature, body, scope)
        mark = self._verified(signature, body, scope)
        if mark is Mark.VALID and signature.kind == SUBKEY_BINDING and component is not None:
            return _consent(signature, component, scope)
        return mark

    def _verified(self, signature: Signature, body: bytes, scope: Scope) -> Mark:
        """Whether the primary key made it."""
        if not signature.fits(self._key):
            return Mark.BAD
        if proves_nothing(signature) and signature.kind not in _REVOCATIONS:
            return Mark.UNVERIFIABLE
        if self._public is None:
            self._public = load_key(self._primary.body)
        return _check(self._public, signature, body, scope)


def _fault(signature: Signature, kinds: frozenset[int]) -> Mark | None:
    """What is wrong with a signature before anything is hashed."""
    if not signature.is_exportable:
        return Mark.LOCAL
    if signature.kind not in kinds:
        return Mark.MISPLACED
    return Mark.UNKNOWN_CRITICAL if signature.has_unknown_critical else None


def _check(key: PublicKey, signature: Signature, body: bytes, scope: Scope) -> Mark:
    digest = scope.digest(signature, body)
    if digest is None:
        return Mark.BAD if signature.version in _ORIGINAL else Mark.UNVERIFIABLE
    if signature.version in _STRICT and not _begins(digest, signature, body):
        return Mark.BAD
    material = body[signature.material_at :]
    match key.verify(signature.algorithm, signature.hash_algorithm, digest, material):
        case Verdict.VALID:
            return Mark.VALID
        case Verdict.BAD:
            return Mark.BAD
        case Verdict.UNVERIFIABLE:
            return Mark.UNVERIFIABLE


def _consent(binding: Signature, subkey: Packet, scope: Scope) -> Mark:
    """Whether a subkey that may sign or certify has signed that it wants to be bound.

    What was attached in any subkey's name has to be by that, too: so the best of the copies of a
    binding is found later without arithmetic, and one with a forged back-signature is not it.
    """
    is_wanted = bool((binding.flags or 0) & _NEEDS_BACKSIG)
    for back in backsigs(binding, subkey):
        if not back.is_attached and not is_wanted:
            continue
        mark = _check(load_key(subkey.body), back.signature, back.body, scope)
        if back.is_attached and mark is Mark.BAD:
            return Mark.NO_BACKSIG
        if mark is Mark.VALID:
            is_wanted = False
    return Mark.NO_BACKSIG if is_wanted else Mark.VALID


def _plausible(signature: Signature, body: bytes, scope: Scope) -> Mark:
    if proves_nothing(signature) or signature.hash_algorithm == RIPEMD160:
        return Mark.WEAK
    digest = scope.digest(signature, body)
    is_so = digest is not None and _begins(digest, signature, body)
    return Mark.PLAUSIBLE if is_so else Mark.IMPLAUSIBLE


def _begins(digest: bytes, signature: Signature, body: bytes) -> bool:
    return digest.startswith(body[signature.digest_at : signature.digest_at + 2])


def _is_stuffed(signature: Signature) -> bool:
    consent = 0
    if signature.kind == SUBKEY_BINDING:
        consent = max(map(len, signature.embedded), default=0)
    return signature.unhashed_octets > _UNHASHED_OCTETS_MAX + consent
