"""A partner that does what a script says: its recon, and its hashqueries."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio

from keygrove.errors import ConnectionLostError
from keygrove.ports import ByteStream
from keygrove.recon.conversation import READ_S
from keygrove_chaos.machine import HKP, RECON
from keygrove_chaos.network import Network
from keygrove_chaos.outbound import SimulatedStreams
from keygrove_chaos.web import WebEndpoint, WebServers
from keygrove_protocols.openpgp.certificate import Certificate, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder, Verdict, encode_verdict
from keygrove_protocols.recon.hashquery import decode_request, encode_response
from keygrove_protocols.recon.messages import (
    Config,
    Done,
    Elements,
    Flush,
    FullRequest,
    Message,
    encode,
    in_order,
)
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, config_of

Script: TypeAlias = Callable[["Line"], Awaitable[None]]
"""What is done with each connection that it is opened."""
Answer: TypeAlias = Callable[[tuple[Digest, ...]], Awaitable[bytes]]
"""The body of an answer to a hashquery."""

CLAIMED_AT_ONCE = 10_000
SAID_BY_SKS = {b"bitquantum", b"filters", b"http port", b"mbar", b"version"}


class Line:
    """A connection as a script sees it."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.decoder = Decoder()

    async def say(self, *messages: Message) -> None:
        await self.stream.send(b"".join(map(encode, messages)))

    async def hear(self) -> Message:
        """The next message.

        Raises:
            ConnectionLostError: there is none.
        """
        while (message := self.decoder.message()) is None:
            await self._more()
        return message

    async def shake_hands(
        self, filters: bytes = DEFAULT_FILTERS, *, http_port: int = HKP, identity: bytes = b""
    ) -> Config:
        """As SKS does: the config at once. What the other one said of itself."""
        said = config_of(http_port=http_port, filters=filters, identity=identity)
        keys = {*SAID_BY_SKS, b"x-keygrove-id"} if identity else SAID_BY_SKS
        await self.say(Config(tuple(one for one in said.pairs if one[0] in keys)))
        config = await self.hear()
        assert isinstance(config, Config)
        await self.stream.send(encode_verdict(Verdict()))
        while self.decoder.verdict() is None:
            await self._more()
        self.decoder.admit_all()
        return config

    async def _more(self) -> None:
        octets = await self.stream.receive()
        if not octets:
            raise ConnectionLostError("it ended")
        self.decoder.feed(octets)


def claiming(digests: Iterable[Digest]) -> Script:
    """Says that it has these, of all that there are."""
    claimed = in_order(set(digests))

    async def script(line: Line) -> None:
        await line.shake_hands()
        for at in range(0, max(len(claimed), 1), CLAIMED_AT_ONCE):
            await line.say(FullRequest(ROOT, claimed[at : at + CLAIMED_AT_ONCE]), Flush())
            assert isinstance(await line.hear(), Elements)
        await line.say(Done())

    return script


def holding(certificates: Iterable[Certificate]) -> Answer:
    """Gives what it is asked for."""
    held = {sks_digest(packets(one)): to_bytes(one) for one in certificates}

    async def answer(asked: tuple[Digest, ...]) -> bytes:
        return encode_response([held[digest] for digest in asked if digest in held])

    return answer


async def nothing(_: tuple[Digest, ...]) -> bytes:
    return encode_response([])


class Scripted:
    """What it was asked for."""

    def __init__(self) -> None:
        self.met = 0
        self.asked: list[tuple[Digest, ...]] = []


@asynccontextmanager
async def scripted(
    network: Network,
    host: str,
    script: Script,
    answer: Answer = nothing,
    *,
    ports: tuple[int, int] = (RECON, HKP),
) -> AsyncGenerator[Scripted, None]:
    """A host that is such a partner, at these ports of recon and HTTP."""
    seen = Scripted()

    async def converse(stream: ByteStream, _: str) -> None:
        seen.met += 1
        try:
            await script(Line(stream))
        except ConnectionLostError:
            return

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        assert scope["path"] == "/pks/hashquery"
        asked = decode_request(body)
        seen.asked.append(asked)
        octets = await answer(asked)
        head = [(b"content-type", b"pgp/keys")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": octets})

    recon, http = (WebEndpoint(network, host, port) for port in ports)
    streams = SimulatedStreams(network, host)
    async with streams.listening(converse, recon), WebServers().serving(app, http):
        yield seen
    recon.close()
    http.close()


async def trickles(line: Line) -> None:
    """A message of which an octet comes now and then."""
    await line.shake_hands()
    await line.stream.send((1 << 20).to_bytes(4))
    while True:
        await line.stream.send(b"\x00")
        await anyio.sleep(READ_S - 1)
