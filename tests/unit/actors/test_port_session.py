"""The host's end of the wire: handshake, credit, answers, silence."""

from __future__ import annotations

from math import inf

import pytest

from keygrove_actors import WireError
from keygrove_actors import port_wire as wire
from keygrove_actors.port_session import (
    CANCELLED_MAX,
    Answered,
    Failed,
    Hung,
    PortSession,
    Result,
    Terms,
    Unfit,
    Welcomed,
)

HELLO = wire.Hello(1, 1, wire.MAGIC, 42, ("echo",), 1000, 4)


def sent(session: PortSession[str]) -> list[wire.Frame]:
    return wire.Decoder().feed(session.output())


def session_after(hello: wire.Hello = HELLO, **terms: object) -> PortSession[str]:
    session: PortSession[str] = PortSession(Terms(ops=("echo",), **terms), 0.0)  # type: ignore[arg-type]
    assert session.receive(wire.encode(hello), 0.0) == [Welcomed(hello)]
    return session


def test_the_handshake_tells_both_what_the_other_accepts_and_grants() -> None:
    session = session_after(settings={"a": 1}, offers=("lookup",), event_credit=8)
    welcome = wire.Welcome(1, wire.FRAME_BYTES_MAX, 8, {"a": 1, "ops": ["lookup"]})
    assert sent(session) == [welcome]
    assert session.credit == 4
    assert session.frame_bytes_max == 1000


@pytest.mark.parametrize(
    ("lowest", "highest", "kind"), [(0, 0, "version"), (2, 9, "version"), (0, 9, None)]
)
def test_p07_version_ranges_must_overlap(lowest: int, highest: int, kind: str | None) -> None:
    session: PortSession[str] = PortSession(Terms(), 0.0)
    hello = wire.Hello(lowest, highest, wire.MAGIC, 1, (), 1000, 1)
    (effect,) = session.receive(wire.encode(hello), 0.0)
    assert (effect.kind if isinstance(effect, Unfit) else None) == kind
    assert bool(sent(session)) == (kind is None)


def test_p09_a_call_takes_credit_and_its_deadline_along() -> None:
    session = session_after()
    sent(session)
    session.call("ticket", "echo", b"x", 5.0, 2.0)
    session.call("other", "echo", b"y", inf, 2.0)
    assert sent(session) == [wire.Call(1, "echo", b"x", 3000), wire.Call(2, "echo", b"y", 0)]
    assert session.credit == 2
    session.receive(wire.encode(wire.Credit(7)), 2.0)
    assert session.credit == 9


def test_answers_come_back_with_their_tickets_in_any_order() -> None:
    session = session_after()
    for ticket in ("a", "b"):
        session.call(ticket, "echo", b"", inf, 0.0)
    error = wire.Error(1, "no", "", retryable=False)
    data = wire.encode(wire.Reply(2, b"2")) + wire.encode(error)
    assert session.receive(data, 0.0) == [Answered("b", b"2"), Failed("a", error)]
    assert session.load == 0


@pytest.mark.parametrize(
    "frame",
    [
        wire.Reply(9, b""),
        wire.Error(9, "no", "", retryable=False),
        wire.Event("t", b"", 9),
        wire.Hello(1, 1, wire.MAGIC, 1, (), 1, 1),
        wire.Cast("x", b""),
        wire.Drain(1),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_p11_frames_that_cannot_be_break_the_rules(frame: wire.Frame) -> None:
    with pytest.raises(WireError):
        session_after().receive(wire.encode(frame), 0.0)


def test_a_cancelled_call_may_be_answered_once_more() -> None:
    session = session_after()
    session.call("a", "echo", b"", inf, 0.0)
    sent(session)
    session.cancel(1)
    session.cancel(1)
    assert sent(session) == [wire.Cancel(1)]
    assert session.receive(wire.encode(wire.Reply(1, b"")), 0.0) == []
    with pytest.raises(WireError):
        session.receive(wire.encode(wire.Reply(1, b"")), 0.0)


def test_cancelled_calls_are_remembered_within_a_bound() -> None:
    session = session_after(wire.Hello(1, 1, wire.MAGIC, 1, ("echo",), 1000, 10**6))
    for call in range(1, CANCELLED_MAX + 2):
        session.call("a", "echo", b"", inf, 0.0)
        session.cancel(call)
    assert session.receive(wire.encode(wire.Reply(2, b"")), 0.0) == []
    with pytest.raises(WireError):
        session.receive(wire.encode(wire.Reply(1, b"")), 0.0)


def test_numbers_of_calls_go_round_past_those_still_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keygrove_actors.port_session.CALL_ID_MAX", 3)
    session = session_after()
    calls = [session.call(ticket, "echo", b"", inf, 0.0) for ticket in ("a", "b", "c")]
    session.receive(wire.encode(wire.Reply(2, b"")), 0.0)
    session.cancel(3)
    assert [*calls, session.call("d", "echo", b"", inf, 0.0)] == [1, 2, 3, 2]
    assert session.calls == 4


def test_a_frame_as_big_as_the_worker_accepts_is_sent() -> None:
    session = session_after()
    frame = wire.encode(wire.Call(1, "echo", b"", 0))
    session.call("a", "echo", bytes(1000 - len(frame) + 4 - 1), inf, 0.0)  # bin 16 takes one more
    session.output()
    with pytest.raises(WireError, match="takes 1001 bytes"):
        session.call("a", "echo", bytes(1000 - len(frame) + 4), inf, 0.0)


def test_p09_events_take_credit_that_their_readers_give_back() -> None:
    session = session_after(event_credit=2)
    sent(session)
    event = wire.encode(wire.Event("t", b""))
    assert session.receive(event * 2, 0.0) == [wire.Event("t", b"")] * 2
    session.event_taken()
    assert sent(session) == [wire.Credit(1)]
    session.receive(event, 0.0)
    with pytest.raises(WireError, match="no credit"):
        session.receive(event, 0.0)


def test_results_belong_to_their_call_until_it_is_cancelled() -> None:
    session = session_after(event_credit=2)
    session.call("a", "echo", b"", inf, 0.0)
    result = wire.encode(wire.Event("echo", b"1", 1))
    assert session.receive(result, 0.0) == [Result("a", b"1")]
    session.cancel(1)
    sent(session)
    assert session.receive(result, 0.0) == []
    assert sent(session) == [wire.Credit(1)]


def test_a_worker_asks_only_what_is_offered() -> None:
    session = session_after(offers=("lookup",))
    sent(session)
    asked = wire.Call(1, "lookup", b"k", 0)
    assert session.receive(wire.encode(asked), 0.0) == [asked]
    session.answer(wire.Reply(1, b"v"))
    assert session.receive(wire.encode(wire.Call(2, "other", b"", 0)), 0.0) == []
    refusal = wire.Error(2, "unknown_op", "other", retryable=False)
    assert sent(session) == [wire.Reply(1, b"v"), refusal]


def test_p12_silence_is_asked_after_and_ends_in_a_verdict() -> None:
    session = session_after()
    sent(session)
    assert session.next_deadline() == 5.0
    assert session.tick(4.9) is None
    assert sent(session) == []
    assert session.tick(5.0) is None
    assert sent(session) == [wire.Ping(5000)]
    session.receive(wire.encode(wire.Pong(5000)), 6.0)
    assert session.tick(20.9) is None
    assert session.tick(21.0) == Hung(15.0)


def test_p12_a_worker_busy_with_a_call_has_until_its_deadline_and_five_seconds() -> None:
    session = session_after()
    session.call("a", "echo", b"", 30.0, 0.0)
    assert session.tick(34.9) is None
    assert isinstance(session.tick(35.0), Hung)


def test_what_the_worker_does_not_accept_is_not_sent() -> None:
    session = session_after()
    with pytest.raises(WireError, match="accepts 1000"):
        session.call("a", "echo", bytes(1000), inf, 0.0)
    assert session.credit == 4
    assert session.load == 0


def test_ping_is_answered_and_bye_noted() -> None:
    session = session_after()
    sent(session)
    bye = wire.Bye(0, "done")
    log = wire.Log(0, "x", {})
    data = wire.encode(wire.Ping(7)) + wire.encode(log) + wire.encode(bye)
    assert session.receive(data, 0.0) == [log, bye]
    assert sent(session) == [wire.Pong(7)]
    assert session.has_left
