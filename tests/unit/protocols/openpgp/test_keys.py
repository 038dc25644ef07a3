"""Key packets of every version, and those that are not what they say."""

import hashlib

import pytest

from keygrove_protocols.errors import MalformedPrimaryError, UnsupportedKeyVersionError
from keygrove_protocols.openpgp.keys import Key, parse_key

CREATED = bytes.fromhex("5f5e1000")
MODULUS, EXPONENT = bytes.fromhex("c0ffee00112233445566"), bytes.fromhex("010001")
RSA = b"\x00\x50" + MODULUS + b"\x00\x11" + EXPONENT
ED25519 = bytes.fromhex("092b06010401da470f01")
POINT = b"\x01\x07\x40" + bytes(32)
P256 = bytes.fromhex("082a8648ce3d030107")


def v3(material: bytes, algorithm: int = 1, version: int = 3) -> bytes:
    return bytes([version]) + CREATED + b"\x00\x1e" + bytes([algorithm]) + material


def v4(algorithm: int, material: bytes) -> bytes:
    return b"\x04" + CREATED + bytes([algorithm]) + material


def v6(algorithm: int, material: bytes, version: int = 6) -> bytes:
    return bytes([version]) + CREATED + bytes([algorithm]) + len(material).to_bytes(4) + material


def test_p027_a_v4_key_is_named_by_sha1() -> None:
    body = v4(1, RSA)
    digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2) + body, usedforsecurity=False).digest()
    key = parse_key(body)
    assert (key.fingerprint, key.key_id) == (digest, digest[12:])
    assert (key.version, key.created, key.algorithm, key.bits) == (4, 0x5F5E1000, 1, 80)


@pytest.mark.parametrize("version", [2, 3])
def test_p028_a_v3_key_is_named_by_its_numbers(version: int) -> None:
    key = parse_key(v3(RSA, version=version))
    assert key.fingerprint == hashlib.md5(MODULUS + EXPONENT, usedforsecurity=False).digest()
    assert key.key_id == MODULUS[-8:]
    assert (key.version, key.validity_days) == (version, 30)


def test_a_v3_key_with_a_tiny_modulus_still_has_8_octets_of_key_id() -> None:
    assert parse_key(v3(b"\x00\x08\xff\x00\x02\x03")).key_id == bytes(7) + b"\xff"


@pytest.mark.parametrize(("version", "prefix"), [(5, b"\x9a"), (6, b"\x9b")], ids=["v5", "v6"])
def test_p029_p030_a_later_key_is_named_by_sha256(version: int, prefix: bytes) -> None:
    body = v6(27, bytes(32), version)
    digest = hashlib.sha256(prefix + len(body).to_bytes(4) + body).digest()
    key = parse_key(body)
    assert (key.version, key.fingerprint, key.key_id) == (version, digest, digest[:8])


@pytest.mark.parametrize("version", [0, 1, 7, 8, 127, 255])
def test_p031_other_versions_are_unsupported(version: int) -> None:
    with pytest.raises(UnsupportedKeyVersionError, match=f"version {version}"):
        parse_key(bytes([version]) + v4(1, RSA)[1:])


KDF = b"\x03\x01\x08\x07"

SIZES = [
    pytest.param(v4(1, RSA), 80, None, id="rsa"),
    pytest.param(v4(2, RSA), 80, None, id="rsa-encrypt"),
    pytest.param(v4(3, RSA), 80, None, id="rsa-sign"),
    pytest.param(v4(16, RSA + b"\x00\x01\x01"), 80, None, id="elgamal"),
    pytest.param(v4(20, RSA + b"\x00\x01\x01"), 80, None, id="elgamal-sign"),
    pytest.param(v4(17, RSA * 2), 80, None, id="dsa"),
    pytest.param(v4(18, P256 + POINT + KDF), 256, "nistp256", id="ecdh"),
    pytest.param(v4(19, P256 + POINT), 256, "nistp256", id="ecdsa"),
    pytest.param(v4(22, ED25519 + POINT), 255, "ed25519", id="eddsa"),
    pytest.param(v4(22, b"\x03\x2b\x65\x71" + POINT), 448, "ed448", id="eddsa-448"),
    pytest.param(v4(22, b"\x02\x2b\x65" + POINT), 0, None, id="p036-unknown-curve"),
    pytest.param(v4(22, ED25519 + b"\x00\x08\xff"), 255, "ed25519", id="p037-odd-point"),
    pytest.param(v4(22, ED25519 + b"\x00\x00"), 255, "ed25519", id="p037-no-point"),
    pytest.param(v6(25, bytes(32)), 255, "x25519", id="x25519"),
    pytest.param(v6(26, bytes(56)), 448, "x448", id="x448"),
    pytest.param(v4(27, bytes(32)), 255, "ed25519", id="ed25519"),
    pytest.param(v6(28, bytes(57)), 448, "ed448", id="ed448"),
    pytest.param(v6(30, bytes(1984)), 0, None, id="ml-dsa-65"),
    pytest.param(v6(31, bytes(2649)), 0, None, id="ml-dsa-87"),
    pytest.param(v6(32, bytes(32)), 128, None, id="slh-dsa-128s"),
    pytest.param(v6(33, bytes(32)), 128, None, id="slh-dsa-128f"),
    pytest.param(v6(34, bytes(64)), 256, None, id="slh-dsa-256s"),
    pytest.param(v4(35, bytes(1216)), 0, None, id="ml-kem-768"),
    pytest.param(v6(36, bytes(1624)), 0, None, id="ml-kem-1024"),
    pytest.param(v4(99, b"anything"), 0, None, id="p035-unknown-algorithm"),
    pytest.param(v4(110, b""), 0, None, id="p035-private-algorithm"),
    pytest.param(v4(1, b"\x00\x00\x00\x00"), 0, None, id="p040-zeros"),
    pytest.param(v4(17, b"\x00\x00" * 4), 0, None, id="p040-dsa-zeros"),
    pytest.param(v4(1, b"\x40\x01\x01" + bytes(2048) + b"\x00\x00"), 16385, None, id="p040-large"),
    pytest.param(v4(1, b"\x00\x50\x00" + MODULUS[1:] + b"\x00\x01\x01"), 72, None, id="p033-v4"),
]


@pytest.mark.parametrize(("body", "bits", "curve"), SIZES)
def test_the_size_is_what_people_call_it(body: bytes, bits: int, curve: str | None) -> None:
    key = parse_key(body)
    assert (key.bits, key.curve) == (bits, curve)


MALFORMED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\x04", id="version-only"),
    pytest.param(v4(1, b"")[:5], id="no-algorithm"),
    pytest.param(v3(b"")[:7], id="v3-no-algorithm"),
    pytest.param(v6(27, b"")[:9], id="v6-no-length"),
    pytest.param(v3(RSA, algorithm=17), id="v3-not-rsa"),
    pytest.param(v3(RSA + b"\x00"), id="v3-trailing"),
    pytest.param(v3(RSA[:-1]), id="v3-short"),
    pytest.param(v6(27, bytes(32)) + b"\x00", id="p032-v6-long"),
    pytest.param(v6(27, bytes(32))[:-1], id="p032-v6-short"),
    pytest.param(v6(27, bytes(32), version=5) + b"\x00", id="p032-v5-long"),
    pytest.param(v4(1, RSA[:-1]), id="p033-short-mpi"),
    pytest.param(v4(1, RSA[:1]), id="p033-half-a-count"),
    pytest.param(v4(1, b"\xff\xff" + RSA), id="p033-huge-mpi"),
    pytest.param(v6(1, b"\x00\x50\x00" + MODULUS[1:] + b"\x00\x01\x01"), id="p033-v6-zeros"),
    pytest.param(v6(1, b"\x00\x4f" + MODULUS + b"\x00\x01\x01"), id="p033-v6-bits-too-few"),
    pytest.param(v4(1, RSA + b"\x00"), id="p034-rsa"),
    pytest.param(v4(17, RSA * 2 + b"\x00"), id="p034-dsa"),
    pytest.param(v4(27, bytes(33)), id="p034-ed25519"),
    pytest.param(v4(22, ED25519 + POINT + b"\x00"), id="p034-eddsa"),
    pytest.param(v4(18, P256 + POINT + KDF + b"\x00"), id="p034-ecdh"),
    pytest.param(v4(18, P256 + POINT + KDF[:-1]), id="ecdh-short"),
    pytest.param(v4(18, P256 + POINT), id="ecdh-without-derivation"),
    pytest.param(v4(27, bytes(31)), id="ed25519-short"),
    pytest.param(v4(22, b"\x00" + POINT), id="p036-empty-identifier"),
    pytest.param(v4(22, b"\xff" + bytes(255) + POINT), id="p036-reserved-identifier"),
    pytest.param(v4(22, ED25519[:4]), id="p036-short-identifier"),
    pytest.param(v4(22, b""), id="p036-no-identifier"),
    pytest.param(v4(99, bytes(65_530)), id="p039-65536-octets"),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_key_is_refused_with_its_place(body: bytes) -> None:
    with pytest.raises(MalformedPrimaryError) as caught:
        parse_key(body)
    assert caught.value.offset is None or 0 <= caught.value.offset <= len(body)


ONE_MORE = b"\x00\x51\x00" + MODULUS + b"\x00\x11" + EXPONENT
"""Its modulus is said to have a bit more than it has, and so takes another octet."""
PADDED = {3: v3(ONE_MORE), 4: v4(1, ONE_MORE)}


@pytest.mark.parametrize("version", [3, 4])
def test_p033_leading_zeros_count_for_the_fingerprint(version: int) -> None:
    plain = parse_key({3: v3(RSA), 4: v4(1, RSA)}[version])
    padded = parse_key(PADDED[version])
    assert padded.fingerprint != plain.fingerprint
    assert padded.bits == plain.bits


@pytest.mark.parametrize("version", [3, 4])
def test_p033_leading_zeros_are_malformed_where_keys_are_read_strictly(version: int) -> None:
    with pytest.raises(MalformedPrimaryError, match="leading zero bits"):
        parse_key(PADDED[version], is_strict=True)
    with pytest.raises(MalformedPrimaryError, match="leading zero bits"):
        parse_key(v6(1, ONE_MORE))


@pytest.mark.parametrize(
    "body",
    [v3(RSA), v4(1, RSA), v4(22, ED25519 + POINT), v6(1, RSA), v6(1, ONE_MORE, version=5)],
    ids=["v3", "v4 RSA", "v4 EdDSA", "v6", "v5, where they are as they come"],
)
def test_p033_what_has_none_is_strictly_read_the_same(body: bytes) -> None:
    assert parse_key(body, is_strict=True) == parse_key(body)


def test_p033_a_v6_number_without_leading_zeros_is_read() -> None:
    assert parse_key(v6(1, RSA)).bits == 80
    assert parse_key(v6(1, b"\x00\x00" * 2)).bits == 0


def test_p039_a_v4_key_of_65535_octets_is_read() -> None:
    key: Key = parse_key(v4(99, bytes(65_529)))
    assert key.algorithm == 99
