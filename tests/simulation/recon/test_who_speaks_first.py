"""Who sends its config first, where both ends would wait for the other's."""

import anyio
import pytest

from keygrove_chaos.machine import HKP
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.recon.frames import Verdict, encode_verdict
from keygrove_protocols.recon.handshake import INITIATOR_WAITS_S
from keygrove_protocols.recon.messages import Config, Done, Elements, Flush, FullRequest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, config_of, filters_of
from tests.simulation.recon.mesh import Mesh, partner, settings_of
from tests.simulation.recon.scripted import Line, Script, scripted

pytestmark = pytest.mark.slow

OTHERS = b"of.its.own,yminsky.dedup"


def sks(filters: bytes) -> Script:
    """Sends its config at once, and refuses whoever presents other filters than these."""

    async def script(line: Line) -> None:
        pairs = config_of(http_port=HKP, filters=filters, identity=b"").pairs
        await line.say(Config(tuple(one for one in pairs if not one[0].startswith(b"x-"))))
        await judge(line, filters)

    return script


def keygrove(waited_s: list[float]) -> Script:
    """Waits for our config, and presents its filters."""

    async def script(line: Line) -> None:
        begun = anyio.current_time()
        config = await line.hear()
        waited_s.append(anyio.current_time() - begun)
        assert isinstance(config, Config)
        filters = filters_of(config)
        assert filters is not None
        await line.say(config_of(http_port=HKP, filters=filters, identity=b"its"))
        await finish(line)

    return script


async def judge(line: Line, filters: bytes) -> None:
    config = await line.hear()
    assert isinstance(config, Config)
    if filters_of(config) != filters:
        await line.stream.send(encode_verdict(Verdict(b"filters do not match.")))
        return
    await finish(line)


async def finish(line: Line) -> None:
    """The session, in which there is nothing to say."""
    await line.stream.send(encode_verdict(Verdict()))
    while line.decoder.verdict() is None:
        line.decoder.feed(await line.stream.receive())
    line.decoder.admit_all()
    await line.say(FullRequest(ROOT), Flush())
    assert isinstance(await line.hear(), Elements)
    await line.say(Done())


def test_two_keygroves_wait_for_each_other_once() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(
            world,
            {
                "a": settings_of("a", [partner("b")], interval_s=3_600.0),
                "b": settings_of("b", [partner("a")], interval_s=3_600.0),
            },
        )
        async with mesh.running():
            first, second = [await mesh.begin("a", "b") for _ in range(2)]
            assert first.result == second.result == "done"
            assert second.duration_s < INITIATOR_WAITS_S / 2 < first.duration_s
            back = await mesh.begin("b", "a")
            assert back.result == "done"
            assert back.duration_s < INITIATOR_WAITS_S / 2, "it saw who that is when a began"

    run(story, seed=1)


def test_where_a_keygrove_was_may_be_an_sks_with_other_filters_by_now() -> None:
    async def story(world: World) -> None:
        settings = settings_of("a", [partner("b")], interval_s=3_600.0)
        mesh = Mesh(world, {"a": settings}, others=["b"])
        async with mesh.running():
            waited_s: list[float] = []
            async with scripted(mesh.network, "b", keygrove(waited_s)):
                for _ in range(2):
                    assert (await mesh.begin("a", "b")).result == "done"
            assert waited_s[1] < INITIATOR_WAITS_S / 2 < waited_s[0]
            async with scripted(mesh.network, "b", sks(OTHERS)) as seen:
                assert (await mesh.begin("a", "b")).result == "done", "nobody notices"
                assert seen.met == 2
                assert (await mesh.begin("a", "b")).result == "done"
                assert seen.met == 3, "it was waited for"
            (status,) = await mesh.partners("a")
            assert status.failures == 0

    run(story, seed=1)


def test_who_refuses_also_the_second_time_is_left_alone() -> None:
    async def refuses(line: Line) -> None:
        await line.say(config_of(http_port=HKP, filters=DEFAULT_FILTERS, identity=b"its"))
        await line.stream.send(encode_verdict(Verdict(b"mbar values do not match")))
        await line.hear()

    async def story(world: World) -> None:
        settings = settings_of("a", [partner("b")], interval_s=3_600.0)
        mesh = Mesh(world, {"a": settings}, others=["b"])
        async with mesh.running():
            async with scripted(mesh.network, "b", keygrove([])):
                assert (await mesh.begin("a", "b")).result == "done"
            async with scripted(mesh.network, "b", refuses) as seen:
                assert (await mesh.begin("a", "b")).result == "refused"
                assert seen.met == 2
                assert (await mesh.begin("a", "b")).result == "refused"
                assert seen.met == 3

    run(story, seed=1)
