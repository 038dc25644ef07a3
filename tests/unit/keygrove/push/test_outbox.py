"""What comes behind a place in the shards' logs, also after a restore and with other shards."""

import anyio
import pytest

from keygrove.errors import OutOfStepError
from keygrove.push.outbox import MARGIN_S, Outbox, Place, Standing, behind
from keygrove_chaos.certificates import made
from keygrove_chaos.node import EPOCH
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.keys import Fingerprint
from tests.loops import Backend, virtual_trio
from tests.unit.keygrove.recon.sites import Machine, Site, running

pytestmark = pytest.mark.anyio

ONES = [made(number, f"<u{number}@x.example>") for number in range(1, 13)]
NAMES = [fingerprint(one) for one in ONES]


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


async def all_behind(outbox: Outbox, standing: Standing) -> set[Fingerprint]:
    found: set[Fingerprint] = set()
    for shard, place in enumerate(standing.places):
        while entries := await outbox.read(shard, place):
            found |= {entry.fingerprint for entry in entries}
            place = behind(entries[-1])  # noqa: PLW2901 - it is the next one
    return found


def outbox_of(site: Site) -> Outbox:
    return Outbox(site.router, len(site.machine.stores))


async def test_behind_the_present_comes_what_changes_from_then_on() -> None:
    async with running(Machine(), has_prefix=False) as site:
        outbox = outbox_of(site)
        await site.put(*ONES[:6])
        present = await outbox.present(0)
        assert await all_behind(outbox, present) == set()
        await site.put(*ONES[6:])
        assert await all_behind(outbox, present) == set(NAMES[6:])


async def test_behind_each_entry_comes_the_rest_though_they_are_of_one_commit() -> None:
    async with running(Machine(1), has_prefix=False) as site:
        outbox = outbox_of(site)
        await site.put(*ONES)
        entries = list(await outbox.read(0, Place(0)))
        for at, entry in enumerate(entries):
            assert list(await outbox.read(0, behind(entry))) == entries[at + 1 :]


async def test_a_place_of_this_past_is_gone_on_from() -> None:
    async with running(Machine(), has_prefix=False) as site:
        outbox = outbox_of(site)
        await site.put(*ONES)
        present = await outbox.present(0)
        assert await outbox.resumed(present) == present


async def test_with_other_shards_it_goes_on_from_the_time_until_which_all_was_sent() -> None:
    async with running(Machine(), has_prefix=False) as site:
        outbox = outbox_of(site)
        await site.put(*ONES[:6])
        await anyio.sleep(2 * MARGIN_S)
        known = Standing((Place(3),), EPOCH + int(anyio.current_time()))
        await anyio.sleep(1)
        await site.put(*ONES[6:])
        assert await all_behind(outbox, await outbox.resumed(known)) == set(NAMES[6:])


async def test_after_a_restore_it_goes_on_from_that_time_too() -> None:
    async with running(Machine(), has_prefix=False) as site:
        outbox = outbox_of(site)
        await site.put(*ONES[:6])
        await anyio.sleep(2 * MARGIN_S)
        known = Standing((Place(99), Place(99)), EPOCH + int(anyio.current_time()))
        resumed = await outbox.resumed(known)
        await site.put(*ONES[6:])
        assert await all_behind(outbox, resumed) == set(NAMES[6:])


async def test_a_place_in_the_future_is_of_another_past() -> None:
    async with running(Machine(), has_prefix=False) as site:
        await site.put(*ONES)
        with pytest.raises(OutOfStepError):
            await outbox_of(site).read(0, Place(99))
