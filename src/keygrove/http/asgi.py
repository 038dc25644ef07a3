"""Requests and responses, and the routing that all listeners share, on bare ASGI.

Handlers take a Request and return a Response; everything that is the same for all of them
happens here, once: admission, HEAD and OPTIONS, errors, CORS, the record of what was done.
Why no framework: decision record 0006.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol, TypeAlias
from urllib.parse import parse_qs

import anyio
import msgspec

from keygrove.http.errors import (
    BUSY,
    BodyTooLargeError,
    BodyTooSlowError,
    ClientGoneError,
    Failure,
    TooManyBodiesError,
    failure_of,
)
from keygrove.http.leaving import LEAVING_OCTETS_MAX, PIECE_OCTETS, Leaving, pieces
from keygrove.ports import Clock, Compute, Receive, Scope, Send
from keygrove.ratelimit.admission import Admit, Facts, Refused
from keygrove.telemetry.administration import Administered, AdminRefusal
from keygrove.telemetry.exchange import Exchange

BODY_DEADLINE_S = 60.0
REQUEST_DEADLINE_S = 120.0
"""Until there is an answer, the arrival of the request's body included."""
ANSWER_DEADLINE_S = 180.0
"""For its departure: so long our own client waits for one, too."""
BODIES_BYTES_MAX = 256 << 20
"""Of all bodies that a listener holds at a time; beyond that it is overloaded."""
FIELDS_MAX = 100
LINGER_S = 2.0
LINGER_BYTES = 16 << 20
"""What a refused client may still send while it reads why: without this it sees a reset."""

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"


class Response(msgspec.Struct, frozen=True):
    """What goes back. Header names are lower-case."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class Budget:
    """Bytes that may be held at a time, by all who share it."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    def take(self, size: int) -> bool:
        """Hold so many more, if there is room."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """Let go of so many."""
        self._left += size


class Request:
    """One request, its body still on the way."""

    def __init__(self, scope: Scope, receive: Receive, bodies: Budget) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        client = scope.get("client")
        self.client: str | None = client[0] if client else None
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._bodies = bodies
        self._held_bytes = 0
        self._until_answered = ExitStack()
        self.is_read = False

    def header(self, name: str) -> str | None:
        """The first header of this (lower-case) name."""
        wanted = name.encode()
        for key, value in self._headers:
            if key == wanted:
                return value.decode("latin-1")
        return None

    def field(self, name: str) -> str:
        """The first value of a query parameter; empty if there is none, or far too many."""
        try:
            fields = parse_qs(self.query.decode(errors="replace"), max_num_fields=FIELDS_MAX)
        except ValueError:
            return ""
        return fields.get(name, [""])[0]

    @property
    def options(self) -> frozenset[str]:
        """What the `options` parameter of the query lists."""
        return frozenset(self.field("options").split(","))

    async def body(self, bytes_max: int) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: longer than `bytes_max`; said before it is read if announced.
            BodyTooSlowError: it takes longer than BODY_DEADLINE_S.
            TooManyBodiesError: others hold all that may be held.
            ClientGoneError: the client hung up.
        """
        announced = self.header("content-length")
        if announced is not None and int(announced) > bytes_max:
            raise BodyTooLargeError(bytes_max)
        parts: list[bytes] = []
        size = 0
        with anyio.move_on_after(BODY_DEADLINE_S):
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > bytes_max:
                    raise BodyTooLargeError(bytes_max)
                if not self._bodies.take(len(part)):
                    raise TooManyBodiesError
                self._held_bytes += len(part)
                parts.append(part)
                if not message.get("more_body", False):
                    self.is_read = True
                    return b"".join(parts)
        raise BodyTooSlowError(BODY_DEADLINE_S)

    def hold(self, context: AbstractContextManager[None]) -> None:
        """Be in this context until the answer was sent, or will not be."""
        self._until_answered.enter_context(context)

    def answered(self) -> None:
        """It was, or will not be."""
        self._until_answered.close()

    def release(self) -> None:
        """The body is not needed any more."""
        self._bodies.give(self._held_bytes)
        self._held_bytes = 0

    async def linger(self) -> None:
        """Let a client that still sends finish, within bounds, so that it reads our answer."""
        left = LINGER_BYTES
        with anyio.move_on_after(LINGER_S):
            while left > 0:
                message = await self._receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


ErrorPage: TypeAlias = Callable[[str], bytes]
"""Makes a page for people of an error's text."""


class Resource(msgspec.Struct, frozen=True):
    """What a path offers. HEAD comes with `get`; `accepts` are media types of a post."""

    get: Handler | None = None
    post: Handler | None = None
    accepts: tuple[str, ...] = ()

    @property
    def allow(self) -> str:
        """The value of the Allow header."""
        offered = ["GET", "HEAD"] if self.get else []
        return ", ".join([*offered, *(["POST"] if self.post else []), "OPTIONS"])


class Observer(Protocol):
    """Told of every request, and of every bug."""

    def exchange(self, exchange: Exchange) -> None:
        """A request was answered."""
        ...

    def fault(self, where: str, error: Exception) -> None:
        """An exception that cost one request."""
        ...

    def administered(self, done: Administered) -> None:
        """An administrator's request was carried out, for one certificate."""
        ...

    def refused(self, refusal: AdminRefusal) -> None:
        """One was not."""
        ...


class Shared(msgspec.Struct, frozen=True):
    """What all apps of a node have in common."""

    admit: Admit
    observer: Observer
    clock: Clock
    compute: Compute
    token: Callable[[int], bytes]
    """Random octets that nobody can guess, so many."""


def names_state(condition: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this state (RFC 9110, section 13.1.2)."""
    named = [one.strip().removeprefix("W/") for one in (condition or "").split(",")]
    return etag in named or named == ["*"]


class App:
    """An ASGI application: resources by path."""

    def __init__(
        self,
        name: str,
        resources: Mapping[str, Resource],
        shared: Shared,
        error_page: ErrorPage | None = None,
    ) -> None:
        self._name = name
        self._error_page = error_page
        self._resources = resources
        self._admit = shared.admit
        self._observer = shared.observer
        self._clock = shared.clock
        self._bodies = Budget(BODIES_BYTES_MAX)
        self._leaving = Leaving(LEAVING_OCTETS_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = self._clock.elapsed()
        request = Request(scope, receive, self._bodies)
        response: Response | None = None
        is_late = False
        try:
            with anyio.move_on_after(REQUEST_DEADLINE_S) as deadline:
                response = await self._respond(request)
            if deadline.cancelled_caught:
                response = self._worded(request, BUSY)  # a server of ours would say 500
            request.release()
            if response is not None:
                with anyio.move_on_after(ANSWER_DEADLINE_S) as deadline:
                    await _send(request, response, send)
                is_late = deadline.cancelled_caught
        finally:
            request.release()
            request.answered()
        self._observer.exchange(
            Exchange(
                listener=self._name,
                method=request.method if request.method in METHODS else "other",
                route=request.path if request.path in self._resources else "other",
                status=response.status if response and not is_late else CLIENT_GONE,
                duration_s=self._clock.elapsed() - begun,
                body_bytes=len(response.body) if response else 0,
                client=request.client,
            )
        )

    async def _respond(self, request: Request) -> Response | None:
        try:
            kind = f"{request.method} {request.path}"
            verdict = await self._admit(Facts(request.client, kind))
            if isinstance(verdict, Refused):
                retry = (("retry-after", str(verdict.retry_after_s)),)
                return self._worded(request, Failure(429, verdict.text, retry))
            response = await self._dispatch(request)
            request.hold(self._leaving.counted(request.client, len(response.body)))
            return response  # noqa: TRY300 - what is said of an error here is short
        except ClientGoneError:
            return None
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is costs this request only
            failure = failure_of(error)
            if failure.is_bug:
                self._observer.fault(self._name, error)
            return self._worded(request, failure)

    async def _dispatch(self, request: Request) -> Response:
        resource = self._resources.get(request.path)
        if resource is None:
            return self._worded(request, Failure(404, "there is nothing at this path"))
        match request.method:
            case "GET" | "HEAD" if resource.get is not None:
                return await resource.get(request)
            case "POST" if resource.post is not None:
                return await resource.post(request)
            case "OPTIONS":
                return Response(200, b"", headers=_options(resource))
            case _:
                text = f"this path takes {resource.allow} only"
                return self._worded(request, Failure(405, text, (("allow", resource.allow),)))

    def _worded(self, request: Request, failure: Failure) -> Response:
        """One line of text; JSON where that was asked for, a page where a browser asks."""
        status, text, headers = failure.status, failure.text, failure.headers
        if "json" in request.options:
            return Response(status, msgspec.json.encode({"error": text}) + b"\n", JSON, headers)
        wants_page = "text/html" in (request.header("accept") or "") and "mr" not in request.options
        if self._error_page is not None and wants_page:
            return Response(status, self._error_page(text), HTML, headers)
        return Response(status, f"{text}\n".encode(), TEXT, headers)


METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"})
CLIENT_GONE = 499
"""Logged, never sent: the client hung up, or took too long (nginx's number)."""


def _options(resource: Resource) -> tuple[tuple[str, str], ...]:
    return (
        ("allow", resource.allow),
        *(("accept", kind) for kind in resource.accepts),
        ("access-control-allow-methods", resource.allow),
        ("access-control-allow-headers", "Content-Type, Authorization, Authentication"),
        ("access-control-max-age", "86400"),
    )


async def _send(request: Request, response: Response, send: Send) -> None:
    headers = [
        (b"access-control-allow-origin", b"*"),
        *((name.encode(), value.encode("latin-1")) for name, value in response.headers),
    ]
    if response.status not in {204, 304}:
        headers.append((b"content-type", response.content_type.encode()))
        headers.append((b"content-length", str(len(response.body)).encode()))
    is_cut_off = request.method == "POST" and not request.is_read
    if is_cut_off:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if request.method == "HEAD" or response.status == 304 else response.body
    if not is_cut_off and len(body) <= PIECE_OCTETS:
        await send({"type": "http.response.body", "body": body})
        return
    for piece in pieces(body):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if is_cut_off:
        await request.linger()
    await send({"type": "http.response.body", "body": b""})
