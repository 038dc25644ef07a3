"""Partnerships: their shapes, and how far they reach."""

from random import Random

import pytest

from keygrove_chaos.topology import SHAPES, Shape, diameter, halves, neighbours, partnerships

NAMES = tuple(f"n{number}" for number in range(12))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(20))
def test_everybody_reaches_everybody_and_no_partnership_is_there_twice(
    shape: Shape, seed: int
) -> None:
    found = partnerships(shape, NAMES, Random(seed))
    assert diameter(found) is not None
    assert set(neighbours(found)) == set(NAMES)
    assert len({frozenset(pair) for pair in found}) == len(found)
    assert found == partnerships(shape, NAMES, Random(seed))


@pytest.mark.parametrize(("shape", "furthest"), [("ring", 6), ("star", 2)])
def test_a_ring_is_half_its_size_across_and_a_star_two(shape: Shape, furthest: int) -> None:
    assert diameter(partnerships(shape, NAMES, Random(0))) == furthest


def test_halves_have_one_or_two_partnerships_between_them() -> None:
    left, _ = halves(NAMES)
    between = [
        sum((one in left) != (other in left) for one, other in partnerships("halves", NAMES, r))
        for r in map(Random, range(300))
    ]
    assert set(between) == {1, 2}


def test_no_way_leads_through_an_end() -> None:
    ring = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "e")]
    assert diameter(ring) == 2
    assert diameter(ring, ["b"]) == 3
    assert diameter(ring[:4], ["b"]) is None
    assert diameter(ring[:4], ["a"]) == 4
