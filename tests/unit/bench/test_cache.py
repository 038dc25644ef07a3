"""What the cache is compared with, on requests that fit on a line; and that the benchmark runs."""

from pathlib import Path
from random import Random

import pytest

from keygrove.storage.cache import ANSWER_BYTES
from keygrove_bench.storage.cache import rows
from keygrove_bench.storage.replays import belady, drawn_sizes, lru, ours, trace

ENTRY = 300 + ANSWER_BYTES
SIZES = [300] * 10


@pytest.mark.parametrize(
    ("asked", "hits_lru", "hits_belady"),
    [
        ([0, 1, 0, 1], 2, 2),
        ([0, 1, 2, 0, 1, 2], 0, 2),
        ([0, 0, 1, 2, 3, 4, 0], 1, 2),
        ([0, 1, 2, 3], 0, 0),
    ],
)
def test_both_rules_do_what_they_are_known_for(
    asked: list[int], hits_lru: int, hits_belady: int
) -> None:
    """With room for two."""
    assert lru(asked, SIZES, 2 * ENTRY) * len(asked) == pytest.approx(hits_lru)
    assert belady(asked, SIZES, 2 * ENTRY) * len(asked) == pytest.approx(hits_belady)


def test_nothing_hits_more_often_than_beladys_rule() -> None:
    random = Random(3)
    asked = trace(random, 500, 10_000, crawler=0.1)
    sizes = [300] * 500
    best = belady(asked, sizes, 50 * ENTRY)
    assert 0 < ours(asked, sizes, 50 * ENTRY) < best
    assert 0 < lru(asked, sizes, 50 * ENTRY) < best


def test_a_crawler_asks_for_all_in_turn() -> None:
    assert trace(Random(1), 3, 5, crawler=1) == [0, 1, 2, 0, 1]


def test_sizes_are_those_of_the_keyring() -> None:
    drawn = sorted(drawn_sizes(Random(1), 10_001))
    assert drawn[0] >= 700
    assert drawn[-1] <= 490_903
    assert drawn[5_000] == pytest.approx(19_413, rel=0.1)


@pytest.mark.slow
def test_the_benchmark_runs_and_finds_no_stale_answer(tmp_path: Path) -> None:
    found = {one.id: one for one in rows(tmp_path, quick=True)}
    assert found["S-14-stale"].holds
    assert {"S-14-equal-belady", "S-14-debian-lru", "S-04-get", "S-04-stored"} <= found.keys()
