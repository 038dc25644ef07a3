"""Each own signature of a certificate holds for PGPy if it does for us, or it is said why not.

PGPy says nothing of a certificate as a whole, but of every signature in it.
"""

from pathlib import Path

import msgspec
import pgpy
import pytest
from pgpy.errors import PGPError

from keygrove_protocols.openpgp.certificate import Certificate, Component, to_bytes
from keygrove_protocols.openpgp.findings import Mark
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import PRIMARY_KEY_BINDING
from keygrove_protocols.openpgp.verification import verify
from tests.interop.test_openpgp_oracles import FILES, MADE, Made, read
from tests.openpgp import with_wrong_value

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pgpy.*")  # of what it leaves open

ITSELF, ATTRIBUTE = "the primary key", "a user attribute"
GIVES_UP = (PGPError, AttributeError, IndexError, StopIteration, TypeError, ValueError)
"""What it raises where it cannot read or verify something; often this is not meant."""


class Own(msgspec.Struct, frozen=True):
    """A signature by the primary key that holds: what it is on, of what kind, and of when."""

    on: str
    kind: int
    created: int


def ours(certificate: Certificate) -> set[Own]:
    return {
        Own(_name(place), finding.signature.kind, finding.signature.created)
        for place, found in verify(certificate).places()
        for finding in found
        if finding.mark is Mark.VALID and finding.signature is not None
    }


def _name(place: Packet | None) -> str:
    if place is None:
        return ITSELF
    match place.tag:
        case Tag.PUBLIC_SUBKEY:
            return parse_key(place.body).fingerprint.hex()
        case Tag.USER_ATTRIBUTE:
            return ATTRIBUTE
        case _:
            try:
                return place.body.decode()
            except UnicodeDecodeError:
                return place.body.decode("latin-1")  # as PGPy does


def theirs(certificate: Certificate) -> set[Own]:
    """Back-signatures, which it tells apart, are left out."""
    key = pgpy.PGPKey()
    try:
        key.parse(to_bytes(certificate))
        found = list(key.verify(key).good_signatures)
    except GIVES_UP:
        return set()
    return {
        Own(
            ITSELF if one.subject is key else _their_name(one.subject),
            int(one.signature.type),
            int(one.signature.created.timestamp()),
        )
        for one in found
        if one.signature.type != PRIMARY_KEY_BINDING
    }


def _their_name(subject: pgpy.PGPKey | pgpy.PGPUID) -> str:
    if isinstance(subject, pgpy.PGPKey):
        return str(subject.fingerprint).lower()
    return ATTRIBUTE if subject.is_ua else str(subject.userid)


NO_BACKSIG = "it does not ask for a signing subkey's consent"
BRAINPOOL = "its definition of the curve does not fit today's library"
NATIVE = "it does not know the algorithms that RFC 9580 added"
V6 = "it does not know version 6"
DIFFERENCES = {
    "attested-1pa3pc.pgp": "it verifies no attestations",
    "expired.pgp": "by an expired key nothing holds for it; storage knows no time",
    "gpg-brainpoolP256r1.pgp": BRAINPOOL,
    "misplaced-sig.pgp": "it gives up on a certification of the primary key; we drop that (F3)",
    "mpi-leading-zero.pgp": "it drops the zeros, and so takes the key for another",
    "sub-critical-unknown.pgp": "it passes over an unknown critical subpacket; we must not",
    "sub-unhashed-time.pgp": "it believes what nobody signed",
    "subkey-backsig-stripped.pgp": NO_BACKSIG,
    "subkey-nobacksig.pgp": NO_BACKSIG,
    "subkey-wrongbacksig.pgp": NO_BACKSIG,
    "v3-rsa.pgp": "it does not know keys of version 3",
    "v4-dsa1536.pgp": "its library has no DSA of this size; we do that by ourselves",
    "v4-ecdsa-brainpoolp256r1.pgp": BRAINPOOL,
    "v4-ecdsa-brainpoolp384r1.pgp": BRAINPOOL,
    "v4-ecdsa-brainpoolp512r1.pgp": BRAINPOOL,
    "v4-ed25519-native.pgp": NATIVE,
    "v4-ed448-native.pgp": NATIVE,
    "v4-v3sig.pgp": "it does not know signatures of version 3",
    "v6-bad-salt.pgp": V6,
    "v6-ed448.pgp": V6,
    "v6-rfc9580-sample.asc": V6,
    "v6-rsa3072.pgp": V6,
    "v6-sha3-256.pgp": V6,
    "v6-with-v4sig.pgp": V6,
    "weak-md5.pgp": "it takes own signatures with MD5; we do in version 3 only (F5)",
    "weak-ripemd160.pgp": "its library does not have the hash; we do that by ourselves",
}
"""Of PGPy 0.6 on cryptography 50."""
DATED = {"gpg-rsa2048-expiry.pgp"}
"""It looks at today's date, and by an expired key nothing holds for it."""
JUDGED = [
    file for file in FILES if file.name not in DATED and file.name.startswith(("v4-", "gpg-"))
]


@pytest.mark.slow
def test_own_signatures_of_vectors_hold_for_pgpy_as_for_us() -> None:
    differing = {
        file.name
        for file in FILES
        for certificate in read(file)
        if file.name not in DATED and ours(certificate) != theirs(certificate)
    }
    assert differing == DIFFERENCES.keys()


@pytest.mark.parametrize("file", JUDGED, ids=lambda file: file.name)
def test_altered_signatures_of_vectors_hold_for_neither(file: Path) -> None:
    for certificate in read(file):
        components = tuple(
            Component(one.packet, tuple(map(with_wrong_value, one.signatures)))
            for one in certificate.components
        )
        direct = tuple(map(with_wrong_value, certificate.direct))
        altered = Certificate(certificate.primary, direct, components)
        assert ours(altered) == theirs(altered) == set()


@pytest.mark.parametrize("made", MADE, ids=map(str, range(len(MADE))))
def test_own_signatures_of_made_up_certificates_hold_for_pgpy_as_for_us(made: Made) -> None:
    mine, found = ours(made.certificate), theirs(made.certificate)
    assert mine <= found
    assert mine == found or "no backsig" in made.features
    assert {one.kind for one in found - mine} <= {0x18}
