"""One direction of a path between two hosts, and the faults on it.

Pure: time and chance are given. Faults stack. Each works on every packet by itself, from a
random stream of its own, and the effects are joined: lost if any loses it, delayed by the
sum, and so on. So taking one away takes away its own contribution and nothing else.
"""

from __future__ import annotations

from enum import Enum
from random import Random

import msgspec

from keygrove_chaos.link_effects import Effect, Passage, effect_of
from keygrove_chaos.net_faults import Const, Law, LinkFault, NetFault, Slice, draw

HOP_S = 1e-6
"""The least time a packet takes: what is caused at one moment happens after it."""

PERFECT = Const(HOP_S)


class Fate(Enum):
    """What a delivery is."""

    ARRIVES = "arrives"
    REFUSED = "refused"  # the sender is told, at `at`, that nobody takes it
    RESET = "reset"  # both ends of the stream are told, at `at`, that it is over


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a packet.

    `at`: virtual seconds. `flip`: the offset of an octet that changed and whose change no
    checksum shows.
    """

    at: float
    fate: Fate = Fate.ARRIVES
    flip: int | None = None


class _Active:
    """A fault that is on the link."""

    __slots__ = ("effect", "fault", "narrowed", "random")

    def __init__(self, fault: NetFault, effect: Effect, random: Random) -> None:
        self.fault = fault
        self.effect = effect
        self.random = random
        self.narrowed = bool(fault.ports or fault.size_min or fault.flows == "new")


class LinkModel:
    """Decides, for each packet, when it arrives, how often, and whether at all."""

    def __init__(self, random: Random, base: Law = PERFECT) -> None:
        """Make a link without faults whose packets take as long as `base` says."""
        self._random = random
        self._base = base
        self._seed = random.getrandbits(64)
        self._active: dict[str, _Active] = {}
        self._effects: dict[str, int] = {}

    def push(self, fault_id: str, fault: NetFault) -> None:
        """Put a fault on the link. An ID may come again when it was taken off."""
        assert fault_id not in self._active, f"{fault_id} is on this link already"
        stream = Random(f"{self._seed}:{fault_id}")  # noqa: S311 - to be repeated, not guessed
        self._active[fault_id] = _Active(fault, effect_of(fault), stream)
        self._effects.setdefault(fault_id, 0)

    def pop(self, fault_id: str) -> None:
        """Take a fault off; harmless when it is not there."""
        self._active.pop(fault_id, None)

    def faults(self) -> tuple[str, ...]:
        """The IDs of the faults on the link, the oldest first."""
        return tuple(self._active)

    def effect(self, fault_id: str) -> int:
        """How many packets the fault has touched, so far or while it was on the link."""
        return self._effects.get(fault_id, 0)

    def decide(  # noqa: PLR0913 - a packet has that many properties
        self,
        now: float,
        size: int,
        new_flow: bool,
        *,
        flow: int = 0,
        port: int = 0,
        answer: bool = False,
    ) -> list[Delivery]:
        """What becomes of a packet sent at `now`: nothing if lost, two if duplicated.

        Args:
            now: virtual seconds; must not go back.
            size: octets, headers included.
            new_flow: it opens a stream, or belongs to none.
            flow: which stream it is of.
            port: the TCP or UDP port of the stream's listener.
            answer: it answers one that opens a stream, on the way back.
        """
        base_s = max(draw(self._base, self._random), HOP_S)
        if not self._active:
            return [Delivery(now + base_s)]
        packet = Passage(now, size, new_flow, flow, port)
        packet.answer = answer
        for fault_id, active in self._active.items():
            if active.narrowed and not _concerns(active.fault, packet):
                continue
            if active.effect.touch(packet, active.random):
                self._effects[fault_id] += 1
        return _outcome(packet, base_s)

    def piece(self, size: int, *, port: int = 0) -> int:
        """How many of the next `size` octets of a stream go into one packet; at least 1."""
        if not self._active:
            return size
        least = size
        for fault_id, active in self._active.items():
            fault = active.fault
            if not isinstance(fault, Slice) or (fault.ports and port not in fault.ports):
                continue
            piece = active.random.randint(1, fault.bytes_max)
            self._effects[fault_id] += piece < size
            least = min(least, piece)
        return least


def _concerns(fault: LinkFault, packet: Passage) -> bool:
    return (
        (not fault.ports or packet.port in fault.ports)
        and packet.size >= fault.size_min
        and (fault.flows == "all" or packet.new_flow)
    )


def _outcome(packet: Passage, base_s: float) -> list[Delivery]:
    # What is lost on its way reaches nobody who could refuse it.
    if packet.is_lost:
        return []
    if packet.is_refused or packet.is_reset:
        fate = Fate.REFUSED if packet.is_refused else Fate.RESET
        return [Delivery(packet.now + HOP_S, fate)]
    at = packet.now + base_s + packet.delay_s + packet.queued_s
    first = Delivery(at, flip=packet.flip)
    return [first, *(Delivery(at + later_s, flip=packet.flip) for later_s in packet.copies_s)]
