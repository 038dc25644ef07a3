"""User attributes and the images in them."""

from collections.abc import Callable

import pytest

from keygrove_protocols.limits import BULK, SUBPACKETS_MAX
from keygrove_protocols.openpgp.packets import Tag, split
from keygrove_protocols.openpgp.userattribute import (
    IMAGE,
    JPEG,
    AttributeSubpacket,
    Image,
    find_image,
    parse_user_attribute,
)

HEADER = b"\x10\x00\x01\x01" + bytes(12)


def only(body: bytes) -> AttributeSubpacket:
    (part,) = parse_user_attribute(body) or [None]
    assert part is not None
    return part


def subpacket(kind: int, data: bytes) -> bytes:
    return bytes((len(data) + 1, kind)) + data


def test_p052_an_image_stands_behind_a_header_whose_length_is_little_endian() -> None:
    part = only(subpacket(IMAGE, HEADER + b"\xff\xd8file"))
    assert find_image(part) == Image(JPEG, b"\xff\xd8file")


def test_p052_the_image_of_a_vector_is_a_jpeg(vector: Callable[[str], bytes]) -> None:
    packets = split(vector("uat-image.pgp"), BULK)
    (body,) = (packet.body for packet in packets if packet.tag == Tag.USER_ATTRIBUTE)
    image = find_image(only(body))
    assert image is not None
    assert (image.encoding, len(image.file)) == (JPEG, len(body) - 2 - 16)
    assert image.file.startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        pytest.param(2, HEADER, id="of-another-type"),
        pytest.param(IMAGE, b"\x00\x10" + HEADER[2:] + bytes(4096), id="big-endian"),
        pytest.param(IMAGE, HEADER[:15], id="half-a-header"),
        pytest.param(IMAGE, b"\x11" + HEADER[1:] + b"1", id="a-longer-header"),
        pytest.param(IMAGE, b"\x10\x00\x02" + HEADER[3:], id="of-version-2"),
        pytest.param(IMAGE, b"", id="empty"),
    ],
)
def test_p052_what_has_no_header_that_we_know_is_no_image(kind: int, data: bytes) -> None:
    assert find_image(AttributeSubpacket(kind, data)) is None


@pytest.mark.parametrize("octets", [0, 190, 191, 192, 8382, 8383, 16_318, 16_319, 70_000])
def test_p053_lengths_are_those_of_subpackets(octets: int) -> None:
    """Two octets reach further than a packet's do."""
    length = octets + 1
    coded = b"\xff" + length.to_bytes(4)
    if length < 192:
        coded = bytes((length,))
    elif length < 16_320:
        coded = (length - 192 + (192 << 8)).to_bytes(2)
    body = coded + b"\x64" + bytes(octets)
    both = parse_user_attribute(body + b"\x01\x65")
    assert both == (AttributeSubpacket(0x64, bytes(octets)), AttributeSubpacket(0x65, b""))
    assert parse_user_attribute(body[:-1]) is None


def test_p098_a_user_attribute_has_as_many_subpackets_as_a_signature_may() -> None:
    assert len(parse_user_attribute(b"\x01\x64" * SUBPACKETS_MAX) or ()) == SUBPACKETS_MAX
    assert parse_user_attribute(b"\x01\x64" * (SUBPACKETS_MAX + 1)) is None
