"""Packet sequences: split, joined, and cut into certificates while a file is read.

    octets  meaning
    1       bit 7 set; bit 6 tells the two formats apart
    format of OpenPGP (bit 6 set): bits 5-0 are the type, then comes the length:
            0-191            that number
            192-223, b       ((a - 192) << 8) + b + 192
            224-254          a chunk of 1 << (a & 31); another length follows it
            255, u32         that number
    legacy format (bit 6 clear): bits 5-2 are the type, bits 1-0 the form of the length:
            0, 1, 2          u8, u16, u32
            3                to the end of the input

Numbers are big-endian. Lengths longer than needed are legal. How a packet is framed is no
part of it: `Packet` has type and body only, and `join` frames in one way.

Source: RFC 9580, section 4.2.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import msgspec

from keygrove_protocols.errors import (
    BadPacketHeaderError,
    FramingError,
    IndeterminateLengthError,
    PartialLengthError,
    ReservedTagError,
    TooLargeError,
    TruncatedError,
)
from keygrove_protocols.limits import Limits


class Tag(IntEnum):
    """The packet types a keyserver meets in certificates (RFC 9580, section 5)."""

    SIGNATURE = 2
    SECRET_KEY = 5
    PUBLIC_KEY = 6
    SECRET_SUBKEY = 7
    MARKER = 10
    TRUST = 12
    USER_ID = 13
    PUBLIC_SUBKEY = 14
    USER_ATTRIBUTE = 17
    PADDING = 21


class Packet(msgspec.Struct, frozen=True, gc=False):
    """A packet whose body nobody has looked into yet."""

    tag: int
    body: bytes


class Header(msgspec.Struct, frozen=True, gc=False):
    """Which packet begins here, and where its body lies in the input."""

    tag: int
    start: int
    end: int


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a certificate stands in a sequence: the how-manieth, from 1, and from which octet.

    A signature in front of the first certificate has number 0.
    """

    number: int
    offset: int


class Cut(msgspec.Struct, frozen=True, gc=False):
    """A certificate cut out of a sequence: its packets as they came, and where they stood.

    Or a signature that stood in front of all.
    """

    place: Place
    octets: bytes


def split(data: bytes, limits: Limits) -> list[Packet]:
    """Split a packet sequence; joining the result gives equivalent bytes.

    Raises:
        FramingError: a packet is bad, cut off, or of a streamed (partial or
            indeterminate) length. Its class says which, its offset where.
        TooLargeError: there are more packets than an input may have.
    """
    packets: list[Packet] = []
    offset, size, packets_max = 0, len(data), limits.input_packets_max
    while offset < size:
        header = read_header(data, offset)
        if header.end > size:
            missing = header.end - size
            raise TruncatedError(f"{missing} octets are missing: send it whole", offset=offset)
        if len(packets) == packets_max:
            raise TooLargeError(f"more than {packets_max} packets: send fewer", offset=offset)
        packets.append(Packet(header.tag, data[header.start : header.end]))
        offset = header.end
    return packets


def join(packets: Iterable[Packet]) -> bytes:
    """Write packets one after the other, with the shortest headers of the OpenPGP format."""
    parts: list[bytes] = []
    for packet in packets:
        parts.append(_write_header(packet.tag, len(packet.body)))
        parts.append(packet.body)
    return b"".join(parts)


def read_header(data: bytes | bytearray, offset: int, *, origin: int = 0) -> Header:
    """Read the packet header at `offset`; the body may well end beyond the data.

    `origin` is where in the whole input the data begins: errors count from there.

    Raises:
        FramingError: as `split`, and TruncatedError only if the header itself is cut off.
    """
    first = data[offset]
    if not first & 0x80:
        raise BadPacketHeaderError("no packet begins here: send packets", offset=origin + offset)
    if first & 0x40:
        tag = first & 0x3F
        width, bias = _LENGTHS[data[offset + 1] if offset + 1 < len(data) else 0]
    else:
        tag = first >> 2 & 0x0F
        width, bias = _LEGACY_LENGTHS[first & 0x03]
    if not tag:
        raise ReservedTagError("no packet is of type 0: send packets", offset=origin + offset)
    if not width:
        error = PartialLengthError if first & 0x40 else IndeterminateLengthError
        raise error("only messages come in packets of open length", offset=origin + offset)
    start = offset + 1 + width
    if start > len(data):
        raise TruncatedError("a header is cut off: send it whole", offset=origin + offset)
    return Header(tag, start, start + int.from_bytes(data[offset + 1 : start]) - bias)


class _Length(NamedTuple):
    """Of how many octets a length is, and what their number is too large by."""

    width: int
    bias: int


_OPEN = _Length(0, 0)


def _length(octet: int) -> _Length:
    """What the first octet of a length in the OpenPGP format says about it."""
    if octet < 192:
        return _Length(1, 0)
    if octet < 224:
        return _Length(2, (192 << 8) - 192)
    return _Length(5, 255 << 32) if octet == 255 else _OPEN


_LENGTHS = [_length(octet) for octet in range(256)]
_LEGACY_LENGTHS = [_Length(1, 0), _Length(2, 0), _Length(4, 0), _OPEN]


def _write_header(tag: int, length: int) -> bytes:
    if length < 192:
        return bytes((0xC0 | tag, length))
    if length < 8384:
        return bytes((0xC0 | tag, (length - 192 >> 8) + 192, length - 192 & 0xFF))
    return bytes((0xC0 | tag, 255)) + length.to_bytes(4)


class CertificateSplitter:
    """Cuts a long packet sequence, fed in pieces of any size, into certificates.

    Every primary key begins one; what stands before the first is passed over, but for
    signatures: each is cut out by itself, as number 0, for a revocation may come alone. A
    certificate larger than its limit is passed over, its place noted in `skipped`, and at no
    time is more held than one certificate within the limit and one piece.

    What is cut out is framed as it came and unread but for its headers: `split` it next.
    Linear in what is fed.
    """

    def __init__(self, limits: Limits) -> None:
        self.skipped: list[Place] = []
        self._number = 0  # of the certificate that `_held` is in
        self._size_max = limits.certificate_bytes_max
        self._held = bytearray()
        self._origin = 0  # of the first held octet, in all that was fed
        self._next = 0  # where in `_held` the next header begins; may lie beyond its end
        self._is_kept = False  # whether `_held` begins with a certificate to be returned
        self._error: FramingError | None = None

    def feed(self, piece: bytes) -> list[Cut]:
        """The certificates that `piece` brought to an end.

        Raises:
            FramingError: as `read_header`. What came to an end in front of the damage is
                returned first; the error is then raised by the next call.
        """
        if self._error is not None:
            raise self._error
        self._held += piece
        done: list[Cut] = []
        try:
            self._scan(done)
        except FramingError as error:
            self._error = error
            if not done:
                raise
        return done

    def close(self) -> list[Cut]:
        """The certificate that nothing followed, if there is one.

        Raises:
            TruncatedError: the input ended inside a packet.
            FramingError: the damage that `feed` met.
        """
        if self._error is not None:
            raise self._error
        if self._next != len(self._held):
            offset = self._origin + len(self._held)
            raise TruncatedError("the input ends inside a packet: send the rest", offset=offset)
        return [self._cut(0)] if self._is_kept else []

    def rest(self) -> list[Cut]:
        """After damage: the certificate in front of it, as far as its packets are whole."""
        is_whole = self._is_kept and 0 < self._next <= len(self._held)
        return [self._cut(0)] if is_whole else []

    def _scan(self, done: list[Cut]) -> None:
        """Walk over all whole headers, then let go of what is no longer needed."""
        start = 0
        try:
            while self._next < len(self._held):
                header = read_header(self._held, self._next, origin=self._origin)
                is_primary = header.tag == Tag.PUBLIC_KEY
                if is_primary or not self._number:
                    if self._is_kept:
                        done.append(self._cut(start))
                    start, self._is_kept = self._next, is_primary or header.tag == Tag.SIGNATURE
                    self._number += is_primary
                self._next = header.end
                if self._is_kept and self._next - start > self._size_max:
                    self._is_kept = False
                    self.skipped.append(self._place(start))
        except TruncatedError:
            pass  # the rest of this header comes with the next piece
        finally:
            self._release(start if self._is_kept else min(self._next, len(self._held)))

    def _cut(self, start: int) -> Cut:
        return Cut(self._place(start), bytes(memoryview(self._held)[start : self._next]))

    def _place(self, start: int) -> Place:
        return Place(self._number, self._origin + start)

    def _release(self, count: int) -> None:
        del self._held[:count]
        self._origin += count
        self._next -= count
