"""Recon by the storage's hashed tree: which children differ, level by level. A prototype.

request   u32 count ‖ nodes: u8 depth ‖ its nibbles, two an octet
answer    for each: u8 whether it is a leaf ‖ 16 hashes, or u16 count ‖ so many digests
last      u32 0 ‖ digests that the other lacks
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from keygrove.storage.merkle import ENTRY_OCTETS, Inner, Node, Tree, blake3_256
from keygrove_protocols.openpgp.keys import Digest

KEY: Final = 32


def tree_of(digests: Iterable[Digest]) -> Tree:
    """A digest is the value of its own hash."""
    return Tree.build(blake3_256, b"".join(sorted(map(_entry, digests))))


def more(tree: Tree, digests: Iterable[Digest]) -> Tree:
    """The tree with these, too."""
    return tree.updated((one[:KEY], one[KEY:]) for one in map(_entry, digests))


def _entry(digest: Digest) -> bytes:
    return hashlib.sha256(digest).digest() + digest + bytes(16)


def _below(node: Node) -> list[Digest]:
    if isinstance(node, Inner):
        return [digest for kid in node.kids for digest in _below(kid)]
    starts = range(KEY, len(node), ENTRY_OCTETS)
    return [Digest(node[at : at + 16]) for at in starts]


def _find(tree: Tree, path: str) -> Node:
    node = tree.top
    for nibble in path:
        if not isinstance(node, Inner):
            return b"".join(
                node[at : at + ENTRY_OCTETS]
                for at in range(0, len(node), ENTRY_OCTETS)
                if node[at : at + KEY].hex().startswith(path)
            )
        node = node.kids[int(nibble, 16)]
    return node


class Asks:
    """Goes down where hashes differ."""

    def __init__(self, tree: Tree) -> None:
        self.learned: set[Digest] = set()
        self._tree = tree
        self._given: set[Digest] = set()
        self._asked: list[str] = [""]

    def answer(self, octets: bytes) -> bytes:
        """The next nodes, or the last word."""
        if octets:
            self._take_in(octets)
            if not self._asked:
                return bytes(4) + b"".join(self._given)
        nodes = (
            bytes((len(path),)) + bytes.fromhex(path + "0" * (len(path) % 2))
            for path in self._asked
        )
        return len(self._asked).to_bytes(4) + b"".join(nodes)

    def _take_in(self, octets: bytes) -> None:
        at, asked = 0, list[str]()
        for path in self._asked:
            mine = _find(self._tree, path)
            if octets[at]:
                count = int.from_bytes(octets[at + 1 : at + 3])
                at += 3
                theirs = {Digest(octets[at + 16 * i : at + 16 * i + 16]) for i in range(count)}
                at += 16 * count
                self.learned |= theirs - set(_below(mine))
                self._given |= set(_below(mine)) - theirs
            else:
                hashes = octets[at + 1 : at + 513]
                at += 513
                ours = mine.hashes if isinstance(mine, Inner) else bytes(512)
                asked += (
                    f"{path}{i:x}"
                    for i in range(16)
                    if hashes[32 * i : 32 * i + 32] != ours[32 * i : 32 * i + 32]
                )
        self._asked = asked


class Answers:
    """Says what its nodes have."""

    def __init__(self, tree: Tree) -> None:
        self.learned: set[Digest] = set()
        self._tree = tree

    def answer(self, octets: bytes) -> bytes:
        """For each node that was asked about, its children's hashes or its digests."""
        count, at = int.from_bytes(octets[:4]), 4
        if not count:
            self.learned = {Digest(octets[i : i + 16]) for i in range(4, len(octets), 16)}
            return b""
        said = bytearray()
        for _ in range(count):
            depth = octets[at]
            length = (depth + 1) // 2
            node = _find(self._tree, octets[at + 1 : at + 1 + length].hex()[:depth])
            at += 1 + length
            if isinstance(node, Inner):
                said += b"\x00" + node.hashes
            else:
                digests = _below(node)
                said += b"\x01" + len(digests).to_bytes(2) + b"".join(digests)
        return bytes(said)
