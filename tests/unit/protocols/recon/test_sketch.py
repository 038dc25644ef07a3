"""Coded symbols: what an element is and where it is, and a sketch that follows its set."""

from collections import Counter
from hashlib import blake2b
from math import sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keygrove_protocols.errors import BadSketchError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.sketch import SYMBOL_BYTES, SYMBOLS, Sketch, coded
from tests.unit.protocols.recon.model import drawn

ONE = Digest(bytes(range(16)))
WHOLE = SYMBOLS * SYMBOL_BYTES
PLACES = [0, 1, 2, 4, 5, 18, 43, 100, 187, 227, 548, 549, 920, 2707, 3528, 3844, 4087, 6517, 16082]


def test_a_coded_element_is_as_the_page_says() -> None:
    hashed = blake2b(ONE, digest_size=24, person=b"KeygroveRateless").digest()
    one = coded(ONE)
    assert one.number.to_bytes(25) == b"\x01" + ONE + hashed[:8]
    assert one.seed == int.from_bytes(hashed[8:], "little") | 1


def test_places_are_pinned_since_both_ends_must_have_the_same() -> None:
    assert coded(ONE).places(SYMBOLS) == PLACES


@pytest.mark.parametrize("start", [0, 1, 2, 95, 96, 4_096, SYMBOLS])
@pytest.mark.parametrize("stop", [0, 1, 96, 5_000, SYMBOLS])
def test_places_of_a_part_are_those_within_it(start: int, stop: int) -> None:
    assert coded(ONE).places(stop, start) == [one for one in PLACES if start <= one < stop]


def test_an_element_is_at_place_i_with_a_chance_of_2_in_i_plus_2() -> None:
    count = 4_000
    seen = Counter(place for one in drawn(count, seed=3) for place in coded(one).places(400))
    assert seen[0] == count
    for start, stop in ((1, 2), (2, 3), (3, 5), (5, 10), (10, 30), (30, 100), (100, 400)):
        shares = [2 / (place + 2) for place in range(start, stop)]
        expected = count * sum(shares)
        off = sqrt(count * sum(share * (1 - share) for share in shares))
        assert abs(sum(seen[place] for place in range(start, stop)) - expected) < 4 * off


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_a_sketch_that_followed_changes_is_that_of_the_set(
    seed: int, kept: int, gone: int, new: int
) -> None:
    digests = sorted(drawn(kept + gone + new, seed))
    Random(seed).shuffle(digests)
    before, removed = digests[: kept + gone], digests[kept : kept + gone]
    added = digests[kept + gone :]
    sketch = Sketch(before)
    sketch.apply(added=added, removed=removed)
    assert sketch.octets() == Sketch([*digests[:kept], *added]).octets()


def test_a_snapshot_stays_as_it_was() -> None:
    sketch = Sketch(drawn(10, seed=1))
    taken, before = sketch.snapshot(), sketch.octets()
    sketch.apply(added=[ONE])
    assert taken.octets() == before != sketch.octets()


def test_a_sketch_that_was_kept_goes_on_as_if_it_had_not_been() -> None:
    digests = drawn(300, seed=1)
    kept = Sketch.from_bytes(Sketch(digests).octets())
    assert kept.octets() == Sketch(digests).octets()
    kept.apply(added=[ONE], removed=digests)
    assert kept.octets() == Sketch([ONE]).octets()


@pytest.mark.parametrize("octets", [0, SYMBOL_BYTES, WHOLE - 1, WHOLE + 1])
def test_what_has_another_length_is_no_sketch(octets: int) -> None:
    with pytest.raises(BadSketchError, match="make it anew"):
        Sketch.from_bytes(bytes(octets))


def test_some_symbols_are_a_part_of_all() -> None:
    sketch = Sketch(drawn(20, seed=1))
    octets = sketch.octets()
    assert sketch.octets(96, 200) == octets[96 * SYMBOL_BYTES : 200 * SYMBOL_BYTES]
    assert len(octets) == SYMBOLS * SYMBOL_BYTES
