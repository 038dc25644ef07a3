"""Keys and certificates that tests of certificates share, and what may happen to signatures."""

from typing import TypedDict, Unpack

from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.findings import Finding, Findings, Mark
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import read_signature
from keygrove_protocols.openpgp.verification import verify

ALICE, BOB, CAROL, SUBKEY, OTHER_SUBKEY = (Signer(number) for number in range(1, 6))
NAME, OTHER_NAME = Packet(Tag.USER_ID, b"Alice"), Packet(Tag.USER_ID, b"Alice at work")
GENERIC, POSITIVE, ATTESTS, BINDS, CONSENTS = 0x10, 0x13, 0x16, 0x18, 0x19
DIRECT, REVOKES, REVOKES_SUBKEY, REVOKES_NAME = 0x1F, 0x20, 0x28, 0x30
CERTIFIES, SIGNS, ENCRYPTS = 0x01, 0x02, 0x0C
LOCAL = subpacket(4, b"\0")


class Said(TypedDict, total=False):
    """What a signature says, as in `Signer.sign`."""

    created: int
    hashed: bytes
    unhashed: bytes
    hash_algorithm: int


def signed(
    signer: Signer, kind: int, component: Packet | None = None, **said: Unpack[Said]
) -> Packet:
    """A signature on Alice's certificate."""
    return signer.sign(kind, ALICE.primary, component, **said)


def named_by(signer: Signer) -> bytes:
    """The subpacket with a signer's fingerprint."""
    return subpacket(33, b"\x04" + signer.key.fingerprint)


def reason(code: int) -> bytes:
    """The subpacket that says why something is revoked."""
    return subpacket(29, bytes((code,)))


def revoker(fingerprint: Fingerprint) -> bytes:
    """The subpacket that lets somebody else revoke."""
    return subpacket(12, b"\x80\x16" + fingerprint)


SELF = signed(ALICE, POSITIVE, NAME)
BINDING = ALICE.bind(ALICE.primary, SUBKEY, SIGNS)


def alice(*on_name: Packet, direct: tuple[Packet, ...] = ()) -> Certificate:
    """Alice's certificate, with more signatures on her user ID."""
    return Certificate(ALICE.primary, direct, (Component(NAME, (SELF, *on_name)),))


def on_subkey(*signatures: Packet) -> Certificate:
    """Alice's certificate with a subkey."""
    own = alice()
    return Certificate(own.primary, (), (*own.components, Component(SUBKEY.subkey, signatures)))


def with_hints(packet: Packet, unhashed: bytes) -> Packet:
    """The same signature with another unhashed area."""
    signature, body = read_signature(packet.body), packet.body
    assert signature is not None
    width = 4 if body[0] == 6 else 2
    area = len(unhashed).to_bytes(width) + unhashed
    return Packet(packet.tag, body[: signature.hashed_end] + area + body[signature.digest_at :])


def with_wrong_digest(packet: Packet) -> Packet:
    """The same signature with zeros for the first octets of the digest."""
    signature, body = read_signature(packet.body), packet.body
    assert signature is not None
    at = signature.digest_at
    return Packet(packet.tag, body[:at] + bytes(2) + body[at + 2 :])


def with_wrong_value(packet: Packet) -> Packet:
    """The same signature with its last octet altered."""
    return Packet(packet.tag, packet.body[:-1] + bytes((packet.body[-1] ^ 1,)))


def marks(findings: Findings) -> list[Mark]:
    """What was found out, in the order of the certificate."""
    return [finding.mark for _, found in findings.places() for finding in found]


def findings_on_name(*packets: Packet) -> tuple[Finding, ...]:
    """What is found out about signatures on Alice's user ID."""
    whole = Certificate(ALICE.primary, (), (Component(NAME, packets),))
    return verify(whole).bundles[0].findings


def mark(packet: Packet, component: Packet | None = NAME) -> Mark:
    """What is found out about a signature on Alice's key, or on something of hers."""
    if component is None:
        return marks(verify(Certificate(ALICE.primary, (packet,))))[0]
    whole = Certificate(ALICE.primary, (), (Component(component, (packet,)),))
    return marks(verify(whole))[0]


def stuffing(octets: int) -> bytes:
    """Subpackets of so many octets in all."""
    return subpacket(100, bytes(octets - 3))
