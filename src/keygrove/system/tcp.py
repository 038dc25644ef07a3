"""TCP, without delays of its own: what is written leaves at once (TCP_NODELAY)."""

import ipaddress
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast

import anyio
import anyio.abc

from keygrove.errors import ConnectionLostError, UnreachableError
from keygrove.ports import Converse, Endpoint
from keygrove.recon.hosts import joined
from keygrove.system.causes import cause_of
from keygrove.system.sockets import SocketEndpoint

PIECE_BYTES = 65_536
ADDRESSES_MAX = 16
"""Of one host: more are nobody's."""
_NEVER = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


class TcpStream:
    """See `ports.ByteStream`."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )

    async def receive(self) -> bytes:
        """See `ports.ByteStream`."""
        try:
            return await self._stream.receive(PIECE_BYTES)
        except anyio.EndOfStream:
            return b""
        except _NEVER as error:
            raise ConnectionLostError(_why(error)) from error

    async def send(self, octets: bytes) -> None:
        """See `ports.ByteStream`."""
        try:
            await self._stream.send(octets)
        except _NEVER as error:
            raise ConnectionLostError(_why(error)) from error

    async def aclose(self) -> None:
        """See `ports.ByteStream`."""
        with anyio.CancelScope(shield=True), suppress(*_NEVER):
            await self._stream.aclose()


class TcpStreams:
    """See `ports.Streams`."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """See `ports.Streams`."""
        try:
            found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(host, _why(error)) from error
        return tuple(dict.fromkeys(plain(str(one[4][0])) for one in found))[:ADDRESSES_MAX]

    async def connect(self, host: str, port: int, *, bind: str = "") -> TcpStream:
        """See `ports.Streams`."""
        try:
            stream = await anyio.connect_tcp(host, port, local_host=bind or None)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(joined(host, port), _why(error)) from error
        return TcpStream(stream)

    @asynccontextmanager
    async def listening(self, converse: Converse, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.Streams`."""

        async def meet(stream: anyio.abc.SocketStream) -> None:
            try:
                accepted = TcpStream(stream)
                address = stream.extra(anyio.abc.SocketAttribute.remote_address)
            except (OSError, anyio.TypedAttributeLookupError):
                await stream.aclose()  # it is gone already
                return
            try:
                await converse(accepted, plain(str(address[0])))
            finally:
                await accepted.aclose()

        taken = cast(SocketEndpoint, endpoint).duplicate()
        listener = await anyio.abc.SocketListener.from_socket(taken)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, meet)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()


def plain(address: str) -> str:
    """An address as it is compared: an IPv4 one that came over IPv6 is one of IPv4, no zone."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _why(error: Exception) -> str:
    return cause_of(error) or "it was closed"
