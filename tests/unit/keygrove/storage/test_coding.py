"""Values are stored smaller, never larger, and are what they were when they are read."""

from functools import lru_cache

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from keygrove.errors import DamagedError
from keygrove.storage import coding
from keygrove.storage.address import dictionary_hash
from keygrove.storage.coding import DELTA_BYTES_MAX, DICTIONARY_BYTES, SMALL_BYTES, Dictionary
from keygrove_chaos.certificates import made, put_of


@lru_cache(maxsize=1)
def certificates() -> list[bytes]:
    return [
        put_of(made(n, f"Person {n * 7919 % 997} <p{n}@x{n % 7}.example>")).packets
        for n in range(600)
    ]


@lru_cache(maxsize=1)
def trained() -> Dictionary:
    found = coding.train(certificates()[:500])
    assert found is not None
    return found


def test_a_dictionary_makes_certificates_an_eighth_smaller_or_leaves_them() -> None:
    assert len(trained().octets) <= DICTIONARY_BYTES
    held_out = certificates()[500:]
    assert coding.share(held_out, trained()) < 0.875
    for value in held_out:
        coded = trained().encode(value)
        assert coded is not None
        assert len(coded) <= len(value) * 7 / 8
        assert trained().decode(coded, len(value)) == value


@given(st.binary(max_size=3_000), st.integers(0, 599), st.integers(0, 400))
def test_any_value_comes_back_and_is_never_larger(noise: bytes, number: int, cut: int) -> None:
    for value in (noise, certificates()[number][:cut] + noise):
        coded = trained().encode(value)
        if coded is None:
            continue
        assert len(value) < SMALL_BYTES
        assert 8 * len(coded) <= 7 * len(value)
        assert trained().decode(coded, len(value)) == value


@given(st.binary(max_size=3_000), st.binary(max_size=500), st.integers(0, 3_000))
def test_any_version_comes_back_by_the_next_and_is_never_larger(
    base: bytes, new: bytes, at: int
) -> None:
    value = base[:at] + new + base[at:]
    for one, other in ((value, base), (base, value)):
        coded = coding.encode_delta(one, other)
        if coded is not None:
            assert 8 * len(coded) <= 7 * len(one)
            assert coding.decode_delta(coded, other, len(one)) == one


def test_a_former_version_takes_little_more_than_what_differs() -> None:
    newer = put_of(made(1, "Alice", signatures=40)).packets
    former = newer[:1_000] + newer[1_100:]
    coded = coding.encode_delta(former, newer)
    assert coded is not None
    assert len(coded) < 40


def test_what_is_not_small_is_left_as_it_is() -> None:
    assert trained().encode(bytes(SMALL_BYTES - 1)) is not None
    assert trained().encode(bytes(SMALL_BYTES)) is None
    assert trained().encode(b"") is None
    half = bytes(DELTA_BYTES_MAX // 2)
    assert coding.encode_delta(half, half) is not None
    assert coding.encode_delta(half, half + b"x") is None
    assert coding.encode_delta(half, b"") is None


def test_values_with_nothing_in_common_have_no_dictionary() -> None:
    assert coding.train([b"x"]) is None


def test_a_dictionary_is_known_by_its_octets() -> None:
    octets = trained().octets
    known = coding.dictionary(octets, dictionary_hash(octets))
    value = certificates()[0]
    coded = trained().encode(value)
    assert coded is not None
    assert known.decode(coded, len(value)) == value
    with pytest.raises(DamagedError, match="dictionary"):
        coding.dictionary(octets, bytes(32))


def test_nothing_is_unpacked_that_is_larger_than_it_may_be() -> None:
    value = bytes(SMALL_BYTES - 1)
    coded = trained().encode(value)
    assert coded is not None
    with pytest.raises(DamagedError, match="larger"):
        trained().decode(coded, len(value) - 1)
    bomb = zstandard.compress(bytes(1 << 26))[len(zstandard.FRAME_HEADER) :]
    with pytest.raises(DamagedError, match="larger"):
        coding.decode_delta(bomb, b"base", SMALL_BYTES)


@given(st.binary(max_size=300))
def test_what_was_never_coded_is_damage(octets: bytes) -> None:
    try:
        found = trained().decode(octets, SMALL_BYTES)
    except DamagedError:
        return
    assert len(found) <= SMALL_BYTES


def test_a_coded_value_that_rotted_is_damage_or_another_value_of_that_size() -> None:
    value = certificates()[0]
    coded = trained().encode(value)
    assert coded is not None
    for bit in range(8 * len(coded)):
        rotten = bytearray(coded)
        rotten[bit // 8] ^= 1 << bit % 8
        try:
            found = trained().decode(bytes(rotten), len(value))
        except DamagedError:
            continue
        assert len(found) <= len(value)
