"""What a shard can answer without its store: what is kept, for how long, and what goes when."""

from collections.abc import Sequence

import pytest

from keygrove.storage.absent import TTL_S
from keygrove.storage.cache import (
    ABSENT_SHARE,
    ANSWER_BYTES,
    CHANGED_MAX,
    NOT_HELD,
    SHARE,
    Answer,
    Cache,
    Form,
    Listing,
)
from keygrove.storage.term import Term, TermKind
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

BODY = 1_000
ENTRY = ANSWER_BYTES + BODY
ROOM = 100 * ENTRY
NO_TERMS: frozenset[Term] = frozenset()


class Stopwatch:
    def __init__(self) -> None:
        self.now_s = 0.0

    def elapsed(self) -> float:
        return self.now_s


class Subject:
    """A cache with room for a hundred answers."""

    def __init__(self, room: int = ROOM) -> None:
        self.stopwatch = Stopwatch()
        self.cache = Cache(room + room // (ABSENT_SHARE - 1) + 1, self.stopwatch.elapsed)

    def put(self, answer: Answer, form: Form = Form.ARMOR) -> None:
        with self.cache.reading() as reading:
            assert self.cache.put(reading, form, answer)

    def put_absent(self, fingerprint: Fingerprint) -> None:
        with self.cache.reading() as reading:
            self.cache.put_absent(reading, fingerprint)

    def put_listing(self, term: Term, names: Sequence[int], limit: int = 5) -> None:
        with self.cache.reading() as reading:
            self.cache.put_listing(reading, Listing(term, limit, tuple(map(name, names))))

    def ask(self, number: int) -> bool:
        """As a shard does: look, and keep what was read otherwise. Whether it was there."""
        if self.cache.get(name(number), Form.ARMOR) is not None:
            return True
        self.put(answer(number))
        return False


@pytest.fixture
def subject() -> Subject:
    return Subject()


def name(number: int) -> Fingerprint:
    return Fingerprint(number.to_bytes(20))


def answer(number: int, size: int = BODY) -> Answer:
    return Answer(name(number), Digest(bytes(16)), 1, bytes(size))


def key_id(number: int) -> Term:
    return Term(TermKind.KEY_ID, number.to_bytes(8))


def test_what_was_put_is_got_in_its_form_only(subject: Subject) -> None:
    subject.put(answer(1))
    assert subject.cache.get(name(1), Form.ARMOR) == answer(1)
    assert subject.cache.get(name(1), Form.BINARY) is None
    assert (subject.cache.hits, subject.cache.negative_hits, subject.cache.misses) == (1, 0, 1)


def test_as_much_is_kept_as_there_is_room_for(subject: Subject) -> None:
    for number in range(100):
        assert not subject.ask(number)
    assert subject.cache.size_bytes == ROOM
    assert all(subject.ask(number) for number in range(100))
    assert subject.cache.evictions == 0


def test_what_is_asked_for_more_often_takes_the_place_of_what_was_not(subject: Subject) -> None:
    for number in range(100):
        subject.ask(number)
    seen = [subject.ask(1_000) for _ in range(4)]
    assert seen == [False, False, True, True]
    assert subject.cache.evictions == 1
    there = [subject.cache.get(name(number), Form.ARMOR) for number in range(100)]
    assert there.count(None) == 1


def test_a_crawler_pushes_nothing_out_that_is_asked_for(subject: Subject) -> None:
    for _ in range(5):
        for number in range(100):
            subject.ask(number)
    for number in range(1_000, 5_000):
        subject.ask(number)
    assert all(subject.ask(number) for number in range(100))


def test_what_was_popular_once_goes_when_others_are(subject: Subject) -> None:
    for _ in range(50):
        for number in range(100):
            subject.ask(number)
    for _ in range(200):
        for number in range(1_000, 1_100):
            subject.ask(number)
    assert sum(subject.ask(number) for number in range(1_000, 1_100)) > 90


def test_what_is_large_has_to_be_worth_all_that_goes_for_it(subject: Subject) -> None:
    for number in range(100):
        subject.ask(number)
    large = answer(1_000, 2 * BODY)
    for _ in range(2):
        assert subject.cache.get(large.fingerprint, Form.ARMOR) is None
        subject.put(large)
    assert subject.cache.get(large.fingerprint, Form.ARMOR) is None
    subject.put(large)
    assert subject.cache.get(large.fingerprint, Form.ARMOR) == large
    assert subject.cache.evictions == 2


def test_a_change_takes_all_forms_away_and_no_other_certificate(subject: Subject) -> None:
    for form in Form:
        subject.put(answer(1), form)
    subject.put(answer(2))
    subject.cache.invalidate(name(1), NO_TERMS)
    assert [subject.cache.get(name(1), form) for form in Form] == [None] * len(Form)
    assert subject.cache.size_bytes == ENTRY


def test_putting_again_replaces(subject: Subject) -> None:
    subject.put(answer(1, 10))
    subject.put(answer(1))
    assert subject.cache.size_bytes == ENTRY
    assert subject.cache.get(name(1), Form.ARMOR) == answer(1)


def test_what_would_push_out_too_much_is_not_kept() -> None:
    subject = Subject(64 * ENTRY)
    largest = (64 * ENTRY * ABSENT_SHARE // (ABSENT_SHARE - 1) + 1) // SHARE - ANSWER_BYTES
    subject.put(answer(1, largest + 1))
    assert subject.cache.size_bytes == 0
    subject.put(answer(2, largest))
    assert subject.cache.size_bytes == largest + ANSWER_BYTES


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = Cache(0, Stopwatch().elapsed)
    with cache.reading() as reading:
        cache.put(reading, Form.ARMOR, answer(1, 0))
        cache.put_absent(reading, name(2))
        cache.put_listing(reading, Listing(key_id(1), 5, (name(1),)))
    assert cache.size_bytes == 0
    assert cache.get(name(1), Form.ARMOR) is None
    assert cache.get(name(2), Form.ARMOR) is None
    assert cache.find(key_id(1), 5) is None


def test_that_there_is_no_such_form_is_kept_too(subject: Subject) -> None:
    nothing = Answer(name(1), Digest(bytes(16)), 1, None)
    subject.put(nothing)
    assert subject.cache.get(name(1), Form.ARMOR) == nothing
    assert subject.cache.size_bytes == ANSWER_BYTES


def test_what_is_not_held_is_known_for_a_minute_in_every_form(subject: Subject) -> None:
    subject.put_absent(name(1))
    assert [subject.cache.get(name(1), form) for form in Form] == [NOT_HELD] * len(Form)
    assert (subject.cache.hits, subject.cache.negative_hits) == (len(Form), len(Form))
    subject.stopwatch.now_s = TTL_S
    assert subject.cache.get(name(1), Form.ARMOR) is None
    assert subject.cache.size_bytes == 0


def test_what_is_found_by_nothing_is_known_until_a_change_carries_it(subject: Subject) -> None:
    for number in (1, 2):
        subject.put_listing(key_id(number), [])
    subject.cache.invalidate(name(9), frozenset({key_id(1)}))
    assert subject.cache.find(key_id(1), 5) is None
    assert subject.cache.find(key_id(2), 500) == ()
    subject.stopwatch.now_s = TTL_S
    assert subject.cache.find(key_id(2), 5) is None


def test_what_is_not_there_takes_a_part_of_the_room_only(subject: Subject) -> None:
    for number in range(10_000):
        subject.put_absent(name(number))
    assert subject.cache.get(name(9_999), Form.ARMOR) is NOT_HELD
    assert subject.cache.get(name(0), Form.ARMOR) is None, "the oldest went"
    assert 0 < subject.cache.size_bytes <= 2 * ROOM // ABSENT_SHARE


def test_a_certificate_that_comes_is_not_unknown_any_more(subject: Subject) -> None:
    subject.put_absent(name(1))
    subject.cache.invalidate(name(1), NO_TERMS)
    assert subject.cache.get(name(1), Form.ARMOR) is None


def test_a_listing_serves_every_limit_that_it_can(subject: Subject) -> None:
    subject.put_listing(key_id(1), [1, 2, 3], limit=3)
    subject.put_listing(key_id(2), [1, 2], limit=3)
    assert subject.cache.find(key_id(1), 2) == (name(1), name(2))
    assert subject.cache.find(key_id(1), 4) is None, "there may be more"
    assert subject.cache.find(key_id(2), 500) == (name(1), name(2))


def test_that_none_was_asked_for_says_nothing(subject: Subject) -> None:
    subject.put_listing(key_id(1), [], limit=0)
    assert subject.cache.find(key_id(1), 5) is None


def test_a_change_takes_the_listings_of_old_and_new_terms_away(subject: Subject) -> None:
    old, new, other = key_id(1), key_id(2), key_id(3)
    subject.put_listing(old, [7, 8])
    subject.put_listing(new, [8])
    subject.put_listing(other, [8])
    subject.cache.invalidate(name(7), frozenset({new}))
    assert subject.cache.find(old, 5) is None, "it named the old version"
    assert subject.cache.find(new, 5) is None, "it lacks the new version"
    assert subject.cache.find(other, 5) == (name(8),)


def test_a_listing_that_went_for_others_leaves_nothing_behind() -> None:
    subject = Subject(50_000)
    for number in range(2_000):
        for _ in range(2):
            if subject.cache.find(key_id(number), 5) is None:
                subject.put_listing(key_id(number), [1])
    assert subject.cache.evictions > 0
    subject.cache.invalidate(name(1), NO_TERMS)
    assert subject.cache.size_bytes == 0


def test_what_changed_since_it_was_read_is_not_kept(subject: Subject) -> None:
    cache = subject.cache
    with cache.reading() as early:
        cache.invalidate(name(1), frozenset({key_id(1)}))
        with cache.reading() as late:
            assert not cache.put(early, Form.ARMOR, answer(1))
            cache.put_absent(early, name(1))
            cache.put_listing(early, Listing(key_id(1), 5, ()))
            cache.put_listing(early, Listing(key_id(2), 5, (name(1),)))
            assert cache.size_bytes == 0
            assert cache.put(early, Form.ARMOR, answer(2))
            assert cache.put(late, Form.ARMOR, answer(1))
            assert cache.size_bytes == 2 * ENTRY


def test_a_reading_that_lasts_too_long_is_given_up(subject: Subject) -> None:
    """So that what it remembers of changes is bounded."""
    with subject.cache.reading() as reading:
        many = frozenset(map(key_id, range(CHANGED_MAX + 1)))
        subject.cache.invalidate(name(1), many)
        assert subject.cache.put(reading, Form.ARMOR, answer(2))
        subject.cache.invalidate(name(1), NO_TERMS)
        assert not subject.cache.put(reading, Form.ARMOR, answer(3))
    subject.put(answer(3))
    assert subject.cache.get(name(3), Form.ARMOR) == answer(3)
