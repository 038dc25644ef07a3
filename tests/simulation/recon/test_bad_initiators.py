"""Partners that begin sessions, and then misbehave: each is cut off, told of, and let in again."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import anyio
import pytest

from keygrove.errors import ConnectionLostError
from keygrove.recon.conversation import HANDSHAKE_S, READ_S, SPELL_S
from keygrove.recon.listener import OF_ONE_MAX
from keygrove.recon.messages import PREFIX, GetPrefixStatus, PrefixApi
from keygrove_chaos.machine import RECON
from keygrove_chaos.outbound import SimulatedStreams
from keygrove_chaos.running import run
from keygrove_chaos.world import Options, World
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.messages import (
    Config,
    Elements,
    Flush,
    FullRequest,
    SyncFail,
    encode,
    in_order,
)
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.terms import config_of
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of, until
from tests.simulation.recon.scripted import Line, Script, trickles

pytestmark = pytest.mark.slow

HOUR_S = 3_600.0
TWO = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 2)]


async def says_garbage(line: Line) -> None:
    await line.stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


async def says_nothing(_: Line) -> None:
    return


async def announces_a_config_of_two_gigabytes(line: Line) -> None:
    await line.stream.send(b"\x7f\xff\xff\xff\x0a")


async def gives_no_verdict(line: Line) -> None:
    await line.say(config_of(http_port=1, filters=b"of.its.own", identity=b""))


async def hangs_after_the_handshake(line: Line) -> None:
    await line.shake_hands()


async def announces_a_message_of_two_gigabytes(line: Line) -> None:
    await line.shake_hands()
    await line.stream.send(b"\x7f\xff\xff\xff\x02")


async def counts_more_than_there_is(line: Line) -> None:
    await line.shake_hands()
    octets = bytearray(encode(Elements(in_order(set(TWO)))))
    octets[5:9] = (3).to_bytes(4)
    await line.stream.send(bytes(octets))


async def answers_more_than_was_asked(line: Line) -> None:
    await line.shake_hands()
    while True:
        await line.say(*[SyncFail()] * 100)


async def says_what_only_an_acceptor_says(line: Line) -> None:
    await line.shake_hands()
    await line.say(FullRequest(ROOT), Flush())


WITHIN: dict[Script, float] = {
    says_garbage: 0.0,
    says_nothing: HANDSHAKE_S,
    announces_a_config_of_two_gigabytes: 0.0,
    gives_no_verdict: HANDSHAKE_S,
    hangs_after_the_handshake: READ_S,
    trickles: SPELL_S,
    announces_a_message_of_two_gigabytes: 0.0,
    counts_more_than_there_is: 0.0,
    answers_more_than_was_asked: 0.0,
    says_what_only_an_acceptor_says: 0.0,
}
"""After which time each is cut off."""


def mesh_with_bad(world: World) -> Mesh:
    """A node with a good partner, and one that only begins sessions."""
    partners = [partner("b"), partner("bad", weight=0)]
    settings = {"a": settings_of("a", partners), "b": settings_of("b", [partner("a")])}
    return Mesh(world, settings, others=["bad"])


async def opened(mesh: Mesh) -> Line:
    return Line(await SimulatedStreams(mesh.network, "bad").connect("a", RECON))


async def until_closed(line: Line) -> None:
    """Whatever it says before."""
    with suppress(ConnectionLostError):
        while await line.stream.receive():
            pass


async def rounds(mesh: Mesh, name: str) -> dict[str, int]:
    (found,) = (one for one in await mesh.partners("a") if one.name == name)
    assert found.peer is not None
    return found.peer.rounds


async def shows_its_tree(mesh: Mesh) -> bool:
    runtime = mesh.machines["a"].runtime
    assert runtime is not None
    status = await runtime.whereis(PREFIX, PrefixApi).call(GetPrefixStatus())
    return not status.waiting_for


async def meets_us_well(mesh: Mesh) -> None:
    """A session that it begins, in which it has nothing."""
    before = (await rounds(mesh, "bad")).get("partner done", 0)
    line = await opened(mesh)
    assert isinstance(await line.shake_hands(), Config)
    while not isinstance(await line.hear(), Flush):
        pass
    await line.say(Elements())
    await until_closed(line)

    async def is_told() -> bool:
        return (await rounds(mesh, "bad")).get("partner done", 0) > before

    await until(is_told)


def play(story: Callable[[World], Awaitable[None]]) -> None:
    run(story, seed=1, options=Options(limit_s=50 * HOUR_S))


@pytest.mark.parametrize("script", WITHIN)
def test_whoever_begins_a_session_badly_is_cut_off_counted_and_told_of(script: Script) -> None:
    async def story(world: World) -> None:
        mesh = mesh_with_bad(world)
        async with mesh.running():
            await mesh.add("a", CERTIFICATES[:25])
            await mesh.add("b", CERTIFICATES[15:])
            for name in ("a", "b"):
                await mesh.until_total(name, 40)
            await until(partial(shows_its_tree, mesh))
            line, begun = await opened(mesh), anyio.current_time()
            with suppress(ConnectionLostError):
                await script(line)
            await until_closed(line)
            took_s = anyio.current_time() - begun
            assert WITHIN[script] <= took_s < WITHIN[script] + 2 * READ_S

            async def is_told() -> bool:
                found = await rounds(mesh, "bad")
                return found.get("partner failed", 0) + found.get("partner refused", 0) == 1

            await until(is_told)
            log = [one for one in mesh.machines["a"].log.lines if one.facts.get("partner") == "bad"]
            assert [one for one in log if one.facts.get("result") in {"failed", "refused"}]
            assert mesh.machines["a"].is_whole
            await meets_us_well(mesh)
            assert (await mesh.begin("a", "b")).result == "done"

    play(story)


@pytest.mark.parametrize("hours", [1, pytest.param(24, marks=pytest.mark.campaign)])
def test_a_partner_that_holds_its_connections_for_a_day_holds_up_nobody(hours: int) -> None:
    """All that it may have, before the handshake and behind it; and then nobody says a word."""

    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("bad", weight=0)])}, others=["bad"])
        async with mesh.running(within_s=2 * HOUR_S * hours):
            await until(partial(shows_its_tree, mesh))
            await meets_us_well(mesh)
            lines = [await opened(mesh) for _ in range(OF_ONE_MAX)]
            await lines[0].shake_hands()
            await anyio.sleep(HOUR_S * hours)
            for line in lines:
                await until_closed(line)
            (found,) = await mesh.partners("a")
            assert found.peer is not None
            assert not found.peer.is_busy
            await meets_us_well(mesh)

    play(story)
