"""HTTP requests to other servers, by httpx: nothing of the environment, no redirections."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module

import anyio
import anyio.to_thread
import httpx

from keygrove.errors import ConnectionLostError, TooLongError, UnreachableError
from keygrove.ports import HTTP_CONNECT_S, HttpReply, HttpRequest
from keygrove.system.causes import cause_of

_HEADERS = {"accept-encoding": "identity", "connection": "close", "user-agent": "Keygrove"}
"""What is compressed could be anything: its length would say nothing."""
_TIMEOUT = httpx.Timeout(None, connect=HTTP_CONNECT_S)
"""All else is within the caller's deadline."""


class HttpxClient:
    """See `ports.HttpClient`. Each request has a connection of its own."""

    def __init__(self) -> None:
        self._roots: ssl.SSLContext | None = None
        """Read when they are needed first: that takes its time."""

    @staticmethod
    def prepare() -> None:
        """Import now what httpx leaves to the first request: that would hold up the event loop."""
        import_module("httpcore")

    async def post(self, request: HttpRequest) -> HttpReply:
        """See `ports.HttpClient`."""
        url = request.url
        headers = {**_HEADERS, "content-type": request.content_type, **request.headers}
        try:
            async with (
                self._transport(request) as transport,
                httpx.AsyncClient(transport=transport, trust_env=False, timeout=_TIMEOUT) as client,
                client.stream("POST", url, content=request.body, headers=headers) as response,
            ):
                body = await _read(response, request.bytes_max)
                return HttpReply(response.status_code, body, dict(response.headers))
        except httpx.ConnectTimeout as error:
            raise UnreachableError(url, f"no connection within {HTTP_CONNECT_S:g} s") from error
        except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UnreachableError(url, cause_of(error)) from error
        except httpx.HTTPError as error:
            why = cause_of(error) or type(error).__name__
            raise ConnectionLostError(f"{url}: {why}") from error

    @asynccontextmanager
    async def _transport(self, request: HttpRequest) -> AsyncGenerator[httpx.AsyncHTTPTransport]:
        is_plain = request.url.startswith("http://")
        if self._roots is None and not is_plain:
            self._roots = await anyio.to_thread.run_sync(ssl.create_default_context)
        verify = False if is_plain or self._roots is None else self._roots
        bind = request.bind or None
        async with httpx.AsyncHTTPTransport(verify=verify, local_address=bind) as transport:
            yield transport


async def _read(response: httpx.Response, bytes_max: int) -> bytes:
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise TooLongError(bytes_max)
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > bytes_max:
            raise TooLongError(bytes_max)
    return bytes(body)
