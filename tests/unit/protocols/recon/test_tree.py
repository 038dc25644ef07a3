"""The prefix tree, beside SKS's own and beside a naive model."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keygrove_protocols.errors import BadElementError, TreeMismatchError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import is_element
from keygrove_protocols.recon.prefix import ROOT, Prefix
from keygrove_protocols.recon.samples import samples
from keygrove_protocols.recon.tree import JOIN, SPLIT, Tree, differences
from keygrove_protocols.recon.view import Node
from tests.unit.protocols.recon.algebra_vectors import (
    VECTORS,
    Known,
    debian,
    nodes,
    numbers,
    read,
)

TREES = VECTORS.ptree
Shape = list[tuple[str, int, bool]]


def shape(tree: Tree) -> Shape:
    return [(str(node.prefix), node.size, node.is_leaf) for node in nodes(tree)]


def known(expected: Iterable[Known]) -> list[tuple[str, int, bool, tuple[int, ...]]]:
    return [(one.key, one.size, one.leaf, numbers(one.svalues)) for one in expected]


def seen(tree: Tree) -> list[tuple[str, int, bool, tuple[int, ...]]]:
    return [(str(one.prefix), one.size, one.is_leaf, one.samples) for one in nodes(tree)]


def some(count: int, seed: int = 0, under: bytes = b"") -> list[Digest]:
    random = Random(seed)
    return [Digest(under + random.randbytes(16 - len(under))) for _ in range(count)]


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_nodes_are_those_of_sks_as_a_set_grows_and_shrinks(batch: int) -> None:
    tree = Tree()

    def change(digests: Sequence[str], *, grows: bool) -> None:
        for first in range(0, len(digests), batch):
            some = read(digests[first : first + batch])
            tree.apply(added=some if grows else (), removed=() if grows else some)

    change(TREES.initial, grows=True)
    assert seen(tree) == known(TREES.nodes_initial)
    change(TREES.remove_1, grows=False)
    assert seen(tree) == known(TREES.nodes_after_remove_1)
    change(TREES.remove_2, grows=False)
    assert seen(tree) == known(TREES.nodes_after_remove_2)


def test_nodes_of_debians_keyring_are_those_of_sks() -> None:
    tree = Tree(debian())
    found = [(*one, values[0], values[-1]) for *one, values in seen(tree)]
    assert found == [
        (one.key, one.size, one.leaf, int(one.svalue_at_point_0), int(one.svalue_at_last_point))
        for one in TREES.debian_keyring_905.nodes
    ]
    assert tree.size == 905


def test_a_root_splits_at_51_and_joins_at_25() -> None:
    tree, order = Tree(), read(TREES.growth.insert_order)
    steps = {step.count: step for step in TREES.growth.trace}
    back = {step.count: step for step in TREES.growth.remove_in_reverse_trace}
    for count, digest in enumerate(order, 1):
        tree.apply(added=[digest])
        if step := steps.pop(count, None):
            root, *rest = seen(tree)
            assert root == ("", count, step.root_is_leaf, numbers(step.root_svalues))
            assert {name: (size, leaf) for name, size, leaf, _ in rest} == step.children
    for count, digest in reversed(list(enumerate(order))):
        tree.apply(removed=[digest])
        if step := back.pop(count, None):
            root, *_ = seen(tree)
            assert root == ("", count, step.root_is_leaf, numbers(step.root_svalues))
    assert steps == back == {}


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_a_split_does_not_cascade(*, at_once: bool) -> None:
    order = read(TREES.one_sided_split.insert_order)
    for step in TREES.one_sided_split.trace:
        tree = Tree(order[: step.count] if at_once else ())
        for digest in () if at_once else order[: step.count]:
            tree.apply(added=[digest])
        assert [one for one in shape(tree) if one[1]] == [tuple(one) for one in step.nodes]


def test_an_overfull_leaf_stays_one_as_digests_leave_it() -> None:
    order = some(SPLIT + 1, under=b"\0")
    tree = Tree(order)
    assert ("00", SPLIT + 1, True) in shape(tree)
    tree.apply(removed=order[:1])
    assert ("00", SPLIT, True) in shape(tree)
    tree.apply(added=order[:1])
    assert ("0000", SPLIT + 1, True) in shape(tree)


def test_digests_with_the_longest_common_beginning_have_leaves() -> None:
    order = some(500, under=bytes(14))
    order = sorted(set(filter(is_element, order)))
    tree = Tree(order)
    assert max(len(name) for name, *_ in shape(tree)) > 8 * 14
    assert tree.digests(ROOT) == set(order)


def below(tree: Tree, prefix: Prefix, digests: Iterable[Digest]) -> Node:
    part = {one for one in digests if prefix.covers(one)}
    assert tree.digests(prefix) == part
    node = tree.node(prefix)
    assert (node.prefix, node.size, node.samples) == (prefix, len(part), samples(part))
    return node


def test_a_part_of_a_leaf_is_a_leaf() -> None:
    digests = some(300)
    tree = Tree(digests)
    leaf = next(node for node in nodes(tree) if node.is_leaf and node.size > 4)
    for child in leaf.prefix.children():
        assert below(tree, child, digests).is_leaf
    whole = ROOT
    while whole.length < 128:
        whole = next(child for child in whole.children() if child.covers(digests[0]))
    assert below(tree, whole, digests).size == 1


@pytest.mark.parametrize(
    ("added", "removed"),
    [([0], []), ([200], [201]), ([200, 200], []), ([], [0, 0]), ([0], [0]), ([200], [200])],
    ids=["there", "not there", "twice", "twice gone", "anew", "at once"],
)
def test_a_change_meant_for_another_tree_is_refused_whole(
    added: list[int], removed: list[int]
) -> None:
    digests = some(202)
    tree = Tree(digests[:200])
    before = seen(tree)
    with pytest.raises(TreeMismatchError, match="digests are to be"):
        tree.apply(
            added=[digests[at] for at in [*added, 201]] if 201 not in removed else [digests[200]],
            removed=[digests[at] for at in removed],
        )
    assert seen(tree) == before


@pytest.mark.parametrize("bad", [one.digest for one in VECTORS.zp.refused_elements])
def test_a_digest_that_equals_a_sample_point_cannot_be_added(bad: str) -> None:
    tree = Tree(some(60))
    before = seen(tree)
    with pytest.raises(BadElementError):
        tree.apply(added=[*some(1, seed=1), *read([bad])])
    assert seen(tree) == before


def test_a_snapshot_stays_as_it_was() -> None:
    digests = some(200)
    tree = Tree(digests)
    kept, before = tree.snapshot(), seen(tree)
    tree.apply(added=some(100, seed=1), removed=digests[:150])
    assert seen(kept) == before
    assert kept.lacks(set(digests)) == set()
    kept.apply(removed=digests)
    assert tree.size == 150


def test_it_tells_which_digests_it_lacks() -> None:
    digests = some(300)
    tree = Tree(digests[:200])
    assert tree.lacks(set(digests[100:])) == set(digests[200:])
    assert tree.lacks(set()) == set()


def close(head: int, at: int) -> Digest:
    return Digest(bytes([head]) + at.to_bytes(2, "big") + b"\1" * 13)


CLOSE = st.builds(close, st.sampled_from([0x00, 0x01, 0x10, 0x80]), st.integers(0, 400))
"""Few beginnings, so that nodes fill."""

BATCHES = st.lists(CLOSE, min_size=1, max_size=90, unique=True)


class Naive:
    """One node as the paper has it: a set, and children or none; each step is of one digest."""

    def __init__(self, depth: int = 0) -> None:
        self.depth, self.held = depth, set[Digest]()
        self.children: dict[int, Naive] | None = None

    def child(self, digest: Digest) -> "Naive":
        assert self.children is not None
        number = int.from_bytes(digest, "big") >> (126 - self.depth) & 3
        return self.children[number]

    def insert(self, digest: Digest) -> None:
        self.held.add(digest)
        if self.children is not None:
            self.child(digest).insert(digest)
        elif len(self.held) > SPLIT:
            self.children = {number: Naive(self.depth + 2) for number in range(4)}
            for one in self.held:
                self.child(one).held.add(one)

    def remove(self, digest: Digest) -> None:
        self.held.remove(digest)
        if self.children is not None and len(self.held) <= JOIN:
            self.children = None
        elif self.children is not None:
            self.child(digest).remove(digest)

    def seen(self, name: str = "") -> list[tuple[str, int, bool, tuple[int, ...]]]:
        found = [(name, len(self.held), self.children is None, samples(self.held))]
        for number, child in (self.children or {}).items():
            found += child.seen(f"{name}{number:02b}")
        return found


class Trees(RuleBasedStateMachine):
    """Whatever happens to both, they have the same nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.tree, self.model = Tree(), Naive()

    @rule(digests=BATCHES, share=st.floats(0, 1), random=st.randoms(use_true_random=False))
    def change(self, digests: list[Digest], share: float, random: Random) -> None:
        new = [one for one in digests if one not in self.model.held]
        held = sorted(self.model.held)
        old = random.sample(held, int(share * len(held)))
        self.tree.apply(added=new, removed=old)
        for one in old:
            self.model.remove(one)
        for one in sorted(new):
            self.model.insert(one)

    @rule(digest=CLOSE)
    def insert(self, digest: Digest) -> None:
        if digest in self.model.held:
            with pytest.raises(TreeMismatchError):
                self.tree.apply(added=[digest])
        else:
            self.tree.apply(added=[digest])
            self.model.insert(digest)

    @precondition(lambda self: self.model.held)
    @rule(number=st.integers(0))
    def remove(self, number: int) -> None:
        held = sorted(self.model.held)
        digest = held[number % len(held)]
        self.tree.apply(removed=[digest])
        self.model.remove(digest)
        with pytest.raises(TreeMismatchError):
            self.tree.apply(removed=[digest])

    @invariant()
    def nodes_are_the_same(self) -> None:
        assert seen(self.tree) == self.model.seen()
        assert self.tree.digests(ROOT) == self.model.held


TestTrees = Trees.TestCase


@given(BATCHES, BATCHES)
def test_values_do_not_depend_on_the_way(one: list[Digest], other: list[Digest]) -> None:
    rest = [digest for digest in other if digest not in one]
    here, there = Tree(one), Tree([*one, *rest])
    there.apply(removed=rest)
    assert here.node(ROOT).samples == there.node(ROOT).samples
    assert here.size == there.size


@given(st.lists(st.sets(st.integers(1, 400), max_size=120), min_size=2, max_size=4))
def test_what_two_trees_differ_in_is_told_whatever_they_have_in_common(
    several: list[set[int]],
) -> None:
    """One made from the other, and both made by themselves."""
    sets = [{_spread(number) for number in some} for some in several]
    tree = Tree(sets[0])
    first = tree.snapshot()
    for before, after in pairwise(sets):
        tree.apply(added=after - before, removed=before - after)
    for other in (tree, Tree(sets[-1])):
        found = [digest for some in differences(first, other) for digest in some]
        assert len(found) == len(set(found))
        assert set(found) == sets[0] ^ sets[-1]


def test_nothing_is_looked_at_that_two_trees_share() -> None:
    tree = Tree([_spread(number) for number in range(1, 2_000)])
    before = tree.snapshot()
    assert list(differences(before, tree)) == []
    tree.apply(added=[_spread(5_000)])
    assert list(differences(before, tree)) == [{_spread(5_000)}]


def _spread(number: int) -> Digest:
    return Digest(hashlib.blake2b(number.to_bytes(4), digest_size=16).digest())
