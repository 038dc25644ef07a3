"""How far targets are: what is remembered of them, and what follows if it cannot be."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec
import pytest

from keygrove.errors import DamagedError, StoreError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.push.messages import (
    PLACES,
    LoadStanding,
    PlacesApi,
    SaveStanding,
    Unreadable,
    WhenLost,
)
from keygrove.push.outbox import Place, Standing
from keygrove.push.placefile import FILE
from keygrove.push.places import AGAIN_S, LOST_TOLD_S, Places
from keygrove.telemetry.pushes import Pushed
from keygrove_actors import ChildSpec, DeclaredError, Ref, SupSpec, run
from keygrove_chaos.disk import Disk
from keygrove_chaos.sqlite import SimulatedDatabases
from tests.loops import Backend, virtual_trio
from tests.simulation.timelines import SeededTimeline

pytestmark = pytest.mark.anyio

ONE, OTHER = "hkp://one", "hkp://other"
STANDING = Standing((Place(7), Place(9)), 1_700_000_000)
LATER = Standing((Place(8), Place(9)), 1_700_000_001)


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


class Barred(SimulatedDatabases):
    """Cannot be opened while something is in the way."""

    in_the_way: StoreError | None = None

    @asynccontextmanager
    async def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AsyncGenerator[SqlDatabase, None]:
        if self.in_the_way is not None:
            raise self.in_the_way
        async with super().open(path, attached=attached, writable=writable) as db:
            yield db

    async def remove(self, path: str) -> None:
        self.in_the_way = None
        await super().remove(path)


class Host:
    """A disk, a clock that stands unless it is moved, and what is told."""

    def __init__(self) -> None:
        timeline = SeededTimeline(0)
        mount = Disk(timeline, "node").boot()
        self.at = 1_800_000_000
        self.databases = Barred(timeline, "node", mount, timeline.now)
        self.lost: list[str] = []
        self.unreadable: list[str] = []

    def now(self) -> int:
        return self.at

    def elapsed(self) -> float:
        return float(self.at)

    def pushed(self, told: Pushed) -> None:
        raise AssertionError(told)

    def places_lost(self, why: str) -> None:
        self.lost.append(why)

    def places_unreadable(self, why: str) -> None:
        self.unreadable.append(why)

    @asynccontextmanager
    async def places(self) -> AsyncGenerator[Ref[PlacesApi], None]:
        start = partial(Places, self.databases, self, self)
        async with run(SupSpec(children=(ChildSpec("places", start, name=PLACES),))) as runtime:
            yield runtime.whereis(PLACES, PlacesApi)

    async def change(self, work: Callable[[SqlSession], object]) -> None:
        """Do something to the file behind the actor's back."""
        async with self.databases.open(FILE) as db:
            await db.run(work)


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host()
    yield found
    found.databases.close()


async def save(places: Ref[PlacesApi], *targets: str) -> None:
    for to in targets:
        await places.call(SaveStanding(to, STANDING, is_synced=True))


async def test_a_place_outlasts_a_restart(host: Host) -> None:
    async with host.places() as places:
        assert await places.call(LoadStanding(ONE)) is None
        await save(places, ONE)
    async with host.places() as places:
        assert await places.call(LoadStanding(ONE)) == STANDING
        assert await places.call(WhenLost(ONE)) is None
    assert host.lost == []


async def test_a_place_that_became_another_is_lost_and_no_other_is(host: Host) -> None:
    """It would be one farther on: what lies between would be left out without a word."""
    async with host.places() as places:
        await save(places, ONE, OTHER)
    further = msgspec.msgpack.encode(LATER)
    await host.change(
        lambda db: db.execute("UPDATE place SET standing = ? WHERE target = ?", (further, ONE))
    )
    for is_first in (True, False):
        async with host.places() as places:
            assert await places.call(LoadStanding(OTHER)) == STANDING
            assert await places.call(WhenLost(OTHER)) is None
            if is_first:
                assert await places.call(LoadStanding(ONE)) is None
                await save(places, ONE)
            assert await places.call(WhenLost(ONE)) == 1_800_000_000
            assert len(host.lost) == 1
    async with host.places() as places:
        host.at += LOST_TOLD_S
        assert await places.call(WhenLost(ONE)) is None


async def test_a_file_that_is_damaged_is_made_anew_and_that_is_told_for_long(host: Host) -> None:
    async with host.places() as places:
        await save(places, ONE)
    host.databases.in_the_way = DamagedError("a page of it is of no use")
    async with host.places() as places:
        assert await places.call(LoadStanding(ONE)) is None
        await save(places, ONE)
    assert host.lost == ["a page of it is of no use"]
    async with host.places() as places:
        assert await places.call(WhenLost(ONE)) == 1_800_000_000


async def test_while_the_file_cannot_be_opened_nobody_is_taken_for_new(host: Host) -> None:
    async with host.places() as places:
        await save(places, ONE)
    host.databases.in_the_way = StoreError("cannot open push.db: is a directory")
    async with host.places() as places:
        for _ in range(3):
            with pytest.raises(DeclaredError) as raised:
                await places.call(LoadStanding(ONE))
            assert raised.value.failure == Unreadable("cannot open push.db: is a directory")
            await anyio.sleep(AGAIN_S)
        assert host.unreadable == ["cannot open push.db: is a directory"]
        host.databases.in_the_way = None
        assert await places.call(LoadStanding(ONE)) == STANDING
        assert await places.call(WhenLost(ONE)) is None
    assert host.lost == []


async def test_what_was_written_without_checksums_is_gone_on_from(host: Host) -> None:
    octets = msgspec.msgpack.encode(STANDING)

    def write(db: SqlSession) -> None:
        db.execute("CREATE TABLE place (target TEXT PRIMARY KEY, standing BLOB) WITHOUT ROWID")
        db.execute("INSERT INTO place VALUES (?, ?)", (ONE, octets))

    await host.change(write)
    for _ in range(2):
        async with host.places() as places:
            assert await places.call(LoadStanding(ONE)) == STANDING
    assert host.lost == []
