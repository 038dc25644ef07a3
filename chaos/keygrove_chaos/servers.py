"""HTTP without sockets: doors that requests go through, on any event loop.

A door is open for knocking as a listening socket is: a request that finds nobody behind it
waits. What an app sends is held to the ASGI specification.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import anyio
import anyio.lowlevel
import msgspec

from keygrove.ports import AsgiApp, Endpoint, Receive

DRAIN_S = 3.0
"""How long requests that have begun may take once the listener is to stop."""

Wait: TypeAlias = Callable[[], Awaitable[None]]


class Reply(msgspec.Struct, frozen=True):
    """What came back. Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, read."""
        return self.body.decode()


class NoReplyError(Exception):
    """The app returned and had not answered."""


class Door:
    """See `ports.Endpoint`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._app: AsgiApp | None = None
        self._opened = anyio.Event()
        self._inside = 0
        self._emptied = anyio.Event()

    @property
    def address(self) -> str:
        """See `ports.Endpoint`."""
        return self._address

    async def ask(  # noqa: PLR0913, PLR0917 - a request has that many properties
        self,
        method: str,
        target: str | bytes,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        receive: Receive | None = None,
        client: str = "192.0.2.7",
        taking: Wait | None = None,
    ) -> Reply:
        """Make a request and return the answer to it.

        Args:
            target: path and query, as they stand in a request line.
            client: the address that it comes from.
            receive: where the body comes from, instead of `body`: slowly, say.
            taking: awaited before each part of the answer is taken.
        """
        while self._app is None:
            await self._opened.wait()
        app = self._app
        raw = target if isinstance(target, bytes) else target.encode()
        path, _, query = raw.partition(b"?")
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path.decode(),
            "query_string": query,
            "client": (client, 4711),
            "headers": [
                (name.encode(), value.encode())
                for name, value in {
                    **({"content-length": str(len(body))} if body else {}),
                    **(headers or {}),
                }.items()
            ],
        }
        answer = Answer(taking)
        self._inside += 1
        try:
            await app(scope, receive or chunks([body]), answer.send)
        finally:
            self._inside -= 1
            if not self._inside:
                self._emptied.set()
        return answer.reply()

    def let_in(self, app: AsgiApp) -> None:
        """Give `app` the requests that come from now on."""
        self._app = app
        self._opened.set()

    async def close(self) -> None:
        """Let nobody in, and wait a while for those inside."""
        self._app, self._opened = None, anyio.Event()
        with anyio.move_on_after(DRAIN_S):
            while self._inside:
                self._emptied = anyio.Event()
                await self._emptied.wait()


class DoorServers:
    """See `ports.HttpServers`, for endpoints that are doors."""

    @asynccontextmanager
    async def serving(self, app: AsgiApp, endpoint: Endpoint) -> AsyncGenerator[None, None]:
        """See `ports.HttpServers`."""
        door = cast(Door, endpoint)
        door.let_in(app)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await door.close()


def chunks(parts: Iterable[bytes], then: Wait | None = None) -> Receive:
    """A body that comes in these parts; `then` is awaited before the last ones are asked for.

    After the body, or where `then` returns, the client is gone.
    """
    waiting = list(parts)
    is_whole = then is None

    async def receive() -> MutableMapping[str, Any]:
        if waiting:
            part = waiting.pop(0)
            return {
                "type": "http.request",
                "body": part,
                "more_body": bool(waiting) or not is_whole,
            }
        if then is not None:
            await then()
        return {"type": "http.disconnect"}

    return receive


class Answer:
    """What an app sends, and whether it may send it."""

    def __init__(self, taking: Wait | None = None) -> None:
        self._taking = taking
        self._start: MutableMapping[str, Any] | None = None
        self._parts: list[bytes] = []
        self._is_whole = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """See the ASGI specification."""
        await (self._taking or anyio.lowlevel.checkpoint)()
        self.take(message)

    def take(self, message: MutableMapping[str, Any]) -> None:
        """Keep a message; it must be one that may come now."""
        assert not self._is_whole, "sent behind the end"
        if message["type"] == "http.response.start":
            assert self._start is None, "started twice"
            self._start = message
        else:
            assert message["type"] == "http.response.body", message
            assert self._start is not None, "a body before the start"
            self._parts.append(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)

    def reply(self) -> Reply:
        """The whole answer.

        Raises:
            NoReplyError: it is not whole.
        """
        if self._start is None or not self._is_whole:
            raise NoReplyError("the app returned without a whole answer")
        pairs = [(name.decode(), value.decode()) for name, value in self._start["headers"]]
        headers: dict[str, str] = {}
        for name, value in pairs:
            assert name == name.lower(), f"{name} is not lower-case"
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Reply(self._start["status"], headers, b"".join(self._parts))
