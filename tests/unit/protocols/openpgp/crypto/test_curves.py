"""ECDSA and EdDSA: points and halves of signatures that are not as they should be."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from tests.unit.protocols.openpgp.crypto.signers import (
    ED25519_LEGACY,
    OIDS,
    SEED,
    Signer,
    digest,
    ecdsa_signer,
    ed448_signer,
    ed25519_signer,
    hashed,
    key_body,
    legacy_signer,
    mpi,
)

RIPEMD160, SHA256, SHA512 = 3, 8, 10
every_curve = pytest.mark.parametrize("curve", OIDS)


def halves(material: bytes) -> tuple[int, int]:
    octets = 2 + (int.from_bytes(material[:2]) + 7 >> 3)
    return int.from_bytes(material[2:octets]), int.from_bytes(material[octets + 2 :])


def on_curve(curve: str, point: bytes) -> bytes:
    """A key whose point is these octets."""
    identifier = bytes.fromhex(OIDS[curve][0])
    named = bytes([len(identifier)]) + identifier
    return key_body(4, 19, named + (8 * len(point)).to_bytes(2) + point)


def point_of(signer: Signer) -> bytes:
    return signer.body[signer.body[6] + 9 :]


@every_curve
def test_p075_points_in_another_form_or_off_the_curve_verify_nothing(curve: str) -> None:
    of, over = ecdsa_signer(curve), digest(64)
    point, material = point_of(of), of.sign(SHA512, over)
    compressed = bytes([2 + point[-1] % 2]) + point[1 : 1 + len(point) // 2]
    wrong = {
        "compressed": compressed,
        "hybrid": bytes([6 + point[-1] % 2]) + point[1:],
        "off the curve": point[:-1] + bytes([point[-1] ^ 1]),
        "cut short": point[:-1],
        "drawn out": point + b"\0",
        "with a zero in front": b"\0" + point,
        "at infinity": b"\0",
        "none": b"",
        "zeros": b"\4" + bytes(len(point) - 1),
        "ones": b"\4" + b"\xff" * (len(point) - 1),
    }
    assert load_key(on_curve(curve, point)).verify(19, SHA512, over, material) is Verdict.VALID
    for what, octets in wrong.items():
        key = load_key(on_curve(curve, octets))
        assert key.verify(19, SHA512, over, material) is Verdict.BAD, what
        assert key.verify(19, SHA512, over, material) is Verdict.BAD, what


@every_curve
def test_numbers_out_of_range_are_bad(curve: str) -> None:
    of, over = ecdsa_signer(curve), digest(64)
    r, s = halves(of.sign(SHA512, over))
    key = load_key(of.body)
    full = 1 << OIDS[curve][1].key_size
    for wrong in ((0, s), (r, 0), (0, 0), (r + full, s), (r, s + full), (1 << 60_000, s)):
        assert key.verify(19, SHA512, over, mpi(wrong[0]) + mpi(wrong[1])) is Verdict.BAD


def test_p256_and_ripemd160() -> None:
    """The library has no RIPEMD-160; another hash of 20 octets signs the same."""
    of, over = ecdsa_signer("nistp256"), hashed(RIPEMD160)
    assert load_key(of.body).verify(19, RIPEMD160, over, of.sign(2, over)) is Verdict.VALID


@pytest.mark.parametrize("algorithm", [19, 22])
def test_p036_an_unknown_curve_is_unverifiable(algorithm: int) -> None:
    for identifier in (b"\x02\x2b\x65", b"\x05\x2b\x81\x04\x00\x21", b"\x03\x2b\x65\x6f"):
        key = load_key(key_body(4, algorithm, identifier + mpi(b"\x40" + bytes(32))))
        material = mpi(1) + mpi(1)
        assert key.verify(algorithm, SHA256, hashed(SHA256), material) is Verdict.UNVERIFIABLE


def test_ed448_in_the_legacy_form_is_unverifiable() -> None:
    key = load_key(key_body(4, 22, b"\x03\x2b\x65\x71" + mpi(b"\x40" + bytes(57))))
    assert key.verify(22, SHA512, digest(64), mpi(1) + mpi(1)) is Verdict.UNVERIFIABLE


@pytest.mark.parametrize(
    "point",
    [b"", b"\x40", b"\x41" + SEED[:32], SEED[1:33], b"\x40" + SEED[:31], b"\x40" + SEED[:33]],
    ids=["none", "prefix-only", "other-prefix", "no-prefix", "short", "long"],
)
def test_p037_a_point_without_its_prefix_verifies_nothing(point: bytes) -> None:
    body = key_body(4, 22, ED25519_LEGACY + (8 * len(point)).to_bytes(2) + point)
    of = legacy_signer()
    material = of.sign(SHA512, digest(64))
    assert load_key(body).verify(22, SHA512, digest(64), material) is Verdict.BAD


def test_32_octets_that_are_no_point_verify_nothing() -> None:
    material = ed25519_signer().sign(SHA512, digest(64))
    for octets in (b"\xff" * 32, b"\2" + bytes(31), bytes(32)):
        key = load_key(key_body(6, 27, octets))
        assert key.verify(27, SHA512, digest(64), material) is Verdict.BAD


def test_57_octets_that_are_no_point_verify_nothing() -> None:
    material = ed448_signer().sign(SHA512, digest(64))
    for octets in (b"\xff" * 57, b"\2" + bytes(56), bytes(57)):
        key = load_key(key_body(6, 28, octets))
        assert key.verify(28, SHA512, digest(64), material) is Verdict.BAD


def test_p071_halves_with_zeros_in_front_verify() -> None:
    of = legacy_signer()
    key = load_key(of.body)
    seen: set[str] = set()
    for at in range(1500):
        over = at.to_bytes(32)
        material = of.sign(SHA256, over)
        r, s = halves(material)
        short = {"r" * (r < 1 << 248), "s" * (s < 1 << 248)} - {""}
        if short:
            assert key.verify(22, SHA256, over, material) is Verdict.VALID
            seen |= short
    assert seen == {"r", "s"}, "no half came out short"


def test_halves_of_more_than_32_octets_are_bad_unless_they_are_zeros() -> None:
    of, over = legacy_signer(), digest(64)
    plain = ed25519_signer().sign(SHA512, over)
    key = load_key(of.body)
    for front, verdict in ((b"\0", Verdict.VALID), (bytes(9), Verdict.VALID), (b"\1", Verdict.BAD)):
        for halves_of in ((front + plain[:32], plain[32:]), (plain[:32], front + plain[32:])):
            material = b"".join((8 * len(one)).to_bytes(2) + one for one in halves_of)
            assert key.verify(22, SHA512, over, material) is verdict


def test_version_6_has_no_legacy_form() -> None:
    of = legacy_signer(version=6)
    material = of.sign(SHA512, digest(64))
    assert load_key(of.body).verify(22, SHA512, digest(64), material) is Verdict.BAD


def test_the_legacy_form_takes_no_plain_octets_and_the_other_no_numbers() -> None:
    legacy, native = legacy_signer(), ed25519_signer()
    over = digest(64)
    plain, numbers = native.sign(SHA512, over), legacy.sign(SHA512, over)
    assert load_key(legacy.body).verify(22, SHA512, over, plain) is Verdict.BAD
    assert load_key(native.body).verify(27, SHA512, over, numbers) is Verdict.BAD


def test_what_is_signed_is_the_digest() -> None:
    made = ed25519.Ed25519PrivateKey.from_private_bytes(SEED[:32]).sign(digest(64))
    assert load_key(ed25519_signer().body).verify(27, SHA512, digest(64), made) is Verdict.VALID


def test_all_curves_of_the_table_are_tested() -> None:
    assert all(isinstance(curve, ec.EllipticCurve) for _, curve in OIDS.values())
    assert len(OIDS) == 7
