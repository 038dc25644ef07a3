"""How far a write-ahead log of SQLite's can be read, and what lies behind that.

    header (32): magic 0x377F0682 or ...83 (checksums of big-endian words), version, octets of a
                 page, sequence, salt (8), checksum (8) of the 24 octets before
    frame  (24): page, pages of the database after a commit or 0, salt (8), checksum (8) of the
                 first 8 octets and the page, going on from the checksum before; then the page

SQLite reads a log up to the first frame that does not fit, and takes what is behind it for what
lay there before. Where that one rotted, commits are gone, and nobody is told. Source:
sqlite.org/fileformat2.html, section 4.
"""

import struct
from typing import Final

import msgspec

_HEADER: Final = 32
_FRAME: Final = 24
_MAGIC: Final = 0x377F0682
_MASK: Final = 0xFFFFFFFF
_PAGES: Final = frozenset(1 << power for power in range(9, 17))


class Log(msgspec.Struct, frozen=True):
    """How a log reads."""

    frames: int
    """That fit."""
    is_cut: bool = False
    """What is behind them was of the same log, and cannot be read."""
    is_lost: bool = False
    """A commit that was synchronised is among what cannot be read."""


def read_log(data: bytes) -> Log:
    """Read a log that nobody writes meanwhile."""
    if not any(data[:_HEADER]):
        return Log(0)
    if len(data) < _HEADER:
        return Log(0, is_cut=True)
    magic, _, page = struct.unpack(">III", data[:12])
    order = ">" if magic & 1 else "<"
    sums = _summed(order, data[:24], (0, 0))
    if magic & ~1 != _MAGIC or page not in _PAGES or sums != struct.unpack(">II", data[24:32]):
        return Log(0, is_cut=True, is_lost=len(data) > _HEADER)
    salt, size = data[16:24], _FRAME + page
    starts = range(_HEADER, len(data) - size + 1, size)
    good = 0
    for start in starts:
        header = data[start : start + _FRAME]
        body = data[start + _FRAME : start + size]
        sums = _summed(order, header[:8] + body, sums)
        if header[8:16] != salt or sums != struct.unpack(">II", header[16:]):
            break
        good += 1
    behind = [data[start : start + _FRAME] for start in starts[good:]]
    return _judged(good, behind, salt)


def _judged(good: int, behind: list[bytes], salt: bytes) -> Log:
    """What lies behind the frames that fit.

    A commit is synchronised before the next is written, so of several that cannot be read all
    but the last were. A power cut leaves one, which nobody was told of.
    """
    own = [frame for frame in behind if frame[8:16] == salt]
    commits = sum(any(frame[4:8]) for frame in own)
    # With a log that is begun anew both halves of its salt change.
    half = bool(behind) and (behind[0][8:12] == salt[:4]) != (behind[0][12:16] == salt[4:])
    return Log(good, is_cut=bool(own) or half, is_lost=commits > 1)


def _summed(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    first, second = sums
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & _MASK
        second = (second + words[at + 1] + first) & _MASK
    return first, second
