"""Prefix trees as octets."""

import hashlib
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import BadTreeDumpError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.dump import CHUNK_BYTES, STATE_BYTES_MAX, dump, load
from keygrove_protocols.recon.field import is_element
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.tree import Tree
from tests.unit.protocols.recon.algebra_vectors import nodes

STATE = b"as of the 7th commit"


def some(count: int, under: bytes = b"") -> list[Digest]:
    random = Random(count)
    return [Digest(under + random.randbytes(16 - len(under))) for _ in range(count)]


def pieces(whole: bytes, length: int) -> Iterator[bytes]:
    for at in range(0, len(whole), length):
        yield whole[at : at + length]


TREES = {
    "empty": Tree(),
    "one": Tree(some(1)),
    "a leaf": Tree(some(50)),
    "an overfull leaf": Tree(some(51, under=b"\0")),
    "the most overfull leaf": Tree(Digest(bytes(15) + bytes([at])) for at in range(1, 101)),
    "deep": Tree(filter(is_element, set(some(500, under=bytes(14))))),
    "deep, and below the last children": Tree(
        Digest(b"\xff" * 15 + bytes([at])) for at in range(256)
    ),
    "large": Tree(some(5_000)),
}
SMALL = b"".join(dump(Tree(some(60)), STATE))


@pytest.mark.parametrize("length", [1, 17, 1 << 20])
@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_tree_comes_back_with_its_state(tree: Tree, length: int) -> None:
    loaded = load(pieces(b"".join(dump(tree, STATE)), length))
    assert loaded.state == STATE
    assert list(nodes(loaded.tree)) == list(nodes(tree))


def test_a_loaded_tree_goes_on() -> None:
    tree = load(dump(Tree(some(300)), b"")).tree
    tree.apply(added=some(100), removed=some(300))
    assert tree.node(ROOT).samples == Tree(some(100)).node(ROOT).samples


def test_what_is_dumped_is_the_tree_of_the_moment() -> None:
    tree = Tree(some(5_000))
    chunks = dump(tree, STATE)
    before = list(nodes(tree))
    tree.apply(removed=some(5_000))
    assert list(nodes(load(chunks).tree)) == before


def test_chunks_are_bounded() -> None:
    chunks = list(dump(Tree(some(10_000)), STATE))
    assert len(chunks) > 1
    assert max(map(len, chunks)) < CHUNK_BYTES + 1_024


@pytest.mark.parametrize("count", range(0, len(SMALL), 7))
def test_a_dump_that_is_cut_off_is_refused(count: int) -> None:
    with pytest.raises(BadTreeDumpError, match="cut off"):
        load([SMALL[:count]])


def test_a_dump_that_goes_on_is_refused() -> None:
    for chunks in ([SMALL + b"\0"], [SMALL, b"", b"\0"]):
        with pytest.raises(BadTreeDumpError, match="more octets follow"):
            load(chunks)
    assert load([SMALL, b""]).state == STATE


@given(st.integers(0, 8 * len(SMALL) - 1))
def test_a_dump_with_another_bit_is_refused(bit: int) -> None:
    damaged = bytearray(SMALL)
    damaged[bit >> 3] ^= 1 << (bit & 7)
    with pytest.raises(BadTreeDumpError):
        load([bytes(damaged)])


@given(st.binary(max_size=400))
def test_whatever_is_no_dump_is_refused(octets: bytes) -> None:
    for data in (octets, SMALL[:10] + octets, SMALL[: 10 + len(STATE)] + octets):
        with pytest.raises(BadTreeDumpError):
            load([data])


def test_a_state_that_says_to_be_longer_than_there_are_is_refused() -> None:
    longest = b"".join(dump(Tree(), bytes(STATE_BYTES_MAX)))
    assert len(load([longest]).state) == STATE_BYTES_MAX
    longer = longest[:6] + (STATE_BYTES_MAX + 1).to_bytes(4, "big") + longest[10:]
    with pytest.raises(BadTreeDumpError, match="its state"):
        load([longer])


HEAD = b"KGPT\0\1\0\0\0\0"
LEAF = bytes([0]) + bytes(102)
END = b"\xfe" + bytes(8)


@pytest.mark.parametrize(
    "octets",
    [
        HEAD + END,
        HEAD + LEAF * 2 + END,
        HEAD + LEAF * 3 + b"\xff",
        HEAD + b"\x73",
        HEAD + LEAF * 1_000,
        b"KGPT\0\2" + HEAD[6:] + LEAF + END,
        b"KGPX" + HEAD[4:] + LEAF + END,
    ],
    ids=[
        "no node",
        "two trees",
        "a node above three",
        "a leaf with too many",
        "too many pending",
        "another format",
        "another file",
    ],
)
def test_nodes_that_are_no_tree_are_refused(octets: bytes) -> None:
    with pytest.raises(BadTreeDumpError, match=r"its nodes|a node is none|does not begin"):
        load([octets])


def test_another_size_than_the_digests_have_is_refused() -> None:
    whole = b"".join(dump(Tree(some(1)), b""))
    checked = whole[:-33] + b"\2"
    checksum = hashlib.blake2b(checked, digest_size=32).digest()
    with pytest.raises(BadTreeDumpError, match="1 digests, not 2"):
        load([checked + checksum])
