"""Nodes that are partners of each other come to hold the same, in time: whole Keygroves in a world.

They are told different things and tell each other, while `federation` has faults befall them. Then
all is healed, and how long it may take until all hold all follows from who is whose partner: see
`docs/explanation/simulation.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import anyio
import msgspec

from keygrove.recon.gossip import GOSSIP, GetPartners, GossipApi
from keygrove.recon.knownfile import ABSENT_FIRST_S
from keygrove.settings import (
    AdminSettings,
    PolicySettings,
    ReconPartner,
    ReconSettings,
    Settings,
    StorageSettings,
)
from keygrove_actors import ActorError
from keygrove_chaos.arming import Arming
from keygrove_chaos.catalogue import Setup
from keygrove_chaos.certificates import made
from keygrove_chaos.client import Client, Hkp, found_certificate
from keygrove_chaos.crdt import facts
from keygrove_chaos.federation import Federation, federation_for
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.invariants import Monitor, monitor
from keygrove_chaos.machine import RECON, Machine
from keygrove_chaos.nemesis import Nemesis
from keygrove_chaos.network import Network
from keygrove_chaos.observation import NodeView, View
from keygrove_chaos.partner import Holdings, compare, holdings
from keygrove_chaos.record import Record
from keygrove_chaos.rounds import Rounds
from keygrove_chaos.servers import Reply
from keygrove_chaos.submissions import ADMIN, SERVER, name_of
from keygrove_chaos.topology import neighbours
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes

FIVE, TWENTY, FIFTY = 5, 20, 50
SETTLE_S: Final = 90.0
"""In which nodes must be whole at the start, and once all was healed."""
LOOK_S: Final = 1.0
LAG_S: Final = 3.0
"""By so much later than it is so it may be seen here, and a fetch may end after its session."""
HELD_UP_S: Final = 300.0
"""For what hung when all was healed: a fetch, 180 s, and the pause after it, up to 60 s; a session
is over sooner, and a fallen actor up again."""
JITTER: Final = 1.1
"""The longest pause, in intervals."""
SESSION_S: Final = 10.0
"""A session and the fetch after it, where nothing is wrong."""
ASK_S: Final = 5.0
STRUCK: Final = ("Injected", "NodeDeadError")
"""What actors are made to crash with: by themselves, or at a crash point with their process."""
DISABLED: Final = {
    "I-11": "no mailbox is looked at",
    "I-08": "children that are partners are in no specification",
    "I-10": "children that are partners are in no specification",
    "I-13": "a key's state comes from other nodes, too",
    "I-24": "it is that of one node, which the skeleton looks at",
}


async def scenario(world: World) -> list[str]:
    """Five nodes."""
    return await _run(world, FIVE)


async def twenty(world: World) -> list[str]:
    """Twenty nodes."""
    return await _run(world, TWENTY)


async def fifty(world: World) -> list[str]:
    """Fifty nodes."""
    return await _run(world, FIFTY)


async def _run(world: World, nodes: int) -> list[str]:
    return await _Run(world, world.planned(federation_for(world.seed, nodes))).run()


class _Run:
    def __init__(self, world: World, drawn: Federation) -> None:
        self._world = world
        self._drawn = drawn
        plan = self._plan = drawn.plan
        self._network = Network(world, plan.clients)
        self._record = Record(world)
        self._machines = {
            name: Machine(world, self._network, name, settings, self._record)
            for name, settings in _settings(drawn).items()
        }
        arming = Arming(
            world,
            lambda name: self._machines[name].crash("process"),
            is_buggified=plan.features.get("buggify", False),
        )
        for machine in self._machines.values():
            machine.points = arming
        self._nemesis = Nemesis(world, self._network, self._machines, arming, self._record)
        self._rounds = Rounds(drawn.partners)
        self._falls: list[str] = []
        blocked = [name_of(ask).hex() for ask in plan.program if ask.verb == "block"]
        self._blocked = frozenset(blocked)
        """Keys that the odd node need not have."""

    async def run(self) -> list[str]:
        found: list[str] = []
        async with anyio.create_task_group() as tasks:
            for machine in self._machines.values():
                tasks.start_soon(machine.keep)
            found = await self._whole()
            watching = self._watch()
            tasks.start_soon(self._follow)
            async with anyio.create_task_group() as playing:
                playing.start_soon(self._nemesis.play, self._plan.faults, tasks)
                for name in self._plan.clients:
                    playing.start_soon(self._play, name)
            found += await self._converge() or await self._judge(watching)
            found += [f"{one.invariant}: {one.says}" for one in watching.violations]
            found += self._falls[:1]
            self._world.note("verdict", len(found))
            self._count()
            tasks.cancel_scope.cancel()
        return found

    def _watch(self) -> Monitor:
        disabled = dict(DISABLED)
        if self._plan.features.get("pause"):
            disabled["I-17"] = "a machine that stands still does not stop"
        if self._may_lose:
            why = "power cuts may cost what is not durable"
            disabled |= dict.fromkeys(("I-01", "I-03", "I-06"), why)
        watching = monitor(Setup(), disabled)
        self._record.watch(watching)
        return watching

    @property
    def _may_lose(self) -> bool:
        """Whether the power may fail before what a node says that it has is durable."""
        return self._drawn.durability == "relaxed" and self._plan.features.get("power", False)

    async def _play(self, name: str) -> None:
        client = Client(name, self._network, self._record, self._plan, _no_offers)
        await client.play([ask for ask in self._plan.program if ask.client == name])

    async def _whole(self) -> list[str]:
        with anyio.move_on_after(SETTLE_S):
            for machine in self._machines.values():
                while not await machine.is_ready():  # noqa: ASYNC110 - no time is real
                    await anyio.sleep(LOOK_S)
            return []
        return [
            f"I-10: {name} is not whole after {SETTLE_S:g} s: {one.failure or one.paths}"
            for name, one in self._machines.items()
            if not await one.is_ready()
        ]

    async def _follow(self) -> None:
        """Hear of the sessions of all nodes, and of actors that fell by themselves."""
        places = dict.fromkeys(self._machines, 0)
        while True:
            for name, machine in self._machines.items():
                lines = machine.log.lines
                for line in lines[places[name] :]:
                    if line.event == "recon round ended":
                        self._rounds.note(name, line.facts, self._world.now())
                    elif line.event == "actor ended" and _is_fall(str(line.facts["reason"])):
                        self._falls.append(
                            f"I-10: on {name} {line.facts['path']} {line.facts['reason']}"
                        )
                places[name] = len(lines)
            await anyio.sleep(LOOK_S)

    # ---- until all hold all

    async def _converge(self) -> list[str]:
        """Everything is healed: wait until all hold all, and hold that against the bound."""
        self._world.note("settle")
        healed = self._world.now()
        bound_s = self._bound_s()
        with anyio.move_on_after(bound_s):
            calm = await self._calm()
            if self._may_lose:  # who did not give what it had lost is not asked for it for a while
                calm = max(calm, healed + ABSENT_FIRST_S)
            while await self._differing():  # noqa: ASYNC110 - no time is real
                await anyio.sleep(LOOK_S)
            converged = self._world.now()
            while self._rounds.without(healed):  # noqa: ASYNC110 - no time is real
                await anyio.sleep(LOOK_S)
            return self._compare_rounds(calm, converged)
        found = [f"I-04: {one}" for one in await self._differing()] or [
            f"I-04: {one} began no session with {other} that ended well"
            for one, other in self._rounds.without(healed)
        ]
        return [f"{one} {bound_s:g} s after all was healed" for one in found[:3]]

    def _bound_s(self) -> float:
        """The time in which they have to converge, once all is healed."""
        drawn = self._drawn
        pause_s = JITTER * (2 * drawn.interval_s + self._plan.lasts_s / (2 - JITTER))
        round_s = JITTER * drawn.interval_s + SESSION_S
        return HELD_UP_S + pause_s + (drawn.diameter + 1) * round_s

    async def _calm(self) -> float:
        """The moment since which no recovery is left of the time of faults."""
        for machine in self._machines.values():
            waiting = {one for pair in self._drawn.partners for one in pair}
            waiting &= set(neighbours(self._drawn.partners)[machine.name])
            while waiting:
                waiting -= await _idle(machine)
                if waiting:
                    await anyio.sleep(LOOK_S)
        return self._world.now()

    def _compare_rounds(self, calm: float, converged: float) -> list[str]:
        rounds, most = self._rounds.between(calm, converged - LAG_S), self._drawn.diameter
        self._world.count("rounds", rounds + 1)
        self._world.count("diameter", most)
        if rounds < most:
            return []
        return [
            f"I-04: not all held all before round {rounds + 1}, and no node is further than "
            f"{most} from any other"
        ]

    async def _differing(self) -> list[str]:
        """Nodes that do not hold what they are to hold, beside the first that is not odd."""
        first, *others = [name for name in self._machines if name not in self._drawn.odd]
        due = await self._held(first)
        if due is None:
            return [f"{first} does not say what it holds"]
        found: list[str] = []
        for name in (*others, *self._drawn.odd):
            held = await self._held(name)
            if held is None:
                return [f"{name} does not say what it holds"]
            is_like = held == due if name in others else held.names ^ due.names <= self._blocked
            if not is_like:
                found.append(f"{name} does not hold what {first} does")
        return found

    async def _held(self, name: str) -> Holdings | None:
        runtime = self._machines[name].runtime
        return None if runtime is None else await holdings(runtime, self._plan.shards)

    # ---- what it came to

    async def _judge(self, watching: Monitor) -> list[str]:
        found = await self._whole()
        if found:
            return found
        await anyio.sleep(2 * JITTER * self._drawn.interval_s)  # in which nothing is to happen
        for name, machine in self._machines.items():
            assert machine.runtime is not None
            seen = await compare(machine.runtime, self._plan.shards)
            if seen is None:
                return [f"I-05: {name} shows nothing to partners"]
            self._record.tree(name, *seen)
        view = View(round(self._world.now() * NANOSECONDS), tuple(await self._looks()))
        watching.final(view, self._record.history.events)
        return []

    async def _looks(self) -> list[NodeView]:
        """What nodes hold. Those that hold the same octets are asked for them once."""
        known: dict[Holdings, NodeView] = {}
        found: list[NodeView] = []
        for name in self._machines:
            held = await self._held(name)
            assert held is not None
            if held not in known:
                known[held] = await self._look(name)
            policy = name if name in self._drawn.odd else "verified"
            log = tuple(f"{one.event} {one.facts}" for one in self._machines[name].log.lines)
            tree = frozenset(digest for _, digest in held.digests)
            found.append(
                msgspec.structs.replace(known[held], node=name, policy=policy, log=log, tree=tree)
            )
        return found

    async def _look(self, name: str) -> NodeView:
        hkp = Hkp(self._machines[name].door.ask)
        keys: dict[str, frozenset[str]] = {}
        digests: dict[str, str] = {}
        for key in sorted({name_of(ask).hex() for ask in self._plan.program}):
            certificate = found_certificate(await hkp.get(key))
            if certificate is not None:
                keys[key] = facts(certificate)
                digests[key] = hashlib.sha256(to_bytes(certificate)).hexdigest()
        return NodeView(node=name, policy=name, keys=keys, digests=digests)

    def _count(self) -> None:
        self._world.count("operations", len(self._record.history.events))
        self._world.count(f"shape:{self._drawn.shape}")
        for name, is_on in self._plan.features.items():
            self._world.count(f"feature:{name}", is_on)


def _is_fall(reason: str) -> bool:
    """Whether an actor crashed that no fault of the plan had crash."""
    return reason.startswith("crashed") and not any(one in reason for one in STRUCK)


async def _no_offers(node: str, partner: str, certificate: bytes, session: str) -> Reply:
    del certificate, session
    raise AssertionError(f"{partner} is no partner of {node}, and brings it something")


async def _idle(machine: Machine) -> set[str]:
    """The partners from whom nothing waits to be fetched now."""
    if machine.runtime is None:
        return set()
    try:
        partners = await machine.runtime.whereis(GOSSIP, GossipApi).call(
            GetPartners(), timeout=ASK_S
        )
    except ActorError:
        return set()
    return {
        one.name
        for one in partners
        if one.peer is not None and one.peer.recovery is not None and not one.peer.recovery.waiting
    }


def _settings(drawn: Federation) -> Mapping[str, Settings]:
    near = neighbours(drawn.partners)
    return {name: _settings_of(drawn, name, near[name]) for name in drawn.plan.nodes}


def _settings_of(drawn: Federation, name: str, partners: Iterable[str]) -> Settings:
    plan = drawn.plan
    return Settings(
        storage=StorageSettings(
            shards=plan.shards, cache_bytes=plan.cache_bytes, durability=drawn.durability
        ),
        policy=PolicySettings(preset=plan.presets.get(name, "verified")),
        recon=ReconSettings(
            listen=(f"{name}:{RECON}",),
            gossip_interval=drawn.interval_s,
            partner=tuple(ReconPartner(one, f"{one}:{RECON}") for one in partners),
        ),
        admin=AdminSettings(keys=(fingerprint(made(ADMIN)).hex(),), server=SERVER),
    )
