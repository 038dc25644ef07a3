"""Certificates of post-quantum keys: ML-DSA beside EdDSA, with an ML-KEM subkey.

They are made here, with real signatures by the library; nobody else read them. Of SLH-DSA there
are no certificates: we do not sign with it, and `crypto` verifies NIST's own vectors.
"""

from collections.abc import Callable

import pytest

from keygrove_chaos.signing import subpacket
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.certificate import Certificate, Component, canonical, to_bytes
from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.findings import Mark
from keygrove_protocols.openpgp.hashing import Scope
from keygrove_protocols.openpgp.inspection import inspect
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.signatures import read_signature
from keygrove_protocols.openpgp.verification import cost_us, verify
from tests.openpgp import BINDS, DIRECT, ENCRYPTS, POSITIVE, marks, with_wrong_value
from tests.unit.protocols.openpgp.crypto.signers import (
    HASHES,
    Signer,
    key_body,
    ml_dsa_65_signer,
    ml_dsa_87_signer,
)

SHA512, SHA3_512, SHA224 = 10, 14, 11
SALT_OCTETS = {SHA512: 32, SHA3_512: 32, SHA224: 16}
NAME = Packet(Tag.USER_ID, b"Quentin <q@x.example>")
ML_KEM = {30: (35, 32 + 1184), 31: (36, 56 + 1568)}
"""By the primary key's algorithm: that of the subkey that goes with it, and its octets."""
composites = pytest.mark.parametrize(
    "made_by", [ml_dsa_65_signer, ml_dsa_87_signer], ids=["ml-dsa-65", "ml-dsa-87"]
)


def signed(
    of: Signer,
    kind: int,
    component: Packet | None = None,
    hashed: bytes = b"",
    hash_algorithm: int = SHA512,
) -> Packet:
    """A signature of version 6 on the signer's own certificate."""
    area = subpacket(2, (1_700_000_000).to_bytes(4))
    area += subpacket(33, b"\6" + parse_key(of.body).fingerprint) + hashed
    head = bytes((6, kind, of.algorithm, hash_algorithm)) + len(area).to_bytes(4) + area + bytes(4)
    octets = SALT_OCTETS[hash_algorithm]
    salt = bytes((octets, *range(octets)))
    draft = head + bytes(2) + salt + b"\0"
    says = read_signature(draft)
    assert says is not None
    digest = Scope(Packet(Tag.PUBLIC_KEY, of.body), component).digest(says, draft)
    assert digest is not None
    material = of.sign(hash_algorithm, digest)
    return Packet(Tag.SIGNATURE, head + digest[:2] + salt + material)


def certificate(of: Signer, hash_algorithm: int = SHA512) -> Certificate:
    algorithm, octets = ML_KEM[of.algorithm]
    subkey = Packet(Tag.PUBLIC_SUBKEY, key_body(6, algorithm, bytes(octets)))
    encrypts = subpacket(27, bytes((ENCRYPTS,)))
    return Certificate(
        Packet(Tag.PUBLIC_KEY, of.body),
        (signed(of, DIRECT, hash_algorithm=hash_algorithm),),
        (
            Component(NAME, (signed(of, POSITIVE, NAME, hash_algorithm=hash_algorithm),)),
            Component(subkey, (signed(of, BINDS, subkey, encrypts, hash_algorithm),)),
        ),
    )


@composites
@pytest.mark.parametrize("hash_algorithm", [SHA512, SHA3_512])
def test_p058_all_of_it_is_verified_and_kept(
    made_by: Callable[[], Signer], hash_algorithm: int
) -> None:
    whole = canonical(certificate(made_by(), hash_algorithm))
    assert marks(verify(whole)) == [Mark.VALID] * 3
    kept = keep(verify(whole), VERIFIED)
    assert (kept.error, kept.findings.certificate()) == (None, whole)
    (shown,) = inspect(to_bytes(whole), SUBMISSION, VERIFIED).certificates
    assert (shown.version, shown.valid_uids) == (6, (NAME.body.decode(),))
    assert len(shown.valid_subkeys) == 1


@composites
def test_p061_a_half_that_is_altered_spoils_it(made_by: Callable[[], Signer]) -> None:
    of = made_by()
    right = signed(of, POSITIVE, NAME)
    at = len(right.body) - len(of.sign(SHA512, bytes(64)))  # where EdDSA's begins
    spoiled = bytes((right.body[at] ^ 1,))
    first = Packet(Tag.SIGNATURE, right.body[:at] + spoiled + right.body[at + 1 :])
    for altered in (first, with_wrong_value(right)):
        whole = Certificate(certificate(of).primary, (), (Component(NAME, (altered,)),))
        assert marks(verify(whole)) == [Mark.BAD]
        assert keep(verify(whole), VERIFIED).error == "NoValidSelfSig"


@composites
def test_p058_a_digest_below_256_bits_proves_nothing(made_by: Callable[[], Signer]) -> None:
    assert HASHES[SHA224].digest_size < 32
    assert marks(verify(certificate(made_by(), SHA224))) == [Mark.BAD] * 3


@composites
def test_what_it_takes_is_expected(made_by: Callable[[], Signer]) -> None:
    of = made_by()
    assert cost_us(certificate(of)) >= 3 * load_key(of.body).cost_us
