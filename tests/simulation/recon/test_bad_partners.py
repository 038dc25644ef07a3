"""A partner that misbehaves harms itself only: two others converge meanwhile, whatever it does."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from keygrove.cluster.router import Router
from keygrove.http.recon import NOW_S
from keygrove.recon.conversation import HANDSHAKE_S, LEAST_RATE, READ_S, SPELL_S
from keygrove.recon.gossip import PartnerStatus
from keygrove.recon.pace import OPEN_AFTER
from keygrove.recon.peer import CONNECT_S
from keygrove.recon.recovery import WAITING_MAX
from keygrove.storage.messages import Order
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import fingerprint, packets, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.recon.hashquery import encode_response
from keygrove_protocols.recon.messages import Done, Flush, FullRequest, PolyRequest, encode
from keygrove_protocols.recon.prefix import ROOT
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of, until
from tests.simulation.recon.scripted import (
    Answer,
    Line,
    Script,
    Scripted,
    claiming,
    nothing,
    scripted,
    trickles,
)

pytestmark = pytest.mark.slow

ABSENT = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 300)]


async def says_garbage(line: Line) -> None:
    await line.stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def says_nothing(_: Line) -> None:
    await anyio.sleep_forever()


async def hangs_after_the_handshake(line: Line) -> None:
    await line.shake_hands()
    await anyio.sleep_forever()


async def announces_more_than_there_may_be(line: Line) -> None:
    await line.shake_hands()
    await line.stream.send(b"\x7f\xff\xff\xff\x01")
    await anyio.sleep_forever()


async def breaks_off_in_a_message(line: Line) -> None:
    await line.shake_hands()
    await line.stream.send(b"\x00\x00\x00\x09\x01\x00\x00")


async def asks_without_end(line: Line) -> None:
    await line.shake_hands()
    while True:
        await line.say(*[PolyRequest(ROOT, 99_999, (1, 2, 3, 4, 5, 6))] * 50)


async def reads_nothing(line: Line) -> None:
    await line.shake_hands()
    for _ in range(400):
        await line.say(*[FullRequest(ROOT)] * 50, Flush())
    await anyio.sleep_forever()


async def says_little_at_a_time(line: Line) -> None:
    """Whole messages, of which none is of any use."""
    await line.shake_hands()
    while True:
        await line.say(Flush())
        await anyio.sleep(READ_S - 1)


SILENT = "no whole answer came"
SCRIPTS = [
    says_garbage,
    says_nothing,
    hangs_after_the_handshake,
    announces_more_than_there_may_be,
    breaks_off_in_a_message,
    asks_without_end,
    reads_nothing,
    trickles,
    says_little_at_a_time,
]


def mesh_with(world: World, *bad: str) -> Mesh:
    """Two good nodes; the first has the bad partners, too."""
    partners = [partner("b"), *map(partner, bad)]
    return Mesh(
        world,
        {"a": settings_of("a", partners), "b": settings_of("b", [partner("a")])},
        others=bad,
    )


async def of_bad(mesh: Mesh) -> PartnerStatus:
    statuses = {one.name: one for one in await mesh.partners("a")}
    assert statuses["b"].failures == 0
    return statuses["bad"]


def play(story: Callable[[World], Awaitable[None]]) -> None:
    run(story, seed=1)


@pytest.mark.parametrize("script", SCRIPTS)
def test_whoever_ends_a_session_badly_is_counted_and_left_alone_ever_longer(
    script: Script,
) -> None:
    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")
        async with mesh.running(), scripted(mesh.network, "bad", script) as seen:
            await mesh.add("a", CERTIFICATES[:25])
            await mesh.add("b", CERTIFICATES[15:])
            for name in ("a", "b"):
                await mesh.until_total(name, 40)

            async def is_given_up() -> bool:
                return (await of_bad(mesh)).failures >= OPEN_AFTER

            await until(is_given_up)
            bad = await of_bad(mesh)
            assert bad.circuit in {"open", "half-open"}
            assert bad.peer is not None
            assert bad.peer.error_ours
            assert seen.met >= OPEN_AFTER
            assert mesh.machines["a"].is_whole

    play(story)


def test_who_falls_silent_after_the_handshake_is_left_before_whoever_asked_gives_up() -> None:
    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")
        async with mesh.running(), scripted(mesh.network, "bad", hangs_after_the_handshake):
            ended = await mesh.begin("a", "bad")
            assert (ended.result, ended.why) == ("failed", f"it said nothing for {READ_S:g} s")
            assert READ_S <= ended.duration_s < READ_S + 5

    play(story)
    assert READ_S == 30
    assert CONNECT_S + HANDSHAKE_S + READ_S < NOW_S


@pytest.mark.parametrize("script", [trickles, says_little_at_a_time])
def test_who_says_next_to_nothing_is_left_long_before_the_end_of_a_session(script: Script) -> None:
    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")
        async with mesh.running(), scripted(mesh.network, "bad", script):
            ended = await mesh.begin("a", "bad")
            why = f"it said less than {LEAST_RATE} octets a second for {SPELL_S:g} s"
            assert (ended.result, ended.why) == ("failed", why)
            assert SPELL_S <= ended.duration_s < SPELL_S + READ_S

    play(story)


def test_a_slow_line_is_no_fault() -> None:
    """A message takes longer than a spell, and some of it comes all the time."""
    many = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 1_000)]
    octets = encode(FullRequest(ROOT, tuple(many))) + encode(Flush())
    starts = range(0, len(octets), LEAST_RATE)
    assert len(starts) > SPELL_S

    async def slowly(line: Line) -> None:
        await line.shake_hands()
        for at in starts:
            await line.stream.send(octets[at : at + LEAST_RATE])
            await anyio.sleep(1.0)
        await line.hear()
        await line.say(Done())

    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")
        async with mesh.running(), scripted(mesh.network, "bad", slowly):
            ended = await mesh.begin("a", "bad")
            assert (ended.result, ended.lacking_here) == ("done", len(many))
            assert ended.duration_s > SPELL_S

    play(story)


def told(status: PartnerStatus) -> dict[str, int]:
    assert status.peer is not None
    assert status.peer.recovery is not None
    return status.peer.recovery.results


async def after_one_session(
    mesh: Mesh, script: Script, answer: Answer, judge: Callable[[Scripted], Awaitable[None]]
) -> None:
    async with mesh.running(), scripted(mesh.network, "bad", script, answer) as seen:
        await mesh.add("a", CERTIFICATES[:25])
        await mesh.add("b", CERTIFICATES[15:])
        assert (await mesh.begin("a", "bad")).result == "done"

        async def is_fetched() -> bool:
            peer = (await of_bad(mesh)).peer
            if peer is None or peer.recovery is None:
                return False
            # Who is silent is offered again before all that waits is given up.
            return not peer.recovery.waiting or SILENT in peer.recovery.last_error

        await until(is_fetched)
        await judge(seen)
        for name in ("a", "b"):
            await mesh.until_total(name, 40)


def test_what_is_claimed_and_never_comes_is_asked_for_ever_more_seldom() -> None:
    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")

        async def judge(seen: Scripted) -> None:
            assert told(await of_bad(mesh)) == {"absent": 300}
            asked = len(seen.asked)
            await mesh.begin("a", "bad")
            await anyio.sleep(5)
            assert len(seen.asked) == asked

        await after_one_session(mesh, claiming(ABSENT), nothing, judge)

    play(story)


def test_an_answer_that_is_none_is_a_failure_of_that_partner_only() -> None:
    async def nonsense(_: tuple[Digest, ...]) -> bytes:
        return b"\xff\xff\xff\xff nonsense"

    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")

        async def judge(_: Scripted) -> None:
            peer = (await of_bad(mesh)).peer
            assert peer is not None
            assert peer.recovery is not None
            assert peer.recovery.failures > 1
            assert peer.recovery.given_up >= 300

        await after_one_session(mesh, claiming(ABSENT), nonsense, judge)

    play(story)


def test_who_never_answers_a_hashquery_is_given_up() -> None:
    async def silence(_: tuple[Digest, ...]) -> bytes:
        await anyio.sleep_forever()
        return b""

    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")

        async def judge(_: Scripted) -> None:
            peer = (await of_bad(mesh)).peer
            assert peer is not None
            assert peer.recovery is not None
            assert SILENT in peer.recovery.last_error

        await after_one_session(mesh, claiming(ABSENT), silence, judge)

    play(story)


def test_who_claims_a_huge_set_fills_no_more_than_there_is_room_for() -> None:
    more = 5_000
    claimed = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + WAITING_MAX)]
    claimed += [Digest(number.to_bytes(16)) for number in range(1 << 65, (1 << 65) + more)]

    async def silence(_: tuple[Digest, ...]) -> bytes:
        await anyio.sleep_forever()
        return b""

    async def story(world: World) -> None:
        mesh = mesh_with(world, "bad")
        async with mesh.running(), scripted(mesh.network, "bad", claiming(claimed), silence):
            await mesh.add("a", CERTIFICATES[:25])
            await mesh.add("b", CERTIFICATES[15:])
            assert (await mesh.begin("a", "bad")).lacking_here == len(claimed)

            async def is_full() -> bool:
                peer = (await of_bad(mesh)).peer
                return peer is not None and peer.recovery is not None and peer.recovery.given_up > 0

            await until(is_full)
            peer = (await of_bad(mesh)).peer
            assert peer is not None
            assert peer.recovery is not None
            assert (peer.recovery.waiting, peer.recovery.given_up) == (WAITING_MAX, more)
            # It is not asked what more there is before that is fetched.
            assert "wait here to be fetched" in (await mesh.begin_once("a", "bad")).why
            for name in ("a", "b"):
                await mesh.until_total(name, 40)

    play(story)


def test_a_certificate_that_was_not_asked_for_is_verified_as_any_other() -> None:
    other = to_bytes(CERTIFICATES[30])
    damaged = bytearray(to_bytes(CERTIFICATES[31]))
    damaged[-3] ^= 1  # in its signature: it has another digest, and is not what its key signed

    async def others(_: tuple[Digest, ...]) -> bytes:
        return encode_response([other, bytes(damaged)])

    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("bad")])}, others=["bad"])
        script = claiming(ABSENT[:1])
        async with mesh.running(), scripted(mesh.network, "bad", script, others):
            await mesh.begin("a", "bad")
            await mesh.until_total("a", 1)
            (bad,) = await mesh.partners("a")
            assert told(bad)["inserted"] == 1
            assert told(bad)["refused"] == 1

    play(story)


def test_what_brought_nothing_is_not_fetched_twice_even_after_a_restart() -> None:
    spoiled = [bytearray(to_bytes(one)) for one in CERTIFICATES[:3]]
    for octets in spoiled:
        octets[-3] ^= 1  # nothing is left of it that its key has signed
    digests = [sks_digest(split(bytes(octets), BULK)) for octets in spoiled]

    async def answer(asked: tuple[Digest, ...]) -> bytes:
        return encode_response([bytes(spoiled[digests.index(one)]) for one in asked])

    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("bad")])}, others=["bad"])
        script = claiming(digests)
        async with mesh.running(), scripted(mesh.network, "bad", script, answer) as seen:

            async def is_fetched() -> bool:
                (bad,) = await mesh.partners("a")
                return told(bad).get("refused", 0) == 3

            assert (await mesh.begin("a", "bad")).lacking_here == 3
            await until(is_fetched)
            for _ in range(3):
                assert (await mesh.begin("a", "bad")).lacking_here == 0
            assert await mesh.machines["a"].stop()
            await until(mesh.machines["a"].is_ready)
            assert (await mesh.begin("a", "bad")).lacking_here == 0
            assert len(seen.asked) == 1

    play(story)


def test_what_is_denied_is_fetched_once_and_again_when_it_is_allowed() -> None:
    denied = CERTIFICATES[0]
    digests = [sks_digest(packets(denied))]

    async def answer(_: tuple[Digest, ...]) -> bytes:
        return encode_response([to_bytes(denied)])

    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("bad")])}, others=["bad"])
        async with mesh.running(), scripted(mesh.network, "bad", claiming(digests), answer) as seen:
            runtime = mesh.machines["a"].runtime
            assert runtime is not None
            router = Router(runtime.whereis, 2)
            await router.deny(fingerprint(denied), Order(None, "", b"1"))

            async def is_fetched() -> bool:
                (bad,) = await mesh.partners("a")
                return told(bad).get("denied", 0) == 1

            await mesh.begin("a", "bad")
            await until(is_fetched)
            for _ in range(3):
                assert (await mesh.begin("a", "bad")).lacking_here == 0
            assert len(seen.asked) == 1
            await router.allow(fingerprint(denied), Order(None, "", b"2"))
            await mesh.begin("a", "bad")
            await mesh.until_total("a", 1)
            assert len(seen.asked) == 2

    play(story)
