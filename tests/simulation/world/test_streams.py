"""Streams over links, and what each fault looks like to those who use them."""

import anyio
import msgspec
import pytest

from keygrove_chaos.net_faults import (
    Burst,
    Clog,
    Const,
    Corrupt,
    Dup,
    HalfOpen,
    Latency,
    Loss,
    Mtu,
    NetFault,
    Partition,
    Rate,
    Refuse,
    Reorder,
    Reset,
    Slice,
    Uniform,
)
from keygrove_chaos.network import Network
from keygrove_chaos.partition import one_way, partial
from keygrove_chaos.stream import Stream
from keygrove_chaos.tcp import BUFFER_BYTES, WINDOW_BYTES
from keygrove_chaos.world import World
from tests.simulation.world.echo import Accepted, connected, received
from tests.simulation.world.worlds import in_a_world

DATA = bytes(range(256)) * 400


async def moved(sender: Stream, receiver: Stream, data: bytes = DATA) -> bytes:
    """What arrives of `data`."""
    arrived: list[bytes] = []

    async def read() -> None:
        arrived.append(await received(receiver))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await sender.send(data)
        await sender.send_eof()
    return arrived[0]


async def fill(stream: Stream) -> int:
    """Write until nothing moves for ten minutes; return how many octets were taken."""
    taken = 0
    with anyio.move_on_after(600):
        while True:
            await stream.send(b"x" * 1024)
            taken += 1024
    return taken


@in_a_world
async def test_both_ends_read_what_the_other_wrote(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    assert await moved(ours, theirs) == DATA
    assert await moved(theirs, ours, b"thanks") == b"thanks"


@in_a_world
async def test_opening_takes_a_round_trip(network: Network, world: World) -> None:
    Accepted(network, "b")
    network.inject("slow", Latency(Const(0.099)))
    await network.connect("a", "b", 11370)
    assert world.now() == pytest.approx(0.2)
    assert network.effect("slow") > 0


@in_a_world
async def test_nobody_listens(network: Network) -> None:
    with pytest.raises(ConnectionRefusedError):
        await network.connect("a", "b", 11370)


@in_a_world
async def test_a_writer_waits_for_a_reader(network: Network) -> None:
    ours, _ = await connected(network, "a", "b")
    assert await fill(ours) in range(WINDOW_BYTES, WINDOW_BYTES + BUFFER_BYTES + 1)


@in_a_world
async def test_a_writer_goes_on_when_a_slow_reader_reads(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ours.send, DATA * 3)
        await anyio.sleep(1000)
        read = 0
        while read < len(DATA) * 3:
            read += len(await theirs.receive())


@in_a_world
async def test_reading_and_writing_after_closing_is_told(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    await ours.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await ours.send(b"x")
    with pytest.raises(anyio.ClosedResourceError):
        await ours.receive()
    with pytest.raises(anyio.EndOfStream):
        await theirs.receive()


@in_a_world
async def test_writing_to_one_who_closed_breaks_the_stream(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    await theirs.aclose()
    await ours.send(b"x")
    await anyio.sleep(1)
    with pytest.raises(anyio.BrokenResourceError):
        await ours.send(b"x")


@in_a_world
async def test_closing_with_octets_unread_resets(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    await ours.send(b"x")
    await anyio.sleep(1)
    await theirs.aclose()
    with pytest.raises(anyio.BrokenResourceError):
        await ours.receive()


@pytest.mark.parametrize(
    "fault",
    [
        Loss(0.1),
        Burst(0.05, 0.3),
        Dup(0.3, 0.1),
        Reorder(0.3, 0.1),
        Corrupt(0.1, 0.0),
        Latency(Uniform(0.0, 0.5)),
        Rate(50_000.0, queue_bytes=10_000),
        Slice(700),
        Clog(until_s=5.0),
    ],
    ids=lambda fault: type(fault).__name__,
)
@in_a_world
async def test_tcp_hides_a_fault_but_for_the_time_it_takes(
    network: Network, world: World, fault: NetFault
) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", fault, [("a", "b")])
    assert await moved(ours, theirs) == DATA
    assert network.effect("f") > 0


@in_a_world
async def test_loss_is_a_pause_of_200_ms(network: Network, world: World) -> None:
    ours, theirs = await connected(network, "a", "b")
    await anyio.sleep(1)
    network.inject("f", Loss(1.0), [("a", "b")])
    began = world.now()
    await ours.send(b"x")
    network.heal("f")
    assert await theirs.receive() == b"x"
    assert world.now() - began == pytest.approx(0.2 + 0.001, abs=0.01)


@in_a_world
async def test_a_corrupt_packet_no_checksum_shows_changes_octets(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", Corrupt(0.2, 1.0), [("a", "b")])
    arrived = await moved(ours, theirs)
    assert len(arrived) == len(DATA)
    assert arrived != DATA


@in_a_world
async def test_a_slicer_makes_reads_of_one_octet(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", Slice(1), [("a", "b")])
    await ours.send(b"abc")
    assert [await theirs.receive() for _ in range(3)] == [b"a", b"b", b"c"]


@in_a_world
async def test_a_cut_that_drops_makes_opening_hang(network: Network, world: World) -> None:
    Accepted(network, "b")
    network.inject("f", partial("a", "b"))
    with pytest.raises(TimeoutError):
        await network.connect("a", "b", 11370)
    assert world.now() == pytest.approx(127)
    assert network.effect("f") == 7


@in_a_world
async def test_a_cut_that_rejects_refuses_at_once(network: Network, world: World) -> None:
    ours, _ = await connected(network, "a", "b")
    network.inject("f", msgspec.structs.replace(partial("a", "b"), mode="reject"))
    with pytest.raises(ConnectionRefusedError):
        await network.connect("a", "b", 11370)
    await ours.send(b"x")
    with pytest.raises(anyio.BrokenResourceError):
        await ours.receive()
    assert world.now() < 0.1


@in_a_world
async def test_a_stream_stalls_in_a_partition_and_goes_on_after_it(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", partial("a", "b"))
    await ours.send(b"hello")
    with anyio.move_on_after(60) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    network.heal("f")
    assert await theirs.receive() == b"hello"


@in_a_world
async def test_a_stream_is_given_up_after_a_quarter_of_an_hour(
    network: Network, world: World
) -> None:
    ours, _ = await connected(network, "a", "b")
    network.inject("f", partial("a", "b"))
    await ours.send(b"hello")
    with pytest.raises(anyio.BrokenResourceError):
        await ours.receive()
    assert world.now() == pytest.approx(924.6, abs=5)


@in_a_world
async def test_one_way_lets_data_through_but_no_answer(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", one_way("b", "a"))
    await ours.send(b"hello")
    assert await theirs.receive() == b"hello"
    await theirs.send(b"answer")
    with anyio.move_on_after(60) as scope:
        await ours.receive()
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError):
        await network.connect("a", "b", 11370)


@in_a_world
async def test_a_black_hole_stalls_large_writes_only(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", Mtu(1400))
    await ours.send(b"small")
    assert await theirs.receive() == b"small"
    await ours.send(b"x" * 10_000)
    with anyio.move_on_after(300) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    assert network.effect("f") > 0


@in_a_world
async def test_refusing_leaves_open_streams(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", Refuse(), [("a", "b")])
    with pytest.raises(ConnectionRefusedError):
        await network.connect("a", "b", 11370)
    assert await moved(ours, theirs) == DATA
    assert network.effect("f") == 1


@in_a_world
async def test_old_streams_work_where_new_ones_hang(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", Partition(groups=(("a",), ("b",)), flows="new"))
    with pytest.raises(TimeoutError):
        await network.connect("a", "b", 11370)
    assert await moved(ours, theirs) == DATA


@in_a_world
async def test_a_byte_budget_resets_both_ends(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", Reset(20_000), [("a", "b")])
    await ours.send(DATA[:60_000])
    with pytest.raises(anyio.BrokenResourceError):
        await received(theirs)
    with pytest.raises(anyio.BrokenResourceError):
        await ours.receive()


@in_a_world
async def test_a_nat_makes_an_idle_stream_half_open(network: Network) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("f", HalfOpen(60.0))
    await ours.send(b"1")
    assert await theirs.receive() == b"1"
    await anyio.sleep(100)
    await ours.send(b"2")
    with anyio.move_on_after(60) as scope:
        await theirs.receive()
    assert scope.cancelled_caught
    again = await network.connect("a", "b", 11370)
    await again.send(b"3")
    assert network.effect("f") > 0


@in_a_world
async def test_faults_heal_one_by_one(network: Network) -> None:
    Accepted(network, "b")
    network.inject("f", partial("a", "b"))
    network.inject("g", one_way("a", "b"))
    network.heal("f")
    with anyio.move_on_after(10) as scope:
        await network.connect("a", "b", 11370)
    assert scope.cancelled_caught
    network.heal("g")
    await network.connect("a", "b", 11370)
    assert network.effect("g") > 0
