"""Headers of every form, what is refused, and certificates cut out of a stream."""

import tracemalloc
from contextlib import suppress

import pytest

from keygrove_protocols.errors import (
    BadPacketHeaderError,
    FramingError,
    IndeterminateLengthError,
    PartialLengthError,
    ReservedTagError,
    TooLargeError,
    TruncatedError,
)
from keygrove_protocols.limits import SUBMISSION, Limits
from keygrove_protocols.openpgp.packets import (
    CertificateSplitter,
    Cut,
    Packet,
    Place,
    Tag,
    join,
    split,
)

KEY, NAME = Packet(Tag.PUBLIC_KEY, b"key"), Packet(Tag.USER_ID, b"name")
ONE, TWO = join([KEY, NAME]), join([KEY, Packet(Tag.USER_ID, b"other name")])


@pytest.mark.parametrize("header", ["9803", "990003", "9a00000003"])
def test_p001_every_legacy_length_is_read(header: str) -> None:
    assert split(bytes.fromhex(header) + b"abc", SUBMISSION) == [Packet(6, b"abc")]


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "c600"),
        (191, "c6bf"),
        (192, "c6c000"),
        (8383, "c6dfff"),
        (8384, "c6ff000020c0"),
    ],
)
def test_p002_every_length_is_read_and_written_in_its_shortest_form(
    length: int, header: str
) -> None:
    packet = Packet(6, bytes(length))
    assert join([packet]) == bytes.fromhex(header) + packet.body
    assert split(join([packet]), SUBMISSION) == [packet]


@pytest.mark.parametrize("header", ["c6ff00000003", "9a00000003", "990003"])
def test_p003_a_length_may_be_longer_than_needed(header: str) -> None:
    assert join(split(bytes.fromhex(header) + b"abc", SUBMISSION)) == b"\xc6\x03abc"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param("c6e0", PartialLengthError, id="p005-partial"),
        pytest.param("c6fe", PartialLengthError, id="p005-partial-largest"),
        pytest.param("9b61", IndeterminateLengthError, id="p006-indeterminate"),
        pytest.param("00", BadPacketHeaderError, id="p007-bit-7"),
        pytest.param("7f", BadPacketHeaderError, id="p007-bit-7-only"),
        pytest.param("c6", TruncatedError, id="p008-no-length"),
        pytest.param("c6c0", TruncatedError, id="p008-half-a-length"),
        pytest.param("c6ff0000", TruncatedError, id="p008-half-a-long-length"),
        pytest.param("9900", TruncatedError, id="p008-half-a-legacy-length"),
        pytest.param("c60461", TruncatedError, id="p008-half-a-body"),
        pytest.param("c6ffffffffff61", TruncatedError, id="p009-4-gib"),
        pytest.param("9affffffff61", TruncatedError, id="p009-4-gib-legacy"),
        pytest.param("c000", ReservedTagError, id="p010-tag-0"),
        pytest.param("80", ReservedTagError, id="p011-legacy-tag-0"),
    ],
)
def test_a_bad_packet_is_refused_with_its_place(data: str, error: type[FramingError]) -> None:
    with pytest.raises(error) as caught:
        split(join([NAME]) + bytes.fromhex(data), SUBMISSION)
    assert caught.value.offset == len(join([NAME]))


def test_p009_a_length_of_4_gib_allocates_nothing() -> None:
    tracemalloc.start()
    with pytest.raises(TruncatedError):
        split(bytes.fromhex("c6ffffffffff61"), SUBMISSION)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_an_input_may_have_so_many_packets_and_no_more() -> None:
    limits = Limits(input_packets_max=3)
    assert len(split(join([NAME] * 3), limits)) == 3
    with pytest.raises(TooLargeError):
        split(join([NAME] * 4), limits)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_certificates_are_cut_out_whatever_the_pieces(size: int) -> None:
    stream = join([NAME]) + ONE + TWO + ONE
    splitter = CertificateSplitter(SUBMISSION)
    found: list[Cut] = []
    for at in range(0, len(stream), size):
        found += splitter.feed(stream[at : at + size])
    assert [one.octets for one in found + splitter.close()] == [ONE, TWO, ONE]


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_signatures_in_front_of_all_certificates_are_cut_out_by_themselves(size: int) -> None:
    marker, first, second = (join([Packet(*of)]) for of in ((10, b"PGP"), (2, b"one"), (2, b"two")))
    stream = marker + first + second + join([NAME]) + first + ONE + first + TWO
    splitter = CertificateSplitter(SUBMISSION)
    found: list[Cut] = []
    for at in range(0, len(stream), size):
        found += splitter.feed(stream[at : at + size])
    found += splitter.close()
    assert [one.octets for one in found] == [first, second, first, ONE + first, TWO]
    assert [one.place.number for one in found] == [0, 0, 0, 1, 2]
    assert [stream[one.place.offset :].startswith(one.octets) for one in found] == [True] * 5


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_certificate_that_is_cut_out_says_where_it_stood(size: int) -> None:
    head = join([NAME])
    stream = head + ONE + TWO + ONE
    splitter = CertificateSplitter(Limits(certificate_bytes_max=len(ONE)))
    found: list[Cut] = []
    for at in range(0, len(stream), size):
        found += splitter.feed(stream[at : at + size])
    found += splitter.close()
    assert [one.place for one in found] == [
        Place(1, len(head)),
        Place(3, len(head + ONE + TWO)),
    ]
    assert splitter.skipped == [Place(2, len(head + ONE))]


def test_an_empty_stream_holds_no_certificate() -> None:
    assert CertificateSplitter(SUBMISSION).close() == []


def test_a_certificate_at_its_limit_is_cut_out_and_one_above_is_counted() -> None:
    splitter = CertificateSplitter(Limits(certificate_bytes_max=len(ONE)))
    found = splitter.feed(ONE + TWO + ONE) + splitter.close()
    assert [one.octets for one in found] == [ONE, ONE]
    assert len(splitter.skipped) == 1


def test_a_certificate_above_its_limit_is_never_held() -> None:
    splitter = CertificateSplitter(Limits(certificate_bytes_max=1000))
    header, piece = bytes.fromhex("cdff10000000"), bytes(1 << 16)
    tracemalloc.start()
    splitter.feed(join([KEY]) + header)
    for _ in range(0x10000000 // len(piece)):
        splitter.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(piece)
    assert [one.octets for one in splitter.feed(ONE) + splitter.close()] == [ONE]
    assert len(splitter.skipped) == 1


@pytest.mark.parametrize("cut", range(1, len(ONE) - 5))
def test_a_stream_that_ends_inside_a_packet_is_truncated(cut: int) -> None:
    splitter = CertificateSplitter(SUBMISSION)
    splitter.feed(ONE + ONE[:cut])
    if cut == len(join([KEY])):
        assert [one.octets for one in splitter.close()] == [join([KEY])]
    else:
        with pytest.raises(TruncatedError) as caught:
            splitter.close()
        assert caught.value.offset == len(ONE) + cut


@pytest.mark.parametrize("size", [1, 1000])
def test_damage_is_raised_after_what_was_whole_before_it(size: int) -> None:
    stream = ONE + TWO + b"\x00" + ONE
    splitter = CertificateSplitter(SUBMISSION)
    found: list[Cut] = []
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    with suppress(BadPacketHeaderError):
        for piece in pieces:
            found += splitter.feed(piece)
    assert [one.octets for one in found] == [ONE]
    for again in (splitter.close, lambda: splitter.feed(ONE)):
        with pytest.raises(BadPacketHeaderError) as caught:
            again()
        assert caught.value.offset == len(ONE + TWO)
