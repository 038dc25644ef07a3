"""From a file of certificates, armored or binary and of any size, to batches for ingest."""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from keygrove_protocols.errors import NotOpenPGPError, ProtocolError, TooLargeError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor, is_binary
from keygrove_protocols.openpgp.packets import CertificateSplitter

CHUNK_BYTES = 1 << 20
BATCH_CERTIFICATES = 200
BATCH_BYTES = 4 << 20


class Batch(msgspec.Struct, frozen=True):
    """Certificates to be submitted together, and what of the file has been read so far."""

    certificates: tuple[bytes, ...]
    read_bytes: int
    skipped: int
    """Certificates passed over so far because they are larger than any may be."""


_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "zcat"),
    b"BZh": ("bzip2", "bzcat"),
    b"\xfd7zXZ\x00": ("xz", "xzcat"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstdcat"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
"""What begins so is nothing of OpenPGP, and what unpacks it to a pipe."""


def batches(file: BinaryIO) -> Iterator[Batch]:
    """Read a file. What stands before a malformed packet is given out before it raises.

    Raises:
        ProtocolError: the rest of the file cannot be read.
        OSError: the file cannot.
    """
    chunk = file.read(CHUNK_BYTES)
    if not chunk:
        return
    for magic, (form, unpack) in _COMPRESSED.items():
        if chunk.startswith(magic):
            raise NotOpenPGPError(
                f"it is compressed by {form}: unpack it, as in `{unpack} FILE | keygrove load -`"
            )
    if is_binary(chunk):
        yield from _split(_chunks(chunk, file))
    else:
        yield from _split_text(chunk, file)


def _chunks(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    while first:
        yield first
        first = file.read(CHUNK_BYTES)


def _split_text(first: bytes, file: BinaryIO) -> Iterator[Batch]:
    text = first + file.read(BULK.body_bytes_max + 1 - len(first))
    if len(text) > BULK.body_bytes_max:
        limit = f"{BULK.body_bytes_max >> 20} MiB"
        raise TooLargeError(f"an armored file of more than {limit}: dearmor it, or split it")
    for batch in _split(iter([dearmor(text, BULK).data])):
        yield Batch(batch.certificates, len(text), batch.skipped)


def _split(chunks: Iterator[bytes]) -> Iterator[Batch]:
    """Cut packets into batches. Damage ends it, after what stands in front is given out."""
    splitter = CertificateSplitter(BULK)
    waiting: list[bytes] = []
    read_bytes = 0
    error: ProtocolError | None = None
    try:
        for chunk in chunks:
            read_bytes += len(chunk)
            waiting += splitter.feed(chunk)
            while len(waiting) > BATCH_CERTIFICATES or sum(map(len, waiting)) > BATCH_BYTES:
                yield _take(waiting, read_bytes, splitter.skipped)
        waiting += splitter.close()
    except ProtocolError as found:
        error = found
        waiting += splitter.rest()
    while waiting:
        yield _take(waiting, read_bytes, splitter.skipped)
    if error is not None:
        raise error


def _take(waiting: list[bytes], read_bytes: int, skipped: int) -> Batch:
    size = number = 0
    for one in waiting[:BATCH_CERTIFICATES]:
        if number and size + len(one) > BATCH_BYTES:
            break
        size, number = size + len(one), number + 1
    taken = tuple(waiting[:number])
    del waiting[:number]
    return Batch(taken, read_bytes, skipped)
