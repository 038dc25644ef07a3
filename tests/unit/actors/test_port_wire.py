"""Frames of the port wire, both ways, and what must be refused (actors P-10, 2.2)."""

import pytest

from keygrove_actors import WireError
from keygrove_actors import port_wire as wire

GOLDEN: tuple[tuple[wire.Frame, str], ...] = (
    (
        wire.Hello(1, 1, "kg-port", 4242, ("echo",), 1048576, 64),
        "0000001b98000101a76b672d706f7274cd109291a46563686fce0010000040",
    ),
    (
        wire.Welcome(1, 16777216, 64, {"log": "info"}),
        "00000013950101ce010000004081a36c6f67a4696e666f",
    ),
    (wire.Call(7, "echo", b"hi", 5000), "0000000f950207a46563686fc4026869cd1388"),
    (wire.Reply(7, b"hi"), "00000007930307c4026869"),
    (
        wire.Error(7, "bad_request", "no such op", retryable=False),
        "0000001b950407ab6261645f72657175657374aa6e6f2073756368206f70c2",
    ),
    (wire.Cast("reload", b""), "0000000b9305a672656c6f6164c400"),
    (wire.Cancel(7), "00000003920607"),
    (wire.Credit(32), "00000003920720"),
    (wire.Ping(123456789), "000000079208ce075bcd15"),
    (wire.Pong(123456789), "000000079209ce075bcd15"),
    (
        wire.Log(2, "store opened", {"n": 3}),
        "00000014940a02ac73746f7265206f70656e656481a16e03",
    ),
    (wire.Drain(5000), "00000005920bcd1388"),
    (wire.Bye(0, "done"), "00000008930c00a4646f6e65"),
    (wire.Event("topic", b"x"), "0000000b930da5746f706963c40178"),
    (wire.Event("topic", b"x", 7), "0000000c940da5746f706963c4017807"),
)


def decode(data: bytes) -> list[wire.Frame]:
    decoder = wire.Decoder()
    frames = decoder.feed(data)
    decoder.finish()
    return frames


@pytest.mark.parametrize(("frame", "octets"), GOLDEN, ids=[type(f).__name__ for f, _ in GOLDEN])
def test_golden_frames_are_written_and_read(frame: wire.Frame, octets: str) -> None:
    assert wire.encode(frame).hex() == octets
    assert decode(bytes.fromhex(octets)) == [frame]


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        ("00000000", "bad_frame"),
        ("ffffffff", "frame_too_big"),
        ("ffffffff00", "frame_too_big"),
        ("01000001", "frame_too_big"),
        ("0000000190", "bad_frame"),
        ("0000000291a0", "bad_frame"),
        ("000000039203c0", "bad_frame"),
        ("0000000492060700", "bad_frame"),
        ("0000000192", "bad_frame"),
        ("00000002910e", "bad_frame"),
        ("00000002913f", "bad_frame"),
        ("0000000391cc", "truncated"),
        ("00000003920600", "bad_frame"),
        ("00000007920700ff", "truncated"),
        ("00000002d105", "bad_frame"),
        ("00000001c0", "bad_frame"),
        ("00000001dc", "bad_frame"),
        ("00000005940a05a0c0", "bad_frame"),
        ("0000000391ddff", "bad_frame"),
    ],
)
def test_what_breaks_the_rules_is_refused(octets: str, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(bytes.fromhex(octets))
    assert caught.value.kind == kind


def test_p10_a_frame_of_the_most_is_taken_and_one_byte_more_is_not() -> None:
    frame = wire.Reply(1, b"x" * 100)
    data = wire.encode(frame)
    assert wire.Decoder(len(data) - 4).feed(data) == [frame]
    with pytest.raises(WireError, match="104 are accepted"):
        wire.Decoder(len(data) - 5).feed(data)


def test_p10_a_length_too_big_is_refused_before_the_body_comes() -> None:
    with pytest.raises(WireError, match="4294967295 bytes is announced"):
        wire.Decoder().feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("octets", ["000000029140", "0000000391cc80", "00000005dc00024000"])
def test_unknown_types_from_64_on_are_skipped(octets: str) -> None:
    assert decode(bytes.fromhex(octets) + wire.encode(wire.Ping(1))) == [wire.Ping(1)]


@pytest.mark.parametrize("octets", ["00000004930607c3", "00000007dc0002cc06cc07"])
def test_more_elements_are_ignored_and_longer_forms_are_read(octets: str) -> None:
    assert decode(bytes.fromhex(octets)) == [wire.Cancel(7)]
