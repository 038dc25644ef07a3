"""The tree that partners are shown is what the stores hold, whatever happens to either."""

import anyio
import msgspec
import pytest

from keygrove.errors import DiskFullError, HistoryError
from keygrove.ports import SqlSession
from keygrove.recon import listing
from keygrove.recon.messages import (
    CloseSession,
    Feed,
    NoSession,
    NotReady,
    OpenSession,
    WhoseWere,
)
from keygrove.recon.prefix import CHECK_AFTER_S, DUMP_EVERY_S
from keygrove.recon.sessions import IDLE_S, SESSIONS_MAX
from keygrove.recon.superseded import KEPT_S
from keygrove.recon.treefile import TREE_FILE, Dumped, TreeFile
from keygrove.storage import heap
from keygrove.storage.steps import Steps
from keygrove.storage.write import Lift
from keygrove_actors import DeclaredError
from keygrove_chaos.certificates import CREATED, digest_of, made, put_of
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.recon.messages import FullRequest, Symbols, encode
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.rateless import FIRST
from keygrove_protocols.recon.session import Ending
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.terms import RATELESS
from tests.loops import Backend, virtual_trio
from tests.unit.keygrove.recon.sites import WAIT_S, Hooked, Machine, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


async def test_it_follows_what_is_stored() -> None:
    async with running(Machine()) as site:
        assert await site.shown() == set()
        ones = [made(number, f"user {number}") for number in range(60)]
        await site.put(*ones)
        assert await site.shown() == {digest_of(one) for one in ones}
        await site.put(made(1, "user 1", "another"))
        await site.deny(ones[2])
        await site.put(made(70, "user 70"))
        shown = await site.shown()
        assert shown == await site.machine.served()
        assert not {digest_of(ones[1]), digest_of(ones[2])} & shown
        await site.allow(ones[2])
        await site.put(ones[2])
        assert digest_of(ones[2]) in await site.shown()
        status = await site.status()
        assert (status.rebuilds, status.mismatches, status.lag) == (1, 0, 0)
        assert status.digests == 61


async def test_newer_certificates_than_partners_can_read_are_not_shown() -> None:
    async with running(Machine()) as site:
        await site.put(made(1, "old"), made(2, "new", version=6))
        assert await site.shown() == {digest_of(made(1, "old"))}


async def test_a_start_goes_on_from_the_last_orderly_stop() -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(30)))
        assert await site.agrees()
    async with running(machine, has_prefix=False) as site:
        await site.put(*(made(number) for number in range(20, 40)), made(3, "changed"))
        await site.deny(made(4))
    async with running(machine) as site:
        assert await site.agrees()
        assert (await site.status()).rebuilds == 0
        assert site.told.anew == []


async def test_a_start_after_a_crash_goes_on_from_the_last_dump() -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(30)))
        assert await site.agrees()
        machine.disk.crash()
        site.runtime.kill()
    async with running(machine) as site:
        assert await site.agrees()


async def test_an_end_in_order_leaves_no_log_that_was_left_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: SqlSession) -> int:
        raise DiskFullError("tree.db")

    def nothing(_: SqlSession) -> int:
        return 0

    def log() -> bytes:
        return bytes(machine.disk.names.files()[f"{TREE_FILE}-wal"].cache)

    machine = Machine()
    monkeypatch.setattr(heap, "empty_log", nothing)
    async with running(machine) as site:
        await site.put(made(1))
        await site.shown()
    monkeypatch.setattr(heap, "empty_log", full)
    async with running(machine) as site:
        assert await site.agrees()
        assert log()
        monkeypatch.undo()
    assert not log()


@pytest.mark.slow
async def test_it_is_dumped_once_in_a_while_if_anything_changed() -> None:
    async with running(Machine()) as site:
        await site.shown()
        await site.put(made(1))
        await site.shown()
        before = (await site.status()).dumps
        await anyio.sleep(3 * DUMP_EVERY_S)
        assert (await site.status()).dumps == before + 1
        await anyio.sleep(3 * DUMP_EVERY_S)
        assert (await site.status()).dumps == before + 1


async def test_a_dump_that_is_damaged_costs_a_listing_of_the_stores() -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(30)))
        await site.shown()
    octets = machine.disk.names.files()[TREE_FILE].cache
    place = bytes(octets).index(b"KGPT") + 20
    octets[place] ^= 1
    async with running(machine) as site:
        assert await site.agrees()
        assert (await site.status()).rebuilds == 1
        assert len(site.told.anew) == 1
    async with running(machine) as site:
        assert await site.agrees()
        assert (await site.status()).rebuilds == 0


async def test_a_dump_that_is_whole_and_wrong_is_found_out_after_the_start() -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(30)))
        await site.shown()
    await machine.rewrite(removed=digest_of(made(3)), added=digest_of(made(99)))
    async with running(machine) as site:
        assert digest_of(made(99)) in await site.shown()
        await site.put(made(40))
        with anyio.fail_after(WAIT_S):
            while not site.told.anew:
                await anyio.sleep(1)
                await site.put(made(41, f"at {anyio.current_time()}"))
        assert await site.agrees()
        status = await site.status()
        assert (status.rebuilds, status.mismatches) == (1, 1)


async def test_a_dump_that_is_right_is_found_so_after_the_start() -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(30)))
        await site.shown()
    async with running(machine) as site:
        await site.put(made(40))
        await anyio.sleep(5 * CHECK_AFTER_S)
        assert await site.agrees()
        status = await site.status()
        assert (status.rebuilds, status.mismatches) == (0, 0)


async def test_a_dump_of_another_number_of_shards_is_of_no_use() -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(9)))
        await site.shown()
    other = Machine(3)
    other.disk = machine.disk
    async with running(other) as site:
        await site.put(made(77))
        assert await site.shown() == {digest_of(made(77))}


async def test_a_dump_of_another_past_is_of_no_use() -> None:
    machine = Machine(1)
    async with running(machine) as site:
        await site.put(made(1))
        await site.shown()
    other = Machine(1)
    other.disk = machine.disk
    async with running(other, has_prefix=False) as site:
        await site.put(made(2))
    async with running(other) as site:
        assert await site.agrees()
        assert len(site.told.anew) == 1


async def test_it_is_made_anew_where_the_changes_since_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    async with running(machine) as site:
        await site.put(*(made(number) for number in range(9)))
        await site.shown()
        history = machine.stores[0].history
        steps = history.steps

        async def refuse(change: int, root: bytes, limit: int) -> Steps:
            monkeypatch.setattr(history, "steps", steps)
            raise HistoryError(change)

        monkeypatch.setattr(history, "steps", refuse)
        await site.put(made(10))
        with pytest.raises(DeclaredError) as raised:
            await site.prefix.call(OpenSession("initiator"))
        assert isinstance(raised.value.failure, NotReady)
        assert await site.agrees()
        status = await site.status()
        assert (status.rebuilds, status.mismatches) == (2, 0)


async def test_a_change_that_does_not_fit_is_counted_and_told_and_it_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(1)
    async with running(machine) as site:
        await site.put(made(1), made(2))
        await site.shown()
        history = machine.stores[0].history
        steps = history.steps

        async def lie(change: int, root: bytes, limit: int) -> Steps:
            found = await steps(change, root, limit)
            if not found.steps:
                return found
            monkeypatch.setattr(history, "steps", steps)
            wrong = msgspec.structs.replace(found.steps[0], before=digest_of(made(99)))
            return msgspec.structs.replace(found, steps=(wrong,))

        monkeypatch.setattr(history, "steps", lie)
        await site.put(made(1, "changed"))
        with pytest.raises(DeclaredError):
            await site.prefix.call(OpenSession("initiator"))
        assert await site.agrees()
        status = await site.status()
        assert (status.rebuilds, status.mismatches) == (2, 1)
        assert site.told.anew == ["a change of shard-0 does not fit"]


async def test_what_changes_while_the_stores_are_listed_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "PAGE", 3)
    machine = Machine(1)
    (store,) = machine.stores
    await store.commit([put_of(made(number)) for number in range(20)])
    number = 0

    async def meanwhile(operation: str) -> None:
        nonlocal number
        if operation == "digests":
            number += 1
            await store.commit([put_of(made(number, "changed"))])
            await store.commit([put_of(made(100 + number)), put_of(made(40 - number, "x"))])
            gone = fingerprint(made(number - 1))
            await store.commit([Lift(gone, CREATED)])
            await store.commit([put_of(made(number, "changed", "again"))])

    opener = machine.openers[0]
    hooked = Hooked(opener, meanwhile)
    machine.openers[0] = hooked.open
    async with running(machine) as site:
        assert await site.agrees()
        assert number > 3
        status = await site.status()
        assert (status.rebuilds, status.mismatches) == (1, 0)


async def test_a_digest_that_two_certificates_have_goes_with_the_last_of_them() -> None:
    machine = Machine(1)
    (store,) = machine.stores
    shared = put_of(made(1)).digest
    twins = [msgspec.structs.replace(put_of(made(number)), digest=shared) for number in (1, 2)]
    async with running(machine) as site:
        await store.commit(twins[:1])
        await store.commit(twins[1:])
        assert await site.shown() == {shared}
        await store.commit([put_of(made(1, "changed"))])
        assert shared in await site.shown()
    async with running(machine) as site:
        await store.commit(twins[:1])
        await store.commit([Lift(twins[0].fingerprint, CREATED)])
        assert await site.shown() == {shared}
        await store.commit([Lift(twins[1].fingerprint, CREATED)])
        assert await site.shown() == set()
        assert (await site.status()).mismatches == 0


async def test_it_goes_on_where_it_cannot_be_dumped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: TreeFile, dumped: Dumped) -> None:
        raise DiskFullError("tree.db")

    monkeypatch.setattr(TreeFile, "save", full)
    async with running(Machine()) as site:
        await site.put(made(1))
        assert await site.agrees()
        assert (await site.status()).dumps == 0
        assert site.told.not_dumped


async def test_who_had_a_digest_until_a_moment_ago_is_remembered_for_a_while() -> None:
    async with running(Machine()) as site:
        await site.put(made(1), made(2))
        await site.shown()
        await site.put(made(1, "changed"))
        await site.deny(made(2))
        await site.shown()
        asked = WhoseWere((digest_of(made(1)), digest_of(made(2)), digest_of(made(3))))
        names = (fingerprint(made(1)), fingerprint(made(2)))
        assert await site.prefix.call(asked) == names
        await anyio.sleep(KEPT_S + 1)
        assert await site.prefix.call(asked) == ()


async def test_a_session_begins_with_what_was_just_stored() -> None:
    async with running(Machine()) as site:
        await site.up()
        for number in range(20):
            await site.put(made(number))
            assert digest_of(made(number)) in await site.shown()


async def test_what_a_partner_has_and_we_lack_is_learned() -> None:
    async with running(Machine()) as site:
        await site.put(made(1))
        await site.up()
        opened = await site.prefix.call(OpenSession("initiator"))
        theirs = (digest_of(made(1)), digest_of(made(2)))
        asked = encode(FullRequest(ROOT, tuple(sorted(theirs))))
        for at in range(0, len(asked), 7):
            stepped = await site.prefix.call(Feed(opened.session, asked[at : at + 7]))
            assert stepped.ended is None
        stepped = await site.prefix.call(Feed(opened.session, b""))
        assert stepped.ended is not None
        assert stepped.ended.end is not None
        assert stepped.ended.end.ending is Ending.CLOSED
        assert stepped.ended.learned == (digest_of(made(2)),)
        assert (await site.status()).sessions == 0


async def test_what_came_in_during_a_session_is_not_learned_in_it() -> None:
    async with running(Machine()) as site:
        await site.up()
        opened = await site.prefix.call(OpenSession("initiator"))
        asked = encode(FullRequest(ROOT, (digest_of(made(2)),)))
        await site.prefix.call(Feed(opened.session, asked))
        await site.put(made(2))
        await site.shown()
        ended = await site.prefix.call(CloseSession(opened.session))
        assert (ended.end, ended.learned) == (None, ())


async def test_an_acceptor_asks_first() -> None:
    async with running(Machine()) as site:
        await site.up()
        opened = await site.prefix.call(OpenSession("acceptor"))
        assert opened.octets.startswith(encode(FullRequest(ROOT, ())))


async def test_two_nodes_tell_what_differs_by_symbols() -> None:
    async with running(Machine()) as one, running(Machine()) as other:
        for number in range(12):
            await (one if number % 3 else other).put(made(number))
        await one.put(made(20))
        await other.put(made(20))
        await one.up()
        await other.up()
        asks = await one.prefix.call(OpenSession("acceptor", way=RATELESS))
        answers = await other.prefix.call(OpenSession("initiator", way=RATELESS))
        answered = await other.prefix.call(Feed(answers.session, asks.octets))
        asked = await one.prefix.call(Feed(asks.session, answered.octets))
        ended = await other.prefix.call(Feed(answers.session, asked.octets))
    assert asked.ended is not None
    assert set(asked.ended.learned) == {digest_of(made(number)) for number in range(0, 12, 3)}
    assert ended.ended is not None
    assert set(ended.ended.learned) == {
        digest_of(made(number)) for number in range(12) if number % 3
    }
    assert asked.ended.statistics.symbols == ended.ended.statistics.symbols > 0


async def test_symbols_are_those_of_the_set_after_a_start_from_the_dump() -> None:
    machine = Machine()
    async with running(machine) as site:
        for number in range(5):
            await site.put(made(number))
        await site.up()
    async with running(machine) as site:
        await site.put(made(5))
        assert (await site.up()).rebuilds == 0
        opened = await site.prefix.call(OpenSession("acceptor", way=RATELESS))
        held = Sketch(digest_of(made(number)) for number in range(6))
        assert opened.octets == encode(Symbols(6, 0, held.octets(0, FIRST)))


async def test_sessions_are_bounded_and_forgotten_if_nobody_feeds_them() -> None:
    async with running(Machine()) as site:
        await site.up()
        opened = await site.prefix.call(OpenSession("initiator"))
        for _ in range(SESSIONS_MAX - 1):
            await site.prefix.call(OpenSession("initiator"))
        with pytest.raises(DeclaredError) as raised:
            await site.prefix.call(OpenSession("initiator"))
        assert isinstance(raised.value.failure, NotReady)
        await anyio.sleep(IDLE_S + 2)
        assert (await site.status()).sessions == 0
        for message in (Feed(opened.session, b"x"), CloseSession(opened.session)):
            with pytest.raises(DeclaredError) as raised:
                await site.prefix.call(message)
            assert isinstance(raised.value.failure, NoSession)
