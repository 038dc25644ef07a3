"""What is remembered of partners' digests, on a simulated disk."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from io import StringIO

import pytest
from prometheus_client import CollectorRegistry

from keygrove.ports import SqlSession
from keygrove.recon import knownfile
from keygrove.recon.known import (
    KNOWN,
    Forget,
    Known,
    KnownApi,
    Note,
    Recall,
    Sift,
    WhoseAre,
)
from keygrove.recon.knownfile import (
    ABSENT_FIRST_S,
    DAY_S,
    FILE,
    KEPT_S,
    SETTLED,
    Recalled,
    Row,
    Why,
)
from keygrove.telemetry.log import NodeLog, open_log
from keygrove.telemetry.partner_watch import PartnerWatch
from keygrove.telemetry.partners import PartnerCounts
from keygrove_actors import ChildSpec, Ref, SupSpec, run
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from tests.loops import Backend, virtual_trio
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.anyio

DIGESTS = tuple(Digest(bytes([number]) * 16) for number in range(1, 6))
POLICY = b"one"


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


class Wall:
    """See `ports.Clock`: it stands unless a test moves it."""

    def __init__(self) -> None:
        self.at = 1_800_000_000

    def now(self) -> int:
        return self.at

    def elapsed(self) -> float:
        return float(self.at)


class Host:
    """A disk, and a clock."""

    def __init__(self) -> None:
        timeline = SeededTimeline(0)
        self.wall = Wall()
        self.disk = Disk(timeline, "node")
        self.databases = SimulatedDatabases(timeline, "node", self.disk.boot(), timeline.now)
        self.logged = StringIO()
        log = NodeLog(open_log(self.logged, "json"), bytes(32))
        counts = PartnerCounts(CollectorRegistry())
        self.watcher = PartnerWatch(log, counts, self.wall)

    def lines(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.logged.getvalue().splitlines()]

    @asynccontextmanager
    async def known(self, policy: bytes = POLICY) -> AsyncGenerator[Ref[KnownApi], None]:
        def start() -> Known:
            return Known(self.databases, self.wall, policy, self.watcher)

        spec = SupSpec(children=(ChildSpec("known", start, name=KNOWN),))
        async with run(spec) as runtime:
            yield runtime.whereis(KNOWN, KnownApi)


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host()
    yield found
    found.databases.close()


def rows(why: Why, *at: int) -> tuple[Row, ...]:
    return tuple(Row(DIGESTS[one], why) for one in at)


async def sifted(known: Ref[KnownApi], partner: str = "ann", lifts: int = 0) -> Sequence[int]:
    """Which of the digests are worth asking for."""
    found = await known.call(Sift(partner, DIGESTS, lifts))
    return [DIGESTS.index(one) for one in found]


async def test_what_brought_nothing_is_not_asked_for_again_for_weeks(host: Host) -> None:
    async with host.known() as known:
        assert await sifted(known) == [0, 1, 2, 3, 4]
        await known.call(Note("ann", (*rows(Why.ALIAS, 0), *rows(Why.REFUSED, 2)), 0))
        assert await sifted(known) == [1, 3, 4]
        host.wall.at += KEPT_S - 1
        assert await sifted(known) == [1, 3, 4]
        host.wall.at += 1
        assert await sifted(known) == [0, 1, 2, 3, 4]


async def test_it_is_remembered_of_that_partner_and_over_restarts(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", rows(Why.ALIAS, 0), 0))
    async with host.known() as known:
        assert await sifted(known) == [1, 2, 3, 4]
        assert await sifted(known, "bob") == [0, 1, 2, 3, 4]


async def test_another_policy_may_take_what_this_one_did_not(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", rows(Why.REFUSED, 0), 0))
    async with host.known(b"another") as known:
        assert await sifted(known) == [0, 1, 2, 3, 4]


async def test_what_was_denied_is_asked_for_once_a_denial_was_ended(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", (*rows(Why.DENIED, 0), *rows(Why.ALIAS, 1)), 0))
        for _ in range(2):
            assert await sifted(known, lifts=2) == [2, 3, 4]
    async with host.known() as known:
        assert await sifted(known, lifts=2) == [2, 3, 4]
        assert await sifted(known, lifts=3) == [0, 2, 3, 4]


async def test_what_was_denied_before_a_denial_was_ended_is_not_remembered(host: Host) -> None:
    async with host.known() as known:
        assert await sifted(known, lifts=1) == [0, 1, 2, 3, 4]
        await known.call(Note("ann", (*rows(Why.DENIED, 0), *rows(Why.ALIAS, 1)), 0))
        assert await sifted(known, lifts=1) == [0, 2, 3, 4]


async def test_what_did_not_come_is_left_alone_for_longer_each_time(host: Host) -> None:
    async with host.known() as known:
        for times in range(3):
            await known.call(Note("ann", rows(Why.ABSENT, 0), 0))
            host.wall.at += (ABSENT_FIRST_S << times) - 1
            assert await sifted(known) == [1, 2, 3, 4]
            host.wall.at += 1
            assert await sifted(known) == [0, 1, 2, 3, 4]


async def test_a_file_that_is_damaged_is_made_anew_and_that_is_logged(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", rows(Why.ALIAS, 0), 0))
    files = host.disk.names.files()
    for path in (FILE, f"{FILE}-wal"):
        files[path].cache[:] = b"\xff" * len(files[path].cache)
    assert host.lines() == []
    async with host.known() as known:
        assert await sifted(known) == [0, 1, 2, 3, 4]
    (line,) = host.lines()
    assert (line["level"], line["event"]) == ("warning", "recon memory made anew")
    assert FILE in line["why"]
    assert "is fetched once more" in line["advice"]


@pytest.mark.parametrize("why", [Why.ALIAS, Why.DENIED, Why.REFUSED, Why.ABSENT])
async def test_what_was_noted_while_the_clock_was_ahead_does_not_count(
    host: Host, why: Why
) -> None:
    ahead_s = 400 * DAY_S
    async with host.known() as known:
        host.wall.at += ahead_s
        await known.call(Note("ann", rows(why, 0), 0))
        assert await sifted(known) == [1, 2, 3, 4]
        host.wall.at -= ahead_s
        assert await sifted(known) == [0, 1, 2, 3, 4]
        assert await known.call(Recall("ann", 0)) == Recalled()
        await known.call(Note("ann", rows(why, 0), 0))
        assert await sifted(known) == [1, 2, 3, 4]


OURS = tuple(Digest(bytes([number]) * 16) for number in range(11, 16))
NAMES = tuple(Fingerprint(bytes([number]) * 20) for number in range(1, 6))


def alias(at: int, ours: int) -> Row:
    return Row(DIGESTS[at], Why.ALIAS, NAMES[ours], OURS[ours])


async def recalled(known: Ref[KnownApi], partner: str = "ann", lifts: int = 0) -> Recalled:
    return await known.call(Recall(partner, lifts))


async def test_what_stands_between_a_partners_set_and_ours_is_recalled(host: Host) -> None:
    async with host.known() as known:
        assert await recalled(known) == Recalled()
        found = (*rows(Why.DENIED, 0), *rows(Why.REFUSED, 1), *rows(Why.ABSENT, 2), alias(3, 0))
        await known.call(Note("ann", found, 0))
    async with host.known() as known:
        shadows, aliases = frozenset(DIGESTS[:2]), {OURS[0]: DIGESTS[3]}
        assert await recalled(known) == Recalled(shadows=shadows, aliases=aliases)
        assert await recalled(known, "bob") == Recalled()
        host.wall.at += KEPT_S
        assert await recalled(known) == Recalled()
    async with host.known(b"another") as known:
        assert await recalled(known) == Recalled()


async def test_an_alias_is_settled_when_the_partner_keeps_to_it(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", (alias(0, 0), alias(1, 1)), 0))
        for _ in range(SETTLED):
            assert (await recalled(known)).settled == frozenset()
            await known.call(Sift("ann", DIGESTS[:1], 0))
        assert (await recalled(known)).settled == {OURS[0]}
        await known.call(Note("ann", (alias(0, 2),), 0))
        assert await recalled(known) == Recalled(aliases={OURS[1]: DIGESTS[1], OURS[2]: DIGESTS[0]})


async def test_a_certificate_has_the_newest_of_its_aliases(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", (alias(4, 0),), 0))
        host.wall.at += 1
        await known.call(Note("ann", (alias(1, 0),), 0))
        assert (await recalled(known)).aliases == {OURS[0]: DIGESTS[1]}


async def test_what_a_partner_has_no_more_is_forgotten(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", (*rows(Why.DENIED, 0, 1), alias(2, 0)), 0))
        known.cast(Forget("ann", (DIGESTS[0], DIGESTS[2])))
        assert await recalled(known) == Recalled(shadows=frozenset([DIGESTS[1]]))
        assert await sifted(known) == [0, 2, 3, 4]


async def test_shadows_end_once_a_denial_was_ended(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", (*rows(Why.DENIED, 0), *rows(Why.REFUSED, 1)), 0))
        assert (await recalled(known, lifts=2)).shadows == set(DIGESTS[:2])
        assert (await recalled(known, lifts=3)).shadows == {DIGESTS[1]}


async def test_whose_an_alias_is_can_be_told_and_nothing_of_the_denied(host: Host) -> None:
    async with host.known() as known:
        assert await known.call(WhoseAre(DIGESTS)) == ()
        await known.call(Note("ann", (alias(0, 0), Row(DIGESTS[1], Why.DENIED, NAMES[1])), 0))
        await known.call(Note("bob", (alias(0, 0), alias(2, 2)), 0))
        assert set(await known.call(WhoseAre(DIGESTS))) == {NAMES[0], NAMES[2]}


async def test_a_file_of_another_format_is_made_anew(host: Host) -> None:
    async with host.known() as known:
        await known.call(Note("ann", rows(Why.ALIAS, 0), 0))
    async with host.databases.open(FILE) as db:
        await db.run(_age)
    async with host.known() as known:
        assert await sifted(known) == [0, 1, 2, 3, 4]
    assert [line["why"] for line in host.lines()] == [f"{FILE} is of another format"]


def _age(db: SqlSession) -> None:
    db.execute("PRAGMA main.user_version = 1")


async def test_an_orderly_end_leaves_no_log_behind_even_one_of_a_life_before(host: Host) -> None:
    log = f"{FILE}-wal"
    async with host.known() as known:
        await known.call(Note("ann", rows(Why.ALIAS, 0), 0))
        assert await host.databases.holds(log)
    assert not await host.databases.holds(log)
    async with host.databases.open(FILE) as db:
        await db.run(lambda session: session.execute("DELETE FROM known WHERE partner = 'bob'"))
        await db.run(lambda session: session.execute("INSERT INTO facts VALUES ('one', 1)"))
    assert await host.databases.holds(log)
    async with host.known():
        pass
    assert not await host.databases.holds(log)


async def test_of_too_many_those_stay_that_were_first(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knownfile, "SHOWN_MAX", 2)
    async with host.known() as known:
        await known.call(Note("ann", rows(Why.DENIED, 3, 4), 0))
        host.wall.at += 1
        await known.call(Note("ann", rows(Why.DENIED, 0, 1), 0))
        assert (await recalled(known)).shadows == set(DIGESTS[3:])
