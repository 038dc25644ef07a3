"""uvicorn behind the HTTP server port: httptools for speed, mended for what HKP clients send.

Decision record 0006 tells why. What the subclass adds to uvicorn's protocol: the query is
not cut at a raw `#` (dirmngr sends one), a deadline and a limit for request heads, a
deadline for clients that do not read, CORS on its own 400.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keygrove.ports import AsgiApp, Endpoint
from keygrove.system.sockets import SocketEndpoint

HEAD_BYTES_MAX = 16 * 1024
"""Request line and headers. dirmngr sends below 500 octets; nginx allows 32 KiB."""
HEAD_DEADLINE_S = 10.0
WRITE_DEADLINE_S = 30.0
"""A client that takes nothing of its answer for so long is cut off."""
KEEP_ALIVE_S = 15
DRAIN_S = 2
"""How long requests that have begun may take once the listener is to stop."""
CONNECTIONS_MAX = 2_000

_ANSWER = (
    "HTTP/1.1 {status}\r\n"
    "access-control-allow-origin: *\r\n"
    "content-type: text/plain; charset=utf-8\r\n"
    "content-length: {length}\r\n"
    "retry-after: 5\r\n"
    "connection: close\r\n\r\n{text}"
)
_HEAD_TOO_LONG = "431 Request Header Fields Too Large", "the request head is too long"


class HkpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_number = 0
        self._head_bytes = self._unread_bytes = 0
        self._in_message = self._in_head = False
        self._refusal = "400 Bad Request", "this is not a well-formed HTTP request"
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first head, unless the server is full."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._refuse("503 Service Unavailable", "too many connections: try again shortly")
            return
        self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count a head that comes in pieces, and cut it off at the limit."""
        head = self._head_number if self._in_head else None
        if not self._in_message and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._too_slow)
        super().data_received(data)
        if self._in_head:
            if self._head_number == head:
                self._unread_bytes += len(data)
            if max(self._unread_bytes, self._head_bytes) > HEAD_BYTES_MAX:
                self._refuse(*_HEAD_TOO_LONG)

    def on_message_begin(self) -> None:
        """A head has begun."""
        self._head_number += 1
        self._head_bytes = self._unread_bytes = 0
        self._in_message = self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Keep a raw `#` as data: no client of ours sends fragments."""
        self._head_bytes += len(url)
        super().on_url(url.replace(b"#", b"%23"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count what is complete; what is not shows in the number of octets fed."""
        self._head_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here; from now on the deadlines are the application's."""
        self._in_head = False
        self._stop_head_timer()
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refusal = _HEAD_TOO_LONG
            raise ValueError(_HEAD_TOO_LONG[1])
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next octet starts another head."""
        self._in_message = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not keep up: give it a while."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_DEADLINE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused."""
        self._refuse(*self._refusal)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self._refuse("408 Request Timeout", "the request head took too long")

    def _refuse(self, status: str, text: str) -> None:
        if not self.transport.is_closing():
            answer = _ANSWER.format(status=status, length=len(text) + 1, text=text + "\n")
            self.transport.write(answer.encode())
            self.transport.close()


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again, before the tree could stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


class UvicornServers:
    """See `ports.HttpServers`."""

    @asynccontextmanager
    async def serving(self, app: AsgiApp, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.HttpServers`."""
        config = uvicorn.Config(
            cast(Any, app),  # uvicorn's own ASGI types are stricter than the specification
            http=HkpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
        server = _Server(config)
        listening = cast(SocketEndpoint, endpoint).duplicate()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            try:
                yield
            finally:
                server.should_exit = True
