"""A machine with one node on it: a disk, clocks, a place in the network, and a process that dies.

The node is the product, unmodified: only its ports lead here. A crash closes the fence around
those before anything else, so that whatever Python still runs of the old life reaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

import anyio
import anyio.abc

from keygrove.errors import KeygroveError
from keygrove.ports import Ports
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove_actors import ActorError, Report, Runtime
from keygrove_chaos.clock import SimulatedClock
from keygrove_chaos.disk import Disk, PowerCutError
from keygrove_chaos.entropy import SeededEntropy
from keygrove_chaos.fence import Fence, NodeDeadError
from keygrove_chaos.network import Network
from keygrove_chaos.node import InlineCompute, MemoryLog
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.web import WebEndpoint, WebServers
from keygrove_chaos.world import HOST, World

HKP: Final = 11371
METRICS: Final = 9626
CONTROL: Final = 1
START_S: Final = 60.0
"""Virtual seconds that a node may take to come up."""

HowItEnded = Literal["power", "process"]
_DEATHS: Final = (ActorError, KeygroveError, NodeDeadError, PowerCutError)


class Machine:
    """One machine. `heard` is told each report of its node, with its life's number."""

    def __init__(
        self,
        world: World,
        network: Network,
        name: str,
        settings: Settings,
        heard: Callable[[str, Report], None],
    ) -> None:
        self.name = name
        self.settings = settings
        self.disk = Disk(world, name)
        self.clock = SimulatedClock(world)
        self.log = MemoryLog()
        self.runtime: Runtime | None = None
        self.failure = ""
        """Why the node ended by itself, or did not come up."""
        self._world = world
        self._network = network
        self._heard = heard
        self._fence = Fence()
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        network.add_host(name)

    @property
    def is_up(self) -> bool:
        """Whether its node serves."""
        return self.runtime is not None

    async def boot(self, tasks: anyio.abc.TaskGroup) -> bool:
        """Start the node in `tasks`, and wait until it is up; whether it is."""
        assert self.runtime is None
        self._fence, self._scope = Fence(), anyio.CancelScope()
        self._ended, self.failure = anyio.Event(), ""
        up, token = anyio.Event(), HOST.set(self.name)
        self._world.note("boot", self.name, self.disk.life + 1)
        try:
            tasks.start_soon(self._live, self._fence, self._scope, up, self._ended)
        finally:
            HOST.reset(token)
        with anyio.move_on_after(START_S):
            await up.wait()
        return self.is_up

    def crash(self, how: HowItEnded, *, is_silent: bool = False) -> None:
        """End the node now: by a kill, or with the power, which costs what was not synchronised."""
        if not self._fence.is_open or self._ended.is_set():
            return
        self._world.note("crash", self.name, how)
        self._fence.close()
        if how == "power":
            self.disk.crash()
        else:
            self.disk.kill()
        self._network.crash_host(self.name, "silent" if is_silent else "rst")
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            runtime.kill()
        self._scope.cancel()

    async def stop(self) -> None:
        """Stop the node in order, and wait for its end."""
        self._world.note("stop", self.name)
        if self.runtime is not None:
            await self.runtime.stop()
        await self._ended.wait()

    async def _live(
        self, fence: Fence, scope: anyio.CancelScope, up: anyio.Event, ended: anyio.Event
    ) -> None:
        mount = self.disk.boot()
        life = mount.life
        self._network.restart_host(self.name)
        endpoints = [
            WebEndpoint(self._network, self.name, port) for port in (HKP, METRICS, CONTROL)
        ]
        databases = SimulatedDatabases(self._world, self.name, mount, self.clock.wall_s)
        ports = Ports(
            clock=self.clock,
            entropy=SeededEntropy(self._world.stream(f"entropy:{self.name}:{life}")),
            databases=databases,
            compute=InlineCompute(),
            servers=WebServers(),
        )
        site = Site(
            ports=fence.around(ports),
            endpoints=Endpoints(*((one,) for one in endpoints)),
            log=self.log,
            version="0.simulated",
            pid=life,
            observe=lambda report: self._report(fence, report),
        )
        try:
            with scope:
                await self._serve(site, fence, up)
        finally:
            for endpoint in endpoints:
                endpoint.close()
            databases.close()
            if fence.is_open:  # it ended by itself
                fence.close()
                self.runtime = None
                self.disk.kill()
                self._network.crash_host(self.name, "fin")
            up.set()
            ended.set()

    async def _serve(self, site: Site, fence: Fence, up: anyio.Event) -> None:
        try:
            async with open_node(self.settings, site) as runtime:
                if not fence.is_open:
                    runtime.kill()
                    return
                self.runtime = runtime
                self._world.note("up", self.name)
                up.set()
                await runtime.wait()
        except* _DEATHS as group:
            with suppress(IndexError):
                first = _leaf(group)
                self.failure = f"{type(first).__name__}: {first}" if fence.is_open else ""
                self._world.note("ended", self.name, type(first).__name__)

    def _report(self, fence: Fence, report: Report) -> None:
        if fence.is_open:
            self._heard(self.name, report)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error
