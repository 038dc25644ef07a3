"""From a file of certificates to batches for ingest: of any size, compressed, armored or binary.

Revocations that come alone stand in front of the certificates, or there are none.

Whatever a file is, little more than a batch of it is held at a time.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

import msgspec

from keygrove.ingest.unpacking import MAGIC_BYTES, form_of, unpacked
from keygrove_protocols.errors import NotACertificateError, NotOpenPGPError, ProtocolError
from keygrove_protocols.limits import BULK, SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor, dearmored, is_binary
from keygrove_protocols.openpgp.packets import CertificateSplitter, Cut, Place, read_header
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION, kind_of

CHUNK_BYTES = 1 << 20
BATCH_CERTIFICATES = 200
BATCH_BYTES = 2 << 20
WHOLE_ARMOR_BYTES = SUBMISSION.body_bytes_max
"""Up to here armor is read with all lenience, beyond as a stream."""


class Readable(Protocol):
    """A file, as far as it is needed here: `read` gives nothing at its end only."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102 - as files have it


VOID = "there is neither a certificate in it nor the revocation of one: export it again"


class Batch(msgspec.Struct, frozen=True):
    """Certificates, and revocations, to be submitted together, and how far the file was read.

    Places count certificates, and octets, of what is left when compression and armor are off.
    """

    certificates: tuple[Cut, ...]
    """As they came: the same octets again are the same certificate again."""
    read_bytes: int
    """Of the file as it lies there."""
    skipped: tuple[Place, ...] = ()
    """Certificates passed over since the last batch, larger than any may be."""


def batches(file: Readable) -> Iterator[Batch]:
    """Read a file. What stands before damage is given out before it raises.

    Raises:
        ProtocolError: the rest of the file cannot be read.
        OSError: the file cannot.
    """
    source = _Source(file)
    return _split(_packets(source), source)


class _Source:
    """The chunks of a file, counted."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.read_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK_BYTES):
            self.read_bytes += len(chunk)
            yield chunk


def _packets(source: Iterable[bytes]) -> Iterator[bytes]:
    """What is in the file, less compression and armor."""
    head, chunks = _begun(source, MAGIC_BYTES)
    form = form_of(head)
    if form is not None:
        head, chunks = _begun(unpacked(chunks, form), MAGIC_BYTES)
    if head.startswith(b"PK\x03\x04"):
        raise NotOpenPGPError("it is a zip: unpack it, as in `unzip -p FILE | keygrove load -`")
    if is_binary(head) or not head:
        yield from chunks
    else:
        yield from _text(chunks)


def _text(chunks: Iterator[bytes]) -> Iterator[bytes]:
    text, chunks = _begun(chunks, WHOLE_ARMOR_BYTES + 1)
    if len(text) <= WHOLE_ARMOR_BYTES:
        yield dearmor(text, BULK).data
        return
    del text  # it comes again
    yield from dearmored(chunks)


def _begun(source: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """At least `size` octets, as long as there are any, and then everything from the start."""
    chunks = iter(source)
    taken: list[bytes] = []
    missing = size
    while missing > 0 and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
        missing -= len(chunk)
    return b"".join(taken), chain(taken, chunks)


def _split(chunks: Iterable[bytes], source: _Source) -> Iterator[Batch]:
    """Cut packets into batches. Damage ends it, after what stands in front is given out."""
    splitter = CertificateSplitter(BULK)
    waiting: list[Cut] = []
    error: ProtocolError | OSError | None = None
    is_void = True
    try:
        for chunk in chunks:
            waiting += _wanted(splitter.feed(chunk))
            while len(waiting) > BATCH_CERTIFICATES or _size(waiting) > BATCH_BYTES:
                is_void = False
                yield _take(waiting, source, splitter)
        waiting += _wanted(splitter.close())
    except (ProtocolError, OSError) as found:
        error = found
        waiting += _wanted(splitter.rest())
    while waiting or splitter.skipped:
        is_void = False
        yield _take(waiting, source, splitter)
    if error is not None:
        raise error
    if is_void and source.read_bytes:
        raise NotACertificateError(VOID)


def _wanted(cuts: list[Cut]) -> list[Cut]:
    """Without signatures that belong to a certificate which was cut off in front of them."""
    return [one for one in cuts if one.place.number or _is_revocation(one.octets)]


def _is_revocation(octets: bytes) -> bool:
    header = read_header(octets, 0)
    return kind_of(octets[header.start : header.end]) == KEY_REVOCATION


def _size(cuts: list[Cut]) -> int:
    return sum(len(one.octets) for one in cuts)


def _take(waiting: list[Cut], source: _Source, splitter: CertificateSplitter) -> Batch:
    size = number = 0
    for one in waiting[:BATCH_CERTIFICATES]:
        if number and size + len(one.octets) > BATCH_BYTES:
            break
        size, number = size + len(one.octets), number + 1
    taken, skipped = tuple(waiting[:number]), tuple(splitter.skipped)
    del waiting[:number]
    splitter.skipped.clear()
    return Batch(taken, source.read_bytes, skipped)
