"""uvicorn behind the HTTP server port: httptools for speed, mended for what HKP clients send.

Decision record 0006 tells why. What the subclass adds to uvicorn's protocol: the query is
not cut at a raw `#` (dirmngr sends one); limits and deadlines for heads, trailers, pipelined
requests, bodies that nobody reads, and answers that nobody takes; CORS on its own errors.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keygrove.ports import AsgiApp, Endpoint
from keygrove.system.sockets import SocketEndpoint

HEAD_BYTES_MAX = 16 * 1024
"""Request line and headers. dirmngr sends below 500 octets; nginx allows 32 KiB."""
HEAD_DEADLINE_S = 10.0
TRAILER_BYTES_MAX = 1024
PIPELINED_MAX = 8
"""Requests that may wait for the answers to those before; no HKP client sends any."""
WRITE_DEADLINE_S = 30.0
"""A client that takes nothing of its answer for so long is cut off."""
KEEP_ALIVE_S = 15
DRAIN_S = 2
"""How long requests that have begun may take once the listener is to stop."""

_ANSWER = (
    "HTTP/1.1 {status}\r\n"
    "access-control-allow-origin: *\r\n"
    "content-type: text/plain; charset=utf-8\r\n"
    "content-length: {length}\r\n"
    "{more}connection: close\r\n\r\n{text}"
)
_FULL = "503 Service Unavailable", "too many connections: try again shortly"
_MALFORMED = "400 Bad Request", "this is not a well-formed HTTP request"
_HEAD_TOO_LONG = "431 Request Header Fields Too Large", "the request head is too long"
_TRAILER_TOO_LONG = "431 Request Header Fields Too Large", "the trailers are too long"
_TOO_MANY = "400 Bad Request", "too many requests at once: wait for the answers"
_TOO_SLOW = "408 Request Timeout", "the request head took too long"


class HkpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, connections_max: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections_max = connections_max
        self._head_number = 0
        self._head_bytes = self._unread_bytes = self._trailer_bytes = 0
        self._in_message = self._in_head = self._is_answering = False
        self._refusal = _MALFORMED
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first head, unless the server is full."""
        super().connection_made(transport)
        if len(self.connections) > self._connections_max:
            self._refuse(*_FULL)
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
        self._head_bytes = self._unread_bytes = self._trailer_bytes = 0
        self._in_message = self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Keep a raw `#` as data: no client of ours sends fragments."""
        self._head_bytes += len(url)
        super().on_url(url.replace(b"#", b"%23"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count what is complete; what is not shows in the octets fed. Trailers are dropped."""
        if self._in_head:
            self._head_bytes += len(name) + len(value) + 4
            super().on_header(name, value)
        else:
            self._trailer_bytes += len(name) + len(value) + 4
            if self._trailer_bytes > TRAILER_BYTES_MAX:
                self._give_up(_TRAILER_TOO_LONG)

    def on_headers_complete(self) -> None:
        """The head is here; from now on the deadlines are the application's."""
        self._in_head = False
        self._stop_head_timer()
        if self._head_bytes > HEAD_BYTES_MAX:
            self._give_up(_HEAD_TOO_LONG)
        if len(self.pipeline) >= PIPELINED_MAX:
            self._give_up(_TOO_MANY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next octet starts another head."""
        self._in_message = False
        self._is_answering = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Nobody waits for anything now; nor is a body waited for that nobody will read."""
        self._is_answering = False
        if self._in_message and not self.pipeline:
            self.transport.close()
        super().on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has said all may still wait for its answer; then it is closed."""
        if self._is_answering:
            self.cycle.keep_alive = False
        return self._is_answering

    def pause_writing(self) -> None:
        """The client does not keep up: watch whether it takes anything."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """It has taken all."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser, or one of our callbacks, refused."""
        self._refuse(*self._refusal)

    def _watch_writing(self) -> None:
        left = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() < left:
                self._watch_writing()
            else:
                self.transport.abort()

        self._write_timer = self.loop.call_later(WRITE_DEADLINE_S, check)

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
        self._refuse(*_TOO_SLOW)

    def _give_up(self, refusal: tuple[str, str]) -> None:
        """From within a callback: the parser stops, and `send_400_response` is called."""
        self._refusal = refusal
        raise ValueError(refusal[1])

    def _refuse(self, status: str, text: str) -> None:
        if not self.transport.is_closing():
            more = "retry-after: 5\r\n" if status == _FULL[0] else ""
            answer = _ANSWER.format(
                status=status, length=len(text) + 1, more=more, text=text + "\n"
            )
            self.transport.write(answer.encode())
            self.transport.close()


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again, before the tree could stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


class UvicornServers:
    """See `ports.HttpServers`. Each listener takes `connections_max` clients at a time."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max

    @asynccontextmanager
    async def serving(self, app: AsgiApp, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.HttpServers`."""
        config = uvicorn.Config(
            cast(Any, app),  # uvicorn's own ASGI types are stricter than the specification
            # uvicorn only ever calls it, with keywords
            http=cast(Any, partial(HkpProtocol, connections_max=self._connections_max)),
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
