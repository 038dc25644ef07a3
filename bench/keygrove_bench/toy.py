"""A store of a hundred lines, to measure the simulator by and not the product: nodes that gossip.

Each of five nodes keeps packets by key, in memory. Now and then it tells another one a word
for all it has; if that is not the other's word, they exchange what they have. Clients put, get
and search (W-01: mixed users); for a third of the run the nodes do not see each other (W-04: a
symmetric partition with writes on both sides). In the end all must hold the same.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

import anyio
import msgspec

from keygrove_chaos.catalogue import Setup
from keygrove_chaos.history import NANOSECONDS, About, Detail, Function, Phase
from keygrove_chaos.invariants import monitor
from keygrove_chaos.net_faults import LogNormal
from keygrove_chaos.network import Datagram, Network
from keygrove_chaos.observation import NodeView, View
from keygrove_chaos.partition import split
from keygrove_chaos.record import Record
from keygrove_chaos.world import World

NODES: Final = tuple(f"n{number}" for number in range(5))
KEYS: Final = tuple(f"{number:040x}" for number in range(50))
ZIPF: Final = tuple(accumulate(1 / (rank + 1) ** 1.1 for rank in range(len(KEYS))))
VERBS: Final = (Function.GET, Function.SEARCH, Function.PUT, None)
MIX: Final = (0.80, 0.92, 0.99, 1.0)
"""80 % get, 12 % search, 7 % put, 1 % odd input; summed up."""
LATENCY: Final = LogNormal(median_s=0.02, sigma=0.5)
PATIENCE_S: Final = 10.0
SETTLE_S: Final = 120.0
PORT: Final = 1

OK: Final = Detail(status=200)


class Load(msgspec.Struct, frozen=True):
    """Clients of each node, how much each asks per second, how often nodes gossip; for how long."""

    clients: int
    rate: float
    gossip_s: float
    lasts_s: float


BUSY: Final = Load(clients=4, rate=5.0, gossip_s=0.5, lasts_s=30.0)
CALM: Final = Load(clients=1, rate=0.5, gossip_s=2.0, lasts_s=600.0)


async def busy(world: World) -> list[str]:
    """Many clients for half a minute."""
    return await _run(world, BUSY)


async def calm(world: World) -> list[str]:
    """Few clients for ten minutes: no more than 15 events in a virtual second."""
    return await _run(world, CALM)


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """What a client wants."""

    number: int
    verb: Function
    key: str
    packet: str


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What it gets: packets of the key, or the keys that were searched for."""

    number: int
    found: list[str]


class Word(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A word for all that the sender holds."""

    word: int


class Everything(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What the sender holds; `is_last` if it wants no answer."""

    held: dict[str, list[str]]
    is_last: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ask | Answer | Word | Everything).decode


class Node:
    """One node."""

    def __init__(self, world: World, network: Network, name: str) -> None:
        self.name = name
        self.held: dict[str, dict[str, None]] = {}
        self.word = 0
        self._world = world
        self._network = network
        network.bind(name, PORT, self._take)

    async def gossip(self, every_s: float) -> None:
        """Tell another one the word, now and then."""
        random = self._world.stream(f"gossip:{self.name}")
        others = [name for name in NODES if name != self.name]
        while True:
            await anyio.sleep(random.expovariate(1 / every_s))
            self._send(random.choice(others), Word(self.word))

    def _take(self, datagram: Datagram) -> None:
        try:
            message = _decode(datagram.data)
        except msgspec.DecodeError:
            self._world.count("odd")
            return
        match message:
            case Ask():
                self._send(datagram.source, Answer(message.number, self._serve(message)))
            case Word() if message.word != self.word:
                self._send(datagram.source, self._everything(is_last=False))
            case Everything():
                for key, packets in message.held.items():
                    for packet in packets:
                        self._keep(key, packet)
                if not message.is_last:
                    self._send(datagram.source, self._everything(is_last=True))
            case _:
                pass

    def _serve(self, ask: Ask) -> list[str]:
        if ask.verb is Function.PUT:
            self._keep(ask.key, ask.packet)
            return []
        if ask.verb is Function.GET:
            return list(self.held.get(ask.key, ()))
        return [key for key in self.held if key.endswith(ask.key)]

    def _keep(self, key: str, packet: str) -> None:
        packets = self.held.setdefault(key, {})
        if packet not in packets:
            packets[packet] = None
            self.word ^= int(packet, 16)

    def _everything(self, *, is_last: bool) -> Everything:
        return Everything({key: list(packets) for key, packets in self.held.items()}, is_last)

    def _send(self, target: str, message: Answer | Word | Everything) -> None:
        self._network.send_datagram(self.name, target, PORT, _encode(message))


class Client:
    """One user of one node, who does one thing after the other."""

    def __init__(
        self, world: World, network: Network, record: Record, *, name: str, node: str
    ) -> None:
        self._world = world
        self._network = network
        self._record = record
        self._name = name
        self._node = node
        self._number = -1
        self._found: list[str] = []
        self._answered = anyio.Event()
        network.bind(name, PORT, self._take)

    async def play(self, rate: float, until: float) -> None:
        """Ask so often per second, on average."""
        random = self._world.stream(f"client:{self._name}")
        while self._world.now() < until:
            await anyio.sleep(random.expovariate(rate))
            (verb,) = random.choices(VERBS, cum_weights=MIX)
            (key,) = random.choices(KEYS, cum_weights=ZIPF)
            if verb is None:
                self._network.send_datagram(self._name, self._node, PORT, random.randbytes(20))
            elif verb is Function.PUT:
                await self._ask(verb, key, f"{random.getrandbits(64):016x}")
            else:
                await self._ask(verb, key if verb is Function.GET else key[-1:])

    async def _ask(self, verb: Function, key: str, *packet: str) -> None:
        event = self._record.invoke(self._name, About(self._node, verb, key, packet))
        self._number, self._answered = event.index, anyio.Event()
        ask = Ask(event.index, verb, key, *packet or ("",))
        self._network.send_datagram(self._name, self._node, PORT, _encode(ask))
        with anyio.move_on_after(PATIENCE_S):
            await self._answered.wait()
            self._record.close(event, Phase.OK, self._found, OK)
            return
        self._record.close(event, Phase.INFO)

    def _take(self, datagram: Datagram) -> None:
        answer = _decode(datagram.data)
        if isinstance(answer, Answer) and answer.number == self._number:
            self._found = answer.found
            self._answered.set()


async def _run(world: World, load: Load) -> list[str]:
    homes = {f"c{number}": NODES[number % 5] for number in range(5 * load.clients)}
    network = Network(world, [*NODES, *homes], LATENCY)
    record, watching = Record(world), monitor(Setup())
    record.watch(watching)
    nodes = [Node(world, network, name) for name in NODES]
    async with anyio.create_task_group() as tasks:
        for node in nodes:
            tasks.start_soon(node.gossip, load.gossip_s)
        async with anyio.create_task_group() as playing:
            for name, home in homes.items():
                client = Client(world, network, record, name=name, node=home)
                playing.start_soon(client.play, load.rate, load.lasts_s)
            await anyio.sleep(load.lasts_s / 3)
            network.inject("partition", split([NODES[:2], NODES[2:]]))
            await anyio.sleep(load.lasts_s / 3)
            network.heal("partition")
        with anyio.move_on_after(SETTLE_S):
            while len({node.word for node in nodes}) > 1:  # noqa: ASYNC110 - no time is real
                await anyio.sleep(load.gossip_s)
        tasks.cancel_scope.cancel()
    views = tuple(
        NodeView(
            node=node.name,
            policy="one for all",
            keys={key: frozenset(packets) for key, packets in node.held.items()},
        )
        for node in nodes
    )
    watching.final(View(round(world.now() * NANOSECONDS), views), record.history.events)
    return [f"{one.invariant}: {one.says}" for one in watching.violations]
