"""Numbers modulo SKS's prime."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import BadElementError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import (
    MBAR,
    POINTS,
    SHIFTS,
    P,
    decode,
    digest,
    element,
    encode,
    is_element,
)
from tests.unit.protocols.recon.algebra_vectors import VECTORS, numbers, read

FIELD = VECTORS.zp


def test_the_prime_and_the_sample_points_are_those_of_sks() -> None:
    signed, points = FIELD.sample_points["as_signed"], FIELD.sample_points["mbar 5 (6 points)"]
    assert int(FIELD.P) == P
    assert list(SHIFTS) == signed
    assert numbers(map(str, points)) == POINTS
    assert len(POINTS) == MBAR + 1


def test_numbers_are_17_octets_and_back() -> None:
    for one in FIELD.encodings:
        assert encode(int(one.zp)).hex() == one.bytes17
        assert decode(bytes.fromhex(one.bytes17)) == int(one.zp)


def test_digests_are_numbers_and_back() -> None:
    for one in FIELD.digest_to_zp:
        (named,) = read([one.digest])
        assert named + b"\0" == encode(int(one.zp)) == bytes.fromhex(one.bytes17)
        if not is_element(named):
            continue
        assert element(named) == int(one.zp)
        assert digest(int(one.zp)) == named


def test_a_digest_that_equals_a_sample_point_is_refused() -> None:
    for named in read(one.digest for one in FIELD.refused_elements):
        assert not is_element(named)
        with pytest.raises(BadElementError):
            element(named)


@pytest.mark.parametrize("number", [-1, 1 << 128, P - 1, *POINTS])
def test_a_number_that_stands_for_no_digest_is_refused(number: int) -> None:
    with pytest.raises(BadElementError):
        digest(number)


@pytest.mark.parametrize(
    "octets",
    [b"", bytes(16), bytes(18), P.to_bytes(17, "little"), b"\xff" * 17],
    ids=["none", "too few", "too many", "the prime", "the most"],
)
def test_octets_that_are_no_number_of_the_field_are_refused(octets: bytes) -> None:
    with pytest.raises(BadElementError):
        decode(octets)


@given(st.binary(min_size=16, max_size=16).map(Digest))
def test_what_is_an_element_comes_back_as_the_same_digest(one: Digest) -> None:
    if is_element(one):
        assert digest(element(one)) == one
        assert decode(encode(element(one))) == element(one)
    else:
        assert int.from_bytes(one, "little") in POINTS
