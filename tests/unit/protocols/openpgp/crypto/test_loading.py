"""Every key packet that parses is a key, if only one that verifies nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from keygrove_protocols.openpgp.keys import parse_key
from tests.unit.protocols.openpgp.crypto.signers import (
    CREATED,
    digest,
    ed25519_signer,
    key_body,
    mpi,
    rsa_numbers,
    rsa_signer,
)

SHA512 = 10
P256_ECDH = bytes.fromhex("082a8648ce3d030107") + mpi(b"\4" + bytes(64)) + b"\3\1\x08\x07"
ELGAMAL = mpi(5) * 3

ENCRYPT_ONLY = [
    pytest.param(4, 2, mpi(rsa_numbers(1024)[0] * rsa_numbers(1024)[1]) + mpi(65537), id="rsa"),
    pytest.param(4, 16, ELGAMAL, id="elgamal"),
    pytest.param(4, 18, P256_ECDH, id="ecdh"),
    pytest.param(6, 25, bytes(32), id="x25519"),
    pytest.param(6, 26, bytes(56), id="x448"),
    pytest.param(6, 35, bytes(1216), id="ml-kem-768"),
    pytest.param(6, 36, bytes(1624), id="ml-kem-1024"),
]


@pytest.mark.parametrize(("version", "algorithm", "material"), ENCRYPT_ONLY)
def test_a_key_that_only_encrypts_signs_nothing(
    version: int, algorithm: int, material: bytes
) -> None:
    body = key_body(version, algorithm, material)
    assert parse_key(body).algorithm == algorithm
    key, made = load_key(body), rsa_signer(1024).sign(SHA512, digest(64))
    for named in (algorithm, 1, 3):
        assert key.verify(named, SHA512, digest(64), made) is Verdict.BAD


@pytest.mark.parametrize(
    ("algorithm", "material"),
    [(20, ELGAMAL), (21, b"x"), (99, b"anything"), (110, b"")],
    ids=["elgamal-sign", "reserved", "unassigned", "private"],
)
def test_p035_an_unknown_algorithm_is_unverifiable(algorithm: int, material: bytes) -> None:
    key = load_key(key_body(4, algorithm, material))
    for octets in (b"", b"anything", mpi(1) + mpi(1)):
        assert key.verify(algorithm, SHA512, digest(64), octets) is Verdict.UNVERIFIABLE
    assert key.verify(1, SHA512, digest(64), b"") is Verdict.BAD


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_the_material_is_found_in_every_version(version: int) -> None:
    of = rsa_signer(1024, version=version)
    parse_key(of.body)
    material = of.sign(SHA512, digest(64))
    assert load_key(of.body).verify(1, SHA512, digest(64), material) is Verdict.VALID


def test_version_5_is_read_as_version_6_is() -> None:
    of = ed25519_signer(version=5)
    material = of.sign(SHA512, digest(64))
    assert load_key(of.body).verify(27, SHA512, digest(64), material) is Verdict.VALID


@given(
    version=st.sampled_from([3, 4, 6]),
    algorithm=st.sampled_from([1, 2, 3, 16, 17, 19, 20, 22, 99]),
    numbers=st.lists(st.integers(0, 1 << 600), min_size=1, max_size=4),
    named=st.sampled_from(["", "082a8648ce3d030107", "092b06010401da470f01", "022b65"]),
    material=st.binary(max_size=200),
)
def test_whatever_parses_loads_and_never_raises(
    version: int, algorithm: int, numbers: list[int], named: str, material: bytes
) -> None:
    body = key_body(version, algorithm, bytes.fromhex(named) + b"".join(map(mpi, numbers)))
    try:
        parse_key(body)
    except ProtocolError:
        return
    key = load_key(body)
    for octets in (material, mpi(1), mpi(1) + mpi(1), mpi(numbers[0]) * 2):
        assert key.verify(algorithm, SHA512, digest(64), octets) in Verdict


@given(st.binary(max_size=120))
def test_random_bodies_that_parse_load(tail: bytes) -> None:
    for version in (3, 4, 6):
        body = bytes([version]) + CREATED + tail
        try:
            algorithm = parse_key(body).algorithm
        except ProtocolError:
            continue
        assert load_key(body).verify(algorithm, SHA512, digest(64), tail) is not Verdict.VALID
