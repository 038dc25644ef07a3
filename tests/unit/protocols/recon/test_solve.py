"""What two nodes' values tell of how they differ."""

import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import MBAR, POINTS, P, digest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.samples import EMPTY, samples, times
from keygrove_protocols.recon.solve import Difference, solve
from keygrove_protocols.recon.tree import Tree
from tests.unit.protocols.recon.algebra_vectors import VECTORS, Case, Group, numbers, read

CASES = [(group, case) for group in VECTORS.interpolation.groups for case in group.cases]
RANDOM = Random(0)
COMMON = [Digest(RANDOM.randbytes(16)) for _ in range(100)]
OTHERS = [Digest(RANDOM.randbytes(16)) for _ in range(20)]


def solved(local: list[Digest], remote: list[Digest]) -> Difference | None:
    tree = Tree(local)
    return solve(tree, tree.node(ROOT), len(remote), samples(remote))


@pytest.mark.parametrize(
    ("group", "case"), CASES, ids=[f"{group.answered_by}: {case.case}" for group, case in CASES]
)
def test_what_sks_and_hockeypuck_solve_is_solved_and_nothing_else(group: Group, case: Case) -> None:
    tree = Tree(read(group.local_set))
    found = solve(tree, tree.node(ROOT), case.remote_size, numbers(case.remote_samples))
    if case.outcome == "solved":
        assert found == Difference(
            frozenset(read(case.remote_only)), frozenset(read(case.local_only))
        )
    else:
        assert found is None


@pytest.mark.parametrize("more", range(8))
@pytest.mark.parametrize("less", range(8))
def test_as_many_differences_are_told_as_the_values_allow(more: int, less: int) -> None:
    remote_only, local_only = OTHERS[:more], OTHERS[8 : 8 + less]
    found = solved(COMMON + local_only, COMMON + remote_only)
    count = more + less
    if count <= MBAR - (MBAR + count) % 2:
        assert found == Difference(frozenset(remote_only), frozenset(local_only))
    else:
        assert found is None


def test_equal_sets_differ_in_nothing() -> None:
    assert solved(COMMON, COMMON) == Difference(frozenset(), frozenset())
    assert solved([], []) == Difference(frozenset(), frozenset())


def test_few_are_told_from_nothing() -> None:
    few = OTHERS[:MBAR]
    assert solved([], few) == Difference(frozenset(few), frozenset())
    assert solved(few, []) == Difference(frozenset(), frozenset(few))


@pytest.mark.parametrize("bad", [0, P, P + 1, 1 << 135, -1])
@pytest.mark.parametrize("at", range(len(POINTS)))
def test_a_value_that_no_set_has_is_refused(bad: int, at: int) -> None:
    tree = Tree(COMMON)
    values = list(tree.node(ROOT).samples)
    values[at] = bad
    assert solve(tree, tree.node(ROOT), tree.size, values) is None


@pytest.mark.parametrize("remote_only", [0, 1], ids=["even", "odd"])
@pytest.mark.parametrize("at", range(len(POINTS)))
def test_each_of_the_values_has_to_be_right(remote_only: int, at: int) -> None:
    tree = Tree([*COMMON, OTHERS[-1]])
    remote = [*COMMON, OTHERS[-2], *OTHERS[:remote_only]]
    values = list(samples(remote))
    assert solve(tree, tree.node(ROOT), len(remote), values) is not None
    values[at] = values[at] * 2 % P
    assert solve(tree, tree.node(ROOT), len(remote), values) is None


@pytest.mark.parametrize("count", [0, 5, 7])
def test_another_number_of_values_is_refused(count: int) -> None:
    tree = Tree()
    assert solve(tree, tree.node(ROOT), 0, (1,) * count) is None


HOSTILE = Tree(COMMON)


@given(
    st.lists(st.integers(0, P - 1), min_size=6, max_size=6),
    st.integers(len(COMMON) - 7, len(COMMON) + 7),
)
def test_values_at_random_are_never_solved(values: list[int], size: int) -> None:
    if tuple(values) != EMPTY:
        assert solve(HOSTILE, HOSTILE.node(ROOT), size, values) is None


def claimed(tree: Tree, prefix_of: Digest, *, extra: list[int], lacking: list[int]) -> object:
    """What comes of the values of a node less some numbers and with others."""
    child = next(one for one in ROOT.children() if one.covers(prefix_of))
    node = tree.node(child)
    values = node.samples
    for number in extra:
        values = times(values, tuple((point - number) % P for point in POINTS))
    for number in lacking:
        values = times(values, tuple(pow(point - number, -1, P) for point in POINTS))
    return solve(tree, node, node.size + len(extra) - len(lacking), values)


def number(of: Digest) -> int:
    return int.from_bytes(of, "little")


def test_digests_that_cannot_be_are_not_taken_from_values_made_for_them() -> None:
    tree = Tree(COMMON)
    held = COMMON[0]
    child = next(one for one in ROOT.children() if one.covers(held))
    near = next(one for one in OTHERS if child.covers(one))
    far = next(one for one in OTHERS if not child.covers(one))
    assert claimed(tree, held, extra=[number(near)], lacking=[number(held)]) == Difference(
        frozenset([near]), frozenset([held])
    )
    assert claimed(tree, held, extra=[number(held)], lacking=[]) is None, "we have it"
    assert claimed(tree, held, extra=[number(far)], lacking=[]) is None, "it is below another node"
    assert claimed(tree, held, extra=[1 << 128], lacking=[]) is None, "no digest has this number"
    assert claimed(tree, held, extra=[], lacking=[number(near)]) is None, "we do not have it"
    assert claimed(tree, held, extra=[], lacking=[P - 4]) is None, "nobody has it"


def test_a_root_that_is_there_twice_is_no_difference() -> None:
    tree = Tree(COMMON)
    near = number(OTHERS[0])
    values = samples([*COMMON, OTHERS[0], OTHERS[0]])
    assert digest(near) == OTHERS[0]
    assert solve(tree, tree.node(ROOT), tree.size + 2, values) is None


SOLVES = """
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon import solve
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.tree import Tree
tree, remote = (Tree(Digest(bytes([n]) * 16) for n in range(*r)) for r in ((4, 70), (7, 72)))
node = remote.node(ROOT)
found = solve.solve(tree, tree.node(ROOT), node.size, node.samples)
print(solve.roots.__module__, *sorted(one[0] for one in found.remote_only | found.local_only))
"""


@pytest.mark.parametrize(
    ("before", "module"),
    [("", "roots_flint"), ("import sys; sys.modules['flint'] = None", "roots")],
    ids=["with FLINT", "without"],
)
def test_the_same_is_solved_with_flint_and_without(before: str, module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", before + SOLVES], capture_output=True, check=True, text=True
    )
    assert ran.stdout.split() == [f"keygrove_protocols.recon.{module}", "4", "5", "6", "70", "71"]
