"""Hosts, and the streams and datagrams between them, over links that may be faulty.

Everything is a plain call at a moment of the world's timeline; no task is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, TypeAlias

import msgspec

from keygrove_chaos.errors import ChaosError, known
from keygrove_chaos.link import Delivery, Fate, LinkModel
from keygrove_chaos.net_faults import Const, Law, NetFault, Pair
from keygrove_chaos.partition import struck
from keygrove_chaos.stream import Stream
from keygrove_chaos.tcp import End, Mark, Packet, Trouble
from keygrove_chaos.timeline import Moment, Timeline

HEADER_BYTES = 40
"""Of IP and TCP, in every packet."""
SEGMENT_BYTES = 1_460
"""What a packet carries on Ethernet."""

BASE = Const(0.001)
"""How long a packet takes where nothing else is said."""

Accept: TypeAlias = Callable[[Stream], None]
"""Given each stream that was opened; it may start a task and must not wait."""


class Datagram(msgspec.Struct, frozen=True):
    """What a socket received."""

    source: str
    data: bytes


class Tally(msgspec.Struct):
    """What became of datagrams: sent + duplicated = delivered + lost + in_flight, always."""

    sent: int = 0
    duplicated: int = 0
    delivered: int = 0
    lost: int = 0
    in_flight: int = 0


class _Host:
    """A host: its ends of streams, who listens, and what waits while it is paused."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_down = False
        self.is_paused = False
        self.backlog: list[Callable[[], None]] = []
        self.ends: dict[tuple[int, bool], End] = {}
        self.listeners: dict[int, Accept] = {}
        self.sockets: dict[int, Callable[[Datagram], None]] = {}

    def run(self, function: Callable[[], None]) -> None:
        """Call it; later, if the host is paused; not at all, if it is down."""
        if self.is_paused:
            self.backlog.append(function)
        elif not self.is_down:
            function()


class Network:
    """All hosts and links of a world."""

    def __init__(self, timeline: Timeline, hosts: Iterable[str] = (), base: Law = BASE) -> None:
        """Connect `hosts`, each with every other, by links of the latency `base`."""
        self.datagrams = Tally()
        self._timeline = timeline
        self._base = base
        self._hosts: dict[str, _Host] = {}
        self._links: dict[Pair, LinkModel] = {}
        self._targets: dict[str, tuple[Pair, ...]] = {}
        self._flows = 0
        for name in hosts:
            self.add_host(name)

    # Hosts.

    def add_host(self, name: str) -> None:
        """Add a host. Faults put in before do not concern it.

        Raises:
            ChaosError: there is one of that name, here and below; or none, where one is named.
        """
        if name in self._hosts:
            raise ChaosError(f"there is a host {name!r} already: give each a name of its own")
        self._hosts[name] = _Host(name)

    def hosts(self) -> tuple[str, ...]:
        """Their names, as they were added."""
        return tuple(self._hosts)

    def crash_host(self, name: str, how: Literal["fin", "rst", "silent"] = "rst") -> None:
        """End all that runs on a host: listeners, sockets, streams.

        "fin", "rst": its process dies, its kernel ends or resets streams. "silent": the power
        is gone, nobody is told, and the host answers nothing until it is restarted.
        """
        host = known(self._hosts, name, "host")
        self._timeline.note("net.crash", name, how)
        host.listeners.clear()
        host.sockets.clear()
        self._drop_backlog(host)
        for end in tuple(host.ends.values()):
            if how == "fin":
                end.close()
            elif how == "rst":
                end.abort()
            else:
                end.vanish()
        host.is_down = how == "silent"

    def restart_host(self, name: str) -> None:
        """Let a host run again, with nothing on it: packets of old streams are answered by resets.

        Harmless when it runs.
        """
        host = known(self._hosts, name, "host")
        self._timeline.note("net.restart", name)
        self._drop_backlog(host)
        host.is_down = False

    def pause_host(self, name: str) -> None:
        """Freeze a host: what reaches it, and what it sends, waits."""
        host = known(self._hosts, name, "host")
        self._timeline.note("net.pause", name)
        host.is_paused = True

    def resume_host(self, name: str) -> None:
        """Let a paused host go on: all that waited happens now, in order."""
        host = known(self._hosts, name, "host")
        self._timeline.note("net.resume", name)
        host.is_paused = False
        backlog, host.backlog = host.backlog, []
        for function in backlog:
            function()

    def _drop_backlog(self, host: _Host) -> None:
        # Each function finds the host down, and counts what that loses.
        was_down, host.is_down, host.is_paused = host.is_down, True, False
        backlog, host.backlog = host.backlog, []
        for function in backlog:
            function()
        host.is_down = was_down

    # Faults.

    def inject(self, fault_id: str, fault: NetFault, links: Iterable[Pair] | None = None) -> None:
        """Put a fault on directed links: the given ones, or those it names, or all.

        A fault that names hosts itself takes no `links`.

        Raises:
            ChaosError: the name was given before, or a link is none.
        """
        if fault_id in self._targets:
            raise ChaosError(f"there was a fault {fault_id!r} already: give each a name of its own")
        stream = self._timeline.stream(f"net.swizzle:{fault_id}")
        on = struck(fault, links, self.hosts(), stream)
        self._timeline.note("net.fault", fault_id, len(on))
        self._targets[fault_id] = tuple(on)
        for pair, part in on.items():
            self.link(*pair).push(fault_id, part)

    def heal(self, fault_id: str) -> None:
        """Take a fault off, and leave all others; harmless when it was healed before."""
        targets = known(self._targets, fault_id, "fault")
        self._timeline.note("net.heal", fault_id)
        for pair in targets:
            self.link(*pair).pop(fault_id)

    def effect(self, fault_id: str) -> int:
        """How many packets the fault has touched; 0 in the end means it was inert."""
        targets = known(self._targets, fault_id, "fault")
        return sum(self.link(*pair).effect(fault_id) for pair in targets)

    def link(self, source: str, target: str) -> LinkModel:
        """The link from `source` to `target`."""
        found = self._links.get((source, target))
        if found is None:
            for name in (source, target):
                known(self._hosts, name, "host")
            stream = self._timeline.stream(f"net.link:{source}>{target}")
            found = self._links[source, target] = LinkModel(stream, self._base)
        return found

    # Streams.

    def listen(self, host: str, port: int, handler: Accept) -> Callable[[], None]:
        """Give `handler` each stream that is opened to this port; return what ends that."""
        listeners = known(self._hosts, host, "host").listeners
        if port in listeners:
            raise ChaosError(f"{host}:{port} is taken: end the other listener first")
        listeners[port] = handler

        def close() -> None:
            if listeners.get(port) is handler:
                del listeners[port]

        return close

    async def connect(self, source: str, target: str, port: int) -> Stream:
        """Open a stream.

        Raises:
            ConnectionRefusedError: nobody listens, or something in between refuses.
            TimeoutError: nothing came back for two minutes.
            ConnectionAbortedError: `source` itself is down.
        """
        host, peer = known(self._hosts, source, "host"), known(self._hosts, target, "host")
        if host.is_down:
            raise ConnectionAbortedError(f"{source} is down")
        self._flows += 1
        wire = _StreamWire(self, host, peer, port, (self._flows, True))
        stream = Stream(wire, self._flows, is_opener=True, peer=target)
        host.ends[self._flows, True] = stream.end
        await stream.open()
        return stream

    def transmit(self, source: str, target: str, port: int, packet: Packet) -> None:
        """Put a packet of a stream on its link."""
        deliveries = self.link(source, target).decide(
            self._timeline.now(),
            HEADER_BYTES + len(packet.data),
            packet.mark is Mark.OPEN and not packet.to_opener,
            flow=packet.flow,
            port=port,
            answer=packet.mark is Mark.OPEN and packet.to_opener,
        )
        for delivery in deliveries:
            arrive = partial(self._arrive, source, target, port, packet, delivery)
            self._timeline.call_at(delivery.at, arrive)

    def _arrive(
        self, source: str, target: str, port: int, packet: Packet, delivery: Delivery
    ) -> None:
        if delivery.fate is not Fate.ARRIVES:
            self._turn_away(source, target, packet, delivery.fate)
            return
        host = self._hosts[target]
        if host.is_paused or host.is_down:
            host.run(partial(self._arrive, source, target, port, packet, delivery))
            return
        is_opener = packet.to_opener
        self._timeline.note(
            "net.packet", source, target, packet.flow, packet.mark.value, packet.seq, packet.end
        )
        if delivery.flip is not None and packet.data:
            packet = msgspec.structs.replace(packet, data=_flipped(packet.data, delivery.flip))
        end = host.ends.get((packet.flow, is_opener))
        if end is not None:
            end.take(packet)
        elif packet.mark is Mark.OPEN and not is_opener and port in host.listeners:
            self._accept(host, self._hosts[source], port, packet)
        elif packet.mark is not Mark.RESET:
            answer = Packet(packet.flow, not is_opener, Mark.RESET, packet.ack, b"", packet.end, 0)
            self.transmit(target, source, port, answer)

    def _accept(self, host: _Host, peer: _Host, port: int, packet: Packet) -> None:
        def opened(stream: Stream) -> None:
            if (handler := host.listeners.get(port)) is not None:
                handler(stream)
            else:
                stream.abort()

        wire = _StreamWire(self, host, peer, port, (packet.flow, False))
        stream = Stream(wire, packet.flow, is_opener=False, opened=opened, peer=peer.name)
        host.ends[packet.flow, False] = stream.end
        stream.end.open(packet)

    def _turn_away(self, source: str, target: str, packet: Packet, fate: Fate) -> None:
        """Tell the sender, or both, that something in between ends the stream."""
        told = [(source, not packet.to_opener)]
        if fate is Fate.RESET:
            told.append((target, packet.to_opener))
        for name, is_opener in told:
            host = self._hosts[name]
            end = host.ends.get((packet.flow, is_opener))
            if end is not None:
                trouble = Trouble.RESET if end.is_open else Trouble.REFUSED
                host.run(partial(end.fail, trouble))

    def now(self) -> float:
        """Virtual seconds."""
        return self._timeline.now()

    def call_at(self, when: float, function: Callable[[], None]) -> Moment:
        """Call `function` at `when`."""
        return self._timeline.call_at(when, function)

    # Datagrams.

    def bind(self, host: str, port: int, handler: Callable[[Datagram], None]) -> None:
        """Give `handler` each datagram that reaches this port."""
        sockets = known(self._hosts, host, "host").sockets
        if port in sockets:
            raise ChaosError(f"{host}:{port} is taken: bind another port")
        sockets[port] = handler

    def send_datagram(self, source: str, target: str, port: int, data: bytes) -> None:
        """Send a datagram: it may be lost, come twice, or be overtaken."""
        host, peer = known(self._hosts, source, "host"), known(self._hosts, target, "host")
        self.datagrams.sent += 1
        self.datagrams.in_flight += 1
        self._send_datagram(host, peer, port, data)

    def _send_datagram(self, host: _Host, target: _Host, port: int, data: bytes) -> None:
        if host.is_paused:
            host.backlog.append(partial(self._send_datagram, host, target, port, data))
            return
        deliveries: list[Delivery] = []
        if not host.is_down:
            link = self.link(host.name, target.name)
            found = link.decide(self.now(), HEADER_BYTES + len(data), True, port=port)
            deliveries = [delivery for delivery in found if delivery.fate is Fate.ARRIVES]
        tally = self.datagrams
        if not deliveries:
            tally.in_flight -= 1
            tally.lost += 1
            return
        tally.duplicated += len(deliveries) - 1
        tally.in_flight += len(deliveries) - 1
        for delivery in deliveries:
            arriving = data if delivery.flip is None else _flipped(data, delivery.flip)
            datagram = Datagram(host.name, arriving)
            arrive = partial(self._arrive_datagram, target, port, datagram)
            self._timeline.call_at(delivery.at, arrive)

    def _arrive_datagram(self, host: _Host, port: int, datagram: Datagram) -> None:
        if host.is_paused:
            host.backlog.append(partial(self._arrive_datagram, host, port, datagram))
            return
        self._timeline.note("net.datagram", datagram.source, host.name, port, len(datagram.data))
        self.datagrams.in_flight -= 1
        handler = None if host.is_down else host.sockets.get(port)
        if handler is None:
            self.datagrams.lost += 1
        else:
            self.datagrams.delivered += 1
            handler(datagram)


class _StreamWire:
    """See `tcp.Wire`: one end's way to the network."""

    def __init__(
        self, network: Network, host: _Host, peer: _Host, port: int, key: tuple[int, bool]
    ) -> None:
        self._network = network
        self._host = host
        self._peer = peer
        self._port = port
        self._key = key
        self.now = network.now

    def transmit(self, packet: Packet) -> None:
        way = (self._host.name, self._peer.name, self._port)
        if self._host.is_paused or self._host.is_down:
            self._host.run(partial(self._network.transmit, *way, packet))
        else:
            self._network.transmit(*way, packet)

    def piece(self, size: int) -> int:
        link = self._network.link(self._host.name, self._peer.name)
        return link.piece(min(size, SEGMENT_BYTES), port=self._port)

    def ring_at(self, when: float, function: Callable[[], None]) -> Moment:
        return self._network.call_at(when, partial(self._host.run, function))

    def gone(self) -> None:
        self._host.ends.pop(self._key, None)


def _flipped(data: bytes, offset: int) -> bytes:
    """The data with one octet changed."""
    changed = bytearray(data)
    if changed:
        # a changed header that no checksum shows is taken for changed data
        changed[offset % len(changed)] ^= 0xFF
    return bytes(changed)
