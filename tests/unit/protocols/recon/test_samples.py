"""Values of characteristic polynomials."""

from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import POINTS, P, element, is_element
from keygrove_protocols.recon.samples import (
    EMPTY,
    PACKED_BYTES,
    over,
    pack,
    samples,
    times,
    unpack,
)
from tests.unit.protocols.recon.algebra_vectors import VECTORS

DIGESTS = st.binary(min_size=16, max_size=16).map(Digest).filter(is_element)
SETS = st.sets(DIGESTS, max_size=20)


@given(SETS)
def test_values_are_products_of_point_minus_element(digests: set[Digest]) -> None:
    for point, value in zip(POINTS, samples(digests), strict=True):
        product = 1
        for one in digests:
            product = product * (point - element(one)) % P
        assert value == product


@given(SETS, SETS)
def test_values_of_a_union_are_products_and_of_a_rest_quotients(
    one: set[Digest], other: set[Digest]
) -> None:
    rest = other - one
    both = samples(one | rest)
    assert times(samples(one), samples(rest)) == both
    assert over(both, samples(rest)) == samples(one)


@given(SETS)
def test_packed_values_come_back(digests: set[Digest]) -> None:
    packed = pack(samples(digests))
    assert len(packed) == PACKED_BYTES
    assert unpack(packed) == samples(digests)


def test_the_empty_set_has_ones() -> None:
    assert samples([]) == EMPTY


def test_arithmetic_is_that_of_the_field() -> None:
    for case in VECTORS.zp.arith:
        a, b = int(case.a), int(case.b)
        assert (a + b) % P == int(case.sum)
        assert (a - b) % P == int(case.difference)
        assert times((a,), (b,)) == (int(case.product),)
        assert over((a,), (b,)) == (int(case.quotient),)
