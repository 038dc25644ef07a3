"""Streams and HTTP to other hosts, on real sockets and on the simulated network."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count
from socket import create_server, socket
from typing import Any, TypeAlias

import anyio
import msgspec
import pytest

from keygrove.asking import HTTP_CONNECT_S, HttpClient, HttpRequest
from keygrove.errors import ConnectionLostError, TooLongError, UnreachableError
from keygrove.ports import AsgiApp, ByteStream, Endpoint, HttpServers, Streams
from keygrove.system.outbound import HttpcoreClient
from keygrove.system.server import UvicornServers
from keygrove.system.sockets import listen
from keygrove.system.tcp import TcpStreams
from keygrove_chaos.network import Network
from keygrove_chaos.outbound import SimulatedClient, SimulatedStreams
from keygrove_chaos.running import run
from keygrove_chaos.web import WebEndpoint, WebServers
from keygrove_chaos.world import World
from tests.loops import run_on_trio


class Site(msgspec.Struct, frozen=True):
    """Where tests meet: `address` is how the one who connects is known."""

    streams: Streams
    client: HttpClient
    servers: HttpServers
    open: Callable[[], Endpoint]
    host: str
    address: str


Story: TypeAlias = Callable[[Site], Awaitable[None]]


def on_both(story: Story) -> Callable[[str], None]:
    """A test of this story, on sockets and on the simulated network."""

    @pytest.mark.parametrize("form", ["sockets", "simulated"])
    def test(form: str) -> None:
        if form == "sockets":
            anyio.run(_on_sockets, story)
        else:
            run(partial(_simulated, story), seed=1)

    return test


async def _on_sockets(story: Story) -> None:
    with ExitStack() as opened:

        def take() -> Endpoint:
            endpoint = listen("127.0.0.1:0", "recon.listen")
            opened.callback(endpoint.close)
            return endpoint

        servers = UvicornServers(10)
        await story(Site(TcpStreams(), HttpcoreClient(), servers, take, "127.0.0.1", "127.0.0.1"))


async def _simulated(story: Story, world: World) -> None:
    network = Network(world, ["here", "there"])
    ports = count(1)
    await story(
        Site(
            _Both(SimulatedStreams(network, "here"), SimulatedStreams(network, "there")),
            SimulatedClient(network, "here"),
            WebServers(),
            lambda: WebEndpoint(network, "there", next(ports)),
            "there",
            "here",
        )
    )


class _Both:
    """Connects from one host, and listens at the other."""

    def __init__(self, here: Streams, there: Streams) -> None:
        self.resolve = here.resolve
        self.connect = here.connect
        self.listening = there.listening


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.address.rpartition(":")[2])


async def read_all(stream: ByteStream) -> bytes:
    found = b""
    while piece := await stream.receive():
        found += piece
    return found


@on_both
async def test_what_is_written_arrives_whole_and_the_end_is_seen(site: Site) -> None:
    octets, sources = bytes(300_000), list[str]()
    endpoint = site.open()

    async def converse(stream: ByteStream, source: str) -> None:
        sources.append(source)
        await stream.send(octets)

    async with site.streams.listening(converse, endpoint):
        stream = await site.streams.connect(site.host, port_of(endpoint))
        assert await read_all(stream) == octets
        await stream.aclose()
    assert sources == [site.address]


@on_both
async def test_both_ends_talk_in_turn(site: Site) -> None:
    endpoint = site.open()

    async def converse(stream: ByteStream, _: str) -> None:
        while octets := await stream.receive():
            await stream.send(octets.upper())

    async with site.streams.listening(converse, endpoint):
        stream = await site.streams.connect(site.host, port_of(endpoint), bind=site.address)
        for word in (b"one", b"two"):
            await stream.send(word)
            assert await stream.receive() == word.upper()
        await stream.aclose()


@on_both
async def test_the_end_of_a_listener_breaks_off_what_is_under_way(site: Site) -> None:
    endpoint, met = site.open(), anyio.Event()

    async def converse(_stream: ByteStream, _: str) -> None:
        met.set()
        await anyio.sleep_forever()

    async with site.streams.listening(converse, endpoint):
        stream = await site.streams.connect(site.host, port_of(endpoint))
        await met.wait()
    with suppress(ConnectionLostError):
        assert await stream.receive() == b""
    await stream.aclose()


@on_both
async def test_where_nobody_listens_nobody_is_reached(site: Site) -> None:
    port = 9  # of no endpoint, here or there
    with pytest.raises(UnreachableError):
        await site.streams.connect(site.host, port)
    with pytest.raises(UnreachableError):
        await site.client.post(HttpRequest(f"http://{site.host}:{port}/", b"", "text/plain", 1))


@on_both
async def test_a_host_that_is_none_has_no_address(site: Site) -> None:
    with pytest.raises(UnreachableError):
        await site.streams.resolve("nobody.invalid")
    assert await site.streams.resolve(site.host) == (site.host,)


def answering(status: int, body: bytes) -> AsgiApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked = b""
        while (message := await receive())["type"] == "http.request":
            asked += message["body"]
            if not message["more_body"]:
                break
        asked += dict(scope["headers"]).get(b"x-word", b"")
        head = [(b"content-type", b"text/plain"), (b"retry-after", b"7")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": asked + body})

    return app


@asynccontextmanager
async def serving(site: Site, app: AsgiApp) -> AsyncGenerator[str, None]:
    endpoint = site.open()
    async with site.servers.serving(app, endpoint):
        yield f"http://{site.host}:{port_of(endpoint)}/path"


@on_both
async def test_a_body_is_posted_and_the_answer_is_read(site: Site) -> None:
    async with serving(site, answering(418, b"!")) as url:
        reply = await site.client.post(HttpRequest(url, b"body", "text/plain", bytes_max=5))
    assert (reply.status, reply.body) == (418, b"body!")


@on_both
async def test_headers_are_sent_and_read(site: Site) -> None:
    async with serving(site, answering(503, b"")) as url:
        headers = {"X-Word": "word"}
        reply = await site.client.post(HttpRequest(url, b"", "text/plain", 9, headers=headers))
    assert (reply.body, reply.headers["retry-after"]) == (b"word", "7")


@on_both
async def test_an_answer_that_is_too_long_is_not_read(site: Site) -> None:
    async with serving(site, answering(200, b"!")) as url:
        with pytest.raises(TooLongError):
            await site.client.post(HttpRequest(url, b"body", "text/plain", bytes_max=4))


async def _is_given_up(client: HttpClient, url: str) -> None:
    before = anyio.current_time()
    with anyio.fail_after(10 * HTTP_CONNECT_S), pytest.raises(UnreachableError, match="15 s"):
        await client.post(HttpRequest(url, b"", "text/plain", bytes_max=1))
    assert anyio.current_time() - before == pytest.approx(HTTP_CONNECT_S)


def test_a_socket_that_takes_no_connection_is_given_up_soon() -> None:
    with create_server(("127.0.0.1", 0), backlog=0) as full, socket() as waiting:
        waiting.connect(full.getsockname())  # it fills the queue, and further packets are dropped
        run_on_trio(_is_given_up, HttpcoreClient(), f"http://127.0.0.1:{full.getsockname()[1]}/")


def test_a_host_that_says_nothing_is_given_up_soon() -> None:
    async def story(world: World) -> None:
        network = Network(world, ["here", "there"])
        network.pause_host("there")
        await _is_given_up(SimulatedClient(network, "here"), "http://there/")

    run(story, seed=1)
