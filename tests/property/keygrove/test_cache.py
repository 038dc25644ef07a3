"""A cache under any order of look-ups, changes and readers: bounded, and never stale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from keygrove.storage.absent import TTL_S
from keygrove.storage.cache import Answer, Cache, Form
from keygrove.storage.segments import Segments
from keygrove_chaos.racing import LIMIT, READERS_MAX, CacheRace, StaleError, race
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

NAMES = 6
ROOM = 60_000
"""Most bodies are kept, and some are too large."""

names = st.integers(0, NAMES - 1)
terms = st.sets(st.integers(0, NAMES // 2 - 1))


class Racing(RuleBasedStateMachine):
    """See `CacheRace`, which checks every step."""

    def __init__(self) -> None:
        super().__init__()
        self.race = CacheRace(ROOM, NAMES)

    @rule(number=names, size=st.integers(0, 1_500), carried=terms)
    def commit(self, number: int, size: int, carried: set[int]) -> None:
        held = frozenset(self.race.terms[one] for one in carried)
        self.race.commit(self.race.names[number], size, held)

    @rule(number=names)
    def remove(self, number: int) -> None:
        self.race.remove(self.race.names[number])

    @rule(number=names)
    def roll_back(self, number: int) -> None:
        self.race.roll_back(number)

    @rule()
    def acknowledge(self) -> None:
        self.race.acknowledge()

    @rule(number=names)
    def fetch(self, number: int) -> None:
        self.race.fetch(self.race.names[number])

    @rule(number=st.integers(0, NAMES // 2 - 1), limit=st.integers(1, LIMIT + 1))
    def find(self, number: int, limit: int) -> None:
        self.race.find(self.race.terms[number], limit)

    @rule(number=st.integers(0, READERS_MAX - 1))
    def step_reader(self, number: int) -> None:
        self.race.step_reader(number)

    @rule(seconds=st.floats(0, TTL_S))
    def wait(self, seconds: float) -> None:
        self.race.wait(seconds)


TestRacing = Racing.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_a_long_race_meets_every_case_and_no_stale_answer(seed: int) -> None:
    cache = race(seed, 20_000).cache
    assert min(cache.hits - cache.negative_hits, cache.negative_hits, cache.evictions) > 50


def test_a_stale_answer_would_be_seen() -> None:
    """What was read before a change is kept after it, which no reader of the race does."""
    world = CacheRace(ROOM, NAMES)
    name = world.names[0]
    world.commit(name, 10, frozenset())
    world.acknowledge()
    world.fetch(name)
    with world.cache.reading() as reading:
        world.cache.put(reading, Form.BINARY, Answer(name, Digest(bytes(16)), 0, bytes(10)))
    with pytest.raises(StaleError, match="is not so any more"):
        world.fetch(name)


uses = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3_000), st.integers(0, 3)))


@given(st.integers(0, 60_000), uses)
def test_segments_never_take_more_than_they_may_and_know_what_they_hold(
    bytes_max: int, found: list[tuple[int, int, int]]
) -> None:
    segments: Segments[int, tuple[int, int]] = Segments(bytes_max)
    held: dict[int, tuple[int, int]] = {}
    for key, size, use in found:
        if use == 0:
            assert segments.drop(key) == held.pop(key, None)
        elif segments.get(key) is not None:
            assert segments.get(key) == held[key]
        else:
            assert key not in held
            segments.miss(bytes((key,)))
            gone = segments.put(key, (key, size), name=bytes((key,)), size=size)
            if gone is not None:
                held[key] = key, size
                for other, _ in gone:
                    del held[other]
        assert segments.size_bytes == sum(one for _, one in held.values()) <= bytes_max
        assert len(segments) == len(held)


@given(st.integers(0, 60_000), uses)
def test_a_cache_never_takes_more_than_it_may(
    bytes_max: int, found: list[tuple[int, int, int]]
) -> None:
    cache = Cache(bytes_max, lambda: 0.0)
    for number, size, use in found:
        name = Fingerprint(number.to_bytes(20))
        with cache.reading() as reading:
            if use == 0:
                cache.put_absent(reading, name)
            elif use == 1:
                cache.invalidate(name, frozenset())
            elif cache.get(name, Form.ARMOR) is None:
                answer = Answer(name, Digest(bytes(16)), 1, bytes(size))
                cache.put(reading, Form.ARMOR, answer)
        assert 0 <= cache.size_bytes <= bytes_max
