"""What holds of the keys of every algorithm: one signature is good, all others are not."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from keygrove_protocols.openpgp.keys import parse_key
from tests.unit.protocols.openpgp.crypto.signers import (
    HASHES,
    OIDS,
    Signer,
    digest,
    dsa_signer,
    ecdsa_signer,
    ed448_signer,
    ed25519_signer,
    hashed,
    legacy_signer,
    ml_dsa_65_signer,
    ml_dsa_87_signer,
    rsa_signer,
    slh_dsa_signer,
)

SHA256, SHA512 = 8, 10

SIGNERS: dict[str, Callable[[], Signer]] = {
    "rsa-1024": lambda: rsa_signer(1024),
    "rsa-2048": lambda: rsa_signer(2048),
    "rsa-v3": lambda: rsa_signer(1024, version=3),
    "rsa-v6": lambda: rsa_signer(2048, version=6),
    "rsa-sign-only": lambda: rsa_signer(1024, algorithm=3),
    "dsa-1024": lambda: dsa_signer(1024, 160),
    "dsa-2048": lambda: dsa_signer(2048, 224),
    "dsa-1536": lambda: dsa_signer(1536, 160),
    **{curve: partial(ecdsa_signer, curve) for curve in OIDS},
    "p256-v6": lambda: ecdsa_signer("nistp256", version=6),
    "eddsa-legacy": legacy_signer,
    "eddsa-legacy-gnupg": lambda: legacy_signer(b"\x03\x2b\x65\x70"),
    "ed25519-v4": ed25519_signer,
    "ed25519-v6": lambda: ed25519_signer(version=6),
    "ed448-v4": ed448_signer,
    "ed448-v6": lambda: ed448_signer(version=6),
    "ml-dsa-65": ml_dsa_65_signer,
    "ml-dsa-87": ml_dsa_87_signer,
    "slh-dsa-128s": partial(slh_dsa_signer, 32),
    "slh-dsa-128f": partial(slh_dsa_signer, 33),
    "slh-dsa-256s": partial(slh_dsa_signer, 34),
}

every_signer = pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)


def asked(signer: Signer, material: bytes, over: bytes, hash_id: int = SHA512) -> Verdict:
    return load_key(signer.body).verify(signer.algorithm, hash_id, over, material)


@every_signer
def test_a_signature_is_good_for_its_digest_only(signer: Callable[[], Signer]) -> None:
    of, over = signer(), digest(64)
    material = of.sign(SHA512, over)
    assert parse_key(of.body).algorithm == of.algorithm
    assert asked(of, material, over) is Verdict.VALID
    assert asked(of, material, b"\0" + over[1:]) is Verdict.BAD


@every_signer
def test_a_key_verifies_again_and_again(signer: Callable[[], Signer]) -> None:
    of, over = signer(), digest(64)
    key, material = load_key(of.body), of.sign(SHA512, over)
    verdicts = [key.verify(of.algorithm, SHA512, one, material) for one in (over, bytes(64), over)]
    assert verdicts == [Verdict.VALID, Verdict.BAD, Verdict.VALID]


@every_signer
def test_each_flipped_bit_spoils_a_signature(signer: Callable[[], Signer]) -> None:
    of, over = signer(), digest(64)
    material = of.sign(SHA512, over)
    step = max(1, len(material) // 40)
    # Where the second of two numbers begins, which is not always the same octet: how many bits it
    # has says no more than how many octets.
    second = 2 + (int.from_bytes(material[:2]) + 7) // 8
    counted = {second, second + 1} if of.algorithm in (17, 19, 22) else set[int]()
    for at in set(range(2, len(material), step)) - counted:
        flipped = bytearray(material)
        flipped[at] ^= 1 << at % 8
        assert asked(of, bytes(flipped), over) is Verdict.BAD, at


@every_signer
def test_material_cut_short_or_drawn_out_is_bad(signer: Callable[[], Signer]) -> None:
    of, over = signer(), digest(64)
    material = of.sign(SHA512, over)
    for octets in (0, 1, 2, 3, len(material) // 2, len(material) - 1):
        assert asked(of, material[:octets], over) is Verdict.BAD, octets
    for more in (b"\0", b"\0\0", material, b"\xff" * 70_000):
        assert asked(of, material + more, over) is Verdict.BAD


@every_signer
def test_another_algorithm_than_the_keys_is_bad(signer: Callable[[], Signer]) -> None:
    of, over = signer(), digest(64)
    key, material = load_key(of.body), of.sign(SHA512, over)
    same = {1, 3} if of.algorithm in (1, 3) else {of.algorithm}
    good = {one for one in range(256) if key.verify(one, SHA512, over, material) is Verdict.VALID}
    assert good == same


@every_signer
def test_a_hash_that_nobody_knows_is_unverifiable(signer: Callable[[], Signer]) -> None:
    of = signer()
    for hash_id in (0, 4, 7, 13, 15, 255):
        assert asked(of, of.sign(SHA512, digest(64)), digest(64), hash_id) is Verdict.UNVERIFIABLE


@every_signer
def test_a_digest_of_another_length_than_the_hashs_is_bad(signer: Callable[[], Signer]) -> None:
    of, over = signer(), digest(64)
    material = of.sign(SHA512, over)
    assert asked(of, material, over, SHA256) is Verdict.BAD
    assert asked(of, material, over[:-1]) is Verdict.BAD


@every_signer
def test_a_key_says_what_it_costs(signer: Callable[[], Signer]) -> None:
    assert load_key(signer().body).cost_us > 0


@pytest.mark.parametrize("name", ["rsa-1024", "dsa-1024", "dsa-1536", "nistp256", "nistp521"])
@pytest.mark.parametrize("hash_id", HASHES)
def test_every_hash_of_the_table_verifies(name: str, hash_id: int) -> None:
    of = SIGNERS[name]()
    over = hashed(hash_id)
    assert asked(of, of.sign(hash_id, over), over, hash_id) is Verdict.VALID


@given(data=st.data())
@pytest.mark.parametrize("name", ["rsa-1024", "dsa-1024", "dsa-1536", "nistp256", "eddsa-legacy"])
def test_random_numbers_are_bad_and_nothing_else(name: str, data: st.DataObject) -> None:
    of = SIGNERS[name]()
    numbers = data.draw(st.lists(st.binary(max_size=140), max_size=3))
    material = b"".join((8 * len(one)).to_bytes(2) + one for one in numbers)
    assert asked(of, material, digest(64)) is Verdict.BAD


@given(material=st.binary(max_size=300))
@pytest.mark.parametrize("name", [name for name in SIGNERS if "2048" not in name])
def test_random_material_is_bad_and_nothing_else(name: str, material: bytes) -> None:
    assert asked(SIGNERS[name](), material, digest(64)) is Verdict.BAD
