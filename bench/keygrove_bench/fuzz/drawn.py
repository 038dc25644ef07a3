"""The part of the campaign that hypothesis draws: it shrinks what it finds."""

from collections.abc import Sequence
from itertools import count
from random import Random
from time import monotonic

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from keygrove_bench.fuzz.findings import Watch
from keygrove_bench.fuzz.mutation import Mutator, seeds

ROUND = 200
"""Examples between two looks at the clock."""


def draw(watch: Watch, seconds: float) -> None:
    """Try drawn mutations until the time is over, each round with a seed of its own."""
    starts, end = seeds(), monotonic() + seconds
    mutator = Mutator(starts)
    for number in count():
        _draw_round(watch, mutator, starts, number)
        if monotonic() > end:
            return


def _draw_round(watch: Watch, mutator: Mutator, starts: Sequence[bytes], number: int) -> None:
    broken: tuple[bytes, Exception] | None = None

    @seed(number)
    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        report_multiple_bugs=False,
    )
    @given(st.sampled_from(starts), st.randoms())
    def mutation(data: bytes, random: Random) -> None:
        nonlocal broken
        data = mutator.mutate(data, random)
        try:
            watch.attempt(data)
        except Exception as error:  # whatever it is, it is what was looked for
            broken = data, error
            raise

    try:
        mutation()
    except Exception:  # hypothesis may wrap what the last attempt raised
        if broken is None:
            raise
        watch.keep(*broken)  # the last to break is the smallest
