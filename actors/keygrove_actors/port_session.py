"""The host's end of the wire: bytes in, effects out; calls in, bytes out. No I/O.

A session knows what was agreed in the handshake, what may be sent (credit), what is in
flight, and when the silence of the worker has lasted too long. Time is an argument.
A call is known to the port by a ticket, whatever that is, which comes back with its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from math import inf
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from keygrove_actors import port_wire as wire
from keygrove_actors.messages import WireError

T = TypeVar("T")

PING_S: Final = 5.0
"""Silence after which the worker is asked whether it is there."""
HANG_S: Final = 15.0
"""Silence after which it counts as hung; a call in flight allows its deadline and 5 s."""
HANG_GRACE_S: Final = 5.0
CANCELLED_MAX: Final = 4096
"""Cancelled calls remembered, for their answers may still come."""
CALL_ID_MAX: Final = 2**32 - 1


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the host brings into the handshake."""

    ops: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    frame_bytes_max: int = wire.FRAME_BYTES_MAX
    event_credit: int = 64
    ping_s: float = PING_S
    hang_s: float = HANG_S


class Welcomed(msgspec.Struct, frozen=True):
    """The handshake is done."""

    hello: wire.Hello


class Unfit(msgspec.Struct, frozen=True):
    """This worker and this host cannot work together, now or later; `kind` says in what."""

    kind: str
    text: str


class Answered(msgspec.Struct, Generic[T], frozen=True):
    """A reply came."""

    ticket: T
    payload: bytes


class Failed(msgspec.Struct, Generic[T], frozen=True):
    """An error came in place of a reply."""

    ticket: T
    error: wire.Error


class Result(msgspec.Struct, Generic[T], frozen=True):
    """One of the results of a streaming call came."""

    ticket: T
    payload: bytes


class Hung(msgspec.Struct, frozen=True):
    """The worker has been silent for too long."""

    silence_s: float


Effect: TypeAlias = (
    Welcomed
    | Unfit
    | Answered[T]
    | Failed[T]
    | Result[T]
    | Hung
    | wire.Call
    | wire.Event
    | wire.Log
    | wire.Bye
)
"""What a port has to act on. Frames stand for themselves: a call is the worker's own."""


class PortSession(Generic[T]):
    """One host's conversation with its worker, from HELLO to BYE."""

    __slots__ = (
        "_cancelled",
        "_decoder",
        "_event_credit",
        "_flying",
        "_heard_at",
        "_out",
        "_pinged_at",
        "_taken_events",
        "_terms",
        "calls",
        "credit",
        "frame_bytes_max",
        "has_left",
        "is_ready",
    )

    def __init__(self, terms: Terms, now: float) -> None:
        self._terms = terms
        self._decoder = wire.Decoder(terms.frame_bytes_max)
        self._flying: dict[int, tuple[T, float]] = {}
        self._cancelled: dict[int, T] = {}
        self._out: list[bytes] = []
        self.calls = self._taken_events = 0
        self._heard_at = self._pinged_at = now
        self.credit = 0
        self._event_credit = terms.event_credit
        self.frame_bytes_max = 0
        self.is_ready = self.has_left = False

    # ---- what the port asks

    def call(self, ticket: T, op: str, payload: bytes, due: float, now: float) -> int:
        """Send a call that is to be answered by `due`; takes one credit.

        Raises:
            WireError: the worker does not take so much at once.
        """
        count = self.calls
        call = count + 1 if count < CALL_ID_MAX else self._free_id(count)
        left_ms = 0 if due == inf else min(max(1, int((due - now) * 1000)), CALL_ID_MAX)
        self._send_limited(op, wire.encode_call(call, op, payload, left_ms))
        self._flying[call] = (ticket, due)
        self.calls = count + 1
        return call

    def _free_id(self, count: int) -> int:
        """The next number once all were used: calls of the first round may still be open."""
        call = count % CALL_ID_MAX + 1
        while call in self._flying or call in self._cancelled:
            call = call % CALL_ID_MAX + 1
        return call

    def cast(self, op: str, payload: bytes) -> None:
        """Send a notice; takes one credit. Raises as `call` does."""
        self._send_limited(op, wire.encode(wire.Cast(op, payload)))

    def cancel(self, call: int) -> None:
        """Tell the worker that nobody waits; an answer that comes all the same is dropped."""
        flight = self._flying.pop(call, None)
        if flight is None:
            return
        self._cancelled[call] = flight[0]
        if len(self._cancelled) > CANCELLED_MAX:
            del self._cancelled[next(iter(self._cancelled))]
        self._send(wire.Cancel(call))

    def answer(self, frame: wire.Reply | wire.Error) -> None:
        """Answer a call of the worker's."""
        self._send(frame)

    def event_taken(self) -> None:
        """An event found its reader: in time, give the worker credit for another."""
        self._taken_events += 1
        if self._taken_events * 2 >= self._terms.event_credit:
            self._send(wire.Credit(self._taken_events))
            self._event_credit += self._taken_events
            self._taken_events = 0

    def drain(self, left_s: float) -> None:
        """Tell the worker to finish and leave."""
        self._send(wire.Drain(max(0, int(left_s * 1000))))

    def in_flight(self) -> Iterator[tuple[int, T]]:
        """The calls that wait for an answer, oldest first."""
        return ((call, ticket) for call, (ticket, _) in self._flying.items())

    def suspects(self) -> Iterator[T]:
        """The calls the worker may be at, those included that nobody waits for any more."""
        return chain((ticket for ticket, _ in self._flying.values()), self._cancelled.values())

    @property
    def load(self) -> int:
        """How many calls wait for an answer."""
        return len(self._flying)

    # ---- bytes and time

    def output(self) -> bytes:
        """What is to be written now."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def receive(self, data: bytes, now: float) -> list[Effect[T]]:
        """What the worker's bytes amount to.

        Raises:
            WireError: they break the rules.
        """
        self._heard_at = now
        effects: list[Effect[T]] = []
        flying = self._flying
        for frame in self._decoder.feed(data):
            if type(frame) is wire.Reply:
                flight = flying.pop(frame.id, None) or self._landed(frame.id)
                if flight is not None:
                    effects.append(Answered(flight[0], frame.payload))
            elif self.is_ready:
                self._met(frame, effects)
            else:
                effects.append(self._greeted(frame))
        return effects

    def ended(self) -> None:
        """The stream ended.

        Raises:
            WireError: in the middle of a frame.
        """
        self._decoder.finish()

    def next_deadline(self) -> float:
        """When `tick` has something to look at."""
        if not self.is_ready:
            return inf
        return min(max(self._heard_at, self._pinged_at) + self._terms.ping_s, self._hung_at())

    def tick(self, now: float) -> Hung | None:
        """Time passed: ask a silent worker whether it is there, or give it up."""
        if now >= self._hung_at():
            return Hung(now - self._heard_at)
        if now >= max(self._heard_at, self._pinged_at) + self._terms.ping_s:
            self._pinged_at = now
            self._send(wire.Ping(int(now * 1000) % CALL_ID_MAX))
        return None

    def _hung_at(self) -> float:
        latest = max((due for _, due in self._flying.values()), default=0.0)
        return max(self._heard_at + self._terms.hang_s, latest + HANG_GRACE_S if latest else 0.0)

    # ---- frames

    def _send(self, frame: wire.Frame) -> None:
        self._out.append(wire.encode(frame))

    def _send_limited(self, op: str, data: bytes) -> None:
        assert self.credit > 0, "the port waits for credit"
        size = len(data) - wire.LENGTH_BYTES
        if size > self.frame_bytes_max:
            raise WireError(
                "frame_too_big",
                f"{op} takes {size} bytes and its worker accepts "
                f"{self.frame_bytes_max}: send less at once",
            )
        self.credit -= 1
        self._out.append(data)

    def _greeted(self, frame: wire.Frame) -> Welcomed | Unfit:
        if not isinstance(frame, wire.Hello):
            raise WireError("bad_frame", f"{type(frame).__name__} came before HELLO")
        if frame.magic != wire.MAGIC:
            raise WireError("bad_frame", f"HELLO has magic {frame.magic[:80]!r}")
        version = min(frame.version_max, wire.VERSION_MAX)
        if version < max(frame.version_min, wire.VERSION_MIN):
            return Unfit(
                "version",
                f"the worker speaks versions {frame.version_min} to {frame.version_max} of the "
                f"wire, this host {wire.VERSION_MIN} to {wire.VERSION_MAX}: update the older one",
            )
        missing = set(self._terms.ops) - set(frame.ops)
        if missing:
            return Unfit(
                "ops", f"the worker lacks {', '.join(sorted(missing))}: update it or its spec"
            )
        self.credit = frame.credit
        self.frame_bytes_max = frame.frame_bytes_max
        settings = dict(self._terms.settings)
        if self._terms.offers:
            settings["ops"] = list(self._terms.offers)
        self._send(
            wire.Welcome(version, self._terms.frame_bytes_max, self._terms.event_credit, settings)
        )
        self.is_ready = True
        return Welcomed(frame)

    def _met(self, frame: wire.Frame, effects: list[Effect[T]]) -> None:
        match frame:
            case wire.Error(id):
                flight = self._landed(id)
                if flight is not None:
                    effects.append(Failed(flight[0], frame))
            case wire.Event():
                self._event(frame, effects)
            case wire.Call():
                self._asked(frame, effects)
            case wire.Log():
                effects.append(frame)
            case wire.Bye():
                self.has_left = True
                effects.append(frame)
            case _:
                self._control(frame)

    def _control(self, frame: wire.Frame) -> None:
        match frame:
            case wire.Credit(frames):
                self.credit += frames
            case wire.Ping(nonce):
                self._send(wire.Pong(nonce))
            case wire.Pong() | wire.Cancel():
                pass
            case _:
                raise WireError("bad_frame", f"a worker does not send {type(frame).__name__}")

    def _landed(self, call: int) -> tuple[T, float] | None:
        """The call that is answered; None for one that was cancelled meanwhile."""
        flight = self._flying.pop(call, None)
        if flight is None and call not in self._cancelled:
            raise WireError("bad_frame", f"an answer to call {call}, which is not in flight")
        self._cancelled.pop(call, None)
        return flight

    def _asked(self, frame: wire.Call, effects: list[Effect[T]]) -> None:
        if frame.op in self._terms.offers:
            effects.append(frame)
        else:
            self._send(wire.Error(frame.id, "unknown_op", frame.op[:80], retryable=False))

    def _event(self, frame: wire.Event, effects: list[Effect[T]]) -> None:
        self._event_credit -= 1
        if self._event_credit < 0:
            raise WireError("no_credit", "an EVENT came that the worker had no credit for")
        if not frame.call:
            effects.append(frame)
        elif frame.call in self._flying:
            effects.append(Result(self._flying[frame.call][0], frame.payload))
        elif frame.call in self._cancelled:
            self.event_taken()
        else:
            raise WireError("bad_frame", f"EVENT of call {frame.call}, which is not in flight")
