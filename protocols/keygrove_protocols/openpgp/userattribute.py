"""User attribute packets: subpackets in a row, of which one type is defined, an image.

    subpacket  length as in an area of a signature, which counts what follows; u8 type; data
    image      type 1: u16 octets of its header, in LITTLE-endian order, unlike everything else;
               u8 1 (version of the header); u8 encoding, 1 is JPEG; 12 octets of zeros; the file

Nothing looks into the file.

Source: RFC 9580, section 5.12.
"""

import msgspec

from keygrove_protocols.limits import SUBPACKETS_MAX

IMAGE = 1
JPEG = 1
_HEADER_VERSION = 1
_HEADER_OCTETS = 16


class AttributeSubpacket(msgspec.Struct, frozen=True):
    """One subpacket of a user attribute."""

    kind: int
    data: bytes


class Image(msgspec.Struct, frozen=True):
    """An image in its encoding."""

    encoding: int
    file: bytes


def parse_user_attribute(body: bytes) -> tuple[AttributeSubpacket, ...] | None:
    """The subpackets of a user attribute; None if it is not one or some, and nothing else."""
    found: list[AttributeSubpacket] = []
    at = 0
    while at < len(body):
        length, at = body[at], at + 1
        if length == 255:
            length, at = int.from_bytes(body[at : at + 4]), at + 4
        elif length >= 192:
            length, at = (length - 192 << 8) + 192 + int.from_bytes(body[at : at + 1]), at + 1
        end = at + length
        if not length or end > len(body) or len(found) == SUBPACKETS_MAX:
            return None
        found.append(AttributeSubpacket(body[at], body[at + 1 : end]))
        at = end
    return tuple(found) or None


def find_image(subpacket: AttributeSubpacket) -> Image | None:
    """The image in a subpacket; None if it is of another type, or has no header that we know."""
    data = subpacket.data
    octets = int.from_bytes(data[:2], "little")
    is_known = octets == _HEADER_OCTETS <= len(data) and data[2] == _HEADER_VERSION
    return Image(data[3], data[octets:]) if subpacket.kind == IMAGE and is_known else None
