"""The levels of the tree above its slots, joined from what shards have of these.

A slot belongs to one shard, and is empty, which is to say zero, with all others: so what they
have together is a bitwise or.
"""

from collections.abc import Iterable
from typing import Final

from keygrove.storage.merkle import EMPTY, SLOT_DEPTH, Hash

SLOTS_OCTETS: Final = 4096 * 32
_ROW_OCTETS: Final = 16 * 32
_NO_ROW: Final = EMPTY * 16


def united(slots: Iterable[bytes]) -> bytes:
    """The hashes of all slots, from those of trees that have none in common."""
    together = 0
    for each in slots:
        together |= int.from_bytes(each)
    return together.to_bytes(SLOTS_OCTETS)


class Forest:
    """The three levels above the slots, and the root of it all."""

    def __init__(self, hash_: Hash, slots: bytes) -> None:
        self._levels = [slots]
        for _ in range(SLOT_DEPTH):
            below = self._levels[-1]
            rows = (below[at : at + _ROW_OCTETS] for at in range(0, len(below), _ROW_OCTETS))
            self._levels.append(
                b"".join(hash_(b"\x01" + row) if row != _NO_ROW else EMPTY for row in rows)
            )
        self.root = self._levels.pop()

    def path(self, slot: int) -> tuple[bytes, ...]:
        """The hashes of the children of the nodes on the way to a slot, the root's first.

        Fewer than three where it ends at an empty node.
        """
        rows: list[bytes] = []
        for depth, level in enumerate(reversed(self._levels)):
            at = slot >> 4 * (SLOT_DEPTH - depth)
            row = level[at * _ROW_OCTETS : (at + 1) * _ROW_OCTETS]
            if row == _NO_ROW:
                break
            rows.append(row)
        return tuple(rows)
