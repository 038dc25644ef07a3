"""A whole node in one event loop: nothing real but its code.

Certificates are in memory, time is the event loop's, chance comes from a seed, and clients
knock at doors.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import TypeVar

import anyio
import anyio.lowlevel
import msgspec

from keygrove.ports import Clock, Files, HttpServers, Ports, Room, SqlDatabase, Volume
from keygrove.ratelimit.admission import Admit, admit_all
from keygrove.serve import Endpoints, Site, open_node
from keygrove.settings import Settings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.shard import OpenStore
from keygrove_actors import Runtime
from keygrove_chaos.outbound import NoClient, NoStreams
from keygrove_chaos.servers import Door, DoorServers

T = TypeVar("T")

EPOCH = 1_800_000_000
"""Wall time when the event loop's clock shows 0."""


class LoopClock:
    """See `ports.Clock`: wall time that passes as fast as the event loop's."""

    def now(self) -> int:
        """See `ports.Clock`."""
        return EPOCH + int(anyio.current_time())

    def elapsed(self) -> float:
        """See `ports.Clock`."""
        return anyio.current_time()


class SeededEntropy:
    """See `ports.Entropy`: the same octets for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - simulation wants what can be repeated

    def token(self, size: int) -> bytes:
        """See `ports.Entropy`."""
        return self._random.randbytes(size)


class InlineCompute:
    """See `ports.Compute`: here and now."""

    async def run(self, work: Callable[[], T]) -> T:
        """See `ports.Compute`."""
        await anyio.lowlevel.checkpoint()
        return work()


class NoDatabases:
    """See `ports.Databases`: there are none, nor can any be made."""

    engine = "memory"

    def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AbstractAsyncContextManager[SqlDatabase]:
        """See `ports.Databases`."""
        raise AssertionError(f"{path} was opened in a node without files")

    async def is_read_only(self) -> bool:
        """See `ports.Databases`."""
        await anyio.lowlevel.checkpoint()
        return True

    async def holds(self, path: str) -> bool:
        """See `ports.Databases`."""
        await anyio.lowlevel.checkpoint()
        return False

    async def secure(self, path: str) -> None:
        """See `ports.Databases`."""
        raise AssertionError(f"{path} was synchronised in a node without files")

    async def remove(self, path: str) -> None:
        """See `ports.Databases`."""
        raise AssertionError(f"{path} was removed in a node without files")


class NoVolume:
    """See `ports.Volume`: of a node without files, which needs no room."""

    async def measure(self) -> Room:
        """See `ports.Volume`."""
        await anyio.lowlevel.checkpoint()
        return Room(0, 0, 0)

    async def reserve(self, size_bytes: int) -> None:
        """See `ports.Volume`."""
        raise AssertionError("a node without files reserves no room")

    async def release(self) -> None:
        """See `ports.Volume`."""
        await anyio.lowlevel.checkpoint()

    async def sync_s(self, times: int) -> float:
        """See `ports.Volume`."""
        raise AssertionError("a node without files synchronises nothing")


class MemoryFiles:
    """See `ports.Files`: what was made lives as long as this object, whatever happens to disks."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    async def read(self, path: str, bytes_max: int) -> bytes | None:
        """See `ports.Files`."""
        content = self.contents.get(path)
        return None if content is None else content[:bytes_max]

    async def create(self, path: str, content: bytes) -> None:
        """See `ports.Files`."""
        self.contents[path] = content


class Line(msgspec.Struct, frozen=True):
    """One line of a log."""

    level: str
    event: str
    facts: dict[str, object]


class MemoryLog:
    """See `telemetry.log.Log`."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def events(self, event: str) -> list[Line]:
        """The lines of this event."""
        return [line for line in self.lines if line.event == event]

    def debug(self, event: str, **facts: object) -> None:
        """See `telemetry.log.Log`."""
        self.lines.append(Line("debug", event, facts))

    def info(self, event: str, **facts: object) -> None:
        """See `telemetry.log.Log`."""
        self.lines.append(Line("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        """See `telemetry.log.Log`."""
        self.lines.append(Line("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        """See `telemetry.log.Log`."""
        self.lines.append(Line("error", event, facts))


class SimulatedNode(msgspec.Struct, frozen=True):
    """A running node, and the ways to it."""

    runtime: Runtime
    http: Door
    metrics: Door
    control: Door
    log: MemoryLog


def simulated_ports(
    seed: int = 0,
    clock: Clock | None = None,
    servers: HttpServers | None = None,
    volume: Volume | None = None,
    files: Files | None = None,
) -> Ports:
    """A world without files and sockets."""
    return Ports(
        clock=clock or LoopClock(),
        entropy=SeededEntropy(seed),
        databases=NoDatabases(),
        volume=volume or NoVolume(),
        files=files or MemoryFiles(),
        compute=InlineCompute(),
        answers=InlineCompute(),
        servers=servers or DoorServers(),
        streams=NoStreams(),
        client=NoClient(),
    )


def memory_stores(number: int) -> list[OpenStore]:
    """Stores that keep what was committed for as long as the list lives."""
    return [MemoryStore().opened for _ in range(number)]


@asynccontextmanager
async def simulated_node(
    settings: Settings | None = None,
    *,
    stores: Sequence[OpenStore] | None = None,
    ports: Ports | None = None,
    admit: Admit = admit_all,
    name: str = "node",
) -> AsyncGenerator[SimulatedNode, None]:
    """Run a node while the block runs, in memory unless `stores` or `ports` say otherwise."""
    settings = settings or Settings()
    http, metrics, control = (Door(f"{name}.example:{port}") for port in (11371, 9626, 1))
    log = MemoryLog()
    site = Site(
        ports=ports or simulated_ports(),
        endpoints=Endpoints((http,), (metrics,), (control,)),
        log=log,
        version="0.test",
        pid=1,
        admit=admit,
        may_crash=True,
    )
    if stores is None and ports is None:
        stores = memory_stores(settings.storage.shards)
    async with open_node(settings, site, stores) as runtime:
        yield SimulatedNode(runtime, http, metrics, control, log)
