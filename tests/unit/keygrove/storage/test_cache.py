"""A cache bounded by its bytes."""

import pytest

from keygrove.storage.cache import OVERHEAD_BYTES, SHARE, Answer, Cache, Form
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

BODY = 1_000
ENTRY = OVERHEAD_BYTES + BODY


def answer(number: int, size: int = BODY) -> Answer:
    return Answer(Fingerprint(bytes([number]) * 20), Digest(bytes(16)), 1, bytes(size))


@pytest.fixture
def cache() -> Cache:
    """Room for exactly twenty entries."""
    return Cache(20 * ENTRY)


def fill(cache: Cache, numbers: range) -> None:
    for number in numbers:
        cache.put(Form.ARMOR, answer(number))


def held(cache: Cache, numbers: range) -> list[int]:
    return [n for n in numbers if cache.get(answer(n).fingerprint, Form.ARMOR) is not None]


def test_what_was_put_is_got_in_its_form_only(cache: Cache) -> None:
    cache.put(Form.ARMOR, answer(1))
    assert cache.get(answer(1).fingerprint, Form.ARMOR) == answer(1)
    assert cache.get(answer(1).fingerprint, Form.BINARY) is None
    assert (cache.hits, cache.misses) == (1, 1)


def test_as_much_is_kept_as_there_is_room_for(cache: Cache) -> None:
    fill(cache, range(20))
    assert cache.size_bytes == 20 * ENTRY
    assert held(cache, range(20)) == list(range(20))


def test_who_was_not_asked_for_longest_goes_first(cache: Cache) -> None:
    fill(cache, range(20))
    cache.get(answer(0).fingerprint, Form.ARMOR)
    fill(cache, range(20, 22))
    assert held(cache, range(22)) == [0, *range(3, 22)]
    assert cache.size_bytes == 20 * ENTRY


def test_a_change_takes_all_forms_away(cache: Cache) -> None:
    for form in Form:
        cache.put(form, answer(1))
    cache.put(Form.ARMOR, answer(2))
    cache.invalidate(answer(1).fingerprint)
    assert [cache.get(answer(1).fingerprint, form) for form in Form] == [None] * len(Form)
    assert cache.size_bytes == ENTRY


def test_putting_again_replaces(cache: Cache) -> None:
    cache.put(Form.ARMOR, answer(1, 10))
    cache.put(Form.ARMOR, answer(1))
    assert cache.size_bytes == ENTRY
    assert cache.get(answer(1).fingerprint, Form.ARMOR) == answer(1)


def test_what_would_push_out_too_much_is_not_kept(cache: Cache) -> None:
    largest = 20 * ENTRY // SHARE - OVERHEAD_BYTES
    cache.put(Form.ARMOR, answer(1, largest + 1))
    assert cache.size_bytes == 0
    cache.put(Form.ARMOR, answer(2, largest))
    assert cache.size_bytes == largest + OVERHEAD_BYTES


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = Cache(0)
    cache.put(Form.ARMOR, answer(1, 0))
    assert cache.size_bytes == 0
    assert cache.get(answer(1).fingerprint, Form.ARMOR) is None


def test_that_there_is_no_such_form_is_kept_too(cache: Cache) -> None:
    nothing = Answer(answer(1).fingerprint, Digest(bytes(16)), 1, None)
    cache.put(Form.ARMOR, nothing)
    assert cache.get(nothing.fingerprint, Form.ARMOR) == nothing
    assert cache.size_bytes == OVERHEAD_BYTES
