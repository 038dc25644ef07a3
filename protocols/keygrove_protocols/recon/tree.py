"""The prefix tree: digests in leaves of some dozen, and values of each node's set.

A node has the digests that begin with its name. A leaf that an insertion makes larger than
`SPLIT` gets four children; these are leaves whatever their size, until the next insertion. A node
with children becomes a leaf when a removal leaves `JOIN` digests or fewer. So the shape depends on
what happened; sizes and values do not. A batch has the outcome of its removals and then its
additions in ascending order, one by one.

Nodes are never changed but replaced, along the path from the root: whoever keeps a root keeps the
tree of that moment. A leaf is two strings of octets, because a million digests have some 60,000
leaves, and integers and sets would take five times the memory.

Source: sks-keyserver, prefixTree.ml (`insert`, `split_at_depth`, `join`, `delete`); Minsky and
Trachtenberg, "Practical Set Reconciliation" (2002).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Final

import msgspec

from keygrove_protocols.errors import TreeMismatchError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import DIGEST_BYTES, MBAR, element
from keygrove_protocols.recon.prefix import BITQUANTUM, FANOUT, Prefix
from keygrove_protocols.recon.samples import EMPTY, Samples, over, pack, samples, times, unpack
from keygrove_protocols.recon.view import Node

SPLIT: Final = 10 * MBAR
"""Digests of a leaf that may have one more only by getting children."""

JOIN: Final = SPLIT // 2
"""Digests of a node that a removal leaves without children."""


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """A node without children.

    Args:
        packed: its digests in ascending order, one behind the other.
        values: as `samples.pack` has them.
    """

    packed: bytes
    values: bytes

    @property
    def size(self) -> int:
        """How many digests."""
        return len(self.packed) // DIGEST_BYTES


class Inner(msgspec.Struct, frozen=True, gc=False):
    """A node with all of its children; `size` counts the digests below it."""

    size: int
    values: bytes
    children: tuple["Leaf | Inner", ...]


NO_DIGESTS: Final = Leaf(b"", pack(EMPTY))


class Tree:
    """A set of digests as SKS reconciles them; a `View`."""

    def __init__(self, digests: Iterable[Digest] = (), *, root: Leaf | Inner = NO_DIGESTS) -> None:
        self.root = root
        self.apply(added=digests)

    @property
    def size(self) -> int:
        """How many digests there are."""
        return self.root.size

    def snapshot(self) -> "Tree":
        """The tree of this moment, which no change of this one reaches. It costs nothing."""
        return Tree(root=self.root)

    def apply(self, *, added: Iterable[Digest] = (), removed: Iterable[Digest] = ()) -> None:
        """Put some in and take some out, all or none.

        Those added must not be there, also not to be taken out, and those removed must be.
        `field.is_element` says what may be added. Many at once cost less than one by one.

        Raises:
            BadElementError: one to be added equals a sample point.
            TreeMismatchError: the tree is not what the change is meant for.
        """
        new, old = sorted(added), sorted(removed)
        for digest in new:
            element(digest)
        _refuse("removed and are not there", set(old) - self._held(old))
        _refuse("added and are there", self._held(new))
        _refuse("changed twice", _twice(new) | _twice(old))
        if new or old:
            self.root, _ = _changed(self.root, 0, new, old)

    def node(self, prefix: Prefix) -> Node:
        """The node of that name; below a leaf the part of it that begins so."""
        found, depth = self._find(prefix)
        if depth == prefix.length:
            values = unpack(found.values)
            return Node(prefix, found.size, values, is_leaf=isinstance(found, Leaf))
        part = [digest for digest in below(found) if prefix.covers(digest)]
        return Node(prefix, len(part), samples(part), is_leaf=True)

    def digests(self, prefix: Prefix) -> AbstractSet[Digest]:
        """All that begin so."""
        found, depth = self._find(prefix)
        if depth == prefix.length:
            return set(below(found))
        return {digest for digest in below(found) if prefix.covers(digest)}

    def lacks(self, digests: AbstractSet[Digest]) -> set[Digest]:
        """Those among them that are not in the tree."""
        return set(digests) - self._held(sorted(digests))

    def _held(self, digests: Sequence[Digest]) -> set[Digest]:
        return set(_held(self.root, 0, digests)) if digests else set()

    def _find(self, prefix: Prefix) -> tuple[Leaf | Inner, int]:
        """The node, or the leaf above where it would be; and the length of its name."""
        found, depth = self.root, 0
        while depth < prefix.length and isinstance(found, Inner):
            found = found.children[_number(prefix.octets, depth)]
            depth += BITQUANTUM
        return found, depth


def differences(tree: Tree, other: Tree) -> Iterator[AbstractSet[Digest]]:
    """What only one of two trees has, some at once.

    It costs as much as was changed, where one of them was made from the other.
    """
    todo = [(tree.root, other.root)]
    while todo:
        one, another = todo.pop()
        if one is another:
            continue
        if isinstance(one, Inner) and isinstance(another, Inner):
            todo += zip(one.children, another.children, strict=True)
        else:
            yield set(below(one)) ^ set(below(another))


def below(node: Leaf | Inner) -> Iterator[Digest]:
    """The digests of a node, in ascending order."""
    if isinstance(node, Leaf):
        yield from _split(node.packed)
    else:
        for child in node.children:
            yield from below(child)


def _refuse(what: str, digests: AbstractSet[Digest]) -> None:
    if digests:
        named = min(digests).hex()
        raise TreeMismatchError(f"{len(digests)} digests are to be {what}, among them {named}")


def _twice(digests: Sequence[Digest]) -> set[Digest]:
    return {one for one, other in pairwise(digests) if one == other}


def _split(packed: bytes) -> list[Digest]:
    return [Digest(packed[at : at + DIGEST_BYTES]) for at in range(0, len(packed), DIGEST_BYTES)]


def _number(octets: bytes, depth: int) -> int:
    """Which child of a node at that depth, in bits, these octets are below."""
    return octets[depth >> 3] >> (8 - BITQUANTUM - (depth & 7)) & (FANOUT - 1)


def _parts(digests: Sequence[Digest], depth: int) -> dict[int, Sequence[Digest]]:
    """Those of each child that has any, of a node at that depth; all in ascending order."""
    parts: dict[int, Sequence[Digest]] = {}
    start = 0
    while start < len(digests):
        number = _number(digests[start], depth)
        stop = bisect_right(digests, number, start, key=lambda digest: _number(digest, depth))
        parts[number] = digests[start:stop]
        start = stop
    return parts


def _held(node: Leaf | Inner, depth: int, digests: Sequence[Digest]) -> Iterator[Digest]:
    if isinstance(node, Leaf):
        yield from set(_split(node.packed)).intersection(digests)
        return
    for number, part in _parts(digests, depth).items():
        yield from _held(node.children[number], depth + BITQUANTUM, part)


def _changed(
    node: Leaf | Inner, depth: int, new: Sequence[Digest], old: Sequence[Digest]
) -> tuple[Leaf | Inner, Samples]:
    """The node afterwards, and the quotients of its new values by those it had."""
    if isinstance(node, Leaf):
        return _changed_leaf(node, depth, new, old)
    if old and node.size - len(old) <= JOIN:
        joined = Leaf(b"".join(below(node)), node.values)
        return _changed_leaf(joined, depth, new, old)
    factor = EMPTY
    children = list(node.children)
    more, less = _parts(new, depth), _parts(old, depth)
    for number in more.keys() | less.keys():
        children[number], quotients = _changed(
            children[number], depth + BITQUANTUM, more.get(number, ()), less.get(number, ())
        )
        factor = times(factor, quotients)
    size = node.size + len(new) - len(old)
    return Inner(size, pack(times(unpack(node.values), factor)), tuple(children)), factor


def _changed_leaf(
    leaf: Leaf, depth: int, new: Sequence[Digest], old: Sequence[Digest]
) -> tuple[Leaf | Inner, Samples]:
    gone = set(old)
    kept = [digest for digest in _split(leaf.packed) if digest not in gone]
    before = unpack(leaf.values)
    if len(kept) + len(new) > SPLIT:
        grown = _grown(kept, depth, new)
        return grown, over(unpack(grown.values), before)
    factor = samples(new)
    if old:
        factor = over(factor, samples(old))
    packed = b"".join(sorted([*kept, *new]))
    return Leaf(packed, pack(times(before, factor))), factor


def _grown(held: Sequence[Digest], depth: int, new: Sequence[Digest]) -> Leaf | Inner:
    """What becomes of a leaf, `held`, to which one after the other is added."""
    if not new or len(held) + len(new) <= SPLIT:
        digests = sorted([*held, *new])
        return Leaf(b"".join(digests), pack(samples(digests)))
    first = max(SPLIT + 1 - len(held), 1)
    held = sorted([*held, *new[:first]])
    parts, rest = _parts(held, depth), _parts(new[first:], depth)
    children = tuple(
        [
            _grown(parts.get(number, ()), depth + BITQUANTUM, rest.get(number, ()))
            for number in range(FANOUT)
        ]
    )
    values = EMPTY
    for child in children:
        values = times(values, unpack(child.values))
    return Inner(len(held) + len(new) - first, pack(values), children)
