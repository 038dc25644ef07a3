"""A row with one bit that flipped, put right: its hashes tell which bit it was.

What comes out has the checksum and the content hash that were written, so that nothing is guessed.
Of what is coded the bits are those of the code; a dictionary has a hash of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from keygrove.storage.address import dictionary_hash
from keygrove.storage.coding import Dictionary
from keygrove.storage.rows import Row
from keygrove.storage.values import CHAIN_MAX

OCTETS_MAX = 16_384
"""Of a row: each of its bits is tried, which takes a second for so many."""
_NUMBER_BITS = 63
_SIZE = 2 + Row.__struct_fields__.index("size")

Read: TypeAlias = Callable[[Sequence[object]], Row | None]
"""The row of which that is stored (`versions.raw`); None if it is not as written."""


def mended(stored: Sequence[object], read: Read) -> Row | None:
    """The row that was stored, if one bit of a number or of octets is another."""
    for at, value in enumerate(stored):
        if isinstance(value, bytes) and not _is_worth_it(stored):
            continue
        for other in _flipped(value):
            row = read((*stored[:at], other, *stored[at + 1 :]))
            if row is not None:
                return row
    return None


def mended_dictionary(octets: bytes, name: bytes) -> Dictionary | None:
    """The dictionary of that name, if one bit of it, or of its name, is another."""
    found = int.from_bytes(dictionary_hash(octets))
    if (found ^ int.from_bytes(name)).bit_count() == 1:
        return Dictionary(octets)
    if len(octets) > OCTETS_MAX:
        return None
    right = (one for one in _octets_flipped(octets) if dictionary_hash(one) == name)
    first = next(right, None)
    return None if first is None else Dictionary(first)


def _is_worth_it(stored: Sequence[object]) -> bool:
    """Each bit that is tried costs what there is to hash, and to decode before."""
    octets, size = sum(len(value) for value in stored if isinstance(value, bytes)), stored[_SIZE]
    if not stored[0] or not isinstance(size, int):
        return octets <= OCTETS_MAX
    return octets * max(octets, size) * CHAIN_MAX <= OCTETS_MAX**2


def _flipped(value: object) -> Iterator[object]:
    if isinstance(value, int):
        for bit in range(_NUMBER_BITS):
            yield value ^ 1 << bit
    elif isinstance(value, bytes):
        yield from _octets_flipped(value)


def _octets_flipped(value: bytes) -> Iterator[bytes]:
    octets = bytearray(value)
    for at in range(len(octets)):
        for bit in range(8):
            octets[at] ^= 1 << bit
            yield bytes(octets)
            octets[at] ^= 1 << bit
