"""What a session asks of a prefix tree."""

from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.prefix import Prefix


class Node(msgspec.Struct, frozen=True):
    """A node, or the part of a leaf below a longer prefix, which is a leaf, too.

    Args:
        size: how many digests are at or below it.
        samples: the values of its characteristic polynomial at the sample points, modulo the
            prime; of part of a leaf, too.
    """

    prefix: Prefix
    size: int
    samples: tuple[int, ...]
    is_leaf: bool


class View(Protocol):
    """A prefix tree as a session sees it. It may change between any two calls."""

    def node(self, prefix: Prefix) -> Node:
        """The node of that name; below a leaf the part of it that begins so."""
        ...

    def digests(self, prefix: Prefix) -> AbstractSet[Digest]:
        """All that begin so."""
        ...

    def lacks(self, digests: AbstractSet[Digest]) -> set[Digest]:
        """Those among them that are not in the tree."""
        ...
