"""Push to a partner of recon: only while recon with it fails, and not what it brought."""

from functools import partial

import anyio
import msgspec
import pytest

from keygrove.push.failover import LOOK_S
from keygrove.push.messages import PLACES, LoadStanding, PlacesApi
from keygrove.settings import PushTarget, ReconPartner, ReconSettings, Settings
from keygrove_chaos.certificates import made
from keygrove_chaos.clock import Jump
from keygrove_chaos.machine import RECON
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import Certificate
from tests.simulation.push.servers import Server, Site, form_of, settings_of, target, until

pytestmark = pytest.mark.slow

YEAR_S = 365 * 86_400.0
ALICE, BOB, CAROL, DAVE = (made(number, f"<u{number}@x.example>") for number in range(1, 5))


def with_partner(name: str, other: str, *targets: PushTarget) -> Settings:
    partner = ReconPartner(other, f"{other}:{RECON}")
    recon = ReconSettings(listen=(f"{name}:{RECON}",), gossip_interval=10.0, partner=(partner,))
    return msgspec.structs.replace(settings_of(*targets), recon=recon)


async def failover(world: World) -> None:
    """The recon of a partner fails, and its HTTP, which is another host here, does not."""
    to = target("web", when="failover", partner="b")
    settings = {"a": with_partner("a", "b", to), "b": with_partner("b", "a")}
    site = Site(world, settings, ["web"])
    async with site.running():
        site.serve("web")
        web, b = site.servers["web"], site.machines["b"]
        await site.submit("a", ALICE)
        await site.until_held("b", ALICE)
        assert (await site.status("a"))[0].is_standing_by
        assert not web.asked
        await site.until_idle()  # some sessions later it is known that all is there
        b.hold("test")
        b.crash("power")
        await site.submit("a", BOB)
        await until(partial(was_sent, web, BOB))
        await site.restart("a", "power")
        await site.submit("a", CAROL)
        await until(partial(was_sent, web, CAROL))
        assert {one.body for one in web.asked} == {form_of(BOB), form_of(CAROL)}
        b.release("test")
        await until(partial(stands_by, site))
        count = len(web.asked)
        await site.submit("a", DAVE)
        await site.until_held("b", BOB, CAROL, DAVE)
        assert len(web.asked) == count


async def was_sent(server: Server, certificate: Certificate) -> bool:
    return form_of(certificate) in [request.body for request in server.asked]


async def stands_by(site: Site) -> bool:
    (status,) = await site.status("a")
    return status.is_standing_by


async def what_recon_brought(world: World) -> None:
    site = Site(world, {"a": with_partner("a", "b", target("b")), "b": with_partner("b", "a")})
    async with site.running():
        await site.submit("b", ALICE)
        await site.until_held("a", ALICE)
        await site.submit("a", BOB)
        await site.until_held("b", BOB)
        await site.until_idle()
        (status,) = await site.status("a")
        assert status.results == {"passed over": 1, "taken": 1}


async def a_clock_that_was_ahead(world: World) -> None:
    """What was noted meanwhile is noted anew: else a year long nothing is known to be there."""
    to = target("web", when="failover", partner="b")
    settings = {"a": with_partner("a", "b", to), "b": with_partner("b", "a")}
    site = Site(world, settings, ["web"])
    clock = site.machines["a"].clock
    clock.push("ahead", Jump(by_s=YEAR_S))
    async with site.running():
        await site.submit("a", ALICE)
        await site.until_held("b", ALICE)
        await anyio.sleep(10 * LOOK_S)
        clock.push("right again", Jump(by_s=-YEAR_S))
        await site.submit("a", BOB)
        await site.until_held("b", BOB)
        await site.until_idle()


async def up_to_when_a_target_has_all(world: World) -> None:
    site = Site(world, {"a": settings_of(target("b")), "b": settings_of()})
    clock = site.machines["a"].clock
    clock.push("ahead", Jump(by_s=YEAR_S))
    async with site.running():
        await site.submit("a", ALICE)
        await site.until_idle()
        clock.push("right again", Jump(by_s=-YEAR_S))
        await until(partial(is_no_later_than_now, site))


async def is_no_later_than_now(site: Site) -> bool:
    machine = site.machines["a"]
    assert machine.runtime is not None
    places = machine.runtime.whereis(PLACES, PlacesApi)
    standing = await places.call(LoadStanding(target("b").to))
    assert standing is not None
    return standing.as_of <= machine.clock.now()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "story",
    [failover, what_recon_brought, a_clock_that_was_ahead, up_to_when_a_target_has_all],
    ids=lambda one: one.__name__,
)
def test_push_beside_recon(story: object, seed: int) -> None:
    run(story, seed=seed)  # type: ignore[arg-type] # each of them is a program
