"""Proofs of what a set holds: the store's side. Who checks them shares no code with it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from keygrove.storage.merkle import SLOT_DEPTH, Path

_HASH_OCTETS: Final = 32


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document; docs/reference/proofs.md says what is in it."""

    fingerprint: str
    head: str
    path: tuple[bytes, ...]
    leaf: bytes
    aside: bytes = b""


def proof(fingerprint: bytes, key: bytes, head: str, above: Sequence[bytes], path: Path) -> Proof:
    """The proof of what there is of a certificate, or that there is nothing.

    Args:
        key: its tree key.
        head: signed.
        above: the children of the nodes over its slot, from the forest.
        path: the way to it in the tree of the shard that has its slot.
    """
    rows = [*above, *path.hashes[SLOT_DEPTH:]] if len(above) == SLOT_DEPTH else above
    nibbles = key.hex()
    others = tuple(_others(row, int(nibbles[depth], 16)) for depth, row in enumerate(rows))
    return Proof(fingerprint.hex(), head, others, path.leaf)


def _others(row: bytes, nibble: int) -> bytes:
    at = nibble * _HASH_OCTETS
    return row[:at] + row[at + _HASH_OCTETS :]
