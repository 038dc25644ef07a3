"""A row with one bit that flipped, put right: its hashes tell which bit it was.

What comes out has the checksum and the content hash that were written, so that nothing is guessed.
"""

from collections.abc import Iterator, Sequence

import msgspec

from keygrove.errors import DamagedError
from keygrove.storage.rows import Row, check

OCTETS_MAX = 16_384
"""Of a row: each of its bits is tried, which takes a second for so many."""
_NUMBER_BITS = 63


def mended(columns: Sequence[object]) -> Row | None:
    """The row that these columns were, if one bit of a number or of octets is another."""
    if sum(len(value) for value in columns if isinstance(value, bytes)) > OCTETS_MAX:
        return None
    for at, value in enumerate(columns):
        for other in _flipped(value):
            row = _row((*columns[:at], other, *columns[at + 1 :]))
            if row is not None:
                return row
    return None


def with_packets(columns: Sequence[object], packets: bytes) -> Row | None:
    """The row with these packets, if they are those that it held."""
    at = Row.__struct_fields__.index("v")
    return _row((*columns[:at], packets, *columns[at + 1 :]))


def _row(columns: Sequence[object]) -> Row | None:
    try:
        row = msgspec.convert(columns, Row)
        check(row)
    except (msgspec.ValidationError, DamagedError):
        return None
    return row


def _flipped(value: object) -> Iterator[object]:
    if isinstance(value, int):
        for bit in range(_NUMBER_BITS):
            yield value ^ 1 << bit
    elif isinstance(value, bytes):
        octets = bytearray(value)
        for at in range(len(octets)):
            for bit in range(8):
                octets[at] ^= 1 << bit
                yield bytes(octets)
                octets[at] ^= 1 << bit
