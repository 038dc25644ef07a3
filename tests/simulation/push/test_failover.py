"""Push to a partner of recon: only while recon with it fails, and not what it brought."""

from functools import partial

import msgspec
import pytest

from keygrove.settings import PushTarget, ReconPartner, ReconSettings, Settings
from keygrove_chaos.certificates import made
from keygrove_chaos.machine import RECON
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import Certificate
from tests.simulation.push.servers import Server, Site, form_of, settings_of, target, until

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("story", [failover, what_recon_brought], ids=lambda one: one.__name__)
def test_push_beside_recon(story: object, seed: int) -> None:
    run(story, seed=seed)  # type: ignore[arg-type] # each of them is a program
