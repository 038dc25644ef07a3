"""Compressed streams: what is in them, what is wrong with them, and how much of them is held."""

import bz2
import gzip
import lzma
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard

from keygrove.ingest.unpacking import MEMORY_BYTES_MAX, BadCompressionError, form_of, unpacked

pytestmark = pytest.mark.slow

DATA = b"".join(bytes([n % 251, n // 251 % 256]) * 5 for n in range(60_000))
PACKERS: list[Callable[[bytes], bytes]] = [
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zstandard.ZstdCompressor(write_checksum=True).compress,
]
every_form = pytest.mark.parametrize("pack", PACKERS, ids=["gzip", "bzip2", "xz", "zstandard"])


def unpack(packed: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(pieces(packed, size))


def pieces(packed: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    form = form_of(packed)
    assert form is not None
    return unpacked((packed[at : at + size] for at in range(0, len(packed), size)), form)


@every_form
@pytest.mark.parametrize("size", [7, 1000, 1 << 20])
def test_what_was_packed_is_unpacked(pack: Callable[[bytes], bytes], size: int) -> None:
    assert unpack(pack(DATA), size) == DATA


@every_form
def test_streams_in_a_row_are_one_also_where_they_are_padded(
    pack: Callable[[bytes], bytes],
) -> None:
    packed = pack(b"one, ") + pack(b"") + pack(b"two, ") + bytes(600) + pack(b"three") + bytes(8)
    assert unpack(packed) == unpack(packed, 1) == b"one, two, three"


@every_form
@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_stream_that_is_cut_off_is_told_after_what_came_before(
    pack: Callable[[bytes], bytes], cut: int
) -> None:
    found, error = until_error(pack(DATA) + pack(DATA)[:-cut])
    assert "cut off" in str(error)
    assert found.startswith(DATA)


@every_form
def test_a_stream_that_is_damaged_is_told(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(DATA)
    _, error = until_error(packed[:200] + b"\xff" * 40 + packed[240:])
    assert "stream cannot be read" in str(error)


@every_form
def test_what_is_no_stream_behind_one_is_told(pack: Callable[[bytes], bytes]) -> None:
    found, error = until_error(pack(DATA) + b"junk of some length")
    assert "stream cannot be read" in str(error)
    assert found == DATA


def until_error(packed: bytes) -> tuple[bytes, BadCompressionError]:
    """What is given out before the damage, and what is said of that."""
    found = bytearray()
    try:
        for piece in pieces(packed):
            found += piece
    except BadCompressionError as error:
        return bytes(found), error
    pytest.fail("nothing was wrong with it")


def zstandard_of_window(log: int) -> bytes:
    """The head of a frame that claims a window of 2^log octets (RFC 8878, section 3.1.1.1)."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"\x01\x00\x00"


def xz_of_dictionary(code: int) -> bytes:
    """A stream that claims a dictionary of that size (The .xz File Format, section 5.3.1)."""
    packed = bytearray(lzma.compress(b"some", check=lzma.CHECK_NONE))
    size = (packed[12] + 1) * 4
    header = packed[12 : 12 + size]
    header[4] = code
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    packed[12 : 12 + size] = header
    return bytes(packed)


@pytest.mark.parametrize(
    ("fits", "is_too_much", "words"),
    [
        (zstandard_of_window(27), zstandard_of_window(28), "zstdcat --long=31 FILE"),
        (xz_of_dictionary(28), xz_of_dictionary(40), "xzcat FILE"),
    ],
    ids=["zstandard", "xz"],
)
def test_a_stream_that_asks_for_much_memory_is_refused(
    fits: bytes, is_too_much: bytes, words: str
) -> None:
    assert MEMORY_BYTES_MAX == 1 << 27
    assert unpack(fits) in (b"", b"some")
    with pytest.raises(BadCompressionError, match=words):
        unpack(is_too_much)


@every_form
def test_a_bomb_is_unpacked_in_bounded_memory(pack: Callable[[bytes], bytes]) -> None:
    piece = bytes(16 << 20)
    bomb = pack(piece) * 4
    tracemalloc.start()
    size = sum(map(len, pieces(bomb)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 4 * len(piece)
    assert peak < 36 << 20


def test_a_bomb_of_one_frame_is_unpacked_in_bounded_memory() -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    assert len(bomb) < 32 << 10
    tracemalloc.start()
    size = sum(map(len, pieces(bomb)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 256 << 20
    assert peak < 36 << 20
