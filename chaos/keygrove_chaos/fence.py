"""The end of a machine: whatever a dead node still does reaches nothing any more.

A crash cancels the node's tasks, and Python runs their `finally` blocks. Those must not write,
answer, or draw from a stream that the next incarnation shares; so every port of the node has a
fence before it, and the fence closes first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

from keygrove.asking import HttpClient, HttpReply, HttpRequest
from keygrove.ports import (
    AsgiApp,
    ByteStream,
    Compute,
    Converse,
    Databases,
    Endpoint,
    Entropy,
    Files,
    HttpServers,
    Ports,
    Room,
    SqlDatabase,
    SqlSession,
    Streams,
    Volume,
)

T = TypeVar("T")


class NodeDeadError(Exception):
    """A node that crashed asked its world for something."""

    def __init__(self) -> None:
        super().__init__("the machine is off")


class Fence:
    """Open while the machine runs."""

    def __init__(self) -> None:
        self.is_open = True

    def close(self) -> None:
        """The machine is off."""
        self.is_open = False

    def check(self) -> None:
        """Pass, or not.

        Raises:
            NodeDeadError: the machine is off.
        """
        if not self.is_open:
            raise NodeDeadError

    def around(self, ports: Ports) -> Ports:
        """The same world, for as long as the machine runs."""
        return Ports(
            clock=ports.clock,  # reading it changes nothing: the dead may
            entropy=_Entropy(self, ports.entropy),
            databases=_Databases(self, ports.databases),
            volume=_Volume(self, ports.volume),
            files=_Files(self, ports.files),
            compute=_Compute(self, ports.compute),
            answers=_Compute(self, ports.answers),
            servers=_Servers(self, ports.servers),
            streams=_Streams(self, ports.streams),
            client=_Client(self, ports.client),
        )


class _Entropy:
    def __init__(self, fence: Fence, entropy: Entropy) -> None:
        self._fence = fence
        self._entropy = entropy

    def token(self, size: int) -> bytes:
        """See `ports.Entropy`."""
        self._fence.check()
        return self._entropy.token(size)


class _Compute:
    def __init__(self, fence: Fence, compute: Compute) -> None:
        self._fence = fence
        self._compute = compute

    async def run(self, work: Callable[[], T]) -> T:
        """See `ports.Compute`."""
        self._fence.check()
        done = await self._compute.run(work)
        self._fence.check()
        return done


class _Databases:
    def __init__(self, fence: Fence, databases: Databases) -> None:
        self._fence = fence
        self._databases = databases

    @property
    def engine(self) -> str:
        """See `ports.Databases`."""
        return self._databases.engine

    @asynccontextmanager
    async def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AsyncGenerator[SqlDatabase, None]:
        """See `ports.Databases`."""
        self._fence.check()
        async with self._databases.open(path, attached=attached, writable=writable) as database:
            yield _Database(self._fence, database)

    async def is_read_only(self) -> bool:
        """See `ports.Databases`."""
        self._fence.check()
        return await self._databases.is_read_only()

    async def holds(self, path: str) -> bool:
        """See `ports.Databases`."""
        self._fence.check()
        return await self._databases.holds(path)

    async def secure(self, path: str) -> None:
        """See `ports.Databases`."""
        self._fence.check()
        await self._databases.secure(path)

    async def remove(self, path: str) -> None:
        """See `ports.Databases`."""
        self._fence.check()
        await self._databases.remove(path)


class _Files:
    def __init__(self, fence: Fence, files: Files) -> None:
        self._fence = fence
        self._files = files

    async def read(self, path: str, bytes_max: int) -> bytes | None:
        """See `ports.Files`."""
        self._fence.check()
        return await self._files.read(path, bytes_max)

    async def create(self, path: str, content: bytes) -> None:
        """See `ports.Files`."""
        self._fence.check()
        await self._files.create(path, content)


class _Database:
    def __init__(self, fence: Fence, database: SqlDatabase) -> None:
        self._fence = fence
        self._database = database

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        """See `ports.SqlDatabase`."""
        self._fence.check()
        done = await self._database.run(partial(self._passed, work), can_stop=can_stop)
        self._fence.check()
        return done

    def _passed(self, work: Callable[[SqlSession], T], session: SqlSession) -> T:
        self._fence.check()
        return work(session)


class _Volume:
    def __init__(self, fence: Fence, volume: Volume) -> None:
        self._fence = fence
        self._volume = volume

    async def measure(self) -> Room:
        """See `ports.Volume`."""
        self._fence.check()
        return await self._volume.measure()

    async def reserve(self, size_bytes: int) -> None:
        """See `ports.Volume`."""
        self._fence.check()
        await self._volume.reserve(size_bytes)

    async def release(self) -> None:
        """See `ports.Volume`."""
        self._fence.check()
        await self._volume.release()

    async def sync_s(self, times: int) -> float:
        """See `ports.Volume`."""
        self._fence.check()
        return await self._volume.sync_s(times)


class _Servers:
    def __init__(self, fence: Fence, servers: HttpServers) -> None:
        self._fence = fence
        self._servers = servers

    def serving(self, app: AsgiApp, endpoint: Endpoint) -> AbstractAsyncContextManager[None]:
        """See `ports.HttpServers`."""
        self._fence.check()
        return self._servers.serving(app, endpoint)


class _Streams:
    def __init__(self, fence: Fence, streams: Streams) -> None:
        self._fence = fence
        self._streams = streams

    async def resolve(self, host: str) -> tuple[str, ...]:
        """See `ports.Streams`."""
        self._fence.check()
        return await self._streams.resolve(host)

    async def connect(self, host: str, port: int, *, bind: str = "") -> ByteStream:
        """See `ports.Streams`. A stream needs no fence: its host's end resets it."""
        self._fence.check()
        return await self._streams.connect(host, port, bind=bind)

    def listening(
        self, converse: Converse, endpoint: Endpoint
    ) -> AbstractAsyncContextManager[None]:
        """See `ports.Streams`."""
        self._fence.check()
        return self._streams.listening(converse, endpoint)


class _Client:
    def __init__(self, fence: Fence, client: HttpClient) -> None:
        self._fence = fence
        self._client = client

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `asking.HttpClient`."""
        self._fence.check()
        return await self._client.post(request)
