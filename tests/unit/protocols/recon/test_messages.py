"""Messages: what was recorded, what is malformed, and each limit."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.errors import ProtocolError, TooLargeError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import P, is_element
from keygrove_protocols.recon.frames import Decoder, Verdict, encode_verdict
from keygrove_protocols.recon.messages import (
    CONFIG_OCTETS_MAX,
    CONFIG_PAIRS_MAX,
    FRAME_OCTETS_MAX,
    BadMessageError,
    Config,
    DbReply,
    DbRequest,
    Done,
    Elements,
    Error,
    Flush,
    FullElements,
    FullRequest,
    Message,
    PolyRequest,
    SyncFail,
    decode,
    encode,
    in_order,
    printable,
    string,
)
from keygrove_protocols.recon.prefix import ROOT, Prefix
from keygrove_protocols.recon.sketch import SYMBOL_BYTES
from tests.unit.protocols.recon.recorded import Fields, Malformed, RecordedMessage, recorded

FRAMED = [one for one in recorded().messages if one.fields is not None]
VERDICTS = [one for one in recorded().messages if one.fields is None]


def prefix_of(bits: str | None) -> Prefix:
    prefix = ROOT
    for at in range(0, len(bits or ""), 2):
        prefix = prefix.child(int((bits or "")[at : at + 2], 2))
    return prefix


def value_of(value: str | int) -> bytes:
    return value.to_bytes(4) if isinstance(value, int) else value.encode()


def elements_of(fields: Fields) -> tuple[Digest, ...]:
    return tuple(Digest(bytes.fromhex(one)) for one in fields.elements)


def text_of(fields: Fields) -> bytes:
    return (fields.text or "").encode()


MEANT: dict[str, Callable[[Fields], Message]] = {
    "ReconRqstPoly": lambda it: PolyRequest(
        prefix_of(it.prefix), it.size or 0, tuple(map(int, it.samples))
    ),
    "ReconRqstFull": lambda it: FullRequest(prefix_of(it.prefix), elements_of(it)),
    "Elements": lambda it: Elements(elements_of(it)),
    "FullElements": lambda it: FullElements(elements_of(it)),
    "SyncFail": lambda _: SyncFail(),
    "Done": lambda _: Done(),
    "Flush": lambda _: Flush(),
    "Error": lambda it: Error(text_of(it)),
    "DbRqst": lambda it: DbRequest(text_of(it)),
    "DbRepl": lambda it: DbReply(text_of(it)),
    "Config": lambda it: Config(tuple((key.encode(), value_of(value)) for key, value in it.config)),
}

DIGESTS = st.lists(
    st.binary(min_size=16, max_size=16).map(Digest).filter(is_element), max_size=5
).map(tuple)
PREFIXES = st.text("01", max_size=128).map(lambda bits: prefix_of(bits[: len(bits) // 2 * 2]))
VALUES = st.integers(0, P - 1)
TEXTS = st.binary(max_size=20)
MESSAGES = st.one_of(
    st.builds(
        PolyRequest,
        PREFIXES,
        st.integers(0, 2**31 - 1),
        st.lists(VALUES, min_size=6, max_size=6).map(tuple),
    ),
    st.builds(FullRequest, PREFIXES, DIGESTS),
    st.builds(Elements, DIGESTS),
    st.builds(FullElements, DIGESTS),
    st.sampled_from([SyncFail(), Done(), Flush()]),
    st.builds(Error, TEXTS),
    st.builds(DbRequest, TEXTS),
    st.builds(DbReply, TEXTS),
    st.builds(Config, st.lists(st.tuples(TEXTS, TEXTS), max_size=5).map(tuple)),
)


def decoder_of(octets: bytes) -> Decoder:
    decoder = Decoder()
    decoder.admit_all()
    decoder.feed(octets)
    return decoder


@pytest.mark.parametrize("one", FRAMED, ids=lambda one: f"{one.source}-{one.fields.type}")
def test_a_recorded_message_means_what_it_does_and_is_written_as_it_was(
    one: RecordedMessage,
) -> None:
    assert one.fields is not None
    octets = bytes.fromhex(one.hex)
    message = decoder_of(octets).message()
    assert message == MEANT[one.fields.type](one.fields)
    assert message is not None
    assert encode(message) == octets


@pytest.mark.parametrize("one", VERDICTS, ids=lambda one: one.source)
def test_a_recorded_verdict_is_written_as_it_was(one: RecordedMessage) -> None:
    octets = bytes.fromhex(one.hex)
    verdict = decoder_of(octets).verdict()
    assert verdict is not None
    assert (verdict.reason is None) == (b"failed" not in octets)
    assert encode_verdict(verdict) == octets


@pytest.mark.parametrize("one", recorded().malformed, ids=lambda one: one.why)
def test_what_is_malformed_is_refused(one: Malformed) -> None:
    with pytest.raises(ProtocolError):
        decoder_of(bytes.fromhex(one.hex)).message()


@given(st.lists(MESSAGES, max_size=4), st.data())
def test_messages_come_out_as_they_went_in_whatever_pieces_they_come_in(
    sent: list[Message], data: st.DataObject
) -> None:
    octets = b"".join(map(encode, sent))
    decoder, got = Decoder(), list[Message]()
    decoder.admit_all()
    while octets:
        count = data.draw(st.integers(1, len(octets)))
        decoder.feed(octets[:count])
        octets = octets[count:]
        while (message := decoder.message()) is not None:
            got.append(message)
    assert got == sent
    assert decoder.held == 0


@given(MESSAGES, st.data())
def test_a_message_that_is_cut_short_is_refused(message: Message, data: st.DataObject) -> None:
    body = encode(message)[4:]
    short = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(BadMessageError):
        decode(short)


@given(MESSAGES)
def test_a_message_with_more_behind_it_is_refused(message: Message) -> None:
    with pytest.raises(BadMessageError):
        decode(encode(message)[4:] + b"\x00")


@given(st.binary(max_size=60))
def test_any_octets_are_a_message_or_refused(octets: bytes) -> None:
    try:
        message = decode(octets)
    except ProtocolError:
        return
    if not isinstance(message, Elements | FullElements | FullRequest) or not message.left_out:
        assert encode(message)[4:] == octets


def number(value: int) -> bytes:
    return value.to_bytes(4)


def element(value: int) -> bytes:
    return value.to_bytes(17, "little")


BAD_BODIES = {
    "no type": b"",
    "unknown type": b"\x0b",
    "a Done with something in it": b"\x05\x00",
    "three bits": b"\x01" + number(3) + string(b"\x20") + number(0),
    "more bits than a digest has": b"\x01" + number(130) + string(bytes(17)) + number(0),
    "fewer octets than bits": b"\x01" + number(10) + string(b"\xff") + number(0),
    "more octets than bits": b"\x01" + number(2) + string(bytes(2)) + number(0),
    "bits behind the last": b"\x01" + number(2) + string(b"\x60") + number(0),
    "a negative number of bits": b"\x01" + b"\xff\xff\xff\xfe" + string(b"") + number(0),
    "a size of 2^31": b"\x00" + number(0) + string(b"") + number(2**31) + number(6) + bytes(102),
    "five samples": b"\x00" + number(0) + string(b"") + number(9) + number(5) + bytes(85),
    "seven samples": b"\x00" + number(0) + string(b"") + number(9) + number(7) + bytes(119),
    "a sample that is the prime": b"\x00" + bytes(8) + number(9) + number(6) + element(P) * 6,
    "an element that is the prime": b"\x02" + number(1) + element(P),
    "half a symbol": b"\x40" + number(9) + number(0) + string(bytes(SYMBOL_BYTES // 2)),
    "a count that no memory has": b"\x02" + b"\x7f\xff\xff\xff",
    "a string that no memory has": b"\x07" + b"\x7f\xff\xff\xff",
    "a pair without a value": b"\x0a" + number(1) + string(b"mbar"),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_no_message_is_read_from(body: bytes) -> None:
    with pytest.raises(BadMessageError):
        decode(body)


def test_a_node_may_have_the_name_of_a_whole_digest() -> None:
    request = FullRequest(Prefix(bytes(range(16)), 128))
    assert decode(encode(request)[4:]) == request


def test_an_element_that_is_no_digest_is_left_out() -> None:
    digest = Digest(bytes(range(16)))
    none = element(P - 1) + element(1 << 128) + element(0) + element(1) + element(2)
    body = b"\x02" + number(7) + none + digest + b"\x00" + element(3)
    three = Digest(b"\x03" + bytes(15))
    assert decode(body) == Elements((digest, three), left_out=5)


def test_it_is_said_where_an_element_is_that_is_none() -> None:
    with pytest.raises(BadMessageError) as refused:
        decode(b"\x02" + number(3) + element(5) + element(P) + element(6))
    assert refused.value.offset == len(number(0)) + len(b"\x02" + number(3) + element(5))


@pytest.mark.parametrize("octets", [number(FRAME_OCTETS_MAX + 1), b"\xff\xff\xff\xff"])
def test_a_frame_that_is_too_long_is_refused_when_its_length_is_there(octets: bytes) -> None:
    with pytest.raises(TooLargeError):
        decoder_of(octets).message()


def test_before_the_handshake_no_frame_is_longer_than_a_config() -> None:
    decoder = Decoder()
    decoder.feed(number(CONFIG_OCTETS_MAX + 1))
    with pytest.raises(TooLargeError):
        decoder.message()
    largest = decoder_of(number(FRAME_OCTETS_MAX))
    assert largest.message() is None, "it is waited for"


def test_a_config_of_too_many_pairs_or_octets_is_refused() -> None:
    pair = string(b"k") + string(b"v")
    with pytest.raises(TooLargeError):
        decode(b"\x0a" + number(CONFIG_PAIRS_MAX + 1) + pair * (CONFIG_PAIRS_MAX + 1))
    with pytest.raises(TooLargeError):
        decode(b"\x0a" + number(1) + string(b"k") + string(bytes(CONFIG_OCTETS_MAX)))
    most = decode(b"\x0a" + number(CONFIG_PAIRS_MAX) + pair * CONFIG_PAIRS_MAX)
    assert isinstance(most, Config)


def test_a_config_has_as_many_octets_as_it_may_have_and_no_more() -> None:
    head = b"\x0a" + number(1) + string(b"k")
    value = bytes(CONFIG_OCTETS_MAX - len(head) - len(number(0)))
    assert decode(head + string(value)) == Config(((b"k", value),))
    with pytest.raises(TooLargeError):
        decode(head + string(value + b"\0"))


def test_what_was_handed_on_to_another_decoder_is_here_no_more() -> None:
    decoder = decoder_of(encode(Done()) + encode(Flush()))
    assert decoder.message() == Done()
    assert decoder.rest() == encode(Flush())
    assert (decoder.rest(), decoder.held, decoder.message()) == (b"", 0, None)


@pytest.mark.parametrize(
    "octets", [b"\x00\x00\x00\x05", string(b"Passed"), string(b"failes"), encode(Done())]
)
def test_what_is_no_verdict_is_refused_at_its_first_wrong_octet(octets: bytes) -> None:
    with pytest.raises(BadMessageError):
        decoder_of(octets).verdict()


def test_a_verdict_is_read_in_any_pieces_and_what_is_behind_it_stays() -> None:
    octets = encode_verdict(Verdict(b"no")) + encode(Done())
    decoder = decoder_of(b"")
    found: list[Verdict] = []
    for at in range(len(octets)):
        decoder.feed(octets[at : at + 1])
        verdict = None if found else decoder.verdict()
        found += [] if verdict is None else [verdict]
    assert found == [Verdict(b"no")]
    assert decoder.message() == Done()


def test_a_reason_without_end_is_refused_at_once() -> None:
    with pytest.raises(TooLargeError):
        decoder_of(string(b"failed") + number(CONFIG_OCTETS_MAX + 1)).verdict()


def test_a_reason_may_be_as_long_as_a_config() -> None:
    verdict = Verdict(b"x" * CONFIG_OCTETS_MAX)
    assert decoder_of(encode_verdict(verdict)).verdict() == verdict


def test_a_set_is_in_the_order_of_its_numbers() -> None:
    low, high = Digest(b"\xff" + bytes(15)), Digest(bytes(15) + b"\x01")
    assert in_order({high, low}) == (low, high)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"plain", "plain"),
        (b"two\n\tlines\x1b[31m", "two  lines [31m"),
        (b"\xff", "\ufffd"),
        ("\u202eturned".encode(), " turned"),
        (b"x" * 200, "x" * 200),
        (b"x" * 300, "x" * 199 + "…"),
    ],
)
def test_text_from_outside_is_shown_on_one_line_and_cut(text: bytes, shown: str) -> None:
    assert printable(text) == shown
