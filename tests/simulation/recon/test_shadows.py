"""What a partner has and is not wanted here is in the way of no round after the first."""

import msgspec
import pytest

from keygrove.cluster.rollbacks import Rollbacks, Selection
from keygrove.cluster.router import Router
from keygrove.recon.knownfile import SETTLED
from keygrove.settings import PolicySettings, Settings
from keygrove.storage.messages import Order
from keygrove.storage.rollback import Stage
from keygrove.storage.write import Cause
from keygrove_chaos.certificates import digest_of, made
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.recon.hashquery import (
    ResponseDecoder,
    encode_request,
    encode_response,
)
from keygrove_protocols.recon.messages import (
    Done,
    Elements,
    Flush,
    FullRequest,
    in_order,
)
from keygrove_protocols.recon.prefix import ROOT
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of, until
from tests.simulation.recon.scripted import Line, scripted

pytestmark = pytest.mark.slow

SELDOM_S = 1e6
ALL, DENIED = CERTIFICATES[:30], CERTIFICATES[:12]


def alone(name: str, *partners: str) -> Settings:
    """Of a node that begins sessions when it is told to."""
    return settings_of(name, [partner(one) for one in partners], interval_s=SELDOM_S)


def router(mesh: Mesh, name: str) -> Router:
    runtime = mesh.machines[name].runtime
    assert runtime is not None
    return Router(runtime.whereis, 2)


async def deny(mesh: Mesh, name: str, certificate: Certificate) -> None:
    await router(mesh, name).deny(fingerprint(certificate), Order(None, "spam", b"deny"))


async def allow(mesh: Mesh, name: str, certificate: Certificate) -> None:
    await router(mesh, name).allow(fingerprint(certificate), Order(None, "", b"allow"))


async def holds(mesh: Mesh, name: str, certificate: Certificate) -> bool:
    digits = fingerprint(certificate).hex()
    reply = await mesh.machines[name].door.ask("GET", f"/pks/lookup?op=get&search=0x{digits}")
    return reply.status == 200


async def until_results(mesh: Mesh, name: str, word: str, count: int) -> None:
    """Wait until so many of what was fetched from the first partner had this fate."""

    async def is_so() -> bool:
        found = (await mesh.partners(name))[0].peer
        assert found is not None
        assert found.recovery is not None
        return found.recovery.results.get(word, 0) >= count

    await until(is_so)


async def finds(mesh: Mesh, name: str, other: str) -> tuple[int, int, int]:
    """A round: what was lacking here and there, and the round trips that it took."""
    told = await mesh.begin(name, other)
    assert (told.result, told.why) == ("done", "")
    return told.lacking_here, told.lacking_there, told.round_trips


async def flood(world: World) -> None:
    mesh = Mesh(world, {"a": alone("a", "b", "c"), "b": alone("b", "a"), "c": alone("c", "a")})
    async with mesh.running():
        await mesh.add("b", ALL)
        await mesh.begin("a", "b")
        await mesh.until_total("a", len(ALL))
        for one in DENIED:
            await deny(mesh, "a", one)
        assert await finds(mesh, "a", "b") == (len(DENIED), 0, 1)
        await until_results(mesh, "a", "denied", len(DENIED))
        for _ in range(5):
            assert await finds(mesh, "a", "b") == (0, 0, 1)
        mesh.machines["a"].crash("process")
        await until(mesh.machines["a"].is_ready)
        for _ in range(5):
            assert await finds(mesh, "a", "b") == (0, 0, 1)
            assert await finds(mesh, "b", "a") == (0, 0, 1)
        clean = len(ALL) - len(DENIED)
        assert await finds(mesh, "c", "a") == (clean, 0, 1)
        await mesh.until_total("c", clean)
        assert await finds(mesh, "a", "c") == (0, 0, 1)
        assert await mesh.total("a") == clean
        assert await mesh.total("b") == len(ALL)


def test_a_flood_that_was_denied_stays_away_and_costs_nothing() -> None:
    run(flood, seed=1)


async def denied_and_known(mesh: Mesh) -> None:
    """What b has and a denies was fetched once, and a shows it to b."""
    for one in DENIED:
        await deny(mesh, "a", one)
    await mesh.add("b", ALL)
    await mesh.begin("a", "b")
    await until_results(mesh, "a", "denied", len(DENIED))
    assert await finds(mesh, "a", "b") == (0, 0, 1)


async def lifted(world: World) -> None:
    mesh = Mesh(world, {"a": alone("a", "b"), "b": alone("b", "a")})
    async with mesh.running():
        await denied_and_known(mesh)
        await allow(mesh, "a", DENIED[0])
        assert await finds(mesh, "a", "b") == (len(DENIED), 0, 1)
        await mesh.until_total("a", len(ALL) - len(DENIED) + 1)
        await until_results(mesh, "a", "denied", 2 * len(DENIED) - 1)
        assert await finds(mesh, "a", "b") == (0, 0, 1)


def test_a_denial_that_is_lifted_lets_the_partner_s_come_in() -> None:
    run(lifted, seed=1)


async def swapped(world: World) -> None:
    """One denial is lifted and another is made: there are as many as before."""
    mesh = Mesh(world, {"a": alone("a", "b"), "b": alone("b", "a")})
    async with mesh.running():
        await denied_and_known(mesh)
        await allow(mesh, "a", DENIED[0])
        await deny(mesh, "a", ALL[-1])
        await mesh.begin("a", "b")
        await until_results(mesh, "a", "denied", 2 * len(DENIED))
        assert await holds(mesh, "a", DENIED[0])
        assert not await holds(mesh, "a", ALL[-1])
        assert await finds(mesh, "a", "b") == (0, 0, 1)


def test_a_denial_that_is_lifted_as_another_is_made_is_noticed() -> None:
    run(swapped, seed=1)


async def undone(world: World) -> None:
    mesh = Mesh(world, {"a": alone("a", "b", "c"), "b": alone("b", "a"), "c": alone("c", "a")})
    at = 1_800_000_000
    async with mesh.running():
        await mesh.add("b", ALL)
        await mesh.begin("a", "b")
        await mesh.until_total("a", len(ALL))
        rollbacks = router(mesh, "a").rollbacks
        selection = Selection(causes=frozenset({Cause.RECON}), origins=frozenset({"b"}))
        await rollbacks.begin("flood", selection, "", at)
        await until_stage(rollbacks, Stage.DONE)
        assert await finds(mesh, "a", "b") == (len(ALL), 0, 1)
        await until_results(mesh, "a", "denied", len(ALL))
        # What is denied changes at the partner meanwhile: that is denied, too.
        await mesh.add("b", [made(1, "User 1 <u1@x.example>", "Another")])
        assert await finds(mesh, "a", "b") == (1, 1, 1), "b is told of what it had once more"
        await until_results(mesh, "a", "denied", len(ALL) + 1)
        assert await mesh.total("a") == 0
        await rollbacks.undo("flood", at)
        await until_stage(rollbacks, Stage.UNDONE)
        assert await mesh.total("a") == len(ALL)
        lacking_here, _, _ = await finds(mesh, "a", "b")
        assert lacking_here == 1
        await until_results(mesh, "a", "updated", 1)
        for name, other in (("a", "b"), ("b", "a")) * 3:
            assert await finds(mesh, name, other) == (0, 0, 1)
        assert await finds(mesh, "c", "a") == (len(ALL), 0, 1)
        await mesh.until_total("c", len(ALL))


async def until_stage(rollbacks: Rollbacks, stage: Stage) -> None:
    async def is_so() -> bool:
        return (await rollbacks.one("flood")).stage is stage

    await until(is_so)


def test_what_is_taken_back_and_then_not_is_held_by_both_again() -> None:
    run(undone, seed=1)


async def changed(world: World) -> None:
    mesh = Mesh(world, {"a": alone("a", "b"), "b": alone("b", "a")})
    async with mesh.running():
        await deny(mesh, "a", ALL[0])
        await mesh.add("b", ALL[:1])
        await mesh.begin("a", "b")
        await until_results(mesh, "a", "denied", 1)
        await deny(mesh, "b", ALL[0])
        assert await finds(mesh, "a", "b") == (0, 1, 1), "b is told of it once more"
        assert await finds(mesh, "a", "b") == (0, 0, 1)


def test_what_a_partner_has_no_more_it_is_not_shown() -> None:
    run(changed, seed=1)


async def two_policies(world: World) -> None:
    """One keeps what is unbound, the other does not."""
    keeps = PolicySettings(preset="sks-compatible")
    settings = {"a": alone("a", "b"), "b": msgspec.structs.replace(alone("b", "a"), policy=keeps)}
    mesh = Mesh(world, settings)
    async with mesh.running():
        await mesh.add("a", ALL)
        await mesh.add("b", ALL)
        await mesh.submit("b", *map(armor, MORE.values()))
        assert await finds(mesh, "a", "b") == (len(MORE), len(MORE), 1)
        await until_results(mesh, "a", "known", len(MORE))
        await until_results(mesh, "b", "known", len(MORE))
        for name, other in (("a", "b"), ("b", "a")) * 5:
            assert await finds(mesh, name, other) == (0, 0, 1)


def test_two_keygroves_that_keep_to_their_own_forms_agree() -> None:
    run(two_policies, seed=1)


UNBOUND = b"\xcd\x05Alice"
"""A user ID that nobody signed."""
MORE = {
    sks_digest(split(octets, BULK)): octets
    for octets in (to_bytes(one) + UNBOUND for one in CERTIFICATES[:3])
}
"""Certificates that are taken without what is unbound, and have other digests then."""


class Keeping:
    """A partner as SKS is: it lists what it has, and takes nothing of what it is told to lack."""

    def __init__(self) -> None:
        self.lists = set(MORE)
        self.told: list[set[Digest]] = []

    async def script(self, line: Line) -> None:
        await line.shake_hands()
        await line.say(FullRequest(ROOT, in_order(self.lists)), Flush())
        answer = await line.hear()
        assert isinstance(answer, Elements)
        self.told.append(set(answer.digests))
        await line.say(Done())

    async def answer(self, asked: tuple[Digest, ...]) -> bytes:
        return encode_response([MORE[one] for one in asked if one in MORE])


async def given(mesh: Mesh, digests: set[Digest]) -> set[bytes]:
    """What the node gives by these digests."""
    body = encode_request(in_order(digests))
    reply = await mesh.machines["a"].door.ask("POST", "/pks/hashquery", body)
    decoder = ResponseDecoder(len(digests))
    found = set(decoder.feed(reply.body))
    decoder.close()
    return found


async def keeping(world: World) -> None:
    mesh = Mesh(world, {"a": alone("a", "b")}, others=["b"])
    keeps = Keeping()
    ours = {digest_of(one) for one in CERTIFICATES[:3]}
    async with mesh.running(), scripted(mesh.network, "b", keeps.script, keeps.answer) as seen:
        assert (await mesh.begin("a", "b")).lacking_here == len(MORE)
        await mesh.until_total("a", len(MORE))
        for times in range(1, SETTLED + 1):
            assert (await mesh.begin("a", "b")).lacking_here == len(MORE)
            assert keeps.told[-1] == ours
            await until_results(mesh, "a", "passed over", times * len(MORE))
        for _ in range(3):
            assert await finds(mesh, "a", "b") == (0, 0, 1)
        assert len(seen.asked) == 1
        assert await given(mesh, set(MORE)) == {to_bytes(one) for one in CERTIFICATES[:3]}
        await mesh.add("a", [made(1, "User 1 <u1@x.example>", "Another")])
        assert (await mesh.begin("a", "b")).lacking_here == 1
        (told,) = keeps.told[-1]
        assert told not in ours
        await until_results(mesh, "a", "known", 1)
        keeps.lists = {*list(MORE)[1:], told}
        assert await finds(mesh, "a", "b") == (0, 0, 1)


def test_a_partner_that_keeps_to_its_own_form_is_shown_that() -> None:
    run(keeping, seed=1)
