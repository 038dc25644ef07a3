"""Whole nodes push to each other over the simulated network."""

import pytest

from keygrove.push.target import SUSPECT_TRIES
from keygrove.push.verdict import PAUSE_MAX_S, RETRY_AFTER_MAX_S
from keygrove.recon.pace import JITTER
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.machine import HKP
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.certificate import fingerprint
from tests.simulation.push.servers import Request, Server, Site, form_of, settings_of, target, until

pytestmark = pytest.mark.slow

ONES = [made(number, f"User {number} <u{number}@x.example>") for number in range(1, 7)]
ALICE, BOB, CAROL, *_ = ONES
DAVE = made(9, "Dave <dave@x.example>")
ALICIA = made(1, "User 1 <u1@x.example>", "Alicia <alicia@x.example>")
PORTS = {"vks": 443, "hkp": HKP}


async def a_ring(world: World) -> None:
    around = {"a": "b", "b": "c", "c": "a"}
    site = Site(world, {name: settings_of(target(to), sender=name) for name, to in around.items()})
    async with site.running():
        for at, name in enumerate(around):
            await site.submit(name, *ONES[2 * at : 2 * at + 2])
        for name in around:
            await site.until_held(name, *ONES)
        await site.until_idle()
        for name in around:
            (status,) = await site.status(name)
            # Where each comes home nothing changes, and so it is not sent on again.
            assert status.results == {"taken": len(ONES)}


async def a_pair(world: World) -> None:
    site = Site(
        world,
        {
            "a": settings_of(target("b"), sender="a"),
            "b": settings_of(target("a"), sender="b"),
        },
    )
    async with site.running():
        await site.submit("a", ALICE, BOB)
        await site.submit("b", CAROL)
        await site.until_held("a", CAROL)
        await site.until_held("b", ALICE, BOB)
        await site.until_idle()
        assert (await site.status("a"))[0].results == {"taken": 2, "passed over": 1}
        assert (await site.status("b"))[0].results == {"taken": 1, "passed over": 2}
        # What a target sent, and somebody else changed since, is news to it.
        await site.submit("b", ALICIA, sender="c")
        await site.until_idle()
        await until(lambda: has_two_names(site, "a"))


async def has_two_names(site: Site, name: str) -> bool:
    reply = await site.machines[name].door.ask(
        "GET", "/pks/lookup?op=index&search=alicia@x.example"
    )
    return reply.status == 200


async def restarts(world: World) -> None:
    names = ("a", "b", "c")
    site = Site(
        world,
        {
            "a": settings_of(target("b"), target("c"), sender="a"),
            "b": settings_of(target("a"), sender="b"),
            "c": settings_of(target("b"), sender="c"),
        },
    )
    async with site.running():
        for at, one in enumerate(ONES):
            await site.submit(names[at % 3], one)
            if at % 2:
                await site.restart(names[at // 2], ("stop", "process", "power")[at // 2])
        for name in names:
            await site.until_held(name, *ONES)


async def a_dead_target(world: World) -> None:
    site = Site(
        world, {"a": settings_of(target("dead"), target("b")), "b": settings_of()}, ["dead"]
    )
    async with site.running():
        await site.submit("a", ALICE, BOB)
        await site.until_held("b", ALICE, BOB)
        dead = site.servers["dead"]
        await until(lambda: fails_for_long(site))
        await site.submit("a", CAROL)
        await site.until_held("b", CAROL)
        await site.submit("a", ALICIA)
        await site.restart("a", "power")
        assert dead.asked == []
        site.serve("dead")
        await site.until_idle()
        sent = [request.body for request in dead.asked]
        assert len(sent) == 3
        assert set(sent) == {form_of(one) for one in (ALICIA, BOB, CAROL)}


async def fails_for_long(site: Site) -> bool:
    dead, _ = await site.status("a")
    return (dead.retry_in_s or 0.0) > PAUSE_MAX_S / 2 and bool(dead.last_error)


async def what_it_says(world: World) -> None:
    """One is bad, one it fails at for good, and for one it has no time at first."""
    site = Site(world, {"a": settings_of(target("other"), sender="me")}, ["other"])
    bad, poison, late = map(form_of, (ALICE, BOB, CAROL))
    other, was_asked = site.servers["other"], [0.0]

    def answer(request: Request) -> tuple[int, dict[str, str]]:
        if request.body == late and not was_asked[0]:
            was_asked[0] = request.at
            return 503, {"retry-after": "1000"}
        if request.body == late:
            assert request.at - was_asked[0] >= 1_000.0
        return {bad: 422, poison: 500}.get(request.body, 200), {}

    other.answer = answer
    async with site.running():
        site.serve("other")
        await site.submit("a", CAROL)
        await until(lambda: was_sent(other, late, 1))
        await site.submit("a", *ONES)
        await until(lambda: was_sent(other, poison, SUSPECT_TRIES))
        await site.submit("a", DAVE)
        await site.until_idle()
        (status,) = await site.status("a")
        assert {request.headers["pks-sender"] for request in other.asked} == {"me"}
        assert {form_of(one) for one in (*ONES, DAVE)} == {one.body for one in other.asked}
        assert status.failures == 0
        # It takes the others all the same: none of them has to wait until it can deal with one.
        assert fingerprint(BOB).hex() in status.last_refused


async def was_sent(server: Server, body: bytes, count: int) -> bool:
    return [request.body for request in server.asked].count(body) >= count


async def far_too_late(world: World) -> None:
    """Both want to be left alone for longer than anybody lives."""
    says = {"number": "9" * 20, "date": "Fri, 31 Dec 9999 23:59:59 GMT"}
    site = Site(world, {"a": settings_of(*map(target, says))}, says)
    for name, word in says.items():
        site.servers[name].answer = lambda _, word=word: (503, {"retry-after": word})  # type: ignore[misc]

    async def are_left_alone() -> bool:
        return all(one.retry_in_s is not None for one in await site.status("a"))

    async with site.running():
        for name in says:
            site.serve(name)
        await site.submit("a", ALICE)
        await until(are_left_alone)
        for one in await site.status("a"):
            assert one.retry_in_s == pytest.approx(RETRY_AFTER_MAX_S, rel=JITTER)


async def vks(world: World) -> None:
    to = target("other", to="vks://other")
    site = Site(world, {"a": settings_of(to)}, ["other"])
    async with site.running():
        site.serve("other", PORTS["vks"])
        await site.submit("a", ALICE)
        await site.until_idle()
        (request,) = site.servers["other"].asked
        assert request.path == "/vks/v1/upload"
        assert request.headers["content-type"] == "application/json"
        assert request.body == b'{"keytext":"%b"}' % armored(ALICE).replace(b"\n", b"\\n")
        assert "pks-sender" not in request.headers


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "story",
    [a_ring, a_pair, restarts, a_dead_target, what_it_says, far_too_late, vks],
    ids=lambda story: story.__name__.replace("_", " "),
)
def test_each_update_reaches_whom_it_is_to_reach(story: object, seed: int) -> None:
    run(story, seed=seed)  # type: ignore[arg-type] # each of them is a program
