"""ML-DSA beside EdDSA, and SLH-DSA: both halves, long digests only, and NIST's own vectors."""

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from keygrove_protocols.openpgp.crypto.fips205 import (
    SHAKE_128F,
    SHAKE_128S,
    SHAKE_256S,
    slh_verify,
    slh_verify_internal,
)
from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from tests.unit.protocols.openpgp.crypto.signers import (
    HASHES,
    SEED,
    SLH_DSA_VECTORS,
    Signer,
    digest,
    hashed,
    ml_dsa_65_signer,
    ml_dsa_87_signer,
    slh_dsa_signer,
)

SHA512 = 10
COMPOSITES = {"ml-dsa-65": ml_dsa_65_signer, "ml-dsa-87": ml_dsa_87_signer}
every_composite = pytest.mark.parametrize("name", COMPOSITES)
SIGNATURE_AT = {"ml-dsa-65": 64, "ml-dsa-87": 114}
KEY_AT = {"ml-dsa-65": 10 + 32, "ml-dsa-87": 10 + 57}


@every_composite
def test_both_halves_must_be_good(name: str) -> None:
    of, over, other = COMPOSITES[name](), digest(64), digest(64, 7)
    right, wrong, at = of.sign(SHA512, over), of.sign(SHA512, other), SIGNATURE_AT[name]
    key = load_key(of.body)

    def verdict(material: bytes) -> Verdict:
        return key.verify(of.algorithm, SHA512, over, material)

    assert verdict(right[:at] + right[at:]) is Verdict.VALID
    assert verdict(wrong[:at] + right[at:]) is Verdict.BAD
    assert verdict(right[:at] + wrong[at:]) is Verdict.BAD
    assert verdict(right[at:] + right[:at]) is Verdict.BAD
    assert verdict(right[:at]) is Verdict.BAD
    assert verdict(right[at:]) is Verdict.BAD


@every_composite
def test_both_keys_must_be_right(name: str) -> None:
    of, over, at = COMPOSITES[name](), digest(64), KEY_AT[name]
    material = of.sign(SHA512, over)
    for spoiled in (10, at, at + 40):
        body = bytearray(of.body)
        body[spoiled] ^= 1
        verdict = load_key(bytes(body)).verify(of.algorithm, SHA512, over, material)
        assert verdict is Verdict.BAD, spoiled


@every_composite
@pytest.mark.parametrize("hash_id", HASHES)
def test_a_digest_below_256_bits_is_bad(name: str, hash_id: int) -> None:
    of, over = COMPOSITES[name](), hashed(hash_id)
    verdict = load_key(of.body).verify(of.algorithm, hash_id, over, of.sign(hash_id, over))
    assert verdict is (Verdict.VALID if len(over) >= 32 else Verdict.BAD)


@pytest.mark.parametrize(
    "signer",
    [ml_dsa_65_signer, ml_dsa_87_signer, *(partial(slh_dsa_signer, one) for one in (32, 33, 34))],
    ids=["ml-dsa-65", "ml-dsa-87", "slh-dsa-128s", "slh-dsa-128f", "slh-dsa-256s"],
)
def test_only_version_6_has_them(signer: Callable[[int], Signer]) -> None:
    for version, verdict in ((6, Verdict.VALID), (4, Verdict.BAD)):
        of = signer(version)
        material = of.sign(SHA512, digest(64))
        assert load_key(of.body).verify(of.algorithm, SHA512, digest(64), material) is verdict


SETS = {
    "SLH-DSA-SHAKE-128s": SHAKE_128S,
    "SLH-DSA-SHAKE-128f": SHAKE_128F,
    "SLH-DSA-SHAKE-256s": SHAKE_256S,
}


class Case(msgspec.Struct):
    """A test of NIST's, under its names."""

    tcId: int  # noqa: N815
    parameterSet: str  # noqa: N815
    signatureInterface: str  # noqa: N815
    context: bytes
    pk: bytes
    message: bytes
    signature: bytes
    testPassed: bool  # noqa: N815


CASES = msgspec.json.decode((SLH_DSA_VECTORS / "acvp.json").read_bytes(), type=list[Case])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parameterSet}-{case.tcId}")
def test_nists_vectors_are_judged_as_nist_does(case: Case) -> None:
    message = case.message
    if case.signatureInterface == "external":
        message = b"\0" + bytes([len(case.context)]) + case.context + message
    of = SETS[case.parameterSet]
    assert slh_verify_internal(of, case.pk, message, case.signature) is case.testPassed


def test_the_context_is_empty() -> None:
    for case in CASES:
        if case.testPassed and case.signatureInterface == "external":
            found = slh_verify(SETS[case.parameterSet], case.pk, case.message, case.signature)
            assert found is not bool(case.context)


@pytest.mark.parametrize(
    ("algorithm", "octets"), [(32, 7856), (33, 17088), (34, 29792)], ids=["128s", "128f", "256s"]
)
def test_every_part_of_a_signature_counts(algorithm: int, octets: int) -> None:
    of, over = slh_dsa_signer(algorithm), digest(64)
    material = of.sign(SHA512, over)
    key = load_key(of.body)
    assert len(material) == octets
    for at in (0, 15, 40, octets // 5, octets // 2, octets - 40, octets - 1):
        spoiled = bytearray(material)
        spoiled[at] ^= 0x10
        assert key.verify(algorithm, SHA512, over, bytes(spoiled)) is Verdict.BAD, at


def test_the_seed_and_the_root_of_a_key_count() -> None:
    of, over = slh_dsa_signer(32), digest(64)
    material = of.sign(SHA512, over)
    for at in (-1, -17, -32):
        body = bytearray(of.body)
        body[at] ^= 1
        assert load_key(bytes(body)).verify(32, SHA512, over, material) is Verdict.BAD


def test_slh_dsa_over_a_digest_below_256_bits_is_bad() -> None:
    key = load_key(slh_dsa_signer(32).body)
    assert key.verify(32, 2, SEED[:20], bytes(7856)) is Verdict.BAD
