"""What makes faults happen, when the plan says so, and takes them off again, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, get_args

import anyio
import anyio.abc

from keygrove_actors import Crash
from keygrove_chaos.arming import Arming
from keygrove_chaos.clock import ClockFault
from keygrove_chaos.disk_faults import DiskFault, Enospc
from keygrove_chaos.history import About, Detail, Function
from keygrove_chaos.machine import Machine
from keygrove_chaos.net_faults import NetFault, Swizzle
from keygrove_chaos.network import Network
from keygrove_chaos.plan import CrashActor, CrashAt, Fault, Kill, Pause, PowerCut, Stop
from keygrove_chaos.record import Record
from keygrove_chaos.world import UnsupportedError, World

LOOK_S: Final = 0.25
"""Between two looks whether a node has recovered."""


class Provider(Protocol):
    """What can inject some kinds of faults."""

    async def inject(self, fault: Fault) -> int:
        """Put it in force; how often it has struck already."""
        ...

    def heal(self, fault: Fault) -> int:
        """Take it out of force; how often it has struck meanwhile."""
        ...


class Nemesis:
    """Strikes the machines of a world. What each kind of fault did is counted in the world."""

    def __init__(
        self,
        world: World,
        network: Network,
        machines: Mapping[str, Machine],
        arming: Arming,
        record: Record,
    ) -> None:
        self._world = world
        self._machines = machines
        self._record = record
        self._providers: dict[type[object], Provider] = {
            **dict.fromkeys((Kill, PowerCut, Stop), _Power(machines)),
            Pause: _Pauses(machines),
            CrashAt: _Points(arming),
            CrashActor: _Actors(machines),
            **dict.fromkeys(get_args(NetFault), _Links(network)),
            **dict.fromkeys(get_args(DiskFault), _Disks(machines, record)),
            **dict.fromkeys(get_args(ClockFault), _Clocks(machines)),
        }
        self._active: dict[str, dict[str, None]] = {name: {} for name in machines}
        """By node: the faults that strike it."""
        self._is_faulty: dict[str, None] = {}
        """Nodes of which the history says so."""

    async def play(self, faults: Iterable[Fault], background: anyio.abc.TaskGroup) -> None:
        """Let all of them happen; return when those that end are over.

        That nodes have recovered is noticed in the `background`.
        """
        async with anyio.create_task_group() as tasks:
            for fault in faults:
                tasks.start_soon(self._strike, fault, background)

    async def _strike(self, fault: Fault, background: anyio.abc.TaskGroup) -> None:
        await anyio.sleep_until(fault.at)
        config: Any = fault.what.__struct_config__
        kind: str = config.tag
        provider = self._providers[type(fault.what)]
        nodes = fault.what.hosts if isinstance(fault.what, Swizzle) else (fault.node,)
        self._world.note("fault", fault.id, fault.node, kind)
        for node in nodes:
            self._begin(node, fault.id)
        try:
            effect = await provider.inject(fault)
        except UnsupportedError:
            self._world.count(f"unsupported:{kind}")
        else:
            if fault.lasts_s is None:
                return
            await anyio.sleep_until(fault.ends_s)
            effect += provider.heal(fault)
            self._world.count(f"fault:{kind}")
            self._world.count(f"effect:{kind}", effect)
        self._world.note("healed", fault.id)
        for node in nodes:
            background.start_soon(self._end, node, fault.id)

    def _begin(self, node: str, fault_id: str) -> None:
        self._active[node][fault_id] = None
        if node not in self._is_faulty:
            self._is_faulty[node] = None
            self._record.befall(About(node, Function.FAULT))

    async def _end(self, node: str, fault_id: str) -> None:
        """A node is well when no fault strikes it and it is ready again."""
        active = self._active[node]
        del active[fault_id]
        while node in self._is_faulty and not active:
            if not await self._machines[node].is_ready():
                await anyio.sleep(LOOK_S)
            elif node in self._is_faulty and not active:
                del self._is_faulty[node]
                self._record.befall(About(node, Function.HEAL))


class _Power:
    """Processes that end, and are held down for as long as the fault lasts."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines

    async def inject(self, fault: Fault) -> int:
        machine = self._machines[fault.node]
        machine.hold(fault.id)
        match fault.what:
            case Kill(is_silent=is_silent):
                return machine.crash("process", is_silent=is_silent)
            case PowerCut():
                return machine.crash("power", is_silent=True)
            case _:
                return await machine.stop()

    def heal(self, fault: Fault) -> int:
        self._machines[fault.node].release(fault.id)
        return 0


class _Pauses:
    """Machines that stand still."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines

    async def inject(self, fault: Fault) -> int:
        self._machines[fault.node].pause(fault.id)
        return 1

    def heal(self, fault: Fault) -> int:
        self._machines[fault.node].resume(fault.id)
        return 0


class _Points:
    """Processes that are killed where their code says."""

    def __init__(self, arming: Arming) -> None:
        self._arming = arming

    async def inject(self, fault: Fault) -> int:
        assert isinstance(fault.what, CrashAt)
        self._arming.arm(fault.id, fault.node, fault.what)
        return 0

    def heal(self, fault: Fault) -> int:
        return self._arming.disarm(fault.id)


class _Actors:
    """Actors that crash."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines
        self._struck: dict[str, int] = {}

    async def inject(self, fault: Fault) -> int:
        assert isinstance(fault.what, CrashActor)
        machine = self._machines[fault.node]
        runtime = machine.runtime
        if runtime is None:
            return 0
        ref = runtime.whereis(fault.what.name, object)

        def strike() -> None:
            if ref.alive():
                self._struck[fault.id] = 1
                ref.exit(Crash("Injected", "a fault of the simulation"))

        machine.soon(strike)
        return 0

    def heal(self, fault: Fault) -> int:
        return self._struck.pop(fault.id, 0)


class _Links:
    """Links that misbehave: those of the fault, or those that it names itself."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def inject(self, fault: Fault) -> int:
        assert isinstance(fault.what, NetFault)
        links = None if isinstance(fault.what, Swizzle) else fault.links
        self._network.inject(fault.id, fault.what, links)
        return 0

    def heal(self, fault: Fault) -> int:
        effect = self._network.effect(fault.id)
        self._network.heal(fault.id)
        return effect


class _Disks:
    """Disks that fail."""

    def __init__(self, machines: Mapping[str, Machine], record: Record) -> None:
        self._machines = machines
        self._record = record

    async def inject(self, fault: Fault) -> int:
        assert isinstance(fault.what, DiskFault)
        self._machines[fault.node].disk.push(fault.id, fault.what)
        if isinstance(fault.what, Enospc):
            about = About(fault.node, Function.DISK)
            self._record.befall(about, Detail(errno="ENOSPC"))
        return 0

    def heal(self, fault: Fault) -> int:
        return self._machines[fault.node].disk.pop(fault.id)


class _Clocks:
    """Clocks that are wrong."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines

    async def inject(self, fault: Fault) -> int:
        assert isinstance(fault.what, ClockFault)
        self._machines[fault.node].clock.push(fault.id, fault.what)
        return 0

    def heal(self, fault: Fault) -> int:
        return self._machines[fault.node].clock.pop(fault.id)
