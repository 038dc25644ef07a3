"""Token buckets: never more than they hold and what comes to them, whoever takes when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove.ratelimit.bucket import Buckets

SIZE, RATE = 10.0, 2.0


def buckets(keys_max: int = 100) -> Buckets[str]:
    return Buckets(SIZE, RATE, keys_max)


def test_it_is_full_at_first_and_fills_again_as_fast_as_it_should() -> None:
    one = buckets()
    assert one.take("ann", SIZE, now=0.0) == 0.0
    assert one.take("ann", 3.0, now=0.0) == pytest.approx(1.5)
    assert one.take("ann", 3.0, now=1.4) > 0.0
    assert one.take("ann", 3.0, now=1.5) == 0.0
    assert one.take("ann", SIZE, now=1_000.0) == 0.0
    assert one.take("ann", 1.0, now=1_000.0) > 0.0


def test_each_has_its_own() -> None:
    one = buckets()
    assert one.take("ann", SIZE, now=0.0) == 0.0
    assert one.take("bob", SIZE, now=0.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, SIZE)), max_size=50))
def test_no_more_is_taken_than_there_was(asked: list[tuple[float, float]]) -> None:
    one, now, taken = buckets(), 0.0, 0.0
    for later, amount in asked:
        now += later
        wait_s = one.take("ann", amount, now)
        if not wait_s:
            taken += amount
        else:
            assert one.take("ann", amount, now + wait_s * 0.99) > 0.0
        assert taken <= SIZE + RATE * now + 1e-6


def test_so_many_are_kept_and_the_fuller_make_room() -> None:
    one = buckets(keys_max=4)
    for at, name in enumerate(("ann", "bob", "cid", "dan")):
        one.take(name, SIZE - at, now=0.0)
    one.take("eve", 1.0, now=0.0)
    assert len(one) == 3
    assert one.take("ann", 1.0, now=0.0) > 0.0
    assert one.take("dan", SIZE, now=0.0) == 0.0, "it is as if it had taken nothing"
    one.take("fay", 1.0, now=100.0)
    assert len(one) == 1, "those that are full are none"
