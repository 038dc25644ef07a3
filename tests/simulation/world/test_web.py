"""HTTP over links: whole, slow, cut, refused, and with clients that go away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from keygrove.ports import AsgiApp, Receive, Scope, Send
from keygrove_chaos.net_faults import Latency, Reset, Uniform
from keygrove_chaos.network import Network
from keygrove_chaos.partition import partial
from keygrove_chaos.web import CutError, WebEndpoint, WebServers, ask
from keygrove_chaos.world import World
from tests.simulation.world.worlds import in_a_world

BODY = bytes(range(256)) * 1000


@asynccontextmanager
async def serving(network: Network, app: AsgiApp) -> AsyncGenerator[WebEndpoint, None]:
    endpoint = WebEndpoint(network, "b", 11371)
    async with WebServers().serving(app, endpoint):
        yield endpoint


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    query: bytes = scope["query_string"]
    await answer(send, scope["method"].encode() + scope["path"].encode() + query + body)


@in_a_world
async def test_a_request_travels_and_its_answer_comes_back(network: Network) -> None:
    network.inject("f", Latency(Uniform(0.0, 0.3)))
    async with serving(network, echo) as endpoint:
        reply = await ask(network, "a", "b", 11371, "POST", "/pks/add?x=1", BODY)
        empty = await ask(network, "a", "b", 11371, "GET", "/")
    assert (reply.status, reply.headers) == (200, {"content-type": "text/plain"})
    assert reply.body == b"POST/pks/addx=1" + BODY
    assert empty.body == b"GET/"
    assert endpoint.address == "b:11371"


@in_a_world
async def test_nobody_listens(network: Network) -> None:
    with pytest.raises(ConnectionRefusedError):
        await ask(network, "a", "b", 11371, "GET", "/")


@in_a_world
async def test_a_request_waits_for_a_server_that_starts(network: Network) -> None:
    endpoint = WebEndpoint(network, "b", 11371)
    replies: list[int] = []

    async def client() -> None:
        replies.append((await ask(network, "a", "b", 11371, "GET", "/")).status)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client)
        await anyio.sleep(10)
        assert replies == []
        async with WebServers().serving(echo, endpoint):
            await anyio.sleep(1)
    assert replies == [200]


@in_a_world
async def test_a_client_that_goes_away_disconnects(network: Network, world: World) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([await receive(), await receive(), world.now()])

    async with serving(network, app):
        with pytest.raises(TimeoutError):
            await ask(network, "a", "b", 11371, "GET", "/", timeout=5.0)
        await anyio.sleep(1)
    assert [message["type"] for message in seen[:2]] == ["http.request", "http.disconnect"]
    assert seen[2] == pytest.approx(5.0, abs=0.01)


@in_a_world
async def test_a_body_that_is_cut_is_a_disconnect_and_a_cut_answer(network: Network) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1] == "http.request":
            seen.append((await receive())["type"])

    network.inject("f", Reset(100_000), [("a", "b")])
    async with serving(network, app):
        with pytest.raises(CutError):
            await ask(network, "a", "b", 11371, "POST", "/", BODY)
        await anyio.sleep(1)
    assert "http.request" in seen
    assert seen[-1] == "http.disconnect"


@in_a_world
async def test_an_answer_that_is_cut_is_told(network: Network) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, BODY)

    network.inject("f", Reset(100_000), [("b", "a")])
    async with serving(network, app):
        with pytest.raises(CutError):
            await ask(network, "a", "b", 11371, "GET", "/")


@in_a_world
async def test_a_server_may_answer_before_it_has_read_all(network: Network) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"too long")

    async with serving(network, app):
        reply = await ask(network, "a", "b", 11371, "POST", "/", BODY)
    assert reply.body == b"too long"


@in_a_world
async def test_a_server_that_stops_finishes_the_requests_begun(network: Network) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(2)
        await answer(send, b"done")

    replies: list[bytes] = []

    async def client() -> None:
        replies.append((await ask(network, "a", "b", 11371, "GET", "/")).body)

    async with anyio.create_task_group() as tasks:
        async with serving(network, app):
            tasks.start_soon(client)
            await anyio.sleep(1)
        await anyio.sleep(1)
    assert replies == [b"done"]


@in_a_world
async def test_a_server_whose_host_dies_cuts_the_answer(network: Network) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        network.crash_host("b")

    async with serving(network, app):
        with pytest.raises(CutError):
            await ask(network, "a", "b", 11371, "GET", "/")


@in_a_world
async def test_a_partition_is_a_time_out(network: Network) -> None:
    network.inject("f", partial("a", "b"))
    async with serving(network, echo):
        with pytest.raises(TimeoutError):
            await ask(network, "a", "b", 11371, "GET", "/", timeout=30.0)
