"""Sessions where the tree is: how long they are kept, and what is told of their end."""

import anyio
import pytest

from keygrove.recon.messages import CloseSession, Feed, OpenSession
from keygrove.recon.sessions import IDLE_S
from keygrove_chaos.certificates import digest_of, made
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.messages import Elements, Flush, FullRequest, encode, in_order
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import Ending, SessionLimits
from tests.loops import Backend, virtual_trio
from tests.unit.keygrove.recon.sites import Machine, running

pytestmark = pytest.mark.anyio

ONES = [made(number, f"user {number}") for number in range(5)]


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


@pytest.mark.parametrize("has_come", [True, False])
async def test_as_much_as_is_looked_for_is_enough_though_some_came_meanwhile(
    *, has_come: bool
) -> None:
    lacking = in_order({digest_of(one) for one in ONES})
    async with running(Machine()) as site:
        await site.up()
        opening = OpenSession("initiator", SessionLimits(learned_max=len(ONES) - 1))
        opened = await site.prefix.call(opening)
        if has_come:
            await site.put(*ONES)
            assert await site.shown() == set(lacking)
        asked = encode(FullRequest(ROOT, lacking))
        ended = (await site.prefix.call(Feed(opened.session, asked))).ended
        assert ended is not None
        assert ended.end is not None
        assert ended.end.ending is Ending.LIMIT
        assert ended.is_enough
        assert len(ended.learned) == (0 if has_come else len(ONES) - 1)


async def test_what_ends_before_has_not_enough() -> None:
    async with running(Machine()) as site:
        await site.up()
        opened = await site.prefix.call(OpenSession("initiator", SessionLimits(learned_max=2)))
        told = encode(Elements((digest_of(ONES[0]),)))
        await site.prefix.call(Feed(opened.session, told))
        ended = await site.prefix.call(CloseSession(opened.session))
        assert (ended.learned, ended.is_enough) == ((digest_of(ONES[0]),), False)


async def test_a_session_that_is_fed_is_kept_and_what_it_learned_too() -> None:
    """For how long is up to whoever feeds it, who is to have what was learned at the end."""
    told = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 14)]
    async with running(Machine()) as site:
        await site.up()
        opened = await site.prefix.call(OpenSession("initiator"))
        for one in told:
            stepped = await site.prefix.call(Feed(opened.session, encode(Elements((one,)))))
            assert stepped.ended is None
            await anyio.sleep(IDLE_S - 2)
        await site.prefix.call(Feed(opened.session, encode(Flush())))
        ended = await site.prefix.call(CloseSession(opened.session))
        assert set(ended.learned) == set(told)
