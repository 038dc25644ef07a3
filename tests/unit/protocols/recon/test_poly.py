"""Polynomials over the field."""

from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.poly import (
    Poly,
    Ratio,
    divided,
    evaluate,
    gcd,
    interpolate,
    minus,
    monic,
    power,
    times,
)
from tests.unit.protocols.recon.algebra_vectors import VECTORS, numbers

NUMBERS = st.integers(0, P - 1)
POLYS = st.lists(NUMBERS, min_size=1, max_size=8).map(lambda head: (*head, 1))
POINTS = st.integers(0, P - 1)


@given(POLYS, POLYS, POINTS)
def test_a_quotient_times_the_divisor_and_the_remainder_are_the_whole(
    one: Poly, by: Poly, at: int
) -> None:
    quotient, rest = divided(one, by)
    assert len(rest) < len(by)
    value = evaluate(quotient, at) * evaluate(by, at) + evaluate(rest, at)
    assert value % P == evaluate(one, at)


@given(POLYS, POLYS, POINTS)
def test_a_difference_has_the_difference_of_values(one: Poly, other: Poly, at: int) -> None:
    found = minus(one, other)
    assert evaluate(found, at) == (evaluate(one, at) - evaluate(other, at)) % P
    assert not found or found[-1]
    assert minus(one, one) == ()


@given(POLYS, NUMBERS, st.integers(1, 40))
def test_a_power_is_a_product_repeated(base: Poly, root: int, exponent: int) -> None:
    modulo = (-root % P, 1)
    assert evaluate(power(divided(base, modulo)[1], exponent, modulo), 0) == pow(
        evaluate(base, root), exponent, P
    )


@given(POLYS, POLYS, POLYS)
def test_a_common_factor_is_found(one: Poly, other: Poly, common: Poly) -> None:
    beyond = (*(0 for _ in range(40)), 1)
    found = gcd(times(one, common, beyond), times(other, common, beyond))
    assert found[-1] == 1
    assert divided(found, common)[1] == ()
    for whole in (one, other):
        assert divided(times(whole, common, beyond), found)[1] == ()


@given(POLYS, st.integers(1, P - 1))
def test_a_monic_polynomial_has_the_same_roots(poly: Poly, factor: int) -> None:
    assert monic(tuple(number * factor % P for number in poly)) == poly


def test_ratios_are_those_that_sks_finds() -> None:
    for case in VECTORS.interpolation.algebra.cases:
        found = interpolate(numbers(case.values), case.d)
        if case.numerator is None or case.denominator is None:
            assert found is None
        else:
            assert found == Ratio(numbers(case.numerator), numbers(case.denominator))
