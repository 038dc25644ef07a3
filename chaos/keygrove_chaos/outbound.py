"""What a node asks of other hosts: streams, and HTTP, over the simulated network.

Hosts are known by their names, which are their addresses, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn, cast
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel

from keygrove.asking import HTTP_CONNECT_S, HttpReply, HttpRequest
from keygrove.errors import ConnectionLostError, TooLongError, UnreachableError
from keygrove.ports import ByteStream, Converse, Endpoint
from keygrove_chaos.network import Network
from keygrove_chaos.servers import NoReplyError
from keygrove_chaos.stream import Stream
from keygrove_chaos.web import CutError, WebEndpoint, ask
from keygrove_protocols.recon import hashquery

OK: Final = 200
_OPENING = (ConnectionRefusedError, ConnectionAbortedError, TimeoutError)


class SimulatedStream:
    """See `ports.ByteStream`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        """See `ports.ByteStream`."""
        try:
            return await self._stream.receive()
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionLostError("it was reset") from error

    async def send(self, octets: bytes) -> None:
        """See `ports.ByteStream`."""
        try:
            await self._stream.send(octets)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionLostError("it was reset") from error

    async def aclose(self) -> None:
        """See `ports.ByteStream`."""
        if not self._stream.end.is_closed:
            self._stream.end.close()


class SimulatedStreams:
    """See `ports.Streams`: as one host has it."""

    def __init__(self, network: Network, host: str) -> None:
        self._network = network
        self._host = host

    async def resolve(self, host: str) -> tuple[str, ...]:
        """See `ports.Streams`."""
        await anyio.lowlevel.checkpoint()
        if host not in self._network.hosts():
            raise UnreachableError(host, "no such host")
        return (host,)

    async def connect(self, host: str, port: int, *, bind: str = "") -> SimulatedStream:
        """See `ports.Streams`. A host has one address: `bind` changes nothing."""
        await self.resolve(host)
        try:
            return SimulatedStream(await self._network.connect(self._host, host, port))
        except _OPENING as error:
            raise UnreachableError(f"{host}:{port}", str(error)) from error

    @asynccontextmanager
    async def listening(self, converse: Converse, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.Streams`."""
        listener = cast(WebEndpoint, endpoint)  # made by whoever chose these streams

        async def meet(stream: Stream) -> None:
            met = SimulatedStream(stream)
            try:
                await converse(met, stream.peer)
            finally:
                await met.aclose()

        async def let_in() -> None:
            while True:
                tasks.start_soon(meet, await listener.accept())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(let_in)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()


class SimulatedClient:
    """See `asking.HttpClient`: as one host has it."""

    def __init__(self, network: Network, host: str) -> None:
        self._network = network
        self._host = host

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `asking.HttpClient`."""
        url, target = request.url, urlsplit(request.url)
        host, port = target.hostname or "", target.port or 80
        if host not in self._network.hosts():
            raise UnreachableError(url, "no such host")
        headers = {"content-type": request.content_type, **request.headers}
        try:
            reply = await ask(
                self._network,
                self._host,
                host,
                port,
                "POST",
                target.path,
                request.body,
                headers,
                connect_s=HTTP_CONNECT_S,
            )
        except TimeoutError as error:
            raise UnreachableError(url, f"no connection within {HTTP_CONNECT_S:g} s") from error
        except _OPENING as error:
            raise UnreachableError(url, str(error)) from error
        except (CutError, NoReplyError) as error:
            raise ConnectionLostError(str(error)) from error
        if len(reply.body) > request.bytes_max:
            raise TooLongError(request.bytes_max)
        return HttpReply(reply.status, reply.body, dict(reply.headers))


class WatchedClient:
    """See `asking.HttpClient`: tells what partners were asked for, once they have answered."""

    def __init__(
        self, client: SimulatedClient, answered: Callable[[str, tuple[bytes, ...]], None]
    ) -> None:
        """Tell `answered` the host and the digests."""
        self._client = client
        self._answered = answered

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `asking.HttpClient`."""
        reply = await self._client.post(request)
        target = urlsplit(request.url)
        if target.path == hashquery.PATH and reply.status == OK:
            self._answered(target.hostname or "", hashquery.decode_request(request.body))
        return reply


class NoStreams:
    """See `ports.Streams`: there are none."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """See `ports.Streams`."""
        _alone(host)

    async def connect(self, host: str, port: int, *, bind: str = "") -> ByteStream:
        """See `ports.Streams`."""
        _alone(f"{host}:{port}")

    @asynccontextmanager
    async def listening(self, converse: Converse, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.Streams`."""
        yield _alone(endpoint.address)


class NoClient:
    """See `asking.HttpClient`: there is none."""

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `asking.HttpClient`."""
        _alone(request.url)


def _alone(address: str) -> NoReturn:
    raise UnreachableError(address, "this node has no network")
