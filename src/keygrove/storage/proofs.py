"""Proofs of what a set holds: the store's side. Who checks them shares no code with it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from keygrove.errors import DamagedError
from keygrove.storage.address import aside_hash, content_hash, packets_hash, tree_key
from keygrove.storage.merkle import SLOT_DEPTH, Tree
from keygrove.storage.messages import Outdated, Slots, Trace, Traced
from keygrove.storage.store import CertificateStore

_HASH_OCTETS: Final = 32
PINS_MAX: Final = 2
"""The tree of the head that is given out, and that of the one before, for who has begun with it."""


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document; docs/reference/proofs.md says what is in it."""

    fingerprint: str
    head: str
    path: tuple[bytes, ...] = ()
    leaf: bytes = b""
    packets: bytes = b""
    aside: bytes = b""


class Pins:
    """The trees of a shard to which there are signed heads. A tree costs what differs from others.

    They die with the shard: then there has to be another head.
    """

    def __init__(self) -> None:
        self._trees: dict[int, Tree] = {}

    def slots(self, store: CertificateStore, *, keep: bool) -> Slots:
        """How the slots stand now; with `keep` in a tree that is kept for `trace`."""
        head, tree = store.head(), store.tree()
        if keep:
            self._trees.pop(head.change, None)
            self._trees[head.change] = tree
            while len(self._trees) > PINS_MAX:
                del self._trees[next(iter(self._trees))]
        return Slots(head.change, head.size, tree.slots())

    async def trace(self, store: CertificateStore, message: Trace) -> Traced | Outdated:
        """See `Trace`.

        Raises:
            DamagedError: what is stored is not what was committed.
        """
        key = tree_key(message.fingerprint)
        tree = self._trees.get(message.change)
        value = None if tree is None else tree.get(key)
        if tree is None or value != store.tree().get(key):
            return Outdated()
        path = tree.path(key)
        below = path.hashes[SLOT_DEPTH:]
        if value is None:
            return Traced(below, path.leaf)
        (whole,) = await store.get_whole([message.fingerprint])
        if whole is not None:
            aside = aside_hash(whole.aside) if whole.aside else b""
            if content_hash(whole.packets, aside) == value:
                return Traced(below, path.leaf, packets_hash(whole.packets), aside)
        if value != store.tree().get(key):  # it changed while it was read
            return Outdated()
        raise DamagedError(
            f"what is stored of {message.fingerprint.hex()} is not what was committed"
        )


def proof(
    fingerprint: bytes, key: bytes, head: str, above: Sequence[bytes], traced: Traced
) -> Proof:
    """The proof of what there is of a certificate, or that there is nothing.

    Args:
        key: its tree key.
        head: signed.
        above: the children of the nodes over its slot, from the forest.
        traced: the rest of the way, of the same moment.
    """
    rows = [*above, *traced.below]
    nibbles = key.hex()
    others = tuple(_others(row, int(nibbles[depth], 16)) for depth, row in enumerate(rows))
    return Proof(fingerprint.hex(), head, others, traced.leaf, traced.packets, traced.aside)


def _others(row: bytes, nibble: int) -> bytes:
    at = nibble * _HASH_OCTETS
    return row[:at] + row[at + _HASH_OCTETS :]
