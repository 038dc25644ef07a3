"""One end of a TCP stream, as far as faults of the network show in it.

It has sequence numbers in octets, cumulative acknowledgements, a window, one timer, and the
states of opening and closing. It has no congestion control and no fast retransmit: a lost
packet is a pause of one retransmission time-out, which is what most users of TCP see of it.

Pure but for its `Wire`, which carries packets, tells the time and rings at a given one.
Opening and closing marks take one octet of the sequence each, so that they are repeated and
acknowledged as data is. Packets are never cut anew when they are repeated.

Sources: RFC 9293; RFC 6298 for the timer; Linux for its bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Protocol

import msgspec

from keygrove_chaos.timeline import Moment

WINDOW_BYTES = 65_536
"""What an end takes before somebody reads it."""
BUFFER_BYTES = 65_536
"""What an end keeps of what is written and not acknowledged."""
RTO_MIN_S = 0.2
RTO_MAX_S = 120.0
RETRIES_MAX = 15
"""As Linux, `tcp_retries2`: a stream is given up after some 15 minutes without an answer."""
OPENING_RTO_S = 1.0
OPENING_RETRIES_MAX = 6
"""As Linux, `tcp_syn_retries`: opening is given up after 127 s."""


class Mark(Enum):
    """What a packet is besides its data."""

    NONE = 0
    OPEN = 1
    END = 2
    RESET = 3
    PROBE = 4  # asks for an acknowledgement and for the window


class Trouble(Enum):
    """Why an end works no more."""

    REFUSED = "refused"
    RESET = "reset"
    SILENCE = "silence"


class Packet(msgspec.Struct, frozen=True, gc=False):
    """What one end sends to the other.

    `seq`: the place of its first octet. `ack`: the place up to which its sender has all.
    `limit`: the place up to which its sender takes more.
    """

    flow: int
    to_opener: bool
    mark: Mark
    seq: int
    data: bytes
    ack: int
    limit: int

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.seq + len(self.data) + (self.mark in (Mark.OPEN, Mark.END))


class Wire(Protocol):
    """What an end needs of its host."""

    def now(self) -> float:
        """Virtual seconds."""
        ...

    def transmit(self, packet: Packet) -> None:
        """Send a packet."""
        ...

    def piece(self, size: int) -> int:
        """How many of the next `size` octets go into one packet."""
        ...

    def ring_at(self, when: float, function: Callable[[], None]) -> Moment:
        """Call `function` at `when`."""
        ...

    def gone(self) -> None:
        """The end is no more; packets to it are answered with a reset."""
        ...


class End:
    """One end. `changed` is called whenever it may have become readable, writable or broken."""

    def __init__(
        self, wire: Wire, flow: int, *, is_opener: bool, changed: Callable[[], None]
    ) -> None:
        self.trouble: Trouble | None = None
        self.is_open = False
        self.is_closed = False
        self.has_ended = False
        """Whether the peer said that nothing follows, and all before it has come."""
        self._wire = wire
        self._flow = flow
        self._is_opener = is_opener
        self._changed = changed
        self._is_gone = False
        self._is_ending = False
        self._end_sent = False
        # what goes out
        self._unsent = bytearray()
        self._unacked: deque[Packet] = deque()
        self._acked = 0
        self._next = 0
        self._limit = 1
        # what comes in
        self._wanted: int = 0
        self._early: dict[int, Packet] = {}
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._told_limit = 0
        # the timer
        self._rto_s = OPENING_RTO_S
        self._smooth_s = 0.0
        self._deviation_s = 0.0
        self._unanswered = 0
        self._doublings = 0
        self._timed: tuple[int, float] | None = None
        self._deadline = inf
        self._moment: Moment | None = None
        self._moment_at = inf

    # What the stream asks.

    def open(self, asked: Packet | None = None) -> None:
        """Begin: the opener at first, the other end when it was `asked`."""
        if asked is not None:
            self._wanted, self._limit = asked.end, asked.limit
        self._put(b"", Mark.OPEN)
        self._arm()

    def readable(self) -> bool:
        """Whether there is something to read."""
        return bool(self._unread)

    def read(self, bytes_max: int) -> bytes:
        """Octets that have come, at least 1, as they were cut. Only while readable."""
        data = self._unread.popleft()
        if len(data) > bytes_max:
            self._unread.appendleft(data[bytes_max:])
            data = data[:bytes_max]
        self._unread_bytes -= len(data)
        # As Linux: the sender hears of room when there is enough to be worth a packet.
        is_wanting = not self._is_gone and not self.has_ended
        if is_wanting and self._room() - self._told_limit >= WINDOW_BYTES // 2:
            self._acknowledge()
        return data

    def space(self) -> int:
        """How many octets can be written now."""
        return max(0, BUFFER_BYTES - len(self._unsent) - (self._next - self._acked))

    def write(self, data: bytes | memoryview) -> None:
        """Take octets to be sent; at most as many as there is space for."""
        self._unsent += data
        self._pump()

    def finish(self) -> None:
        """Nothing follows what was written."""
        if not self._is_ending:
            self._is_ending = True
            self._pump()

    def close(self) -> None:
        """Write and read no more. What was written is still sent, by the host alone.

        As Linux: with octets unread, the peer gets a reset.
        """
        self.is_closed = True
        if self._unread or not self.is_open:
            self.abort()
            return
        self.finish()
        self._leave_if_done()
        self._changed()

    def abort(self) -> None:
        """Reset the stream."""
        if not self._is_gone:
            self._send(Mark.RESET, self._next)
            self.fail(Trouble.RESET)

    def vanish(self) -> None:
        """Be no more, and tell nobody: the power is gone."""
        self.fail(Trouble.RESET)

    # What the network tells.

    def fail(self, trouble: Trouble) -> None:
        """Be broken. What has come can still be read."""
        if self._is_gone:
            return
        self.trouble = trouble
        self._unsent.clear()
        self._unacked.clear()
        self._leave()
        self._changed()

    def take(self, packet: Packet) -> None:
        """A packet has come."""
        if packet.mark is Mark.RESET:
            self.fail(Trouble.RESET if self.is_open else Trouble.REFUSED)
            return
        if self.is_closed and packet.data and packet.end > self._wanted:
            self.abort()
            return
        self._take_ack(packet)
        if packet.data or packet.mark is not Mark.NONE:
            self._take_data(packet)
            self._acknowledge()
        self._pump()
        self._changed()
        self._leave_if_done()

    def _take_ack(self, packet: Packet) -> None:
        if not self._unacked:
            # A peer without room is not silent: its probes double, but never run out.
            self._unanswered = 0
            if packet.limit > self._limit:
                self._doublings, self._deadline = 0, inf
        self._limit = max(self._limit, packet.limit)
        if packet.ack <= self._acked:
            return
        self._acked = packet.ack
        while self._unacked and self._unacked[0].end <= packet.ack:
            self._unacked.popleft()
        self.is_open = True
        self._unanswered = self._doublings = 0
        self._measure(packet.ack)
        self._arm()

    def _take_data(self, packet: Packet) -> None:
        if packet.mark is Mark.PROBE or packet.seq < self._wanted:
            return
        if packet.seq > self._wanted:
            if packet.seq < self._room():
                self._early[packet.seq] = packet
            return
        found: Packet | None = packet
        while found is not None:
            self._wanted = found.end
            if found.data:
                self._unread.append(found.data)
                self._unread_bytes += len(found.data)
            self.has_ended |= found.mark is Mark.END
            found = self._early.pop(self._wanted, None)

    # Sending.

    def _room(self) -> int:
        return self._wanted + WINDOW_BYTES - self._unread_bytes

    def _acknowledge(self) -> None:
        self._send(Mark.NONE, self._next)

    def _send(self, mark: Mark, seq: int, data: bytes = b"") -> Packet:
        self._told_limit = limit = self._room()
        packet = Packet(self._flow, not self._is_opener, mark, seq, data, self._wanted, limit)
        self._wire.transmit(packet)
        return packet

    def _put(self, data: bytes, mark: Mark) -> None:
        """Send what must arrive."""
        packet = self._send(mark, self._next, data)
        self._next = packet.end
        self._unacked.append(packet)
        if self._timed is None:
            self._timed = (packet.end, self._wire.now())

    def _pump(self) -> None:
        """Send what the peer's window has room for."""
        if not self.is_open or self._is_gone:
            return
        while self._unsent and (room := self._limit - self._next) > 0:
            size = self._wire.piece(min(len(self._unsent), room))
            self._put(bytes(self._unsent[:size]), Mark.NONE)
            del self._unsent[:size]
        if self._is_ending and not self._unsent and not self._end_sent:
            self._end_sent = True
            self._put(b"", Mark.END)
        if self._deadline == inf:
            self._arm()

    # The timer.

    def _measure(self, ack: int) -> None:
        """Learn from how long this took, unless a packet was repeated meanwhile (Karn)."""
        if self._timed is None or ack < self._timed[0]:
            return
        took_s = self._wire.now() - self._timed[1]
        self._timed = None
        if not self._smooth_s:
            self._smooth_s, self._deviation_s = took_s, took_s / 2
        else:
            self._deviation_s += (abs(self._smooth_s - took_s) - self._deviation_s) / 4
            self._smooth_s += (took_s - self._smooth_s) / 8
        rto_s = self._smooth_s + 4 * self._deviation_s
        self._rto_s = min(max(rto_s, RTO_MIN_S), RTO_MAX_S)

    def _arm(self) -> None:
        """Be rung when what is on its way, or room for what is not, is overdue."""
        if not self._unacked and not self._unsent:
            self._deadline = inf
            return
        wait_s = min(self._rto_s * 2**self._doublings, RTO_MAX_S)
        self._deadline = self._wire.now() + wait_s
        # A deadline that moves away leaves the moment where it is: most never matter.
        if self._deadline < self._moment_at:
            if self._moment is not None:
                self._moment.cancel()
            self._moment_at = self._deadline
            self._moment = self._wire.ring_at(self._moment_at, self._ring)

    def _ring(self) -> None:
        self._moment, self._moment_at = None, inf
        if self._is_gone or self._deadline == inf:
            return
        if self._wire.now() < self._deadline:
            self._moment_at = self._deadline
            self._moment = self._wire.ring_at(self._deadline, self._ring)
            return
        if self._unanswered >= (RETRIES_MAX if self.is_open else OPENING_RETRIES_MAX):
            self.fail(Trouble.SILENCE)
            return
        self._unanswered += 1
        self._doublings = min(self._doublings + 1, RETRIES_MAX)
        self._timed = None
        if self._unacked:
            overdue = self._unacked[0]
            self._send(overdue.mark, overdue.seq, overdue.data)
        else:
            self._send(Mark.PROBE, self._next)
        self._arm()

    # The end of the end.

    def _leave_if_done(self) -> None:
        if self.is_closed and not self._unsent and not self._unacked:
            self._leave()

    def _leave(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._deadline = inf
            if self._moment is not None:
                self._moment.cancel()
            self._wire.gone()
