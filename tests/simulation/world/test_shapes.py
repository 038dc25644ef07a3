"""Each shape of partition on a network of five, by who hears whom."""

from random import Random

import anyio
import msgspec
import pytest

from keygrove_chaos.net_faults import Flap, NetFault, Partition, Swizzle
from keygrove_chaos.network import Network
from keygrove_chaos.partition import (
    bridge,
    halves,
    isolated,
    majority,
    one_way,
    partial,
    ring,
    split,
)
from keygrove_chaos.world import World
from tests.simulation.world.echo import Accepted
from tests.simulation.world.worlds import in_a_world

NAMES = "abcde"


async def heard(network: Network, port: int = 1, size: int = 1) -> set[str]:
    """Who hears whom, of those who cannot hear all: "ab" for b hears a."""
    found: list[str] = []
    for name in NAMES:
        network.bind(name, port, lambda gram, name=name: found.append(gram.source + name))  # type: ignore[misc]
    for one in NAMES:
        for other in NAMES:
            if one != other:
                network.send_datagram(one, other, port, bytes(size))
    await anyio.sleep(0.01)
    assert len(found) == len({*found})
    return {one + other for one in NAMES for other in NAMES if one != other} - {*found}


@pytest.mark.parametrize(
    ("shape", "deaf"),
    [
        (split(["ab", "cd", "e"]), "ac ad ae bc bd be ce de ca da ea cb db eb ec ed"),
        (one_way("a", "bcde"), "ab ac ad ae"),
        (partial("a", "b"), "ab ba"),
        (isolated("a", NAMES), "ab ac ad ae ba ca da ea"),
        (ring(NAMES), "ac ad bd be ce ca da db eb ec"),
        (bridge("ab", "de"), "ad ae bd be da ea db eb"),
    ],
    ids=["split", "one way", "partial", "isolated", "ring", "bridge"],
)
@in_a_world
async def test_a_shape_is_seen_and_heals(network: Network, shape: Partition, deaf: str) -> None:
    network.inject("f", shape)
    assert await heard(network) == {*deaf.split()}
    assert network.effect("f") == len(deaf.split())
    network.heal("f")
    assert await heard(network, 2) == set()


@pytest.mark.parametrize(
    "shape", [majority(NAMES, Random(1)), halves(NAMES, 2, Random(1))], ids=["majority", "halves"]
)
@in_a_world
async def test_two_parts_do_not_hear_each_other(network: Network, shape: Partition) -> None:
    network.inject("f", shape)
    assert len(await heard(network)) == 2 * 3 * 2


@in_a_world
async def test_a_cut_by_port_leaves_other_ports(network: Network) -> None:
    network.inject("f", msgspec.structs.replace(partial("a", "b"), ports=(11371,)))
    for port in (11370, 11371):
        Accepted(network, "b", port)
    await network.connect("a", "b", 11370)
    with pytest.raises(TimeoutError):
        await network.connect("a", "b", 11371)


@in_a_world
async def test_a_cut_by_size_leaves_small_messages(network: Network) -> None:
    network.inject("f", msgspec.structs.replace(partial("a", "b"), size_min=500))
    assert await heard(network) == set()
    assert await heard(network, 2, 1000) == {"ab", "ba"}


@in_a_world
async def test_shapes_stack_and_heal_one_by_one(network: Network) -> None:
    network.inject("f", partial("a", "b"))
    network.inject("g", isolated("b", NAMES))
    assert len(await heard(network)) == 8
    network.heal("g")
    assert await heard(network, 2) == {"ab", "ba"}
    network.heal("f")
    assert await heard(network, 3) == set()


@in_a_world
async def test_a_flapping_link_comes_and_goes(network: Network, world: World) -> None:
    network.inject("f", Flap(2.0), [("a", "b")])
    found: list[set[str]] = []
    for port in range(1, 5):
        await anyio.sleep_until(anyio.current_time() + port - world.now() + 0.5)
        found.append(await heard(network, port))
    assert found == [set(), {"ab"}, set(), {"ab"}]


@in_a_world
async def test_swizzled_hosts_hear_all_again_and_nothing_is_lost(network: Network) -> None:
    fault: NetFault = Swizzle(("a", "b", "c"), 3.0, 1.0)
    network.inject("f", fault)
    assert await heard(network) != set()
    await anyio.sleep(10)
    tally = network.datagrams
    assert (tally.lost, tally.delivered) == (0, 20)
    assert network.effect("f") > 0
    assert await heard(network, 2) == set()
