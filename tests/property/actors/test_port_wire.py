"""Laws of the port wire's codec."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from keygrove_actors import WireError
from keygrove_actors import port_wire as wire

counts = st.integers(0, 2**32 - 1)
ids = st.integers(1, 2**32 - 1)
words = st.text(max_size=12)
payloads = st.binary(max_size=40)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | words
frames: st.SearchStrategy[wire.Frame] = st.one_of(
    st.builds(wire.Hello, counts, counts, words, counts, st.tuples(words), counts, counts),
    st.builds(wire.Welcome, counts, counts, counts, st.dictionaries(words, scalars, max_size=3)),
    st.builds(wire.Call, ids, words, payloads, counts),
    st.builds(wire.Reply, ids, payloads),
    st.builds(wire.Error, ids, words, words, st.booleans()),
    st.builds(wire.Cast, words, payloads),
    st.builds(wire.Cancel, ids),
    st.builds(wire.Credit, counts),
    st.builds(wire.Ping, st.integers(0, 2**64 - 1)),
    st.builds(wire.Pong, st.integers(0, 2**64 - 1)),
    st.builds(wire.Log, st.integers(0, 4), words, st.dictionaries(words, scalars, max_size=3)),
    st.builds(wire.Drain, counts),
    st.builds(wire.Bye, st.integers(-(2**31), 2**31), words),
    st.builds(wire.Event, words, payloads, counts),
)


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 50), max_size=20))
def test_frames_survive_the_wire_however_it_is_cut(sent: list[wire.Frame], cuts: list[int]) -> None:
    data = b"".join(map(wire.encode, sent))
    decoder = wire.Decoder()
    got: list[wire.Frame] = []
    for cut in cuts:
        got += decoder.feed(data[:cut])
        data = data[cut:]
    got += decoder.feed(data)
    decoder.finish()
    assert got == sent


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_frames_or_a_wire_error(pieces: list[bytes]) -> None:
    decoder = wire.Decoder(frame_bytes_max=64)
    with suppress(WireError):
        for piece in pieces:
            decoder.feed(piece)
        decoder.finish()


@given(st.binary(min_size=1, max_size=60))
def test_any_body_is_a_frame_or_skipped_or_refused(body: bytes) -> None:
    with suppress(WireError):
        wire.Decoder().feed(len(body).to_bytes(4, "big") + body)
