"""Who may begin a session with us, and what becomes of the others."""

from contextlib import suppress
from typing import TypeAlias

import anyio
import msgspec
import pytest

from keygrove.errors import ConnectionLostError
from keygrove.recon.listener import CONNECTIONS_MAX, OF_ONE_MAX
from keygrove.recon.peer import UNKNOWN_AFTER
from keygrove.telemetry.partner_watch import STRANGERS_MAX, TOLD_S
from keygrove.web.figures import NO_ERROR
from keygrove_chaos.machine import HKP, RECON
from keygrove_chaos.outbound import SimulatedStream, SimulatedStreams
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.recon.messages import Config, Flush, FullRequest, Message
from keygrove_protocols.recon.prefix import ROOT
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of, until
from tests.simulation.recon.scripted import Line, Script, claiming, scripted

pytestmark = pytest.mark.slow

Said: TypeAlias = tuple[int, bytes]
"""The port of HTTP, and the ID, that a partner tells."""
INTERVAL_S = 10.0
LEFT_ALONE_S = 1_000.0
FILTERS = b"of.our.own,yminsky.dedup"


async def connected(mesh: Mesh, host: str) -> SimulatedStream:
    return await SimulatedStreams(mesh.network, host).connect("a", RECON)


async def heard_to_flush(line: Line) -> list[Message]:
    """What it says up to its first Flush; nothing if it closes before."""
    messages: list[Message] = []
    with suppress(ConnectionLostError):
        while not messages or not isinstance(messages[-1], Flush):
            messages.append(await line.hear())
        return messages
    return []


def test_a_stranger_is_closed_without_an_octet() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b", "stranger"])
        async with mesh.running():
            stream = await connected(mesh, "stranger")
            assert await stream.receive() == b""

    run(story, seed=1)


def test_a_stranger_is_in_the_log_once_in_a_while_and_not_all_are() -> None:
    async def story(world: World) -> None:
        hosts = [f"192.0.2.{at}" for at in range(1, STRANGERS_MAX + 6)]
        mesh = Mesh(world, {"a": settings_of("a", [partner("b", weight=0)])}, others=["b", *hosts])
        log = mesh.machines["a"].log

        async def knock(*callers: str) -> list[object]:
            """Which of them were told of."""
            before = len(log.events("recon stranger turned away"))
            for host in callers:
                stream = await connected(mesh, host)
                assert await stream.receive() == b""
            lines = log.events("recon stranger turned away")[before:]
            return [line.facts["address"] for line in lines]

        async with mesh.running():
            assert await knock(hosts[0], hosts[0], hosts[1]) == hosts[:2]
            assert await knock(*hosts) == hosts[2:STRANGERS_MAX]
            await anyio.sleep(TOLD_S)
            assert await knock(hosts[0]) == hosts[:1]

    run(story, seed=1)


def test_a_partner_may_begin_and_sees_its_own_filters() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b", weight=0)])}, others=["b"])
        async with mesh.running():
            await mesh.add("a", CERTIFICATES[:3])
            requests: list[Message] = []
            while not requests:  # at first its tree may not be up
                line = Line(await connected(mesh, "b"))
                config = await line.shake_hands(FILTERS)
                assert dict(config.pairs)[b"filters"] == FILTERS
                assert dict(config.pairs)[b"version"] == b"1.1.6"
                requests = await heard_to_flush(line)
                await line.stream.aclose()
            # It asks, since it was connected to.
            assert [one.prefix for one in requests if isinstance(one, FullRequest)] == [ROOT]
            changes = mesh.machines["a"].log.events("recon filters changed")
            assert [line.facts["filters"] for line in changes] == [FILTERS.decode()]

    run(story, seed=1)


def test_what_it_says_of_its_filters_is_cut_where_it_is_long() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b", weight=0)])}, others=["b"])
        async with mesh.running():
            line = Line(await connected(mesh, "b"))
            await line.shake_hands(b"two\nlines" + b"\xff" * 50_000)
            log = mesh.machines["a"].log

            async def is_told() -> bool:
                return bool(log.events("recon filters changed"))

            await until(is_told)
            (change,) = log.events("recon filters changed")
            (status,) = await mesh.partners("a")
            assert status.peer is not None
            assert status.peer.filters == change.facts["filters"]
            assert status.peer.filters.startswith("two lines")
            assert len(status.peer.filters) <= 200

    run(story, seed=1)


def test_more_connections_of_one_address_than_there_may_be_are_closed() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b", weight=0)])}, others=["b"])
        async with mesh.running():
            held = [await connected(mesh, "b") for _ in range(OF_ONE_MAX)]
            await anyio.sleep(1)
            more = await connected(mesh, "b")
            assert await more.receive() == b""
            for stream in held:
                await stream.aclose()
            await anyio.sleep(1)
            line = Line(await connected(mesh, "b"))
            assert isinstance(await line.shake_hands(), Config)

    run(story, seed=1)


def test_strangers_take_no_partners_place() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(
            world, {"a": settings_of("a", [partner("b", weight=0)])}, others=["b", "stranger"]
        )
        async with mesh.running():
            strangers = [await connected(mesh, "stranger") for _ in range(2 * CONNECTIONS_MAX)]
            line = Line(await connected(mesh, "b"))
            assert isinstance(await line.shake_hands(), Config)
            for stream in strangers:
                assert await stream.receive() == b""

    run(story, seed=1)


def test_a_partner_that_is_busy_has_not_failed() -> None:
    async def is_busy(_: Line) -> None:
        return  # it closes without a config, as SKS does while it fetches

    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b"])
        async with mesh.running(), scripted(mesh.network, "b", is_busy) as seen:

            async def has_tried() -> bool:
                return seen.met >= 10

            await until(has_tried)
            (status,) = await mesh.partners("a")
            assert (status.failures, status.circuit) == (0, "closed")
            assert status.peer is not None
            assert status.peer.error_ours == ""
            assert status.peer.busy_ours.startswith("it closes at once: busy, or")
            reply = await mesh.machines["a"].door.ask("GET", "/pks/stats?options=json")
            (peer,) = msgspec.json.decode(reply.body)["peers"]
            assert (peer["reconStatus"], peer["lastOutgoingError"]) == ("Starting", NO_ERROR)

    run(story, seed=1)


def test_of_a_partner_that_always_closes_at_once_it_is_told_what_else_that_may_mean() -> None:
    is_away = True
    words = "it closes at once: busy, or it does not know our address as a partner's"

    async def answer(line: Line) -> None:
        if not is_away:
            await claiming([])(line)

    async def story(world: World) -> None:
        nonlocal is_away
        mesh = Mesh(world, {"a": settings_of("a", [partner("b", weight=0)])}, others=["b"])
        log = mesh.machines["a"].log
        async with mesh.running(), scripted(mesh.network, "b", answer):
            whys = [(await mesh.begin_once("a", "b")).why for _ in range(UNKNOWN_AFTER + 2)]
            assert [why == words for why in whys] == [False] * (UNKNOWN_AFTER - 1) + [True] * 3
            (line,) = log.events("recon partner closes at once")
            assert (line.level, line.facts) == ("warning", {"partner": "b", "why": words})
            (status,) = await mesh.partners("a")
            assert status.peer is not None
            assert status.peer.busy_ours == words
            is_away = False
            assert (await mesh.begin("a", "b")).result == "done"
            is_away = True
            assert (await mesh.begin_once("a", "b")).why != words

    run(story, seed=1)


def test_a_partner_that_was_away_is_counted_on_again_when_it_is_back() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b"])
        async with mesh.running():

            async def is_open() -> bool:
                (status,) = await mesh.partners("a")
                return status.circuit == "open"

            await until(is_open)
            async with scripted(mesh.network, "b", claiming([])):

                async def is_closed() -> bool:
                    return not await is_open()

                await until(is_closed)
                (status,) = await mesh.partners("a")
                assert status.failures == 0

    run(story, seed=1)


def test_a_partner_that_begins_sessions_itself_is_counted_on_again() -> None:
    """Before it is tried again: that may be an hour off."""

    async def story(world: World) -> None:
        partners = {"a": [partner("b")], "b": [partner("a")]}
        mesh = Mesh(world, {name: settings_of(name, those) for name, those in partners.items()})
        async with mesh.running():
            b = mesh.machines["b"]
            assert (await mesh.begin("a", "b")).result == "done"
            b.hold("test")
            await b.stop()

            async def is_left_alone() -> bool:
                (status,) = await mesh.partners("a")
                return status.circuit == "open" and (status.next_in_s or 0.0) > LEFT_ALONE_S

            await until(is_left_alone)
            ours = await rounds_begun(mesh)
            b.release("test")

            async def is_closed() -> bool:
                (status,) = await mesh.partners("a")
                return status.circuit == "closed"

            with anyio.fail_after(LEFT_ALONE_S):
                await until(is_closed)
            assert await rounds_begun(mesh) == ours
            (status,) = await mesh.partners("a")
            assert status.failures == 0
            assert status.next_in_s is not None
            assert status.next_in_s <= 2 * INTERVAL_S
            reply = await mesh.machines["a"].door.ask("GET", "/pks/stats?options=json")
            (peer,) = msgspec.json.decode(reply.body)["peers"]
            assert peer["reconStatus"] == "OK"

    run(story, seed=1)


async def rounds_begun(mesh: Mesh) -> int:
    (status,) = await mesh.partners("a")
    assert status.peer is not None
    return sum(count for what, count in status.peer.rounds.items() if what.startswith("we "))


def test_a_node_that_is_its_own_partner_notices() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("a")])})
        async with mesh.running():
            told = await mesh.begin("a", "a")
            assert told.result == "refused"
            assert "itself" in told.why

    run(story, seed=1)


def test_partners_can_be_others_while_all_goes_on() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b", "c"])
        async with mesh.running(), scripted(mesh.network, "c", claiming([])) as seen:
            await mesh.set_partners("a", [partner("c")])
            assert [one.name for one in await mesh.partners("a")] == ["c"]
            assert (await mesh.begin("a", "c")).result == "done"
            assert seen.met
            stream = await connected(mesh, "b")
            assert await stream.receive() == b""
            await mesh.set_partners("a", [partner("c", weight=0), partner("b")])
            assert [one.weight for one in await mesh.partners("a")] == [0, 100]

    run(story, seed=1)


def test_metrics_tell_of_no_partner_that_is_none_any_more() -> None:
    async def told(mesh: Mesh) -> set[str]:
        reply = await mesh.machines["a"].metrics.ask("GET", "/metrics")
        lines = [line for line in reply.text.splitlines() if 'partner="' in line]
        return {line.partition('partner="')[2].partition('"')[0] for line in lines}

    async def story(world: World) -> None:
        partners = [partner("b"), partner("old", recon=f"c:{RECON}")]
        mesh = Mesh(world, {"a": settings_of("a", partners)}, others=["b", "c"])
        async with (
            mesh.running(),
            scripted(mesh.network, "b", claiming([])),
            scripted(mesh.network, "c", claiming([])),
        ):
            for one in ("b", "old"):
                assert (await mesh.begin("a", one)).result == "done"
            assert await told(mesh) == {"b", "old"}
            await mesh.set_partners("a", [partner("b"), partner("new", recon=f"c:{RECON}")])
            assert (await mesh.begin("a", "new")).result == "done"
            assert await told(mesh) == {"b", "new"}

    run(story, seed=1)


@pytest.mark.parametrize(
    ("first", "second"),
    [((HKP, b""), (HKP + 10, b"")), ((HKP, b"one"), (HKP, b"other"))],
    ids=["by the port of HTTP", "by the ID of a Keygrove"],
)
def test_partners_on_one_host_are_told_apart(first: Said, second: Said) -> None:
    def saying(said: Said) -> Script:
        async def script(line: Line) -> None:
            port, identity = said
            await line.shake_hands(http_port=port, identity=identity)

        return script

    async def theirs(mesh: Mesh) -> list[int]:
        found = [status.peer for status in await mesh.partners("a")]
        rounds = [{} if peer is None else peer.rounds for peer in found]
        return [sum(one[key] for key in one if key.startswith("partner ")) for one in rounds]

    async def story(world: World) -> None:
        one, other = (RECON, HKP), (RECON + 10, HKP + 10)
        partners = [
            partner("first", recon=f"b:{one[0]}", weight=0),
            partner("second", recon=f"b:{other[0]}", weight=0),
        ]
        mesh = Mesh(world, {"a": settings_of("a", partners)}, others=["b"])
        async with (
            mesh.running(),
            scripted(mesh.network, "b", saying(first), ports=one),
            scripted(mesh.network, "b", saying(second), ports=other),
        ):
            for name in ("first", "second"):
                await mesh.begin("a", name)
            for said, due in ((second, [0, 1]), (first, [1, 1])):
                line = Line(await connected(mesh, "b"))
                await saying(said)(line)
                await line.stream.aclose()

                async def is_counted() -> bool:
                    return sum(await theirs(mesh)) == sum(due)  # noqa: B023 - used at once

                await until(is_counted)
                assert await theirs(mesh) == due

    run(story, seed=1)


def test_a_guest_at_an_ipv6_address_is_named_with_brackets() -> None:
    async def story(world: World) -> None:
        host = "2001:db8::7"
        settings = settings_of("a", [], allow=("2001:db8::/32",))
        mesh = Mesh(world, {"a": settings}, others=[host])
        async with mesh.running():
            line = Line(await connected(mesh, host))
            await line.shake_hands()

            async def is_met() -> bool:
                return bool(await mesh.partners("a"))

            await until(is_met)
            (status,) = await mesh.partners("a")
            assert (status.name, status.recon) == (f"guest:[{host}]", f"[{host}]:0")

    run(story, seed=1)
