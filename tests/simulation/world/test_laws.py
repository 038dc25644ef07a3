"""What holds for streams and datagrams whatever the faults, and the same seed, the same run."""

from contextlib import suppress
from functools import partial

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_chaos.net_faults import (
    Burst,
    Clog,
    Const,
    Corrupt,
    Dup,
    Flap,
    Latency,
    LogNormal,
    Loss,
    Mtu,
    NetFault,
    Rate,
    Refuse,
    Reorder,
    Slice,
    Uniform,
)
from keygrove_chaos.network import Datagram, Network, Tally
from keygrove_chaos.running import run
from keygrove_chaos.stream import Stream
from keygrove_chaos.world import ENGINES, EngineName, Options, World
from tests.simulation.world.echo import connected
from tests.simulation.world.worlds import YEAR_S

HIDDEN: list[NetFault] = [
    Latency(LogNormal(0.05, 0.7), jitter_s=0.05),
    Latency(Uniform(0.0, 2.0)),
    Loss(0.2),
    Burst(0.1, 0.3, 0.01, 0.9),
    Dup(0.3, 0.3),
    Reorder(0.4, 0.2),
    Corrupt(0.2, 0.0),
    Rate(20_000.0, queue_bytes=8_000),
    Flap(3.0, 0.3),
    Clog(until_s=4.0, since_s=0.2),
    Refuse(),
    Slice(300),
]
VISIBLE: list[NetFault] = [Mtu(500), Loss(0.9), Corrupt(0.5, 0.5)]


engines = pytest.mark.parametrize("engine", ENGINES)


def long(engine: EngineName) -> Options:
    """For runs in which somebody waits for a day."""
    return Options(engine=engine, limit_s=YEAR_S)


def inject(network: Network, faults: list[NetFault]) -> None:
    for place, fault in enumerate(faults):
        network.inject(f"f{place}", fault)


class Heard(msgspec.Struct, frozen=True):
    """What arrived at two ends, and whether either gave up."""

    there: bytes
    back: bytes
    is_given_up: bool


async def read(stream: Stream, into: bytearray) -> None:
    # A day is longer than any of these faults lasts: a peer that gave up is never heard of.
    with anyio.move_on_after(86_400), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            into += await stream.receive()


async def write(stream: Stream, data: bytes) -> None:
    with suppress(anyio.BrokenResourceError):
        await stream.send(data)
        await stream.send_eof()


async def conversation(faults: list[NetFault], there: bytes, back: bytes, world: World) -> Heard:
    """Let two ends write at once."""
    heard_there, heard_back = bytearray(), bytearray()
    network = Network(world, ["a", "b"], Const(0.01))
    ours, theirs = await connected(network, "a", "b")
    inject(network, faults)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, theirs, heard_there)
        tasks.start_soon(read, ours, heard_back)
        tasks.start_soon(write, ours, there)
        tasks.start_soon(write, theirs, back)
    is_given_up = any(stream.end.trouble is not None for stream in (ours, theirs))
    return Heard(bytes(heard_there), bytes(heard_back), is_given_up)


@engines
@given(
    faults=st.lists(st.sampled_from(HIDDEN), unique=True, max_size=4),
    sizes=st.tuples(st.integers(0, 50_000), st.integers(0, 2_000)),
    seed=st.integers(0, 2**16),
)
def test_a_stream_arrives_in_order_and_whole(
    engine: EngineName, faults: list[NetFault], sizes: tuple[int, int], seed: int
) -> None:
    there, back = (bytes(n * 7 % 251 for n in range(size)) for size in sizes)
    main = partial(conversation, faults, there, back)
    heard = run(main, seed=seed, options=long(engine)).result
    assert there.startswith(heard.there)
    assert back.startswith(heard.back)
    assert heard.is_given_up or (heard.there, heard.back) == (there, back)


async def datagrams(
    faults: list[NetFault], count: int, wait_s: float, world: World
) -> tuple[Tally, list[Datagram]]:
    found: list[Datagram] = []
    network = Network(world, ["a", "b"], Const(0.01))
    network.bind("b", 1, found.append)
    inject(network, faults)
    for number in range(count):
        network.send_datagram("a", "b", 1 + (number % 5 == 4), bytes(number % 900))
        await anyio.sleep(0.01)
    await anyio.sleep(wait_s)
    return network.datagrams, found


@engines
@given(
    faults=st.lists(st.sampled_from(HIDDEN + VISIBLE), unique=True, max_size=4),
    count=st.integers(0, 100),
    wait_s=st.sampled_from([0.0, 0.1, 100.0]),
    seed=st.integers(0, 2**16),
)
def test_no_datagram_is_unaccounted_for(
    engine: EngineName, faults: list[NetFault], count: int, wait_s: float, seed: int
) -> None:
    main = partial(datagrams, faults, count, wait_s)
    tally, found = run(main, seed=seed, options=long(engine)).result
    assert tally.sent == count
    assert tally.sent + tally.duplicated == tally.delivered + tally.lost + tally.in_flight
    assert tally.delivered == len(found)
    assert wait_s < 100 or tally.in_flight == 0


def digest(seed: int, engine: EngineName) -> str:
    faults: list[NetFault] = [Loss(0.1), Latency(LogNormal(0.05, 0.5)), Dup(0.1), Slice(400)]
    main = partial(conversation, faults, bytes(30_000), bytes(10_000))
    return run(main, seed=seed, options=long(engine)).trace.digest()


def test_the_same_seed_delivers_the_same_on_both_engines() -> None:
    assert len({digest(5, engine) for engine in (*ENGINES, *ENGINES)}) == 1
    assert digest(5, "aio") != digest(6, "aio")
