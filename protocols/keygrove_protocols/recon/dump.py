"""A prefix tree as octets, so that a start need not make it anew from all digests.

    octets  meaning
    4       "KGPT"
    u16     format, 1
    u32     octets of the state that the tree stands for, which only its owner understands
    ...     that state
    ...     the nodes, each child before the node above it, the root last:
              u8   digests of a leaf, or 255: the node above the last four that have none
              ...  the leaf's digests in ascending order, 16 octets each
              102  its values (see `samples`)
    u8      254: the end of the nodes
    u64     digests of the whole tree
    32      BLAKE2b of all octets before

Integers are big-endian. The checksum is against what disks do: whoever can write the file can have
any tree taken for true.
"""

import hashlib
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NoReturn

import msgspec

from keygrove_protocols.errors import BadTreeDumpError
from keygrove_protocols.recon.field import DIGEST_BITS, DIGEST_BYTES
from keygrove_protocols.recon.prefix import BITQUANTUM, FANOUT
from keygrove_protocols.recon.samples import PACKED_BYTES
from keygrove_protocols.recon.tree import SPLIT, Inner, Leaf, Tree

MAGIC: Final = b"KGPT"
FORMAT: Final = 1
STATE_BYTES_MAX: Final = 1 << 21
SUM_BYTES: Final = 32
CHUNK_BYTES: Final = 1 << 16
"""Octets of a chunk, and up to a node more."""

_INNER: Final = 255
_END: Final = 254
_HEAD: Final = Struct(">4sHI")
_TAIL: Final = Struct(">Q")

_LEVELS: Final = DIGEST_BITS // BITQUANTUM

_LEAF_MAX: Final = SPLIT + _LEVELS
"""Digests of a leaf: a split may give all to one child, and the next insertion splits that."""

_PENDING_MAX: Final = (FANOUT - 1) * _LEVELS + FANOUT
"""Nodes that wait for the one above them, in the deepest tree there can be."""


class Loaded(msgspec.Struct, frozen=True):
    """What was dumped."""

    tree: Tree
    state: bytes


def dump(tree: Tree, state: bytes) -> Iterator[bytes]:
    """The tree of this moment in chunks, and what it stands for, at most `STATE_BYTES_MAX`."""
    assert len(state) <= STATE_BYTES_MAX
    return _chunks(tree.root, state)


def _chunks(root: Leaf | Inner, state: bytes) -> Iterator[bytes]:
    checksum = hashlib.blake2b(digest_size=SUM_BYTES)
    chunk = bytearray(_HEAD.pack(MAGIC, FORMAT, len(state)) + state)
    for record in _records(root):
        chunk += record
        if len(chunk) >= CHUNK_BYTES:
            checksum.update(chunk)
            yield bytes(chunk)
            chunk.clear()
    chunk.append(_END)
    chunk += _TAIL.pack(root.size)
    checksum.update(chunk)
    yield bytes(chunk) + checksum.digest()


def _records(node: Leaf | Inner) -> Iterator[bytes]:
    if isinstance(node, Leaf):
        yield bytes([node.size]) + node.packed + node.values
    else:
        for child in node.children:
            yield from _records(child)
        yield bytes([_INNER]) + node.values


def load(chunks: Iterable[bytes]) -> Loaded:
    """What was dumped, from chunks of any lengths.

    Raises:
        BadTreeDumpError: it is no dump, or not whole, or not as it was written.
    """
    source = _Source(chunks)
    magic, version, length = _HEAD.unpack(source.take(_HEAD.size))
    if magic != MAGIC or version != FORMAT:
        _refuse(f"it does not begin as one of format {FORMAT}")
    if length > STATE_BYTES_MAX:
        _refuse(f"its state has more than {STATE_BYTES_MAX} octets")
    state = source.take(length)
    root = _nodes(source)
    (size,) = _TAIL.unpack(source.take(_TAIL.size))
    source.end()
    if size != root.size:
        _refuse(f"it has {root.size} digests, not {size}")
    return Loaded(Tree(root=root), state)


def _nodes(source: "_Source") -> Leaf | Inner:
    pending: list[Leaf | Inner] = []
    while (kind := source.take(1)[0]) != _END:
        if kind == _INNER and len(pending) >= FANOUT:
            children = tuple(pending[-FANOUT:])
            del pending[-FANOUT:]
            size = sum(child.size for child in children)
            pending.append(Inner(size, source.take(PACKED_BYTES), children))
        elif kind <= _LEAF_MAX and len(pending) < _PENDING_MAX:
            packed = source.take(kind * DIGEST_BYTES)
            pending.append(Leaf(packed, source.take(PACKED_BYTES)))
        else:
            _refuse("a node is none")
    if len(pending) != 1:
        _refuse("its nodes are not one tree")
    return pending[0]


def _refuse(why: str) -> NoReturn:
    raise BadTreeDumpError(f"this is no dumped prefix tree, make the tree anew: {why}")


class _Source:
    """Octets in portions, and the checksum of those that were taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = b""
        self._at = 0
        self._checksum = hashlib.blake2b(digest_size=SUM_BYTES)

    def take(self, count: int) -> bytes:
        """The next ones."""
        end = self._at + count
        while end > len(self._buffer):
            chunk = next(self._chunks, None)
            if chunk is None:
                _refuse("it is cut off")
            self._checksum.update(self._buffer[: self._at])
            self._buffer = self._buffer[self._at :] + chunk
            self._at, end = 0, count
        taken = self._buffer[self._at : end]
        self._at = end
        return taken

    def end(self) -> None:
        """The checksum must come, be right, and be the last."""
        self._checksum.update(self._buffer[: self._at])
        self._buffer, self._at = self._buffer[self._at :], 0
        expected = self._checksum.digest()
        if self.take(SUM_BYTES) != expected:
            _refuse("its checksum is wrong")
        if self._at != len(self._buffer) or any(self._chunks):
            _refuse("more octets follow")
