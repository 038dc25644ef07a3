"""Compressed files as what is in them, while they are read, and in bounded memory.

A compressed stream may hold a million times its own size. What is taken out at once is some
MiB at most, whatever somebody made of it. How much memory a decompressor itself needs is
limited too, for a stream says so, and may say anything.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import zstandard

from keygrove_protocols.errors import FramingError

SLICE_BYTES = 512
"""What a decompressor gets at once. A slice of zstandard becomes 16 MiB at most: a block of
128 KiB takes four octets; one of gzip 0.5 MiB. For the others there is a limit of their own."""
PIECE_BYTES = 256 << 10
MEMORY_BYTES_MAX = 128 << 20
"""For a decompressor: as much as `zstd` allows itself, and twice what `xz -9` needs."""


class BadCompressionError(FramingError):
    """What is compressed is damaged, cut off, or needs more memory than it is given."""


class Decompressor(Protocol):
    """What the libraries of all forms have in common: a decompressor of one stream."""

    @property
    def eof(self) -> bool: ...  # noqa: D102 - a library's own word

    @property
    def unused_data(self) -> bytes: ...  # noqa: D102

    def decompress(self, data: bytes, /) -> bytes: ...  # noqa: D102


class Form(NamedTuple):
    """A form of compression: how it is called, and what unpacks it, here and elsewhere."""

    name: str
    command: str
    make: Callable[[], Decompressor]


def _gzip() -> Decompressor:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES_MAX)


def _zstandard() -> Decompressor:
    return zstandard.ZstdDecompressor(max_window_size=MEMORY_BYTES_MAX).decompressobj()


_FORMS = {
    b"\x1f\x8b": Form("gzip", "zcat", _gzip),
    b"BZh": Form("bzip2", "bzcat", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": Form("xz", "xzcat", _xz),
    b"\x28\xb5\x2f\xfd": Form("zstandard", "zstdcat --long=31", _zstandard),
}
"""By what a file begins with; nothing of OpenPGP does so."""

MAGIC_BYTES = max(map(len, _FORMS))


def form_of(head: bytes) -> Form | None:
    """The form in which a file is compressed that begins so; None if it is not."""
    return next((form for magic, form in _FORMS.items() if head.startswith(magic)), None)


def unpacked(chunks: Iterable[bytes], form: Form) -> Iterator[bytes]:
    """What is in a compressed file, all streams of it in a row, in pieces of bounded size.

    Raises:
        BadCompressionError: it cannot be read on; what came before was given out.
        OSError: from `chunks`, likewise.
    """
    held: list[bytes] = []
    size = 0
    try:
        for part in _parts(chunks, form):
            held.append(part)
            size += len(part)
            if size >= PIECE_BYTES:
                yield b"".join(held)
                held, size = [], 0
    except (BadCompressionError, OSError):
        yield b"".join(held)
        raise
    yield b"".join(held)


def _parts(chunks: Iterable[bytes], form: Form) -> Iterator[bytes]:
    stream: Decompressor | None = None
    for chunk in chunks:
        for at in range(0, len(chunk), SLICE_BYTES):
            rest = chunk[at : at + SLICE_BYTES]
            while True:
                if stream is None:
                    rest = rest.lstrip(b"\x00")  # streams may be padded with them
                if not rest:
                    break
                stream = stream or form.make()
                yield from _decompress(stream, rest, form)
                rest = b""
                if stream.eof:
                    rest, stream = stream.unused_data, None
    if stream is not None:
        raise BadCompressionError(f"its {form.name} stream is cut off: fetch it again")


def _decompress(stream: Decompressor, data: bytes, form: Form) -> Iterator[bytes]:
    # bz2 raises OSError where a stream is damaged; here it cannot be the file's.
    try:
        if isinstance(stream, bz2.BZ2Decompressor | lzma.LZMADecompressor):
            # Blocks of bzip2 become 46 MB each: theirs is the only form without any bound.
            yield stream.decompress(data, PIECE_BYTES)
            while not (stream.eof or stream.needs_input):
                yield stream.decompress(b"", PIECE_BYTES)
        else:
            yield stream.decompress(data)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError) as error:
        raise BadCompressionError(
            f"its {form.name} stream cannot be read ({error}): fetch it again, or unpack it, "
            f"as in `{form.command} FILE | keygrove load -`"
        ) from error
