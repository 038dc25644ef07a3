"""What a partner has that is of no use here is fetched once."""

from collections.abc import Sequence

import anyio
import pytest

from keygrove.recon.batch import FIRST
from keygrove.recon.recovery import FAILURES_MAX
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.recon.frames import Verdict, encode_verdict
from keygrove_protocols.recon.hashquery import encode_response
from keygrove_protocols.recon.messages import Done, Flush, FullRequest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, config_of
from tests.simulation.recon.mesh import CERTIFICATES, Mesh, partner, settings_of, until
from tests.simulation.recon.scripted import Line, claiming, scripted

pytestmark = pytest.mark.slow

UNBOUND = b"\xcd\x05Alice"
"""A user ID that nobody signed."""
MORE = {
    sks_digest(split(octets, BULK)): octets
    for octets in (to_bytes(one) + UNBOUND for one in CERTIFICATES[:3])
}
"""Certificates that are taken without what is unbound, and have other digests then."""
LATE = Digest((1 << 64).to_bytes(16))


class Slow:
    """A partner that claims what it is told to, and answers for one digest when it is told to."""

    def __init__(self) -> None:
        self.claimed: Sequence[Digest] = tuple(MORE)
        self.may_answer = anyio.Event()

    async def script(self, line: Line) -> None:
        await claiming(self.claimed)(line)

    async def answer(self, asked: tuple[Digest, ...]) -> bytes:
        if LATE in asked:
            await self.may_answer.wait()
        return encode_response([MORE[one] for one in asked if one in MORE])


async def recovered(mesh: Mesh) -> dict[str, int]:
    (found,) = await mesh.partners("a")
    assert found.peer is not None
    assert found.peer.recovery is not None
    return found.peer.recovery.results


def test_what_is_taken_in_less_than_whole_is_not_fetched_again() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b"])
        slow = Slow()
        async with mesh.running(), scripted(mesh.network, "b", slow.script, slow.answer) as seen:
            assert (await mesh.begin("a", "b")).lacking_here == len(MORE)
            await mesh.until_total("a", len(MORE))
            assert (await mesh.begin("a", "b")).lacking_here == len(MORE)

            async def is_passed_over() -> bool:
                return (await recovered(mesh)).get("passed over", 0) >= len(MORE)

            await until(is_passed_over)
            assert sorted(seen.asked[0]) == sorted(MORE)
            assert len(seen.asked) == 1

    run(story, seed=1)


def test_who_cannot_be_reached_is_not_asked_for_fewer_and_all_is_given_up_at_once() -> None:
    absent = [Digest((1 << 64 | number).to_bytes(16)) for number in range(3 * FIRST)]

    async def story(world: World) -> None:
        nowhere = partner("b", http="b:1")
        mesh = Mesh(world, {"a": settings_of("a", [nowhere])}, others=["b"])
        async with mesh.running(), scripted(mesh.network, "b", claiming(absent)):
            assert (await mesh.begin("a", "b")).lacking_here == len(absent)
            waiting = set[int]()

            async def is_given_up() -> bool:
                (found,) = await mesh.partners("a")
                recovery = found.peer.recovery if found.peer is not None else None
                assert recovery is not None
                waiting.add(recovery.waiting)
                return recovery.given_up > 0

            await until(is_given_up)
            (found,) = await mesh.partners("a")
            assert found.peer is not None
            assert found.peer.recovery is not None
            assert found.peer.recovery.given_up == len(absent)
            assert found.peer.recovery.failures == FAILURES_MAX
            assert waiting <= {0, len(absent)}

    run(story, seed=1)


def test_what_is_found_again_while_something_is_fetched_is_not_fetched_again() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b"])
        slow = Slow()
        async with mesh.running(), scripted(mesh.network, "b", slow.script, slow.answer) as seen:
            await mesh.begin("a", "b")
            await mesh.until_total("a", len(MORE))
            slow.claimed = (*MORE, LATE)
            await mesh.begin("a", "b")

            async def is_waiting() -> bool:
                return (LATE,) in seen.asked

            await until(is_waiting)
            await mesh.begin("a", "b")
            slow.may_answer.set()

            async def is_passed_over() -> bool:
                return (await recovered(mesh)).get("passed over", 0) >= 2 * len(MORE)

            await until(is_passed_over)
            assert len(seen.asked) == 2

    run(story, seed=1)


async def without_http_port(line: Line) -> None:
    said = config_of(http_port=0, filters=DEFAULT_FILTERS, identity=b"")
    await line.say(said)
    await line.hear()
    await line.stream.send(encode_verdict(Verdict()))
    await line.say(FullRequest(ROOT, (LATE,)), Flush())
    await line.stream.receive()
    await line.say(Done())


def test_what_cannot_be_fetched_since_nobody_says_where_is_given_up_by_name() -> None:
    async def story(world: World) -> None:
        mesh = Mesh(world, {"a": settings_of("a", [partner("b")])}, others=["b"])
        async with mesh.running(), scripted(mesh.network, "b", without_http_port):
            assert (await mesh.begin("a", "b")).lacking_here == 1
            (found,) = await mesh.partners("a")
            assert found.peer is not None
            assert found.peer.recovery is not None
            assert found.peer.recovery.given_up >= 1
            assert "set `http` of the partner" in found.peer.recovery.last_error

    run(story, seed=1)
