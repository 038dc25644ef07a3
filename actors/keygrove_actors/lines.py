"""What a worker prints, cut into lines that a log can bear. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

LINE_BYTES_MAX: Final = 8192
"""A longer line is cut, and the rest of it dropped."""
LINES_PER_S: Final = 100


class Lines(NamedTuple):
    """The lines some bytes completed; `dropped` counts those of the last window left out."""

    texts: tuple[str, ...]
    dropped: int


class LineCutter:
    """Lines of one stream, at most so many in each second. Keeps at most one line."""

    __slots__ = ("_dropped", "_is_cut", "_partial", "_taken", "_window")

    def __init__(self) -> None:
        self._partial = b""
        self._is_cut = False
        self._window = float("-inf")
        self._taken = self._dropped = 0

    def feed(self, data: bytes, now: float) -> Lines:
        """Take in bytes that came at `now`, in seconds."""
        *complete, rest = data.split(b"\n")
        texts: list[str] = []
        dropped = self._renew(now)
        for piece in complete:
            line = b"" if self._is_cut else (self._partial + piece)[:LINE_BYTES_MAX]
            was_cut, self._is_cut, self._partial = self._is_cut, False, b""
            if not was_cut:
                self._take(line, texts)
        if not self._is_cut:
            self._partial += rest
        if len(self._partial) > LINE_BYTES_MAX:
            self._take(self._partial[:LINE_BYTES_MAX], texts)
            self._partial, self._is_cut = b"", True
        return Lines(tuple(texts), dropped)

    def finish(self) -> Lines:
        """The stream ended: the last line, and what was dropped and not told yet."""
        texts: list[str] = []
        if self._partial:
            self._take(self._partial, texts)
        dropped, self._dropped = self._dropped, 0
        return Lines(tuple(texts), dropped)

    def _renew(self, now: float) -> int:
        if now < self._window + 1:
            return 0
        self._window = now
        self._taken = 0
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _take(self, line: bytes, texts: list[str]) -> None:
        if self._taken >= LINES_PER_S:
            self._dropped += 1
            return
        self._taken += 1
        texts.append(line.decode("utf-8", "backslashreplace"))
