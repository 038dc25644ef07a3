"""What a worker says for people, in pieces that a log can bear. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from keygrove_actors.port_wire import Scalar

LINE_BYTES_MAX: Final = 8192
"""A longer line is cut, and the rest of it dropped."""
LINES_PER_S: Final = 100
"""Of each stream, and of LOG frames: what a worker says beyond is counted only."""
FIELDS_MAX: Final = 32
"""Of a LOG frame; further ones are dropped."""
FIELD_CHARS_MAX: Final = 1024
"""A longer name or text in a LOG frame is cut."""


class LineCutter:
    """Lines of one stream. Keeps at most one line."""

    __slots__ = ("_is_cut", "_partial")

    def __init__(self) -> None:
        self._partial = b""
        self._is_cut = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes; the lines they complete."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        if self._is_cut and lines:
            del lines[0]
            self._is_cut = False
        elif self._is_cut:
            self._partial = b""
        if len(self._partial) > LINE_BYTES_MAX:
            lines.append(self._partial)
            self._partial, self._is_cut = b"", True
        return [line[:LINE_BYTES_MAX] for line in lines]

    def finish(self) -> list[bytes]:
        """The stream ended: its last line, if no newline came."""
        line, self._partial = self._partial, b""
        return [line] if line else []


def text_of(line: bytes) -> str:
    """A line as text; what is not UTF-8 is escaped."""
    return line.decode("utf-8", "backslashreplace")


def cut_fields(fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The fields of a LOG frame, as far as a log can bear them."""
    return {
        name[:FIELD_CHARS_MAX]: value[:FIELD_CHARS_MAX] if isinstance(value, str) else value
        for name, value in islice(fields.items(), FIELDS_MAX)
    }
