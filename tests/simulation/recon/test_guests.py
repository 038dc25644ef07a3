"""Those who may begin a session and are no partners, and whose places they take: their own."""

from functools import partial as bound

import pytest

from keygrove.recon.gossip import GUESTS_MAX
from keygrove.recon.listener import GUEST_CONNECTIONS_MAX
from keygrove.recon.sessions import SESSIONS_MAX
from keygrove.settings import ReconPartner
from keygrove_chaos.machine import RECON
from keygrove_chaos.outbound import SimulatedStreams
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.recon.messages import FullRequest
from tests.simulation.recon.mesh import Mesh, partner, settings_of, until
from tests.simulation.recon.scripted import Line

pytestmark = pytest.mark.slow

GUESTS = [f"192.0.2.{number}" for number in range(1, 2 * SESSIONS_MAX)]


def open_to_guests(world: World) -> Mesh:
    settings = settings_of("a", [partner("b", weight=0)], allow=("192.0.2.0/24",))
    return Mesh(world, {"a": settings}, others=["b", *GUESTS])


async def connected(mesh: Mesh, host: str) -> Line:
    return Line(await SimulatedStreams(mesh.network, host).connect("a", RECON))


async def in_session(mesh: Mesh, host: str) -> Line:
    """It was asked what it has, and does not answer."""
    line = await connected(mesh, host)
    await line.shake_hands()
    assert isinstance(await line.hear(), FullRequest)
    return line


async def is_up(mesh: Mesh) -> bool:
    return bool(mesh.machines["a"].log.events("prefix tree up"))


async def has_sessions(mesh: Mesh, count: int) -> bool:
    return await mesh.sessions("a") == count


def turned_away(mesh: Mesh) -> list[object]:
    log = mesh.machines["a"].log
    return [line.facts["why"] for line in log.events("recon connection closed")]


def test_many_that_come_and_go_take_no_partners_place() -> None:
    async def story(world: World) -> None:
        mesh = open_to_guests(world)
        async with mesh.running():
            await until(bound(is_up, mesh))
            lines: list[Line] = []
            for host in GUESTS:
                lines.append(await connected(mesh, host))
                await lines[-1].shake_hands()
            await in_session(mesh, "b")
            for line in lines:
                await line.stream.aclose()
            await until(bound(has_sessions, mesh, 1))

    run(story, seed=1)


def test_one_more_than_may_be_in_a_session_ends_nobodys() -> None:
    async def story(world: World) -> None:
        mesh = open_to_guests(world)
        async with mesh.running():
            await until(bound(is_up, mesh))
            inside = [await in_session(mesh, host) for host in GUESTS[:GUESTS_MAX]]
            late = await connected(mesh, GUESTS[-1])
            await late.shake_hands()
            assert await late.stream.receive() == b""
            assert turned_away(mesh) == ["full"]
            assert await mesh.sessions("a") == GUESTS_MAX
            await in_session(mesh, "b")
            await inside[3].stream.aclose()
            await until(bound(has_sessions, mesh, GUESTS_MAX))
            await in_session(mesh, GUESTS[-1])
            there = {*GUESTS[:GUESTS_MAX], GUESTS[-1]} - {GUESTS[3]}
            met = {one.name for one in await mesh.partners("a")}
            assert met == {"b", *(f"guest:{host}" for host in there)}

    run(story, seed=1)


def test_guests_that_say_nothing_leave_partners_their_connections() -> None:
    async def story(world: World) -> None:
        mesh = open_to_guests(world)
        async with mesh.running():
            await until(bound(is_up, mesh))
            silent = [await connected(mesh, host) for host in GUESTS]
            assert len(silent) > GUEST_CONNECTIONS_MAX
            await in_session(mesh, "b")
            assert turned_away(mesh) == ["full"] * (len(GUESTS) - GUEST_CONNECTIONS_MAX)

    run(story, seed=1)


@pytest.mark.parametrize("others", [(), (partner("b", weight=0, http="b:1"),)], ids=["gone", "new"])
def test_a_session_ends_with_a_partner_whose_settings_are_others(
    others: tuple[ReconPartner, ...],
) -> None:
    async def story(world: World) -> None:
        mesh = open_to_guests(world)
        async with mesh.running():
            await until(bound(is_up, mesh))
            await in_session(mesh, "b")
            assert await mesh.sessions("a") == 1
            await mesh.set_partners("a", others)
            assert await mesh.sessions("a") == 0

    run(story, seed=1)
