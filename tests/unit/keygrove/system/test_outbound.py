"""Where connections to others come from: partners know each other by address (recon.md, T15)."""

import subprocess
import sys
from typing import Any

import anyio
import pytest

from keygrove.ports import ByteStream, HttpRequest
from keygrove.system.outbound import HttpxClient
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
from keygrove.ports import HttpRequest
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
            reply = await HttpxClient().post(request)
        endpoint.close()
        assert reply.body.decode() == address

    anyio.run(story)
