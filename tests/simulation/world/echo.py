"""Ends of streams that tests talk to."""

import anyio

from keygrove_chaos.network import Network
from keygrove_chaos.stream import Stream


async def received(stream: Stream) -> bytes:
    """All that comes until the end."""
    parts: list[bytes] = []
    try:
        while True:
            parts.append(await stream.receive())
    except anyio.EndOfStream:
        return b"".join(parts)


class Accepted:
    """The streams a host was opened, in order."""

    def __init__(self, network: Network, host: str, port: int = 11370) -> None:
        self.streams: list[Stream] = []
        self.some = anyio.Event()
        network.listen(host, port, self._accept)

    def _accept(self, stream: Stream) -> None:
        self.streams.append(stream)
        self.some.set()


async def connected(network: Network, source: str, target: str) -> tuple[Stream, Stream]:
    """Both ends of a new stream."""
    accepted = Accepted(network, target)
    opened = await network.connect(source, target, 11370)
    await accepted.some.wait()
    return opened, accepted.streams[0]
