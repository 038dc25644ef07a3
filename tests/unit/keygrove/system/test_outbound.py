"""Where connections to others come from: partners know each other by address (recon.md, T15)."""

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
