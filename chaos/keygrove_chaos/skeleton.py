"""Three nodes, their clients, and what the plan of a seed has befall them: Keygrove in a world.

The nodes do not know of each other: see `converging` for some that do. Clients put, get and search
over the network while processes are killed, the power fails, disks and links misbehave and clocks
jump. Then all that heals is healed, and what was promised must be there.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import anyio

from keygrove.settings import (
    AdminSettings,
    PolicySettings,
    ReconSettings,
    Settings,
    StorageSettings,
)
from keygrove_actors.census import Snapshot, tree_snapshot
from keygrove_chaos.arming import Arming
from keygrove_chaos.catalogue import Setup
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Client, Hkp, found_certificate, found_names
from keygrove_chaos.control import OK, Control, listed, shown_then
from keygrove_chaos.crdt import facts
from keygrove_chaos.history import NANOSECONDS
from keygrove_chaos.invariants import Monitor, monitor
from keygrove_chaos.machine import Machine
from keygrove_chaos.nemesis import Nemesis
from keygrove_chaos.network import Network
from keygrove_chaos.observation import NodeView, View
from keygrove_chaos.partner import compare
from keygrove_chaos.plan import PUTS, Ask, Plan
from keygrove_chaos.record import Record
from keygrove_chaos.servers import Reply
from keygrove_chaos.submissions import ADMIN, SERVER, name_of
from keygrove_chaos.swarm import plan_for
from keygrove_chaos.taken_back import DUE
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import fingerprint, to_bytes, user_ids

PROBE: Final = 1 << 40
"""The number of a key that no plan has."""
RECON: Final = "0.0.0.0:11370"
CALM_S: Final = 600.0
"""Virtual seconds for disks to do what was asked of them while they were slow;"""
SETTLE_S: Final = 90.0
"""and in which nodes must be whole after that."""
LOOK_S: Final = 0.5
GAUGE_S: Final = 5.0
NOT_FOUND: Final = 404


async def scenario(world: World) -> list[str]:
    """Play the plan of the world's seed; what it found wrong, the invariant first."""
    plan = world.planned(plan_for(world.seed))
    return await _Skeleton(world, plan).run()


class _Skeleton:
    """One run."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._network = Network(world, plan.clients)
        self._record = Record(world)
        self._machines = {
            name: Machine(world, self._network, name, _settings(plan, name), self._record)
            for name in plan.nodes
        }
        arming = Arming(
            world,
            lambda name: self._machines[name].crash("process"),
            is_buggified=plan.features.get("buggify", False),
        )
        for machine in self._machines.values():
            machine.points = arming
        self._nemesis = Nemesis(world, self._network, self._machines, arming, self._record)
        self._core = [self._machines[name] for name in plan.core]

    async def run(self) -> list[str]:
        found: list[str] = []
        async with anyio.create_task_group() as tasks:
            for machine in self._machines.values():
                tasks.start_soon(machine.keep)
            await self._whole(self._machines.values())
            watching = self._watch()
            tasks.start_soon(self._gauge)
            tasks.start_soon(self._look_at_trees)
            async with anyio.create_task_group() as playing:
                playing.start_soon(self._nemesis.play, self._plan.faults, tasks)
                self._let_clients_play(playing)
            found = await self._judge(watching)
            tasks.cancel_scope.cancel()
        return found

    def _watch(self) -> Monitor:
        runtime = self._core[0].runtime
        assert runtime is not None
        watching = monitor(Setup(tree=runtime.spec))
        self._record.watch(watching)
        return watching

    def _let_clients_play(self, tasks: anyio.abc.TaskGroup) -> None:
        for name in self._plan.clients:
            client = Client(name, self._network, self._record, self._plan, self._offer)
            program = [ask for ask in self._plan.program if ask.client == name]
            tasks.start_soon(client.play, program)

    async def _offer(self, node: str, partner: str, certificate: bytes, session: str) -> Reply:
        """See `control.Partners`: what happens past the network is in no session."""
        del session
        return await self._machines[node].offer(partner, certificate)

    async def _gauge(self) -> None:
        """Look at all mailboxes, every few seconds."""
        while True:
            await anyio.sleep(GAUGE_S)
            for machine in self._machines.values():
                if (runtime := machine.runtime) is not None:
                    for one in _all(await tree_snapshot(runtime)):
                        if one.actor is not None and not one.is_supervisor:
                            self._record.gauge(machine.name, one.path, one.high_water, one.limit)

    async def _look_at_trees(self) -> None:
        """Look at what each node shows to partners, every few seconds."""
        while self._has_recon:
            await anyio.sleep(GAUGE_S)
            for machine in self._machines.values():
                await self._look_at_tree(machine)

    @property
    def _has_recon(self) -> bool:
        return self._plan.features.get("recon", False)

    async def _look_at_tree(self, machine: Machine) -> bool:
        """Whether it could be seen."""
        seen = None
        if machine.runtime is not None:
            seen = await compare(machine.runtime, self._plan.shards)
        if seen is not None:
            self._record.tree(machine.name, *seen)
        return seen is not None

    async def _trees(self) -> list[str]:
        """Look at all trees once more; what is wrong with those that cannot be seen."""
        with anyio.move_on_after(SETTLE_S):
            for machine in self._core if self._has_recon else ():
                while not await self._look_at_tree(machine):  # noqa: ASYNC110 - no time is real
                    await anyio.sleep(LOOK_S)
            return []
        return [f"I-05: a node shows nothing to partners {SETTLE_S:g} s after all was healed"]

    async def _whole(self, machines: Iterable[Machine]) -> list[str]:
        """Wait until these nodes are whole; what is wrong with those that are not in time."""
        with anyio.move_on_after(SETTLE_S):
            for machine in machines:
                while not await machine.is_ready():  # noqa: ASYNC110 - no time is real
                    await anyio.sleep(LOOK_S)
        return [
            f"I-10: {machine.name} is not whole {SETTLE_S:g} s after all was healed: "
            f"{machine.failure or ', '.join(machine.paths)}"
            for machine in machines
            if not await machine.is_ready()
        ]

    async def _judge(self, watching: Monitor) -> list[str]:
        """Everything is healed: look at what is there, stop in order, and judge."""
        self._world.note("settle")
        with anyio.move_on_after(CALM_S):
            disks = [machine.disk for machine in self._core]
            await anyio.sleep_until(max(disk.busy_until for disk in disks))
        wrong = await self._whole(self._core)
        if not wrong:
            await self._rolled()
            wrong += await self._trees()
            nodes = tuple([await self._look(machine) for machine in self._core])
            view = View(round(self._world.now() * NANOSECONDS), nodes)
            for machine in self._core:
                machine.hold("the end")
                await machine.stop()
            watching.final(view, self._record.history.events)
        self._world.note("verdict", len(watching.findings), len(wrong))
        self._count(watching)
        return [f"{one.invariant}: {one.says}" for one in watching.violations] + wrong

    async def _rolled(self) -> None:
        """Wait until no rollback is under way, or for as long as nodes have to be whole."""
        with anyio.move_on_after(SETTLE_S):
            for machine in self._core:
                control = Control(machine.control.ask)
                while _is_due(await control.rollbacks()):  # noqa: ASYNC110 - no time is real
                    await anyio.sleep(LOOK_S)

    def _count(self, watching: Monitor) -> None:
        self._world.count("operations", len(self._record.history.events))
        self._world.count("undecided", len(watching.findings) - len(watching.violations))
        self._world.count(f"mode:{self._plan.mode}")
        for name, is_on in self._plan.features.items():
            self._world.count(f"feature:{name}", is_on)

    async def _look(self, machine: Machine) -> NodeView:
        """What a node holds of what it was asked for, as it answers past the network."""
        hkp, control = Hkp(machine.door.ask), Control(machine.control.ask)
        rollbacks = await control.rollbacks()
        keys: dict[str, frozenset[str]] = {}
        digests: dict[str, str] = {}
        terms: defaultdict[str, set[str]] = defaultdict(set)
        program = [ask for ask in self._plan.program if ask.node == machine.name]
        for name in sorted({name_of(ask).hex() for ask in program}):
            certificate = found_certificate(await hkp.get(name))
            if certificate is None:
                continue
            keys[name] = facts(certificate)
            digests[name] = hashlib.sha256(to_bytes(certificate)).hexdigest()
            for user_id in user_ids(certificate):
                terms[user_id.packet.body.decode()].add(name)
        texts = sorted({ask.text for ask in program if ask.verb in PUTS and ask.text} | {*terms})
        found = {text: found_names(await hkp.search(text)) for text in texts}
        return NodeView(
            node=machine.name,
            policy=machine.name,
            keys=keys,
            digests=digests,
            terms=_frozen(terms),
            index={text: frozenset(names) for text, names in found.items() if names},
            past=await self._past(control, program),
            rollbacks={one.name: one.stage for one in listed(rollbacks)},
            log=tuple(f"{one.event} {one.facts}" for one in machine.log.lines),
            probes={**await _probe(hkp), "a listing of rollbacks": rollbacks.status},
            paths=machine.paths,
        )

    @staticmethod
    async def _past(
        control: Control, program: Iterable[Ask]
    ) -> dict[str, dict[str, frozenset[str]]]:
        """What each snapshot shows of the keys that were looked up as of it."""
        found: dict[str, dict[str, frozenset[str]]] = {}
        for ask in program:
            if ask.verb == "past":
                key = name_of(ask).hex()
                reply = await control.look_back(ask.text, key)
                if reply.status in {OK, NOT_FOUND}:
                    found.setdefault(ask.text, {})[key] = shown_then(reply)
        return found


def _settings(plan: Plan, node: str) -> Settings:
    return Settings(
        storage=StorageSettings(shards=plan.shards, cache_bytes=plan.cache_bytes),
        policy=PolicySettings(preset=plan.presets.get(node, "verified")),
        recon=ReconSettings(listen=(RECON,) if plan.features.get("recon") else ()),
        admin=AdminSettings(keys=(fingerprint(made(ADMIN)).hex(),), server=SERVER),
    )


def _is_due(rollbacks: Reply) -> bool:
    """Whether one is under way, or may be: a refused listing tells of none."""
    return rollbacks.status != OK or any(one.stage in DUE for one in listed(rollbacks))


async def _probe(hkp: Hkp) -> dict[str, int]:
    """Put and get what no plan has."""
    one = made(PROBE, "probe <probe@x.example>")
    put = await hkp.put(armored(one))
    got = await hkp.get(fingerprint(one).hex())
    return {"a submission": put.status, "a lookup": got.status}


def _frozen(terms: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {term: frozenset(found) for term, found in terms.items()}


def _all(snapshot: Snapshot) -> Iterable[Snapshot]:
    yield snapshot
    for child in snapshot.children:
        yield from _all(child)
