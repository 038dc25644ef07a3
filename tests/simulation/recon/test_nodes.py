"""Whole nodes reconcile with each other over the simulated network."""

import pytest

from keygrove_chaos.running import run
from keygrove_chaos.world import World
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of

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
