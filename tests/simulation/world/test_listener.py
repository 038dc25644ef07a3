"""A listening port, as anyio's listeners are."""

import anyio
import pytest

from keygrove_chaos.listener import StreamListener
from keygrove_chaos.network import Network
from keygrove_chaos.stream import Stream
from tests.simulation.world.echo import received
from tests.simulation.world.worlds import in_a_world

PORT = 4000


async def shout(stream: Stream) -> None:
    async with stream:
        await stream.send((await received(stream)).upper())


async def asked(network: Network, source: str, words: bytes) -> bytes:
    async with await network.connect(source, "b", PORT) as stream:
        await stream.send(words)
        await stream.send_eof()
        return await received(stream)


@in_a_world
async def test_each_stream_gets_a_task_of_its_own(network: Network) -> None:
    async with StreamListener(network, "b", PORT) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, shout)
        silent = await network.connect("c", "b", PORT)
        assert await asked(network, "a", b"one") == b"ONE"
        assert await asked(network, "d", b"two") == b"TWO"
        await silent.aclose()
        tasks.cancel_scope.cancel()


@in_a_world
async def test_streams_wait_until_they_are_served(network: Network) -> None:
    async with StreamListener(network, "b", PORT) as listener, anyio.create_task_group() as tasks:
        stream = await network.connect("a", "b", PORT)
        await anyio.sleep(10)
        tasks.start_soon(listener.serve, shout, tasks)
        async with stream:
            await stream.send(b"at last")
            await stream.send_eof()
            assert await received(stream) == b"AT LAST"
        tasks.cancel_scope.cancel()


@in_a_world
async def test_a_closed_listener_resets_who_waits_and_refuses_others(network: Network) -> None:
    listener = StreamListener(network, "b", PORT)
    async with await network.connect("a", "b", PORT) as stream:
        await anyio.sleep(1)
        await listener.aclose()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()
    with pytest.raises(ConnectionRefusedError):
        await network.connect("a", "b", PORT)
