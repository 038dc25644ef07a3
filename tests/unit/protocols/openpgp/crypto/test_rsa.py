"""RSA: short signatures, forged ones, small and hostile keys, RIPEMD-160."""

import pytest

from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from tests.unit.protocols.openpgp.crypto.signers import (
    hashed,
    key_body,
    mpi,
    rsa_numbers,
    rsa_sign_block,
    rsa_signer,
)

RIPEMD160, SHA256 = 3, 8
INFO_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
INFO_RIPEMD160 = bytes.fromhex("3021300906052b2403020105000414")


def asked(body: bytes, material: bytes, hash_id: int = SHA256) -> Verdict:
    return load_key(body).verify(1, hash_id, hashed(hash_id), material)


def block(bits: int, info: bytes, padding: bytes | None = None) -> bytes:
    octets = bits + 7 >> 3
    if padding is None:
        padding = b"\xff" * (octets - 3 - len(info))
    return (b"\0\1" + padding + b"\0" + info).ljust(octets, b"\xee")


def test_p070_a_signature_with_zeros_in_front_verifies() -> None:
    of = rsa_signer(1024)
    key = load_key(of.body)
    lengths: set[int] = set()
    for at in range(600):
        over = at.to_bytes(32)
        material = of.sign(SHA256, over)
        lengths.add(len(material))
        if len(material) < 2 + 128:
            assert key.verify(1, SHA256, over, material) is Verdict.VALID
    assert min(lengths) < 2 + 128, "no signature came out short"


def test_zeros_in_front_do_no_harm_before_version_6() -> None:
    of, strict = rsa_signer(1024), rsa_signer(1024, version=6)
    value = of.sign(SHA256, hashed(SHA256))[2:]
    for zeros in (1, 8):
        material = (8 * (len(value) + zeros)).to_bytes(2) + bytes(zeros) + value
        assert asked(of.body, material) is Verdict.VALID
        assert asked(strict.body, material) is Verdict.BAD


@pytest.mark.parametrize("bits", [512, 768, 1023])
def test_small_and_odd_moduli_verify(bits: int) -> None:
    body = rsa_signer(bits).body
    good = block(bits, INFO_SHA256 + hashed(SHA256))
    assert asked(body, rsa_sign_block(bits, good)) is Verdict.VALID
    assert asked(body, rsa_sign_block(bits, good[:-1] + b"\0")) is Verdict.BAD


def test_a_signature_of_the_modulus_or_more_is_bad() -> None:
    for bits in (768, 1024):
        p, q, _ = rsa_numbers(bits)
        good = rsa_sign_block(bits, block(bits, INFO_SHA256 + hashed(SHA256)))
        above = int.from_bytes(good[2:]) + p * q
        body = rsa_signer(bits).body
        assert asked(body, good) is Verdict.VALID
        assert asked(body, mpi(above)) is Verdict.BAD
        assert asked(body, mpi(p * q)) is Verdict.BAD


@pytest.mark.parametrize("bits", [768, 1024, 2048])
def test_p073_ripemd160_verifies(bits: int) -> None:
    body = rsa_signer(bits).body
    good = block(bits, INFO_RIPEMD160 + hashed(RIPEMD160))
    material = rsa_sign_block(bits, good)
    assert asked(body, material, RIPEMD160) is Verdict.VALID
    assert asked(body, material, 2) is Verdict.BAD
    assert asked(body, rsa_sign_block(bits, good[:-1] + b"\0"), RIPEMD160) is Verdict.BAD


@pytest.mark.parametrize("bits", [768, 1024])
@pytest.mark.parametrize(("hash_id", "info"), [(SHA256, INFO_SHA256), (RIPEMD160, INFO_RIPEMD160)])
def test_p074_what_is_not_padded_to_the_end_is_bad(bits: int, hash_id: int, info: bytes) -> None:
    encoded = info + hashed(hash_id)
    forgeries = (
        block(bits, encoded, b"\xff" * 8),
        block(bits, encoded, b"\xff" * 7),
        block(bits, encoded, b""),
        block(bits, encoded[2:]),
        block(bits, hashed(hash_id)),
        b"\0\2" + block(bits, encoded)[2:],
    )
    for forged in forgeries:
        material = rsa_sign_block(bits, forged, e=3)
        assert asked(rsa_signer(bits, e=3).body, material, hash_id) is Verdict.BAD


def test_p074_a_cube_root_forges_nothing() -> None:
    """Bleichenbacher 2006: what starts right and is a cube needs no private key."""
    for hash_id, info in ((SHA256, INFO_SHA256), (RIPEMD160, INFO_RIPEMD160)):
        start = b"\0\1" + b"\xff" * 8 + b"\0" + info + hashed(hash_id)
        goal = int.from_bytes(start.ljust(256, b"\xff"))
        root = 1 << (goal.bit_length() + 2) // 3
        while (lower := (2 * root + goal // (root * root)) // 3) < root:
            root = lower
        assert (root**3).to_bytes(256).startswith(start)
        assert asked(rsa_signer(2048, e=3).body, mpi(root), hash_id) is Verdict.BAD


def test_an_exponent_of_3_verifies() -> None:
    for bits in (768, 1024):
        material = rsa_sign_block(bits, block(bits, INFO_SHA256 + hashed(SHA256)), e=3)
        assert asked(rsa_signer(bits, e=3).body, material) is Verdict.VALID


def test_a_modulus_without_room_for_the_padding_verifies_nothing() -> None:
    body = key_body(4, 1, mpi(0xFFFFFFFB) + mpi(3))
    for hash_id in (SHA256, RIPEMD160):
        assert asked(body, mpi(1), hash_id) is Verdict.BAD


P, Q, _ = rsa_numbers(1024)
N = P * Q
ODD_LARGE = (1 << 16_384) | 1

HOSTILE = [
    pytest.param(0, 65537, Verdict.BAD, id="n-0"),
    pytest.param(1, 65537, Verdict.BAD, id="n-1"),
    pytest.param(N, 0, Verdict.BAD, id="e-0"),
    pytest.param(N, 1, Verdict.BAD, id="e-1"),
    pytest.param(N, 2, Verdict.BAD, id="e-2"),
    pytest.param(N, 65536, Verdict.BAD, id="e-even"),
    pytest.param(N + 1, 65537, Verdict.BAD, id="n-even"),
    pytest.param(15, 17, Verdict.BAD, id="e-above-n"),
    pytest.param(N, N, Verdict.BAD, id="e-is-n"),
    pytest.param(ODD_LARGE, 65537, Verdict.UNVERIFIABLE, id="n-16385-bits"),
    pytest.param((1 << 65_000) | 1, 65537, Verdict.UNVERIFIABLE, id="n-65001-bits"),
    pytest.param(N, (1 << 64) | 1, Verdict.UNVERIFIABLE, id="e-65-bits"),
    pytest.param(N, N - 2, Verdict.UNVERIFIABLE, id="e-1024-bits"),
]


@pytest.mark.parametrize(("n", "e", "verdict"), HOSTILE)
@pytest.mark.parametrize("hash_id", [SHA256, RIPEMD160])
def test_p040_a_hostile_key_verifies_nothing_at_no_cost(
    n: int, e: int, verdict: Verdict, hash_id: int
) -> None:
    """What costs nothing was not asked: no power is taken, for no signature."""
    key = load_key(key_body(4, 1, mpi(n) + mpi(e)))
    assert key.cost_us == 0
    for value in (0, 1, n - 1, n, n + 1):
        assert key.verify(1, hash_id, hashed(hash_id), mpi(max(0, value))) is verdict


@pytest.mark.parametrize("hash_id", [SHA256, RIPEMD160])
def test_p040_the_largest_key_that_is_asked_is_bad_and_bounded(hash_id: int) -> None:
    n, e = (1 << 16_384) - 1, (1 << 64) - 1
    key = load_key(key_body(4, 1, mpi(n) + mpi(e)))
    assert key.verify(1, hash_id, hashed(hash_id), mpi(n - 2)) is Verdict.BAD
    assert key.cost_us < 50_000
