"""What each fault does to a packet that is under way.

An effect has its fault's state and its own random stream, and never looks at what other
effects did: so what one does is the same whether or not others are there.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any, Protocol

from keygrove_chaos.net_faults import (
    Burst,
    Clog,
    Corrupt,
    Dup,
    Flap,
    HalfOpen,
    Latency,
    Loss,
    Mode,
    Mtu,
    NetFault,
    Partition,
    Rate,
    Refuse,
    Reorder,
    Reset,
    Slice,
    Swizzle,
    draw,
)

FLOWS_MAX = 4_096
"""Streams a fault tells apart on one link; the oldest is forgotten first, as in a NAT's table."""


class Passage:
    """A packet under way, and what has become of it so far."""

    __slots__ = (
        "answer",
        "copies_s",
        "delay_s",
        "flip",
        "flow",
        "is_lost",
        "is_refused",
        "is_reset",
        "new_flow",
        "now",
        "port",
        "queued_s",
        "size",
    )

    def __init__(self, now: float, size: int, new_flow: bool, flow: int, port: int) -> None:
        self.answer = False
        self.now = now
        self.size = size
        self.new_flow = new_flow
        self.flow = flow
        self.port = port
        self.is_lost = False
        self.is_refused = False
        self.is_reset = False
        self.delay_s = 0.0
        self.queued_s = 0.0
        self.copies_s: list[float] = []
        self.flip: int | None = None

    def cut(self, mode: Mode) -> None:
        """Let it vanish, or be refused."""
        if mode == "drop":
            self.is_lost = True
        else:
            self.is_refused = True


class Effect(Protocol):
    """One fault on one link."""

    def touch(self, packet: Passage, random: Random) -> bool:
        """Do to the packet what the fault does; say whether it did anything."""
        ...


class _Untouched:
    """Of faults that no packet notices: a slicer works on streams, a swizzle is made of clogs."""

    def __init__(self, _: Slice | Swizzle) -> None:
        pass

    def touch(self, packet: Passage, random: Random) -> bool:
        return False


class _Latency:
    def __init__(self, fault: Latency) -> None:
        self._fault = fault

    def touch(self, packet: Passage, random: Random) -> bool:
        delay_s = draw(self._fault.law, random)
        if self._fault.jitter_s:
            delay_s += random.uniform(0, self._fault.jitter_s)
        packet.delay_s += delay_s
        return delay_s > 0


class _Loss:
    def __init__(self, fault: Loss) -> None:
        self._probability = fault.probability

    def touch(self, packet: Passage, random: Random) -> bool:
        if random.random() >= self._probability:
            return False
        packet.is_lost = True
        return True


class _Burst:
    def __init__(self, fault: Burst) -> None:
        self._fault = fault
        self._is_bad = False

    def touch(self, packet: Passage, random: Random) -> bool:
        fault = self._fault
        if random.random() < (fault.to_good if self._is_bad else fault.to_bad):
            self._is_bad = not self._is_bad
        if random.random() >= (fault.loss_bad if self._is_bad else fault.loss_good):
            return False
        packet.is_lost = True
        return True


class _Dup:
    def __init__(self, fault: Dup) -> None:
        self._fault = fault

    def touch(self, packet: Passage, random: Random) -> bool:
        later_s = random.uniform(0, self._fault.spread_s)
        if random.random() >= self._fault.probability:
            return False
        packet.copies_s.append(later_s)
        return True


class _Reorder:
    def __init__(self, fault: Reorder) -> None:
        self._fault = fault

    def touch(self, packet: Passage, random: Random) -> bool:
        later_s = random.uniform(0, self._fault.window_s)
        if random.random() >= self._fault.probability:
            return False
        packet.delay_s += later_s
        return True


class _Corrupt:
    def __init__(self, fault: Corrupt) -> None:
        self._fault = fault

    def touch(self, packet: Passage, random: Random) -> bool:
        if random.random() >= self._fault.probability:
            return False
        if random.random() < self._fault.missed:
            packet.flip = random.randrange(max(packet.size, 1))
        else:
            packet.is_lost = True
        return True


class _Rate:
    """A bucket that may be in debt: what is owed stands in the queue."""

    def __init__(self, fault: Rate) -> None:
        self._fault = fault
        self._tokens = float(fault.burst_bytes)
        self._filled_at = -inf

    def touch(self, packet: Passage, random: Random) -> bool:
        fault = self._fault
        earned = (packet.now - self._filled_at) * fault.bytes_per_s
        self._tokens = min(self._tokens + earned, float(fault.burst_bytes))
        self._filled_at = packet.now
        left = self._tokens - packet.size
        if -left > fault.queue_bytes:
            packet.is_lost = True
            return True
        self._tokens = left
        if left >= 0:
            return False
        # Two bottlenecks in a row delay as the narrower one does.
        packet.queued_s = max(packet.queued_s, -left / fault.bytes_per_s)
        return True


class _Partition:
    def __init__(self, fault: Partition) -> None:
        self._mode: Mode = fault.mode

    def touch(self, packet: Passage, random: Random) -> bool:
        packet.cut(self._mode)
        return True


class _HalfOpen:
    def __init__(self, fault: HalfOpen) -> None:
        self._idle_s = fault.idle_s
        self._seen_at: dict[int, float] = {}

    def touch(self, packet: Passage, random: Random) -> bool:
        is_known = packet.new_flow or packet.answer or self._is_known(packet)
        # Seen again is newest again; a forgotten stream stays forgotten until it is new.
        self._seen_at.pop(packet.flow, None)
        if len(self._seen_at) >= FLOWS_MAX:
            del self._seen_at[next(iter(self._seen_at))]
        self._seen_at[packet.flow] = packet.now if is_known else -inf
        packet.is_lost |= not is_known
        return not is_known

    def _is_known(self, packet: Passage) -> bool:
        if not self._idle_s:
            return self._seen_at.get(packet.flow, -inf) > -inf
        # Nothing is known of how long a stream was silent before the fault.
        seen_at = self._seen_at.get(packet.flow, packet.now)
        return packet.now - seen_at <= self._idle_s


class _Mtu:
    def __init__(self, fault: Mtu) -> None:
        self._bytes_max = fault.bytes_max

    def touch(self, packet: Passage, random: Random) -> bool:
        if packet.size <= self._bytes_max:
            return False
        packet.is_lost = True
        return True


class _Refuse:
    def __init__(self, fault: Refuse) -> None:
        self._probability = fault.probability

    def touch(self, packet: Passage, random: Random) -> bool:
        if not packet.new_flow or random.random() >= self._probability:
            return False
        packet.is_refused = True
        return True


class _Flap:
    def __init__(self, fault: Flap) -> None:
        self._fault = fault

    def touch(self, packet: Passage, random: Random) -> bool:
        fault = self._fault
        since_s = packet.now - fault.since_s
        if since_s < 0 or since_s % fault.period_s >= fault.down * fault.period_s:
            return False
        packet.cut(fault.mode)
        return True


class _Clog:
    def __init__(self, fault: Clog) -> None:
        self._fault = fault

    def touch(self, packet: Passage, random: Random) -> bool:
        if not self._fault.since_s <= packet.now < self._fault.until_s:
            return False
        packet.queued_s = max(packet.queued_s, self._fault.until_s - packet.now)
        return True


class _Reset:
    def __init__(self, fault: Reset) -> None:
        self._after_bytes = fault.after_bytes
        self._carried: dict[int, int] = {}

    def touch(self, packet: Passage, random: Random) -> bool:
        carried = self._carried.pop(packet.flow, 0) + packet.size
        if len(self._carried) >= FLOWS_MAX:
            del self._carried[next(iter(self._carried))]
        self._carried[packet.flow] = carried
        if carried <= self._after_bytes:
            return False
        packet.is_reset = True
        return True


# Any: each class takes the fault it is entered for, which a dict's type cannot say.
_EFFECTS: dict[type[NetFault], Callable[[Any], Effect]] = {
    Latency: _Latency,
    Loss: _Loss,
    Burst: _Burst,
    Dup: _Dup,
    Reorder: _Reorder,
    Corrupt: _Corrupt,
    Rate: _Rate,
    Partition: _Partition,
    HalfOpen: _HalfOpen,
    Mtu: _Mtu,
    Refuse: _Refuse,
    Flap: _Flap,
    Clog: _Clog,
    Reset: _Reset,
    Slice: _Untouched,
    Swizzle: _Untouched,
}


def effect_of(fault: NetFault) -> Effect:
    """The effect of a fault, in its first state."""
    return _EFFECTS[type(fault)](fault)
