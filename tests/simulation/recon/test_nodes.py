"""Whole nodes reconcile with each other over the simulated network."""

import msgspec
import pytest

from keygrove.http.recon import ReconStatus
from keygrove.recon.peer import PeerApi, peer_name
from keygrove_actors import sysapi
from keygrove_chaos.net_faults import Partition
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.recon.terms import RATELESS
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of, until

pytestmark = pytest.mark.slow


async def two_halves(world: World) -> None:
    mesh = Mesh(
        world,
        {"a": settings_of("a", [partner("b")]), "b": settings_of("b", [partner("a")])},
    )
    async with mesh.running():
        await mesh.add("a", CERTIFICATES[:25])
        await mesh.add("b", CERTIFICATES[15:])
        for name in ("a", "b"):
            await mesh.until_total(name, 40)
        for name in ("a", "b"):
            (status,) = await mesh.partners(name)
            assert status.circuit == "closed"
            assert status.peer is not None
            assert status.peer.program == "keygrove"


@pytest.mark.parametrize("seed", range(3))
def test_two_nodes_with_halves_that_overlap_both_have_all_in_the_end(seed: int) -> None:
    run(two_halves, seed=seed)


async def chain(world: World) -> None:
    """Five in a row; the link in the middle is cut for a while, and one is restarted."""
    names = "abcde"
    settings = {
        name: settings_of(name, [partner(one) for one in around(names, name)]) for name in names
    }
    mesh = Mesh(world, settings)
    async with mesh.running():
        mesh.network.inject("cut", Partition((("a", "b"), ("c", "d", "e"))))
        await mesh.add("a", CERTIFICATES[:20])
        await mesh.add("e", CERTIFICATES[20:])
        await mesh.until_total("b", 20)
        await mesh.until_total("c", 20)
        mesh.network.heal("cut")
        mesh.machines["d"].crash("power")
        for name in names:
            await until(mesh.machines[name].is_ready)
            await mesh.until_total(name, 40)


def around(names: str, name: str) -> list[str]:
    at = names.index(name)
    return [names[one] for one in (at - 1, at + 1) if 0 <= one < len(names)]


@pytest.mark.parametrize("seed", range(3))
def test_a_chain_converges_after_a_partition_and_a_power_cut(seed: int) -> None:
    run(chain, seed=seed)


async def by_symbols(world: World) -> None:
    mesh = Mesh(
        world,
        {
            "a": settings_of("a", [partner("b")], interval_s=3_600.0),
            "b": settings_of("b", [partner("a")], interval_s=3_600.0),
        },
    )
    async with mesh.running():
        await mesh.add("a", CERTIFICATES[:25])
        await mesh.add("b", CERTIFICATES[15:])
        told = await mesh.begin("a", "b")
        assert (told.result, told.why, told.way) == ("done", "", RATELESS)
        assert told.round_trips == 1
        assert (told.lacking_here, told.lacking_there) == (15, 15)
        for name in ("a", "b"):
            await mesh.until_total(name, 40)
        told = await mesh.begin("b", "a")
        assert (told.way, told.lacking_here, told.lacking_there) == (RATELESS, 0, 0)


def test_two_nodes_tell_by_symbols_what_they_lack() -> None:
    run(by_symbols, seed=1)


async def reweighed(world: World) -> None:
    mesh = Mesh(
        world,
        {
            "a": settings_of("a", [partner("b", weight=0)], interval_s=3_600.0),
            "b": settings_of("b", [partner("a", weight=0)], interval_s=3_600.0),
        },
    )
    async with mesh.running():
        await mesh.add("b", CERTIFICATES[:5])
        await mesh.begin("a", "b")
        await mesh.until_total("a", 5)
        (before,) = await mesh.partners("a")
        assert before.peer is not None
        await mesh.set_partners("a", [partner("b", weight=50)])
        (after,) = await mesh.partners("a")
        assert (after.weight, after.peer) == (50, before.peer)
        assert after.next_in_s is not None

        async def is_begun() -> bool:
            (status,) = await mesh.partners("a")
            return status.peer is not None and status.peer.rounds["we done"] > 1

        await until(is_begun)
        await mesh.set_partners("a", [partner("b", weight=50, http="b:1")])
        (moved,) = await mesh.partners("a")
        assert moved.peer is not None
        assert (moved.peer.http, moved.peer.last_ours) == ("b:1", None)


def test_a_partner_whose_weight_changes_keeps_what_is_known_of_it() -> None:
    run(reweighed, seed=1)


async def one_hangs(world: World) -> None:
    mesh = Mesh(world, {"a": settings_of("a", [partner("b"), partner("c")])}, others=["b", "c"])
    async with mesh.running():
        runtime = mesh.machines["a"].runtime
        assert runtime is not None
        await sysapi.suspend(runtime.whereis(peer_name("b"), PeerApi))
        reply = await mesh.machines["a"].control.ask("GET", "/recon")
        assert reply.status == 200
        found = msgspec.json.decode(reply.body, type=ReconStatus)
        assert {one.name: one.peer is None for one in found.partners} == {"b": True, "c": False}
        reply = await mesh.machines["a"].door.ask("GET", "/pks/stats?options=json")
        peers = msgspec.json.decode(reply.body)["peers"]
        assert [peer["name"] for peer in peers] == ["b", "c"]


def test_a_partner_whose_actor_hangs_does_not_hide_the_others() -> None:
    run(one_hangs, seed=1)
