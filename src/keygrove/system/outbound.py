"""HTTP requests to other servers, by httpx: nothing of the environment, no redirections."""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import httpx

from keygrove.errors import ConnectionLostError, TooLongError, UnreachableError
from keygrove.ports import HTTP_CONNECT_S, NO_HEADERS, HttpReply

_HEADERS = {"accept-encoding": "identity", "connection": "close", "user-agent": "Keygrove"}
"""What is compressed could be anything: its length would say nothing."""
_TIMEOUT = httpx.Timeout(None, connect=HTTP_CONNECT_S)
"""All else is within the caller's deadline."""


class HttpxClient:
    """See `ports.HttpClient`. Each request has a connection of its own."""

    async def post(  # noqa: PLR0913 - a request has that many properties
        self,
        url: str,
        body: bytes,
        content_type: str,
        *,
        bytes_max: int,
        bind: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> HttpReply:
        """See `ports.HttpClient`."""
        given = {**_HEADERS, "content-type": content_type, **headers}
        try:
            async with (
                _transport(url, bind) as transport,
                httpx.AsyncClient(transport=transport, trust_env=False, timeout=_TIMEOUT) as client,
                client.stream("POST", url, content=body, headers=given) as response,
            ):
                body = await _read(response, bytes_max)
                return HttpReply(response.status_code, body, dict(response.headers))
        except httpx.ConnectTimeout as error:
            raise UnreachableError(url, f"no connection within {HTTP_CONNECT_S:g} s") from error
        except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UnreachableError(url, str(error)) from error
        except httpx.HTTPError as error:
            raise ConnectionLostError(f"{url}: {str(error) or type(error).__name__}") from error


@asynccontextmanager
async def _transport(url: str, bind: str) -> AsyncGenerator[httpx.AsyncHTTPTransport, None]:
    """One that verifies certificates where there are any: reading all roots takes its time."""
    verify: ssl.SSLContext | bool = False
    if not url.startswith("http://"):
        verify = await anyio.to_thread.run_sync(ssl.create_default_context)
    async with httpx.AsyncHTTPTransport(verify=verify, local_address=bind or None) as transport:
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
