"""The tree of certificates: its root, its changes, what differs between two."""

import hashlib
from collections.abc import Iterable, Mapping
from random import Random

import pytest

from keygrove.storage.forest import Forest, united
from keygrove.storage.merkle import (
    EMPTY,
    Difference,
    Hash,
    Tree,
    blake3_256,
    differences,
    sha256,
)
from tests.unit.keygrove.storage import naive_tree

HASHES = {"sha256": sha256, "blake3": blake3_256}
SIZES = (0, 1, 2, 17, 64, 65, 1_000)
ROOTS = {
    # Of entry i: its key is SHA-256 of i in 8 octets, the hash of its value SHA-256 of the key.
    ("sha256", 0): "0000000000000000000000000000000000000000000000000000000000000000",
    ("sha256", 1): "7950555babb9fcf0d6785c309464c1ef04219231d27153622b4b906dde1a125f",
    ("sha256", 2): "06df9db802e444d898df89e8bc2970ed63ae0d72832b9142b9a8d542b7674dc9",
    ("sha256", 17): "f75c354f6a48b07c3c0f3532d157ba1135e1467d3870f353caaf687a0aadfb33",
    ("sha256", 64): "ab54a911c17d9ed9d5024ed4cef7d1f449ec3add440e128bf31e2a84ed3d735b",
    ("sha256", 65): "a883de8957c585f9b4e5d5769eca0d1df64b40896f8807b7b5c7f3153928b6b9",
    ("sha256", 1000): "83077261b0481dfbf3c415bd7f540345d6641a6e219a5bcc5c481d4a815fe618",
    ("blake3", 0): "0000000000000000000000000000000000000000000000000000000000000000",
    ("blake3", 1): "cec5c7d87c4868ccc21a709dd116293b11edf094a4b78769423239e32f958dd1",
    ("blake3", 2): "985fae91142233b6ae0d410235c27c71feeb5a24fd58f24a959de07d77995736",
    ("blake3", 17): "6366e27862f07d48a029a24b9da2aea4420ff841ec76b70a3423ce6a4f28237c",
    ("blake3", 64): "70e844c06d54d82e365b2cdf07ab173e349fa598ee628a52c8c96b6609275147",
    ("blake3", 65): "1e8beb9fcef7e44ccf8866b30cf0088cf75b7f99cb7af38c3e7e24d0a846b9d9",
    ("blake3", 1000): "34063213ff4478467f53afe4a44f9361beb57da743bbf75770fce8d979746158",
}
"""Published in docs/reference/proofs.md."""


def numbered(size: int) -> dict[bytes, bytes]:
    keys = [hashlib.sha256(number.to_bytes(8)).digest() for number in range(size)]
    return {key: hashlib.sha256(key).digest() for key in keys}


def drawn(chance: Random, size: int, prefix: bytes = b"") -> dict[bytes, bytes]:
    """Entries whose keys begin with `prefix`."""
    rest = 32 - len(prefix)
    return {prefix + chance.randbytes(rest): chance.randbytes(32) for _ in range(size)}


def built(hash_: Hash, entries: Mapping[bytes, bytes]) -> Tree:
    return Tree.build(hash_, b"".join(key + entries[key] for key in sorted(entries)))


def contents(tree: Tree) -> dict[bytes, bytes]:
    runs = b"".join(tree.entries())
    return {runs[at : at + 32]: runs[at + 32 : at + 64] for at in range(0, len(runs), 64)}


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("size", SIZES)
def test_s_c1_a_second_implementation_finds_the_same_root(name: str, size: int) -> None:
    entries = numbered(size)
    tree = built(HASHES[name], entries)
    assert tree.root.hex() == ROOTS[name, size]
    assert tree.root == naive_tree.root(name, entries)


def test_s_c1_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert Tree(blake3_256).root == EMPTY == bytes(32)
    assert len(Tree(blake3_256)) == 0
    assert list(Tree(blake3_256).entries()) == []


def test_s_c1_leaves_and_inner_nodes_are_kept_apart() -> None:
    """A value that looks like children must not make a leaf that passes for an inner node."""
    chance = Random(0)
    entries = drawn(chance, 8, b"\0\0")
    run = b"".join(key + entries[key] for key in sorted(entries))
    assert len(run) == 16 * 32
    assert blake3_256(b"\0" + run) != blake3_256(b"\1" + run)
    slot = built(blake3_256, entries).slots()[:32]
    assert slot == blake3_256(b"\0" + run)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 66, 300, 2_000])
@pytest.mark.parametrize("prefix", [b"", b"\x12\x34", b"\x12\x34\x56"], ids=bytes.hex)
def test_s_c2_the_root_depends_on_the_set_alone(size: int, prefix: bytes) -> None:
    """Any order, any batches, detours included: as built at once, as defined."""
    chance = Random(size)
    entries, others = drawn(chance, size, prefix), drawn(chance, 200, prefix)
    whole = built(blake3_256, entries)
    assert whole.root == naive_tree.root("blake3", entries)
    for _ in range(4):
        steps: list[tuple[bytes, bytes | None]] = [*entries.items(), *others.items()]
        chance.shuffle(steps)
        leave = [(key, None) for key in others]
        chance.shuffle(leave)
        tree = Tree(blake3_256)
        for some in (*parts(chance, steps), *parts(chance, leave)):
            tree = tree.updated(some)
        assert (tree.root, len(tree)) == (whole.root, size)
        assert contents(tree) == entries


def parts(
    chance: Random, steps: Iterable[tuple[bytes, bytes | None]]
) -> Iterable[list[tuple[bytes, bytes | None]]]:
    some: list[tuple[bytes, bytes | None]] = []
    for step in steps:
        some.append(step)
        if chance.random() < 0.05:
            yield some
            some = []
    yield some


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("size", [0, 1, 3, 70, 3_000])
def test_s_c2_the_root_does_not_depend_on_the_shards(size: int, shards: int) -> None:
    chance = Random(size)
    entries = drawn(chance, size)
    owners = [chance.randrange(shards) for _ in range(4_096)]
    trees = [
        built(
            blake3_256,
            {k: v for k, v in entries.items() if owners[int(k.hex()[:3], 16)] == shard},
        )
        for shard in range(shards)
    ]
    forest = Forest(blake3_256, united(tree.slots() for tree in trees))
    whole = built(blake3_256, entries)
    assert forest.root == whole.root
    for key in (*entries, bytes(32)):
        assert forest.path(int(key.hex()[:3], 16)) == whole.path(key).hashes[:3]


def test_a_change_leaves_older_trees_as_they_are() -> None:
    chance = Random(1)
    entries = drawn(chance, 500)
    old = built(blake3_256, entries)
    new = old.updated([(key, None) for key in sorted(entries)[:400]])
    assert (len(old), len(new)) == (500, 100)
    assert contents(old) == entries
    assert old.root == built(blake3_256, entries).root


def test_what_is_gone_already_may_go_again() -> None:
    old = built(blake3_256, numbered(100))
    assert old.updated([(bytes(32), None)]).root == old.root
    assert old.updated([]).root == old.root


def test_values_are_found_by_their_keys() -> None:
    entries = numbered(1_000)
    tree = built(blake3_256, entries)
    assert all(tree.get(key) == value for key, value in entries.items())
    assert tree.get(bytes(32)) is None
    assert Tree(blake3_256).get(bytes(32)) is None


def test_every_slot_has_its_hash() -> None:
    entries = numbered(1_000)
    slots = built(blake3_256, entries).slots()
    assert len(slots) == 4_096 * 32
    for at in {int(key.hex()[:3], 16) for key in entries} | {0, 4_095}:
        there = {key: value for key, value in entries.items() if int(key.hex()[:3], 16) == at}
        assert slots[at * 32 : at * 32 + 32] == naive_tree.root("blake3", there, 3)


@pytest.mark.parametrize("size", [0, 1, 60, 5_000])
@pytest.mark.parametrize("changes", [0, 1, 10, 300])
def test_differences_are_all_that_differs(size: int, changes: int) -> None:
    chance = Random(size + changes)
    old = drawn(chance, size)
    new = dict(old)
    for key in chance.sample(sorted(old), min(changes, size) // 2):
        if chance.random() < 0.5:
            del new[key]
        else:
            new[key] = chance.randbytes(32)
    new |= drawn(chance, changes)
    due = [
        Difference(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    trees = built(blake3_256, old), built(blake3_256, new)
    found = list(differences(*trees))
    assert found == due
    for start in chance.sample(range(len(due)), min(len(due), 20)):
        assert list(differences(*trees, after=due[start].key)) == due[start + 1 :]
    again = trees[0].updated([(one.key, one.new) for one in found])
    assert again.root == trees[1].root
    back = again.updated([(one.key, one.old) for one in differences(trees[0], again)])
    assert back.root == trees[0].root


@pytest.mark.parametrize("prefix", [b"", b"\x12\x34"], ids=["spread", "of one slot"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("entries_to_a_part", [1, 7, 10_000])
def test_a_tree_built_from_parts_is_that_of_the_whole(
    size: int, prefix: bytes, entries_to_a_part: int
) -> None:
    entries = drawn(Random(size), size, prefix)
    ordered = [key + entries[key] for key in sorted(entries)]
    starts = range(0, len(ordered), entries_to_a_part)
    parts = (b"".join(ordered[at : at + entries_to_a_part]) for at in starts)
    tree, whole = Tree.build_from(blake3_256, parts), built(blake3_256, entries)
    assert (tree.root, len(tree), contents(tree)) == (whole.root, size, contents(whole))
    assert list(differences(tree, whole)) == []
