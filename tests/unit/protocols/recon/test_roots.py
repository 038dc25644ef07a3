"""Roots of polynomials, by both ways of finding them."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.recon import roots as python
from keygrove_protocols.recon import roots_flint as flint
from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.poly import Poly, times
from tests.unit.protocols.recon.algebra_vectors import VECTORS, numbers

Find = Callable[[Poly], list[int] | None]
both = pytest.mark.parametrize("find", [python.roots, flint.roots], ids=["python", "flint"])
NUMBERS = st.integers(0, P - 1)
BEYOND = (0,) * 40 + (1,)


def product(roots: Iterable[int]) -> Poly:
    poly: Poly = (1,)
    for root in roots:
        poly = times(poly, (-root % P, 1), BEYOND)
    return poly


@both
def test_roots_are_those_that_sks_finds(find: Find) -> None:
    for case in VECTORS.root_finding:
        found = find(numbers(case.coefficients))
        assert found == (sorted(numbers(case.roots)) if case.roots else None)
        assert case.splits == (found is not None)


@both
@given(roots=st.sets(NUMBERS, max_size=7))
def test_the_roots_of_a_product_are_found(find: Find, roots: set[int]) -> None:
    assert find(product(roots)) == sorted(roots)


@both
@given(roots=st.lists(NUMBERS, min_size=1, max_size=5))
def test_a_root_that_is_there_twice_is_refused(find: Find, roots: list[int]) -> None:
    assert find(product([*roots, roots[0]])) is None


@both
@pytest.mark.parametrize("roots", [[0, 1], [0, P - 1], [1, 2, 3, 4, 5], [P - 2, 2]], ids=str)
def test_small_roots_are_found(find: Find, roots: list[int]) -> None:
    assert find(product(roots)) == sorted(roots)


@given(st.lists(NUMBERS, max_size=6).map(lambda head: (*head, 1)))
def test_both_say_the_same_of_any_polynomial(poly: Poly) -> None:
    assert python.roots(poly) == flint.roots(poly)


@given(st.lists(st.one_of(NUMBERS, st.integers(0, 9)), max_size=6))
def test_both_say_the_same_of_products(roots: list[int]) -> None:
    assert python.roots(product(roots)) == flint.roots(product(roots))
