"""The tree of a set of certificates: 16-ary, by the nibbles of their keys, and hashed.

What is hashed, with H the tree's algorithm (storage reference 3.1 and 3.2):

    entry    key (32 octets) || hash of the value (32 octets)
    leaf     H(0x00 || entries, in the order of their keys)
    inner    H(0x01 || hashes of the sixteen children, 32 octets each)
    empty    32 octets of zero, at every depth: the hash of nothing, and of no node

The root is at depth 0; a node at depth d has all entries whose keys begin with the same d
nibbles. Nodes at depths 0, 1 and 2 are inner ones unless they are empty, so that the 4,096
*slots* at depth 3 are subtrees whatever the size. From there on a node is a leaf if and only
if it has at most 64 entries. So the root depends on the set alone: not on the order in which
it came about, nor on how shards divide the slots.

Nodes never change. A tree of the past is there as long as somebody keeps it, and shares with
later ones what they have in common; several changes at once copy and hash each node on their
way once. A leaf is one octet string: a dict of its entries would take twice the memory.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeAlias

import msgspec
from blake3 import blake3

ENTRY_OCTETS: Final = 64
KEY_OCTETS: Final = 32
EMPTY: Final = bytes(32)
SLOT_DEPTH: Final = 3
SLOTS: Final = 16**SLOT_DEPTH
LEAF_ENTRIES_MAX: Final = 64
DEPTH_MAX: Final = 20
"""A leaf below would need 65 keys that share as many nibbles: nobody can find these."""

_LEAF_OCTETS_MAX: Final = LEAF_ENTRIES_MAX * ENTRY_OCTETS

Hash: TypeAlias = Callable[[bytes], bytes]
"""From any octets to 32."""
Change: TypeAlias = tuple[bytes, bytes | None]
"""A key, and the hash of its value from now on; None: it has none any more."""


def sha256(data: bytes) -> bytes:
    """Algorithm 1."""
    return hashlib.sha256(data).digest()


def blake3_256(data: bytes) -> bytes:
    """Algorithm 2."""
    return blake3(data).digest()


class Inner:
    """A node with children. Its hash stands with its parent, as those of leaves do."""

    __slots__ = ("count", "hashes", "kids")

    def __init__(self, kids: Sequence[Node], hashes: bytes, count: int) -> None:
        self.kids = kids
        self.hashes = hashes
        """Of the children, one behind the other."""
        self.count = count
        """Entries below."""


Node: TypeAlias = Inner | bytes
"""A leaf is its entries, one behind the other; an empty node is an empty leaf."""


class Difference(msgspec.Struct, frozen=True):
    """What one key has in two trees: hashes of values, None where there is none."""

    key: bytes
    old: bytes | None
    new: bytes | None


class Path(msgspec.Struct, frozen=True):
    """The way from the root to where a key is, or would be."""

    hashes: tuple[bytes, ...]
    """Of the sixteen children of each inner node on it, the root's first: 512 octets each."""
    leaf: bytes
    """The entries at its end; none where nothing is."""


class Tree:
    """A map from keys to hashes of values, 32 octets each, and its root."""

    __slots__ = ("_hash", "root", "top")

    def __init__(self, hash_: Hash, top: Node = b"") -> None:
        self._hash = hash_
        self.top = top
        self.root = _hash_of(hash_, top)

    @classmethod
    def build(cls, hash_: Hash, entries: bytes) -> Tree:
        """The tree of these entries, which are in the order of their keys, each key once."""
        return cls(hash_, _build(hash_, entries, 0, len(entries) // ENTRY_OCTETS, 0))

    @classmethod
    def build_from(cls, hash_: Hash, parts: Iterable[bytes]) -> Tree:
        """The same of entries that come in parts, of which one at a time is kept.

        Their octets are those of the tree's leaves once more, so all at once would take twice
        the memory that the tree does.
        """
        slots: list[Node] = [b""] * SLOTS
        rest = b""
        for part in parts:
            run = rest + part
            # The last slot's entries may go on in the next part.
            rest = run[_fill(hash_, slots, run, _slot(run, len(run) // ENTRY_OCTETS - 1)) :]
        _fill(hash_, slots, rest, SLOTS)
        nodes = slots
        while len(nodes) > 1:
            nodes = [_joined(hash_, nodes[at : at + 16]) for at in range(0, len(nodes), 16)]
        return cls(hash_, nodes[0])

    def __len__(self) -> int:
        return _count(self.top)

    def get(self, key: bytes) -> bytes | None:
        """The hash of the value of `key`."""
        return _value(self.path(key).leaf, key)

    def updated(self, changes: Iterable[Change]) -> Tree:
        """The tree after these changes, at most one for each key. This one stays as it is."""
        ordered = sorted(changes)
        if not ordered:
            return self
        return Tree(self._hash, _update(self._hash, self.top, ordered, 0))

    def path(self, key: bytes) -> Path:
        """The way to `key`."""
        node, depth = self.top, 0
        hashes: list[bytes] = []
        while isinstance(node, Inner):
            hashes.append(node.hashes)
            node = node.kids[_nibble(key, depth)]
            depth += 1
        return Path(tuple(hashes), node)

    def entries(self) -> Iterator[bytes]:
        """All entries in the order of their keys, some at a time, as one leaf has them."""
        return _runs(self.top)

    def slots(self) -> bytes:
        """The hashes of the 4,096 slots, in order, 32 octets each."""
        rows = [self.top]
        for _ in range(SLOT_DEPTH - 1):
            rows = [kid for node in rows for kid in _kids(node)]
        return b"".join(node.hashes if isinstance(node, Inner) else EMPTY * 16 for node in rows)


def differences(old: Tree, new: Tree, after: bytes = b"") -> Iterator[Difference]:
    """What differs between two trees of one algorithm, in the order of keys.

    Takes time by what differs, not by what there is, and memory by the depth.

    Args:
        after: a key; only what comes behind it is given.
    """
    if old.root != new.root:
        yield from _differences(old.top, new.top, after, 0)


def _differences(old: Node, new: Node, after: bytes, depth: int) -> Iterator[Difference]:
    if not isinstance(old, Inner) and not isinstance(new, Inner):
        yield from _differences_of_runs(old, new, after)
        return
    first = _nibble(after, depth) if after else 0
    were, are = _parts(old, depth), _parts(new, depth)
    for nibble in range(first, 16):
        was, now = were[nibble], are[nibble]
        if was is not now and not _are_alike(old, new, nibble):
            yield from _differences(was, now, after if nibble == first else b"", depth + 1)


def _are_alike(old: Node, new: Node, nibble: int) -> bool:
    """Have two nodes the same there? A leaf does not tell."""
    if not isinstance(old, Inner) or not isinstance(new, Inner):
        return False
    here = slice(nibble * 32, nibble * 32 + 32)
    return old.hashes[here] == new.hashes[here]


def _parts(node: Node, depth: int) -> Sequence[Node]:
    """The sixteen children of a node, or what of a leaf they would have."""
    if isinstance(node, Inner):
        return node.kids
    parts = [b""] * 16
    for entry in _entries(node):
        parts[_nibble(entry, depth)] += entry
    return parts


def _differences_of_runs(old: bytes, new: bytes, after: bytes) -> Iterator[Difference]:
    were, are = set(_entries(old)), set(_entries(new))
    gone = {entry[:KEY_OCTETS]: entry[KEY_OCTETS:] for entry in were - are}
    come = {entry[:KEY_OCTETS]: entry[KEY_OCTETS:] for entry in are - were}
    for key in sorted(gone.keys() | come.keys()):
        if key > after:
            yield Difference(key, gone.get(key), come.get(key))


def _nibble(key: bytes, depth: int) -> int:
    octet = key[depth >> 1]
    return octet & 15 if depth & 1 else octet >> 4


def _hash_of(hash_: Hash, node: Node) -> bytes:
    if isinstance(node, Inner):
        return hash_(b"\x01" + node.hashes)
    return hash_(b"\x00" + node) if node else EMPTY


def _count(node: Node) -> int:
    return node.count if isinstance(node, Inner) else len(node) // ENTRY_OCTETS


def _kids(node: Node) -> Sequence[Node]:
    return node.kids if isinstance(node, Inner) else (b"",) * 16


def _is_leaf(count: int, depth: int) -> bool:
    return count <= LEAF_ENTRIES_MAX and (depth >= SLOT_DEPTH or count == 0)


def _runs(node: Node) -> Iterator[bytes]:
    if isinstance(node, Inner):
        for kid in node.kids:
            yield from _runs(kid)
    elif node:
        yield node


def _entries(run: bytes) -> Iterator[bytes]:
    return (run[at : at + ENTRY_OCTETS] for at in range(0, len(run), ENTRY_OCTETS))


def _update(hash_: Hash, node: Node, changes: Sequence[Change], depth: int) -> Node:
    """The node after these changes, in the order of their keys, all of which belong below it."""
    if not isinstance(node, Inner):
        run = _merged(node, changes)
        return _build(hash_, run, 0, len(run) // ENTRY_OCTETS, depth)
    kids, hashes, count = list(node.kids), bytearray(node.hashes), node.count
    at = 0
    while at < len(changes):
        nibble = _nibble(changes[at][0], depth)
        behind = at + 1
        while behind < len(changes) and _nibble(changes[behind][0], depth) == nibble:
            behind += 1
        kid = _update(hash_, kids[nibble], changes[at:behind], depth + 1)
        count += _count(kid) - _count(kids[nibble])
        kids[nibble] = kid
        hashes[nibble * 32 : nibble * 32 + 32] = _hash_of(hash_, kid)
        at = behind
    if _is_leaf(count, depth):
        return b"".join(run for kid in kids for run in _runs(kid))
    return Inner(kids, bytes(hashes), count)


def _merged(run: bytes, changes: Sequence[Change]) -> bytes:
    pieces: list[bytes] = []
    copied = 0
    for key, value in changes:
        at = _place(run, key)
        pieces.append(run[copied:at])
        copied = at + ENTRY_OCTETS if run[at : at + KEY_OCTETS] == key else at
        if value is not None:
            pieces += (key, value)
    pieces.append(run[copied:])
    return b"".join(pieces)


def _place(run: bytes, key: bytes) -> int:
    """Where in the run the entry of `key` is, or would be."""
    low, high = 0, len(run) // ENTRY_OCTETS
    while low < high:
        middle = (low + high) // 2
        start = middle * ENTRY_OCTETS
        if run[start : start + KEY_OCTETS] < key:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_OCTETS


def _value(run: bytes, key: bytes) -> bytes | None:
    at = _place(run, key)
    found = run[at : at + ENTRY_OCTETS]
    return found[KEY_OCTETS:] if found.startswith(key) else None


def _build(hash_: Hash, entries: bytes, first: int, end: int, depth: int) -> Node:
    """The node of entries number `first` to `end`, all of which belong below it."""
    if _is_leaf(end - first, depth):
        return entries[first * ENTRY_OCTETS : end * ENTRY_OCTETS]
    assert depth < DEPTH_MAX, "keys are no hashes"

    def nibble(number: int) -> int:
        octet = entries[number * ENTRY_OCTETS + (depth >> 1)]
        return octet & 15 if depth & 1 else octet >> 4

    kids: list[Node] = []
    numbers, at = range(end), first
    for after in range(1, 17):
        behind = bisect_left(numbers, after, at, end, key=nibble)
        kids.append(_build(hash_, entries, at, behind, depth + 1))
        at = behind
    return Inner(kids, b"".join(_hash_of(hash_, kid) for kid in kids), end - first)


def _slot(run: bytes, number: int) -> int:
    """The slot of an entry."""
    at = number * ENTRY_OCTETS
    return int.from_bytes(run[at : at + 2]) >> 4


def _fill(hash_: Hash, slots: list[Node], run: bytes, end: int) -> int:
    """Make the slots below `end` of the entries in `run`; returns how many octets these were."""
    numbers = range(len(run) // ENTRY_OCTETS)
    at = 0
    while at < len(numbers) and (slot := _slot(run, at)) < end:
        behind = bisect_right(numbers, slot, at, key=partial(_slot, run))
        slots[slot] = _build(hash_, run, at, behind, SLOT_DEPTH)
        at = behind
    return at * ENTRY_OCTETS


def _joined(hash_: Hash, kids: Sequence[Node]) -> Node:
    """The node above sixteen others, above the slots."""
    count = sum(map(_count, kids))
    return Inner(kids, b"".join(_hash_of(hash_, kid) for kid in kids), count) if count else b""
