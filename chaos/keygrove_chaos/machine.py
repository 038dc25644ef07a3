"""A machine with one node on it: a disk, clocks, a place in the network, and a process that dies.

The node is the product, unmodified: only its ports lead here. A crash closes the fence around
those before anything else, so that whatever Python still runs of the old life reaches nothing.
As an init system would, the machine starts its node again whenever that is down and nobody
holds it down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypeAlias

import anyio

from keygrove.errors import KeygroveError
from keygrove.ingest.messages import INGEST, IngestApi, Load
from keygrove.points import ARMED, Points
from keygrove.ports import Ports
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove.storage.write import Cause
from keygrove_actors import ActorError, Node, Report, Runtime, State
from keygrove_chaos.clock import SimulatedClock
from keygrove_chaos.control import replied
from keygrove_chaos.disk import Disk, PowerCutError
from keygrove_chaos.entropy import SeededEntropy
from keygrove_chaos.errors import first, sentence
from keygrove_chaos.fence import Fence, NodeDeadError
from keygrove_chaos.history import About, Detail, Function
from keygrove_chaos.network import Network
from keygrove_chaos.node import InlineCompute, MemoryFiles, MemoryLog
from keygrove_chaos.outbound import SimulatedClient, SimulatedStreams, WatchedClient
from keygrove_chaos.record import Record
from keygrove_chaos.servers import Door, NoReplyError, Reply
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_chaos.volume import SimulatedVolume
from keygrove_chaos.web import CutError, WebEndpoint, WebServers
from keygrove_chaos.world import HOST, World

HKP: Final = 11371
METRICS: Final = 9626
CONTROL: Final = 1
RECON: Final = 11370
OK: Final = 200
LOAD_S: Final = 10.0
READY_S: Final = 5.0
"""Virtual seconds in which a probe is answered."""
RESTART_S: Final = 1.0
"""Virtual seconds until a node that ended is started again."""

HowItEnds: TypeAlias = Literal["power", "process"]
_DEATHS: Final = (ActorError, KeygroveError, NodeDeadError, PowerCutError)


class Machine:
    """One machine. `keep` runs its node until the world is over."""

    def __init__(
        self, world: World, network: Network, name: str, settings: Settings, record: Record
    ) -> None:
        self.name = name
        self.disk = Disk(world, name)
        self.clock = SimulatedClock(world)
        self.files = MemoryFiles()
        self.log = MemoryLog()
        self.runtime: Runtime | None = None
        self.failure = ""
        """Why the node ended by itself, last."""
        self.points: Points | None = None
        self._settings = settings
        self._world = world
        self._network = network
        self._record = record
        self._held: dict[str, None] = {}
        self._freed = anyio.Event()
        self._paused: dict[str, None] = {}
        self._fence = Fence()
        self._servers = WebServers()
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._ended.set()
        network.add_host(name)

    @property
    def is_whole(self) -> bool:
        """Whether its node serves, with all of its actors up."""
        return self.runtime is not None and all(
            node.state is State.UP for node in _all(self.runtime.tree())
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all actors that are up."""
        if self.runtime is None:
            return ()
        _, *below = _all(self.runtime.tree())
        return tuple(node.path for node in below if node.state is State.UP)

    @property
    def door(self) -> Door:
        """Its HKP listener, past the network. It must be up."""
        return self._servers.doors[f"{self.name}:{HKP}"]

    @property
    def control(self) -> Door:
        """Its control socket, as `door`."""
        return self._servers.doors[f"{self.name}:{CONTROL}"]

    @property
    def metrics(self) -> Door:
        """Its metrics, as `door`."""
        return self._servers.doors[f"{self.name}:{METRICS}"]

    async def is_ready(self) -> bool:
        """Whether its node serves, with all of its actors up, and says that it is ready for all."""
        if not self.is_whole:
            return False
        with anyio.move_on_after(READY_S), suppress(NoReplyError, *_DEATHS):  # it may die meanwhile
            reply = await self.door.ask("GET", "/readyz")
            return reply.status == OK and "degraded" not in reply.text
        return False

    async def offer(self, partner: str, certificate: bytes) -> Reply:
        """Have a partner bring a certificate, as recon does, past the network.

        Raises:
            CutError: the node did not answer.
            ConnectionRefusedError: there is no node.
        """
        if self.runtime is None:
            raise ConnectionRefusedError(self.name)
        load = Load((certificate,), partner, Cause.RECON)
        try:
            return replied(await self.runtime.whereis(INGEST, IngestApi).call(load, timeout=LOAD_S))
        except ActorError as error:
            raise CutError(self.name, CONTROL) from error

    def hold(self, reason: str) -> None:
        """Do not start the node until `release`; several may hold it."""
        self._held[reason] = None

    def release(self, reason: str) -> None:
        """Start it again, unless another holds it."""
        del self._held[reason]
        if not self._held:
            self._freed.set()

    def pause(self, reason: str) -> None:
        """Stand still until `resume`; several may have it so.

        Raises:
            UnsupportedError: the engine cannot.
        """
        if not self._paused:
            self._world.pause(self.name)
            self._network.pause_host(self.name)
        self._paused[reason] = None

    def resume(self, reason: str) -> None:
        """Go on, unless another reason is left. What fell due meanwhile happens now."""
        if reason in self._paused:
            del self._paused[reason]
            if not self._paused:
                self._thaw()

    def _thaw(self) -> None:
        self._network.resume_host(self.name)
        self._world.resume(self.name)

    def soon(self, function: Callable[[], None]) -> None:
        """Call it on this machine: now, or when it goes on."""
        token = HOST.set(self.name)
        try:
            self._world.call_at(self._world.now(), function)
        finally:
            HOST.reset(token)

    async def keep(self) -> None:
        """Start the node, and again when it ends."""
        HOST.set(self.name)
        ARMED.set(self.points)
        while True:
            while self._held:
                self._freed = anyio.Event()
                await self._freed.wait()
            await self._live()
            await anyio.sleep(RESTART_S)

    def crash(self, how: HowItEnds, *, is_silent: bool = False) -> bool:
        """End the node now, and return whether it ran.

        The end of a process costs what was not written, that of the power what was not
        synchronised. Peers of a silent end are not told.
        """
        is_running = self._fence.is_open and not self._ended.is_set()
        if how == "power":
            self.disk.crash()
        if not is_running:
            return False
        self._world.note("crash", self.name, how)
        self._fence.close()
        if self._paused:  # what stands still can be killed, too
            self._paused.clear()
            self._thaw()
        self.disk.kill()
        self._network.crash_host(self.name, "silent" if is_silent else "rst")
        runtime, self.runtime = self.runtime, None
        if runtime is not None:
            runtime.kill()
        self._scope.cancel()
        self._record.befall(About(self.name, Function.EXIT))
        return True

    async def stop(self) -> bool:
        """Stop the node in order, wait for its end, and return whether it ran."""
        if self.runtime is None:
            return False
        self._world.note("stop", self.name)
        self._record.befall(About(self.name, Function.DRAIN, values=self._servers.operations()))
        await self.runtime.stop()
        await self._ended.wait()
        return True

    async def _live(self) -> None:
        fence = self._fence = Fence()
        self._scope, self._ended, self.failure = anyio.CancelScope(), anyio.Event(), ""
        mount = self.disk.boot()
        life = mount.life
        self._world.note("boot", self.name, life)
        self._record.befall(About(self.name, Function.START))
        self._network.restart_host(self.name)
        has_recon = bool(self._settings.recon.listen)
        numbers = (HKP, METRICS, CONTROL, *((RECON,) if has_recon else ()))
        endpoints = [WebEndpoint(self._network, self.name, port) for port in numbers]
        databases = SimulatedDatabases(self._world, self.name, mount, self.clock.wall_s)
        self._servers = WebServers()
        ports = Ports(
            clock=self.clock,
            entropy=SeededEntropy(self._world.stream(f"entropy:{self.name}:{life}")),
            databases=databases,
            volume=SimulatedVolume(mount),
            files=self.files,
            compute=InlineCompute(),
            answers=InlineCompute(),
            servers=self._servers,
            streams=SimulatedStreams(self._network, self.name),
            client=WatchedClient(
                SimulatedClient(self._network, self.name),
                partial(self._record.fetched, self.name),
            ),
        )
        site = Site(
            ports=fence.around(ports),
            endpoints=Endpoints(*((one,) for one in endpoints)),
            log=self.log,
            version="0.simulated",
            pid=life,
            observe=lambda report: self._report(fence, report),
        )
        code = 0
        try:
            with self._scope:
                code = await self._serve(site, fence)
        finally:
            for endpoint in endpoints:
                endpoint.close()
            databases.close()
            if fence.is_open:  # it ended by itself
                fence.close()
                left = sum(self.runtime.leftovers().values()) if self.runtime else None
                self.runtime = None
                self.disk.kill()
                self._network.crash_host(self.name, "fin")
                detail = Detail(code=code, wal_bytes=self._log_bytes(), leftovers=left)
                self._record.befall(About(self.name, Function.EXIT), detail)
            self._ended.set()

    async def _serve(self, site: Site, fence: Fence) -> int:
        """Run the node to its end; its exit code."""
        code = 0
        try:
            async with open_node(self._settings, site) as runtime:
                if fence.is_open:
                    self.runtime = runtime
                    self._world.note("up", self.name)
                    await runtime.wait()
                else:
                    runtime.kill()
        except* _DEATHS as group:
            if fence.is_open:
                self.failure = sentence(group)
                self._world.note("ended", self.name, type(first(group)).__name__)
                code = 1
        return code

    def _log_bytes(self) -> int:
        """In write-ahead logs on the disk."""
        files = self.disk.names.files().items()
        return sum(len(inode.cache) for path, inode in files if path.endswith("-wal"))

    def _report(self, fence: Fence, report: Report) -> None:
        if fence.is_open:
            self._record.report(self.name, report)


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _all(child)
