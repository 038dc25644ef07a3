"""Hosts that die, lose power or freeze, as their peers see it."""

import anyio
import pytest

from keygrove_chaos.network import Network
from keygrove_chaos.tcp import BUFFER_BYTES
from keygrove_chaos.world import World
from tests.simulation.world.echo import Accepted, connected
from tests.simulation.world.worlds import in_a_world


@in_a_world
async def test_a_killed_process_resets_its_streams(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.crash_host("b", "rst")
    with pytest.raises(anyio.BrokenResourceError):
        await ours.receive()
    with pytest.raises(anyio.BrokenResourceError):
        await theirs.send(b"from beyond")
    with pytest.raises(ConnectionRefusedError):
        await network.connect("a", "b", 11370)


@in_a_world
async def test_a_process_that_ends_ends_its_streams(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    await theirs.send(b"last words")
    network.crash_host("b", "fin")
    assert await ours.receive() == b"last words"
    with pytest.raises(anyio.EndOfStream):
        await ours.receive()


@in_a_world
async def test_power_loss_leaves_the_peer_half_open(network: Network, world: World) -> None:
    ours, _ = await connected(network, "a", "b")
    network.crash_host("b", "silent")
    await ours.send(b"x" * BUFFER_BYTES)
    assert world.now() < 0.1
    with anyio.move_on_after(300) as writing:
        await ours.send(b"x")
    with anyio.move_on_after(300) as reading:
        await ours.receive()
    assert writing.cancelled_caught
    assert reading.cancelled_caught


@in_a_world
async def test_a_reader_alone_never_learns_of_power_loss(network: Network) -> None:
    ours, _ = await connected(network, "a", "b")
    network.crash_host("b", "silent")
    with anyio.move_on_after(86_400) as reading:
        await ours.receive()
    assert reading.cancelled_caught


@in_a_world
async def test_asking_for_a_sign_of_life_finds_a_half_open_stream(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    for is_alive in (True, False):
        await ours.send(b"?")
        with anyio.move_on_after(10) as scope:
            if is_alive:
                await theirs.send(await theirs.receive())
            await ours.receive()
        assert scope.cancelled_caught is not is_alive
        network.crash_host("b", "silent")


@in_a_world
async def test_a_host_that_is_back_resets_streams_of_before(network: Network) -> None:
    ours, _ = await connected(network, "a", "b")
    network.crash_host("b", "silent")
    network.restart_host("b")
    await ours.send(b"are you there?")
    with pytest.raises(anyio.BrokenResourceError):
        await ours.receive()
    network.listen("b", 11370, lambda _: None)
    await network.connect("a", "b", 11370)


@in_a_world
async def test_a_host_without_power_cannot_be_reached(network: Network) -> None:
    Accepted(network, "b")
    network.crash_host("b", "silent")
    with pytest.raises(TimeoutError):
        await network.connect("a", "b", 11370)
    with pytest.raises(ConnectionAbortedError):
        await network.connect("b", "a", 11370)


@in_a_world
async def test_a_paused_host_gets_what_waited_when_it_goes_on(
    network: Network, world: World
) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.pause_host("b")
    await ours.send(b"hello")
    await theirs.send(b"sent while frozen")
    await anyio.sleep(100)
    for stream in (ours, theirs):
        with anyio.move_on_after(1) as scope:
            await stream.receive()
        assert scope.cancelled_caught
    resumed = world.now()
    network.resume_host("b")
    assert await theirs.receive() == b"hello"
    assert world.now() == resumed
    assert await ours.receive() == b"sent while frozen"


@in_a_world
async def test_what_waits_at_a_paused_host_dies_with_it(network: Network) -> None:
    got: list[object] = []
    network.bind("b", 1, got.append)
    network.pause_host("b")
    network.send_datagram("a", "b", 1, b"x")
    await anyio.sleep(1)
    assert network.datagrams.in_flight == 1
    network.crash_host("b")
    assert (network.datagrams.lost, network.datagrams.in_flight, got) == (1, 0, [])
