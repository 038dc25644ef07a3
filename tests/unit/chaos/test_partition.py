"""Which links each shape of partition cuts."""

from random import Random

import pytest

from keygrove_chaos.net_faults import Partition, Swizzle
from keygrove_chaos.partition import (
    bridge,
    clogs,
    halves,
    isolated,
    majority,
    one_way,
    partial,
    ring,
    split,
)

NAMES = ("a", "b", "c", "d", "e")


def both(*pairs: str) -> set[tuple[str, str]]:
    return {(p[0], p[1]) for p in pairs} | {(p[1], p[0]) for p in pairs}


@pytest.mark.parametrize(
    ("shape", "cut"),
    [
        (split(["ab", "c"]), both("ac", "bc")),
        (one_way("a", "bc"), {("a", "b"), ("a", "c")}),
        (partial("a", "b"), both("ab")),
        (isolated("a", "abc"), both("ab", "ac")),
        (ring("abcd"), both("ac", "bd")),
        (bridge("ab", "de"), both("ad", "ae", "bd", "be")),
    ],
    ids=["split", "one way", "partial", "isolated", "ring", "bridge"],
)
def test_a_shape_cuts_its_links(shape: Partition, cut: set[tuple[str, str]]) -> None:
    assert set(shape.cuts()) == cut
    assert len(shape.cuts()) == len(cut)


def test_a_majority_is_more_than_half() -> None:
    large, small = majority(NAMES, Random(1)).groups
    assert (len(large), len(small)) == (3, 2)
    assert sorted((*large, *small)) == sorted(NAMES)


def test_a_total_split_has_groups_of_like_size() -> None:
    groups = halves(NAMES, 3, Random(1)).groups
    assert sorted(len(group) for group in groups) == [1, 2, 2]


def test_a_swizzle_clogs_all_links_of_its_hosts_one_by_one() -> None:
    fault = Swizzle(("a", "b", "c"), 4.0, 1.0, since_s=10.0)
    found = clogs(fault, NAMES, Random(3))
    assert {pair for pair in found if not set(pair) & set("abc")} == set()
    to_e = [found[(name, "e")] for name in "abc"]
    assert sorted(clog.since_s for clog in to_e) == [10.0, 12.0, 14.0]
    assert sorted(clog.until_s for clog in to_e) == [15.0, 17.0, 19.0]
    assert found[("a", "b")].since_s == min(to_e[0].since_s, to_e[1].since_s)
