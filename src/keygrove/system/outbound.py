"""HTTP requests to other servers, by httpcore: nothing of the environment, no redirections.

What a server may send for each octet of its answer is bounded, because all else is work for
nothing: chunks of an octet, or interim answers without end, would keep a core busy.
"""

import ssl
from collections.abc import AsyncIterable, Iterable
from typing import Any, Final, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpcore
import httpx

from keygrove.asking import HTTP_CONNECT_S, HttpReply, HttpRequest
from keygrove.errors import ConnectionLostError, TooLongError, UnreachableError
from keygrove.system.causes import cause_of

FRAMING_OCTETS_MAX: Final = 64 << 10
"""Of an answer, beside its body: heads, and what stands around chunks."""
BODY_FOR_FRAMING: Final = 64
"""So many octets of body allow for one more: chunks of some hundred octets may go on and on."""
READ_OCTETS: Final = 8 << 10
"""Looked into at a time: hundreds of chunks, some milliseconds."""
PIECES_A_TURN: Final = 100

_HEADERS = {"accept-encoding": "identity", "connection": "close", "user-agent": "Keygrove"}
"""What is compressed could be anything: its length would say nothing."""
_TIMEOUTS = {"timeout": {"connect": HTTP_CONNECT_S}}
"""All else is within the caller's deadline."""


class HttpcoreClient:
    """See `asking.HttpClient`. Each request has a connection of its own."""

    def __init__(self) -> None:
        self._roots: ssl.SSLContext | None = None
        """Read when they are needed first: that takes its time."""

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `asking.HttpClient`."""
        try:
            url = httpx.URL(request.url)
            return await self._post(url, request)
        except httpcore.ConnectTimeout as error:
            why = f"no connection within {HTTP_CONNECT_S:g} s"
            raise UnreachableError(request.url, why) from error
        except _NOWHERE as error:
            raise UnreachableError(request.url, cause_of(error)) from error
        except _BROKEN as error:
            why = cause_of(error) or type(error).__name__
            raise ConnectionLostError(f"{request.url}: {why}") from error

    async def _post(self, url: httpx.URL, request: HttpRequest) -> HttpReply:
        headers = {
            b"host": url.netloc,
            b"content-type": request.content_type.encode(),
            **{name.encode(): value.encode() for name, value in _HEADERS.items()},
            **{name.encode(): value.encode() for name, value in request.headers.items()},
        }
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        if self._roots is None and url.scheme == "https":
            self._roots = await anyio.to_thread.run_sync(ssl.create_default_context)
        share = _Share(request.url)
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._roots,
                local_address=request.bind or None,
                network_backend=_Network(share),
            ) as pool,
            pool.stream(
                "POST",
                target,
                headers=list(headers.items()),
                content=request.body,
                extensions=_TIMEOUTS,
            ) as response,
        ):
            told = {
                name.decode("ascii").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            pieces = response.aiter_stream()
            body = await _read(told, pieces, request.bytes_max, share)
            return HttpReply(response.status, body, told)


_NOWHERE = (
    httpcore.ConnectError,
    httpcore.UnsupportedProtocol,
    httpx.InvalidURL,
    UnicodeError,  # a name of a host that stands for none
)
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class _Share:
    """How much of what came is of the body."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.came = 0
        self.taken = 0
        """Octets of the body."""

    def check(self) -> None:
        """To be asked when all that came has been looked into.

        Raises:
            ConnectionLostError: too little is.
        """
        if self.came - self.taken > FRAMING_OCTETS_MAX + self.taken // BODY_FOR_FRAMING:
            raise ConnectionLostError(
                f"{self._url}: of the first {self.came} octets that came, {self.taken} "
                "are of an answer's body"
            )


async def _read(
    headers: dict[str, str], pieces: AsyncIterable[bytes], bytes_max: int, share: _Share
) -> bytes:
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise TooLongError(bytes_max)
    body = bytearray()
    number = 0
    async for piece in pieces:
        body += piece
        if len(body) > bytes_max:
            raise TooLongError(bytes_max)
        share.taken = len(body)
        number += 1
        if not number % PIECES_A_TURN:
            await anyio.lowlevel.checkpoint()
    return bytes(body)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection whose octets are counted, and come in small portions, with a turn between."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, share: _Share) -> None:
        self._stream = stream
        self._share = share

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        self._share.check()
        await anyio.lowlevel.checkpoint()
        octets = await self._stream.read(min(max_bytes, READ_OCTETS), timeout)
        self._share.came += len(octets)
        return octets

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(stream, self._share)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.AsyncNetworkBackend):
    """Opens them."""

    def __init__(self, share: _Share) -> None:
        # What httpcore has in its place without anyio is no backend, and types tell of both.
        self._inner = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())
        self._share = share

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._share)
