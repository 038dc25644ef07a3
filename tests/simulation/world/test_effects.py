"""Each fault of the network does something, and counts it; what it does, other tests show."""

from typing import Any, get_args

import anyio
import pytest

from keygrove_chaos.net_faults import (
    Burst,
    Clog,
    Const,
    Corrupt,
    Dup,
    Flap,
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
    Swizzle,
)
from keygrove_chaos.network import Network
from keygrove_chaos.stream import Stream
from keygrove_chaos.tcp import BUFFER_BYTES
from keygrove_chaos.world import World
from tests.simulation.world.echo import Accepted, connected
from tests.simulation.world.worlds import in_a_world

FAULTS: tuple[NetFault, ...] = (
    Latency(law=Const(0.5)),
    Loss(probability=0.5),
    Burst(to_bad=0.5, to_good=0.5),
    Dup(probability=0.5),
    Reorder(probability=0.5, window_s=0.5),
    Corrupt(probability=0.5),
    Rate(bytes_per_s=100),
    Partition(groups=(("a",), ("b",))),
    HalfOpen(),
    Mtu(bytes_max=500),
    Refuse(),
    Flap(period_s=1.0),
    Clog(until_s=30.0),
    Swizzle(hosts=("a", "b"), spread_s=5.0, hold_s=20.0),
    Reset(after_bytes=2000),
    Slice(),
)


async def talk(network: Network, ours: Stream) -> None:
    """Write to `b` for a while, and try to open another stream."""
    with anyio.move_on_after(60):
        try:
            for _ in range(10):
                await ours.send(b"x" * 1000)
                await anyio.sleep(1)
            await network.connect("a", "b", 11370)
        except (OSError, anyio.BrokenResourceError):
            return


def test_c011_no_fault_is_left_out() -> None:
    kinds: tuple[Any, ...] = get_args(NetFault)
    assert [type(fault) for fault in FAULTS] == list(kinds)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@in_a_world
async def test_c011_each_fault_counts_what_it_did(network: Network, fault: NetFault) -> None:
    ours, _ = await connected(network, "a", "b")
    network.inject("f", fault)
    assert network.effect("f") == 0
    await talk(network, ours)
    assert network.effect("f") > 0


@in_a_world
async def test_c014_a_middlebox_that_forgets_leaves_both_ends_in_the_dark(
    network: Network, world: World
) -> None:
    ours, theirs = await connected(network, "a", "b")
    network.inject("nat", HalfOpen())
    begun = world.now()
    await ours.send(b"x" * BUFFER_BYTES)
    assert world.now() == begun  # the writer sees success until the buffer is full
    with anyio.move_on_after(300) as writing:
        await ours.send(b"x")
    with anyio.move_on_after(300) as reading:
        await theirs.receive()
    assert writing.cancelled_caught
    assert reading.cancelled_caught


@in_a_world
async def test_c014_who_asks_for_a_sign_of_life_finds_out_and_a_new_stream_serves(
    network: Network,
) -> None:
    accepted = Accepted(network, "b")
    old = await network.connect("a", "b", 11370)
    await accepted.some.wait()
    network.inject("nat", HalfOpen())
    await old.send(b"?")
    with anyio.move_on_after(10) as waiting:
        await accepted.streams[0].receive()
    assert waiting.cancelled_caught
    new = await network.connect("a", "b", 11370)
    await new.send(b"?")
    await anyio.sleep(1)
    assert await accepted.streams[1].receive() == b"?"
