"""HTTP over simulated streams: requests, answers and bodies travel in pieces, and may be cut.

The framing is our own, one request a stream: each frame is its length in four octets,
big-endian, and a MessagePack map tagged by its `type`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.abc
import msgspec

from keygrove.ports import AsgiApp, Endpoint
from keygrove_chaos.network import Network
from keygrove_chaos.servers import DRAIN_S, Answer, Door, Reply
from keygrove_chaos.stream import Stream

PART_BYTES = 16_384
"""The largest piece of a body that is one frame."""
FRAME_BYTES_MAX = 1_048_576
OPERATION = "x-operation"
"""A header in which a client may name what it asks for; see `WebServers.operations`."""
BACKLOG_MAX = 128
"""Streams that wait for a server; as in a listening socket's backlog, more are reset."""


class CutError(Exception):
    """The stream ended before the answer was whole."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"the answer of {host}:{port} was cut off: ask again")


class _Request(msgspec.Struct, frozen=True, tag="request"):
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    has_body: bool

    @property
    def operation(self) -> str:
        """What the client calls it, if it says so."""
        return dict(self.headers).get(OPERATION.encode(), b"").decode()


class _Start(msgspec.Struct, frozen=True, tag="start"):
    status: int
    headers: list[tuple[bytes, bytes]]


class _Part(msgspec.Struct, frozen=True, tag="part"):
    body: bytes
    has_more: bool


_Frame = _Request | _Start | _Part
_DECODER: msgspec.msgpack.Decoder[_Frame] = msgspec.msgpack.Decoder(_Frame)


class _Gone(Exception):  # noqa: N818 - never leaves this module
    """The peer has ended or reset the stream, or sent what is no frame."""


class _Frames:
    """A stream of frames."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = bytearray()

    def is_over(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._stream.end.is_closed or self._stream.end.trouble is not None

    async def send(self, frame: _Frame) -> None:
        data = msgspec.msgpack.encode(frame)
        try:
            await self._stream.send(len(data).to_bytes(4, "big") + data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise _Gone from error

    async def send_body(self, body: bytes) -> None:
        for start in range(0, len(body), PART_BYTES):
            end = start + PART_BYTES
            await self.send(_Part(body[start:end], end < len(body)))

    async def receive(self) -> _Frame:
        size = int.from_bytes(await self._take(4), "big")
        if size > FRAME_BYTES_MAX:
            raise _Gone
        try:
            return _DECODER.decode(await self._take(size))
        except msgspec.MsgspecError as error:
            raise _Gone from error

    async def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            try:
                self._rest += await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
                raise _Gone from error
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken


async def ask(  # noqa: PLR0913, PLR0917 - a request has that many properties
    network: Network,
    from_host: str,
    to_host: str,
    port: int,
    method: str,
    target: str | bytes,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - as HTTP clients have it
    connect_s: float | None = None,
) -> Reply:
    """Make a request and return the answer to it.

    Args:
        target: path and query, as they stand in a request line.
        timeout: virtual seconds for all of it.
        connect_s: those of them for the connection.

    Raises:
        TimeoutError: the time is over, or the host cannot be reached.
        ConnectionRefusedError: nobody listens there, or something in between refuses.
        CutError: the stream ended before the answer was whole.
    """
    given = {**({"content-length": str(len(body))} if body else {}), **(headers or {})}
    raw = target if isinstance(target, bytes) else target.encode()
    pairs = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    with anyio.fail_after(timeout):
        with anyio.fail_after(connect_s):
            stream = await network.connect(from_host, to_host, port)
        frames = _Frames(stream)
        try:
            return await _exchange(frames, _Request(method, raw, pairs, bool(body)), body)
        except _Gone as error:
            raise CutError(to_host, port) from error
        finally:
            stream.end.close()


async def _exchange(frames: _Frames, request: _Request, body: bytes) -> Reply:
    if len(body) <= PART_BYTES:
        # It fits into the buffer of a new stream: no task is needed to read meanwhile.
        await frames.send(request)
        await frames.send_body(body)
        return await _answer(frames)
    # The server may answer before it has read all.
    reply: Reply | None = None
    gone: _Gone | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send_request, frames, request, body)
        try:
            reply = await _answer(frames)
        except _Gone as error:
            gone = error
        tasks.cancel_scope.cancel()
    if reply is None:
        raise _Gone from gone
    return reply


async def _send_request(frames: _Frames, request: _Request, body: bytes) -> None:
    try:
        await frames.send(request)
        await frames.send_body(body)
    except _Gone:
        # Whether there is an answer all the same is seen by who reads it.
        return


async def _answer(frames: _Frames) -> Reply:
    answer = Answer()
    is_whole = False
    while not is_whole:
        match await frames.receive():
            case _Start(status, headers):
                answer.take({"type": "http.response.start", "status": status, "headers": headers})
            case _Part(body, has_more):
                answer.take({"type": "http.response.body", "body": body, "more_body": has_more})
                is_whole = not has_more
            case _Request():
                raise _Gone
    return answer.reply()


class WebEndpoint:
    """See `ports.Endpoint`: a listening TCP port of a host. Streams wait for a server."""

    def __init__(self, network: Network, host: str, port: int) -> None:
        """Listen. Open it again after the host has crashed."""
        self._name = (host, port)
        self._waiting: deque[Stream] = deque()
        self._arrived = anyio.Event()
        self.close = network.listen(host, port, self._accept)

    @property
    def address(self) -> str:
        """See `ports.Endpoint`."""
        return "{}:{}".format(*self._name)

    @property
    def host(self) -> str:
        """The name of the host."""
        return self._name[0]

    async def accept(self) -> Stream:
        """The next stream."""
        while not self._waiting:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._waiting.popleft()

    def _accept(self, stream: Stream) -> None:
        if len(self._waiting) >= BACKLOG_MAX:
            stream.abort()
            return
        self._waiting.append(stream)
        self._arrived.set()


class WebServers:
    """See `ports.HttpServers`, for endpoints of a simulated network."""

    def __init__(self) -> None:
        self.doors: dict[str, Door] = {}
        """By address: a way to the app past the network, for who looks at a node from outside."""
        self._inside: dict[int, str] = {}

    def operations(self) -> tuple[str, ...]:
        """Of requests whose streams are not over yet: what they are called, by `OPERATION`."""
        return tuple(filter(None, self._inside.values()))

    @asynccontextmanager
    async def serving(self, app: AsgiApp, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.HttpServers`. What an app raises ends the block, for it is a finding."""
        # An endpoint is made by whoever chose these servers.
        listener = cast(WebEndpoint, endpoint)
        door = self.doors[listener.address] = Door(listener.address)
        door.let_in(app)
        async with anyio.create_task_group() as requests:
            async with anyio.create_task_group() as listening:
                listening.start_soon(self._let_in, app, listener, requests)
                try:
                    yield
                finally:
                    listening.cancel_scope.cancel()
            requests.cancel_scope.deadline = anyio.current_time() + DRAIN_S

    async def _let_in(
        self, app: AsgiApp, endpoint: WebEndpoint, requests: anyio.abc.TaskGroup
    ) -> None:
        while True:
            requests.start_soon(self._serve, app, await endpoint.accept())

    async def _serve(self, app: AsgiApp, stream: Stream) -> None:
        """Answer the one request of a stream."""
        frames = _Frames(stream)
        try:
            request = await frames.receive()
            if isinstance(request, _Request):
                self._inside[stream.flow] = request.operation
                await _Visit(frames, request).answer(app)
                await stream.send_eof()
                # Closing with octets unread would reset the stream, and the answer with it.
                with anyio.move_on_after(DRAIN_S):
                    while True:
                        await stream.receive()
        except (_Gone, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The client is gone; whoever asks is told so by its own end of the stream.
            return
        finally:
            self._inside.pop(stream.flow, None)
            stream.end.close()


class _Visit:
    """A request while the app answers it."""

    def __init__(self, frames: _Frames, request: _Request) -> None:
        self._frames = frames
        self._request = request
        self._is_read = not request.has_body
        self._has_told = False
        self._is_gone = False
        self._answer = Answer()

    async def answer(self, app: AsgiApp) -> None:
        path, _, query = self._request.target.partition(b"?")
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": self._request.method,
            "path": path.decode(),
            "query_string": query,
            "client": ("192.0.2.7", 4711),
            "headers": self._request.headers,
        }
        await app(scope, self._receive, self._send)
        if not self._is_gone and not self._frames.is_over():
            self._answer.reply()

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._is_read and not self._has_told:
            self._has_told = True
            if not self._request.has_body:
                return {"type": "http.request", "body": b"", "more_body": False}
        try:
            frame = await self._frames.receive()
        except _Gone:
            self._is_gone = True
            return {"type": "http.disconnect"}
        if not isinstance(frame, _Part):
            self._is_gone = True
            return {"type": "http.disconnect"}
        self._is_read = not frame.has_more
        return {"type": "http.request", "body": frame.body, "more_body": frame.has_more}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self._answer.take(message)
        if self._is_gone:
            return
        try:
            if message["type"] == "http.response.start":
                await self._frames.send(_Start(message["status"], list(message["headers"])))
                return
            body, has_more = message.get("body", b""), message.get("more_body", False)
            for start in range(0, max(len(body), 1), PART_BYTES):
                end = start + PART_BYTES
                await self._frames.send(_Part(body[start:end], has_more or end < len(body)))
        except _Gone:
            # As uvicorn does: an app learns of it when it asks.
            self._is_gone = True
