"""DSA: sizes of other times, and keys of an enemy."""

import pytest

from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from tests.unit.protocols.openpgp.crypto.signers import (
    digest,
    dsa_library_sign,
    dsa_numbers,
    dsa_signer,
    hashed,
    key_body,
    mpi,
)

SHA1, RIPEMD160, SHA256, SHA512 = 2, 3, 8, 10


@pytest.mark.parametrize("size", [(768, 160), (1024, 192), (1536, 160)], ids=str)
@pytest.mark.parametrize("hash_id", [SHA1, SHA256, SHA512])
def test_p072_sizes_that_the_library_refuses_verify(size: tuple[int, int], hash_id: int) -> None:
    of, over = dsa_signer(*size), hashed(hash_id)
    if 8 * len(over) >= size[1]:
        material = of.sign(hash_id, over)
        assert load_key(of.body).verify(17, hash_id, over, material) is Verdict.VALID
        assert load_key(of.body).verify(17, hash_id, over[::-1], material) is Verdict.BAD


def test_p072_a_long_digest_is_cut_to_the_order() -> None:
    of, over = dsa_signer(1024, 160), digest(64)
    for material in (of.sign(SHA512, over), dsa_library_sign(1024, 160, SHA512, over)):
        key = load_key(of.body)
        assert key.verify(17, SHA512, over, material) is Verdict.VALID
        assert key.verify(17, SHA512, over[:20] + bytes(44), material) is Verdict.VALID


@pytest.mark.parametrize("size", [(1024, 160), (1536, 160)], ids=str)
def test_ripemd160_verifies(size: tuple[int, int]) -> None:
    of, over = dsa_signer(*size), hashed(RIPEMD160)
    material = of.sign(RIPEMD160, over)
    assert load_key(of.body).verify(17, RIPEMD160, over, material) is Verdict.VALID


@pytest.mark.parametrize("size", [(1024, 160), (1536, 160)], ids=str)
def test_numbers_out_of_range_are_bad(size: tuple[int, int]) -> None:
    of, over = dsa_signer(*size), digest(64)
    _, q, _ = dsa_numbers(*size)
    material = of.sign(SHA512, over)
    octets = 2 + (int.from_bytes(material[:2]) + 7 >> 3)
    r, s = (int.from_bytes(one[2:]) for one in (material[:octets], material[octets:]))
    key = load_key(of.body)
    assert key.verify(17, SHA512, over, mpi(r) + mpi(s)) is Verdict.VALID
    for wrong in ((r, 0), (0, s), (0, 0), (r + q, s), (r, s + q), (q, s), (r, q), (1 << 60_000, s)):
        assert key.verify(17, SHA512, over, mpi(wrong[0]) + mpi(wrong[1])) is Verdict.BAD


def test_zeros_in_front_do_no_harm_before_version_6() -> None:
    over = digest(64)
    for version, verdict in ((4, Verdict.VALID), (6, Verdict.BAD)):
        of = dsa_signer(1024, 160, version)
        plain = of.sign(SHA512, over)
        bits = int.from_bytes(plain[:2])
        padded = (bits + 8).to_bytes(2) + b"\0" + plain[2:]
        assert load_key(of.body).verify(17, SHA512, over, plain) is Verdict.VALID
        assert load_key(of.body).verify(17, SHA512, over, padded) is verdict


P, Q, G = dsa_numbers(1024, 160)
ODD_P, ODD_Q, ODD_G = dsa_numbers(1536, 160)

SENSELESS = [
    pytest.param((P, 0, G, 4), id="q-0"),
    pytest.param((P, 1, G, 4), id="q-1"),
    pytest.param((P, 3, 2, 4), id="q-3"),
    pytest.param((5, 3, 2, 2), id="p-5"),
    pytest.param((P, (1 << 158) | 1, G, 4), id="q-159-bits"),
    pytest.param((P, Q, 0, 4), id="g-0"),
    pytest.param((P, Q, 1, 4), id="g-1"),
    pytest.param((P, Q, P, 4), id="g-is-p"),
    pytest.param((P, Q, G, 0), id="y-0"),
    pytest.param((P, Q, G, 1), id="y-1"),
    pytest.param((P, Q, G, P), id="y-is-p"),
    pytest.param((0, 0, 0, 0), id="zeros"),
    pytest.param((1, 1, 1, 1), id="ones"),
    pytest.param((P - 1, Q, G, 4), id="p-even"),
    pytest.param((ODD_P - 1, ODD_Q, ODD_G, 4), id="p-even-by-hand"),
    pytest.param((P, Q + 1, G, 4), id="q-even"),
    pytest.param((P, P, G, 4), id="q-is-p"),
]
TOO_LARGE = [
    pytest.param(((1 << 4096) | 1, Q, 2, 4), id="p-4097-bits"),
    pytest.param((P, (1 << 256) | 1, 2, 4), id="q-257-bits"),
]


def verdicts(numbers: tuple[int, ...]) -> set[Verdict]:
    key = load_key(key_body(4, 17, b"".join(map(mpi, numbers))))
    assert key.cost_us == 0, "arithmetic would be done"
    pairs = ((0, 0), (1, 1), (2, 3), (1 << 159, 1))
    return {key.verify(17, SHA256, hashed(SHA256), mpi(r) + mpi(s)) for r, s in pairs}


@pytest.mark.parametrize("numbers", SENSELESS)
def test_p040_a_senseless_key_verifies_nothing_at_no_cost(numbers: tuple[int, ...]) -> None:
    assert verdicts(numbers) == {Verdict.BAD}


@pytest.mark.parametrize("numbers", TOO_LARGE)
def test_p040_a_key_too_large_is_not_asked(numbers: tuple[int, ...]) -> None:
    assert verdicts(numbers) == {Verdict.UNVERIFIABLE}


HOSTILE = [
    pytest.param(((1 << 4096) - 1, (1 << 256) - 1, 3, 5), id="library-composite"),
    pytest.param(((1 << 4095) - 1, (1 << 255) - 1, 3, 5), id="by-hand-composite"),
]


@pytest.mark.parametrize("numbers", HOSTILE)
def test_p040_a_hostile_key_is_bounded(numbers: tuple[int, ...]) -> None:
    key = load_key(key_body(4, 17, b"".join(map(mpi, numbers))))
    for r, s in ((1, 1), (2, 1), (1, 2), (3, 3), (numbers[1] - 1, numbers[1] - 1)):
        verdict = key.verify(17, SHA256, hashed(SHA256), mpi(r) + mpi(s))
        assert verdict is not Verdict.UNVERIFIABLE
    assert key.cost_us < 50_000


def test_an_order_with_a_factor_in_common_with_s_is_bad() -> None:
    key = load_key(key_body(4, 17, mpi(ODD_P) + mpi(3**102) + mpi(2) + mpi(4)))
    assert key.cost_us > 0
    assert key.verify(17, SHA256, hashed(SHA256), mpi(2) + mpi(3)) is Verdict.BAD
