"""Where connections to others come from, and what those others may send.

Partners know each other by address (recon.md, T15).
"""

import subprocess
import sys
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from keygrove.asking import HttpReply, HttpRequest
from keygrove.errors import ConnectionLostError, UnreachableError
from keygrove.ports import ByteStream
from keygrove.system import outbound
from keygrove.system.outbound import HttpcoreClient
from keygrove.system.server import UvicornServers
from keygrove.system.sockets import listen
from keygrove.system.tcp import TcpStreams

OURS = ["127.0.0.2", "127.0.0.3"]
"""All of 127.0.0.0/8 are a host's own."""


def test_t15_a_connection_comes_from_the_address_that_it_is_to_come_from() -> None:
    async def story() -> None:
        endpoint = listen("127.0.0.1:0", "recon.listen")
        port = int(endpoint.address.rpartition(":")[2])
        sources: list[str] = []

        async def converse(_: ByteStream, source: str) -> None:
            sources.append(source)

        async with TcpStreams().listening(converse, endpoint):
            for address in OURS:
                stream = await TcpStreams().connect("127.0.0.1", port, bind=address)
                assert await stream.receive() == b""
                await stream.aclose()
        endpoint.close()
        assert sources == OURS

    anyio.run(story)


FIRST_REQUEST = """
import sys, anyio
from pathlib import Path
from keygrove.errors import UnreachableError
from keygrove.asking import HttpRequest
from keygrove.system.world import system_ports

async def ask(client):
    before = set(sys.modules)
    try:
        await client.post(HttpRequest("http://127.0.0.1:0/", b"", "text/plain", bytes_max=1))
    except UnreachableError:
        return set(sys.modules) - before

new = anyio.run(ask, system_ports(Path(), asks_others=True).client)
assert not [one for one in new if one.partition(".")[0] in {"httpcore", "trio", "h11"}], new
"""


def test_the_first_request_imports_nothing_that_takes_long() -> None:
    subprocess.run([sys.executable, "-c", FIRST_REQUEST], check=True)


@pytest.mark.parametrize("address", OURS)
def test_t15_so_does_a_hashquery(address: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})

    async def story() -> None:
        endpoint = listen("127.0.0.1:0", "http.listen")
        port = int(endpoint.address.rpartition(":")[2])
        async with UvicornServers(10).serving(app, endpoint):
            url = f"http://127.0.0.1:{port}/pks/hashquery"
            request = HttpRequest(url, b"", "sks/hashquery", bytes_max=100, bind=address)
            reply = await HttpcoreClient().post(request)
        endpoint.close()
        assert reply.body.decode() == address

    anyio.run(story)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def chunk(octets: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(octets), octets)


async def answered(head: bytes, part: bytes = b"") -> HttpReply | ConnectionLostError:
    """What comes of what a server says; `part` it says without end."""
    endpoint = listen("127.0.0.1:0", "http.listen")

    async def converse(stream: ByteStream, _: str) -> None:
        await stream.receive()
        await stream.send(head)
        while part:
            await stream.send(part)
        await stream.receive()

    request = HttpRequest(f"http://{endpoint.address}/", b"", "text/plain", bytes_max=64 << 20)
    try:
        async with TcpStreams().listening(converse, endpoint):
            try:
                return await HttpcoreClient().post(request)
            except ConnectionLostError as error:
                return error
    finally:
        endpoint.close()


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (CHUNKED, chunk(b"x") * 10_000),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1_000 + b"\r\n\r\n"),
    ],
    ids=["chunks of an octet", "interim answers", "long interim answers"],
)
def test_a_server_that_sends_little_of_a_body_without_end_is_left(head: bytes, part: bytes) -> None:
    error = anyio.run(answered, head, part)
    assert isinstance(error, ConnectionLostError)
    assert "octets that came" in str(error)


def test_an_answer_in_chunks_is_read_whole() -> None:
    body, chunks = b"x" * 1_000, 20_000
    reply = anyio.run(answered, CHUNKED + chunk(body) * chunks + chunk(b""))
    assert isinstance(reply, HttpReply)
    assert reply.body == body * chunks


def test_interim_answers_are_passed_over() -> None:
    reply = anyio.run(answered, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10 + OK)
    assert isinstance(reply, HttpReply)
    assert reply.body == b"ok"


def test_whoever_waits_has_turns_while_chunks_are_read() -> None:
    chunks = 100 * outbound.PIECES_A_TURN
    turns = 0

    async def wait() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async def story() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            reply = await answered(CHUNKED + chunk(b"x") * chunks + chunk(b""))
            assert isinstance(reply, HttpReply)
            assert reply.body == b"x" * chunks
            tasks.cancel_scope.cancel()

    anyio.run(story)
    assert turns > chunks / outbound.PIECES_A_TURN


@pytest.mark.parametrize("host", ["xn--", "xn--a.example", "a" * 64 + ".example"])
def test_a_name_that_stands_for_no_host_is_nowhere(host: str) -> None:
    request = HttpRequest(f"http://{host}:11371/pks/add", b"", "text/plain", bytes_max=1)
    with pytest.raises(UnreachableError, match=host):
        anyio.run(HttpcoreClient().post, request)
