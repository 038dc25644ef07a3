"""`python -m keygrove_bench.bare BYTES`: the ASGI server alone, with a constant answer."""

import sys

import anyio

from keygrove.ports import Receive, Scope, Send
from keygrove.system.process import CONNECTIONS_MAX
from keygrove.system.server import UvicornServers
from keygrove.system.sockets import listen


async def serve(size: int) -> None:
    """Answer everything with as many octets, and say where."""
    body = bytes(size)
    headers = [(b"content-type", b"application/pgp-keys"), (b"content-length", b"%d" % size)]

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    endpoint = listen("127.0.0.1:0", "the benchmark's own address")
    async with UvicornServers(CONNECTIONS_MAX).serving(app, endpoint):
        sys.stdout.write(f"serving on http://{endpoint.address}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


anyio.run(serve, int(sys.argv[1]), backend_options={"use_uvloop": True})
