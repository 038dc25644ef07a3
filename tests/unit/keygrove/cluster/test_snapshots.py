"""Snapshots of several shards, and what differs between moments of them."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest

from keygrove.cluster.rollbacks import Selection
from keygrove.cluster.router import Router, shard_name
from keygrove.cluster.snapshots import PAGE, Listed, Moment, Position, write_moment
from keygrove.errors import DamagedError, DiskFullError, HistoryError, SnapshotError, StoreError
from keygrove.http.snapshots import Kind, listing, page
from keygrove.storage.committer import Means
from keygrove.storage.mark import Drop, Snapshot
from keygrove.storage.memory import MemoryStore
from keygrove.storage.memory_history import MemoryHistory
from keygrove.storage.merkle import Tree
from keygrove.storage.messages import Order, Starting
from keygrove.storage.shard import Shard
from keygrove.storage.snapshot_messages import SealSnapshot, TakeSnapshot
from keygrove.storage.snapshots import SNAPSHOTS_MAX
from keygrove.storage.store import CertificateStore, Opened, Opening
from keygrove.storage.write import Cause
from keygrove_actors import CalleeExit, ChildSpec, DeclaredError, SupSpec, run
from keygrove_chaos.certificates import CREATED, candidate_of, made
from keygrove_chaos.node import InlineCompute
from keygrove_chaos.stores import HookedOpening, HookedStore, Notes
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio

SHARDS = 3


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


class Clock:
    """A second later each time it is asked."""

    def __init__(self) -> None:
        self._now = CREATED

    def now(self) -> int:
        self._now += 1
        return self._now

    def elapsed(self) -> float:
        return 0.0


class Site:
    """Shards in memory, whose commits fail when a test says so."""

    def __init__(self, shards: int = SHARDS) -> None:
        self.stores: list[CertificateStore] = [MemoryStore() for _ in range(shards)]
        self.fails: dict[int, list[Exception | None]] = {}
        """Of each shard: of the next commits, the errors of those that fail."""
        self.notes = Notes()
        self.clock = Clock()

    @asynccontextmanager
    async def open(self, number: int) -> AsyncGenerator[Opening, None]:
        async def before(operation: str) -> None:
            errors = self.fails.get(number, [])
            error = errors.pop(0) if operation == "commit" and errors else None
            if error is not None:
                raise error

        yield Opened(HookedStore(self.stores[number], before=before))


@asynccontextmanager
async def routing(site: Site) -> AsyncGenerator[Router, None]:
    means = Means(site.clock, InlineCompute(), InlineCompute(), VERIFIED)
    children = tuple(
        ChildSpec(
            shard_name(at),
            partial(Shard, partial(site.open, at), means, cache_bytes=0, watcher=site.notes),
            name=shard_name(at),
        )
        for at in range(len(site.stores))
    )
    async with run(SupSpec(children=children, intensity=5)) as runtime:
        yield Router(runtime.whereis, len(site.stores))


@pytest.fixture
def site() -> Site:
    return Site()


async def fill(router: Router, certificates: Iterable[Certificate]) -> None:
    await router.merge_all([candidate_of(one) for one in certificates])


FIRST = [made(n, "First") for n in range(30)]
MORE = [made(n, "First", "Second") for n in range(20, 40)]
ORDER = Order(None, "", b"nonce")


async def lived(router: Router) -> None:
    """A snapshot of thirty; then ten grow, ten come, and one is denied."""
    await fill(router, FIRST)
    await router.snapshots.create("first")
    await fill(router, MORE)
    await router.deny(fingerprint(FIRST[0]), ORDER)
    await router.snapshots.create("second")


async def kinds(router: Router, old: str, new: str) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    start: str | None = ""
    while start is not None:
        some = await page(router.snapshots, old, new, start)
        assert not found.keys() & {one.fingerprint for one in some.differences}
        found |= {one.fingerprint: one.kind for one in some.differences}
        old, new, start = some.old, some.new, some.start
    return found


def names(certificates: Iterable[Certificate]) -> list[str]:
    return [fingerprint(one).hex().upper() for one in certificates]


DIFFERENT = (
    dict.fromkeys(names(MORE[:10]), Kind.CHANGED)
    | dict.fromkeys(names(MORE[10:]), Kind.ADDED)
    | dict.fromkeys(names(FIRST[:1]), Kind.DENIED)
)


async def test_a_snapshot_has_the_root_of_what_all_shards_held(site: Site) -> None:
    async with routing(site) as router:
        await fill(router, FIRST)
        held = await router.holding()
        made_now = await router.snapshots.create("first")
        await fill(router, MORE)
        assert (made_now.certificates, made_now.root) == (30, held.root)
        assert await router.snapshots.all() == [made_now]


@pytest.mark.parametrize("shards", [1, 2, 5])
async def test_the_root_of_a_snapshot_is_the_same_however_many_shards_there_are(
    shards: int,
) -> None:
    roots: set[bytes | None] = set()
    for number in (shards, SHARDS):
        async with routing(Site(number)) as router:
            await fill(router, FIRST)
            roots.add((await router.snapshots.create("first")).root)
    assert len(roots) == 1


async def test_snapshots_are_there_after_a_restart_of_everything(site: Site) -> None:
    async with routing(site) as router:
        await lived(router)
        before = await router.snapshots.all()
    async with routing(site) as router:
        assert await router.snapshots.all() == before
        assert [one.name for one in before] == ["first", "second"]


async def test_an_empty_store_has_snapshots_too(site: Site) -> None:
    async with routing(site) as router:
        one = await router.snapshots.create("nothing")
        assert (one.certificates, one.root) == (0, bytes(32))
        assert await kinds(router, "nothing", "now") == {}
        await fill(router, FIRST)
        assert set(await kinds(router, "nothing", "now")) == set(names(FIRST))


async def test_what_differs_is_told_by_kind(site: Site) -> None:
    async with routing(site) as router:
        await lived(router)
        assert await kinds(router, "first", "second") == DIFFERENT
        assert await kinds(router, "second", "first") == {
            name: {Kind.ADDED: Kind.REMOVED, Kind.DENIED: Kind.ADDED}.get(kind, kind)
            for name, kind in DIFFERENT.items()
        }
        assert await kinds(router, "second", "now") == {}


async def test_moments_have_names_roots_and_times(site: Site) -> None:
    async with routing(site) as router:
        await lived(router)
        first, second = await router.snapshots.all()
        assert first.root is not None
        assert second.root is not None
        now = (await router.holding()).root.hex()
        long_ago, in_time = "1999-12-31", "2999-12-31T23:59:59+01:00"
        for old in ("first", first.root.hex(), first.root.hex().upper()):
            for new in ("second", second.root.hex(), now, "now", in_time):
                assert await kinds(router, old, new) == DIFFERENT
        assert set(await kinds(router, long_ago, "first")) == set(names(FIRST))
        changes = await router.snapshots.moment("first")
        assert await router.snapshots.moment(write_moment(changes)) == changes


async def test_the_root_of_now_is_a_moment_without_a_snapshot(site: Site) -> None:
    async with routing(site) as router:
        await fill(router, FIRST)
        root = (await router.holding()).root.hex()
        then = await router.snapshots.moment(root)
        await fill(router, MORE)
        assert set(await kinds(router, write_moment(then), "now")) == set(names(MORE))
        with pytest.raises(SnapshotError, match="root of no snapshot"):
            await router.snapshots.moment(root)


@pytest.mark.parametrize("text", ["", "nope", "@1.2", "@1.2.3.4", "12345", "2026-13-01", "@x.y.z"])
async def test_what_means_nothing_is_refused(site: Site, text: str) -> None:
    async with routing(site) as router:
        with pytest.raises(SnapshotError, match="no snapshot, root or time"):
            await router.snapshots.moment(text)


async def test_pages_stay_as_they_are_while_others_write(site: Site) -> None:
    many = [made(n) for n in range(PAGE + 88)]
    async with routing(Site(1)) as router:
        await router.snapshots.create("none")
        await fill(router, many)
        one = await page(router.snapshots, "none", "now", "")
        await fill(router, MORE)
        await router.snapshots.drop("none")
        assert one.start is not None
        other = await page(router.snapshots, one.old, one.new, one.start)
        found = [item.fingerprint for some in (one, other) for item in some.differences]
        assert (len(one.differences), other.start) == (PAGE, None)
        assert sorted(found) == sorted(names(many))


@pytest.mark.parametrize("start", ["x", "3.", "-1.", "1.xy"])
async def test_a_page_that_begins_nowhere_is_refused(site: Site, start: str) -> None:
    async with routing(site) as router:
        with pytest.raises(SnapshotError, match="page"):
            await page(router.snapshots, "now", "now", start)


async def test_a_certificate_is_got_as_it_was(site: Site) -> None:
    async with routing(site) as router:
        await lived(router)
        gone, grown = fingerprint(FIRST[0]), fingerprint(MORE[0])
        first, now = [await router.snapshots.moment(text) for text in ("first", "now")]
        found = [await router.snapshots.get(gone, at) for at in (first, now)]
        assert found[0] is not None
        assert found[1] is None
        sizes = [await router.snapshots.get(grown, at) for at in (first, now)]
        assert [one is not None for one in sizes] == [True, True]
        assert len({one.packets for one in sizes if one is not None}) == 2


async def test_a_moment_that_is_not_kept_is_told(site: Site) -> None:
    moment: Moment = (99, 99, 99)
    async with routing(site) as router:
        with pytest.raises(HistoryError, match="99"):
            await router.snapshots.get(fingerprint(FIRST[0]), moment)
        with pytest.raises(HistoryError, match="99"):
            await router.snapshots.differing((0, 0, 0), moment, Position())


@pytest.mark.parametrize(
    "name", ["", "now", "9", "a b", "a/b", "ä", "x" * 65, ".x", "a\n", "ab" * 32]
)
async def test_a_name_that_could_mean_something_else_is_refused(site: Site, name: str) -> None:
    async with routing(site) as router:
        with pytest.raises(SnapshotError, match=r"no name for a snapshot|taken for a root"):
            await router.snapshots.create(name)
        assert await router.snapshots.all() == []


@pytest.mark.parametrize("name", ["x", "before-7.1_b", "X" * 64, "nowhere"])
async def test_other_names_are_taken(site: Site, name: str) -> None:
    async with routing(site) as router:
        await router.snapshots.create(name)
        assert [one.name for one in await router.snapshots.all()] == [name]


async def test_a_name_that_is_taken_is_refused_until_it_is_dropped(site: Site) -> None:
    async with routing(site) as router:
        await router.snapshots.create("one")
        await fill(router, FIRST)
        with pytest.raises(SnapshotError, match="there is a snapshot 'one'"):
            await router.snapshots.create("one")
        assert [one.certificates for one in await router.snapshots.all()] == [0]
        await router.snapshots.drop("one")
        assert (await router.snapshots.create("one")).certificates == 30


async def test_what_is_dropped_is_gone_and_cannot_be_dropped_again(site: Site) -> None:
    async with routing(site) as router:
        await lived(router)
        await router.snapshots.drop("first")
        assert [one.name for one in await router.snapshots.all()] == ["second"]
        for gone in ("first", "never"):
            with pytest.raises(SnapshotError, match=f"there is no snapshot {gone!r}"):
                await router.snapshots.drop(gone)
        assert (await router.holding()).certificates == 39


FAILURES = [(shard, failed) for shard in range(SHARDS) for failed in (0, 1)]


@pytest.mark.parametrize(("shard", "failed"), FAILURES)
async def test_one_that_a_crash_cut_short_is_partial_until_it_is_created_again(
    site: Site, shard: int, failed: int
) -> None:
    async with routing(site) as router:
        await fill(router, FIRST)
        site.fails[shard] = [*[None] * failed, StoreError("crashed here")]
        with pytest.raises(CalleeExit):
            await router.snapshots.create("one")
        (partial_one,) = (await listing(router.snapshots)).snapshots
        assert (partial_one.name, partial_one.root) == ("one", None)
        when = datetime.fromtimestamp(partial_one.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with pytest.raises(SnapshotError, match=f"the time when it was taken, {when}, instead"):
            await router.snapshots.moment("one")
        assert await kinds(router, when, "now") == {}
        await fill(router, MORE)
        again = await router.snapshots.create("one")
        assert (again.certificates, again.root) == (40, (await router.holding()).root)
        assert await router.snapshots.all() == [again]


@pytest.mark.parametrize(("shard", "failed"), FAILURES)
async def test_one_that_a_full_disk_cut_short_is_partial_and_can_be_dropped(
    site: Site, shard: int, failed: int
) -> None:
    async with routing(site) as router:
        site.fails[shard] = [*[None] * failed, DiskFullError("heap.db")]
        with pytest.raises(DiskFullError):
            await router.snapshots.create("one")
        assert [one.root for one in await router.snapshots.all()] == [None]
        await router.snapshots.drop("one")
        assert await router.snapshots.all() == []


async def test_one_whose_shards_were_marked_at_different_times_is_partial(site: Site) -> None:
    async with routing(site) as router:
        await router.snapshots.create("one")
    at, root = CREATED, bytes(range(32))
    await site.stores[1].commit([], marks=[Snapshot("one", root, at)])
    async with routing(site) as router:
        assert [one.root for one in await router.snapshots.all()] == [None]
    await site.stores[1].commit([], marks=[Drop("one", at)])
    async with routing(site) as router:
        (listed,) = await router.snapshots.all()
        assert (listed.root, listed.changes) == (None, (1, None, 1))


async def test_whoever_was_passed_by_another_does_not_seal_the_others(site: Site) -> None:
    async with routing(site) as router:
        for shard in range(SHARDS):
            await router.ask(shard, TakeSnapshot("one"))
        due: Listed = await router.snapshots.create("one")
        assert await router.ask(0, SealSnapshot("one", 1, bytes(range(32)), CREATED)) is False
        assert await router.snapshots.all() == [due]


async def test_there_are_only_so_many(site: Site) -> None:
    marks = [Snapshot(f"s{at}", bytes(32), CREATED) for at in range(SNAPSHOTS_MAX)]
    for one in site.stores:
        await one.commit([], marks=marks)
    async with routing(site) as router:
        with pytest.raises(SnapshotError, match="1,000 snapshots"):
            await router.snapshots.create("one")
        await router.snapshots.drop("s7")
        await router.snapshots.create("one")
        assert len(await router.snapshots.all()) == SNAPSHOTS_MAX


class RottenHistory(MemoryHistory):
    async def tree(self, change: int) -> Tree:
        raise DamagedError(f"the tree after change {change}")


class RottenStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self._history = RottenHistory()


async def test_damage_costs_the_request_and_is_reported(site: Site) -> None:
    site.stores[0] = RottenStore()
    async with routing(site) as router:
        await router.snapshots.create("one")
        with pytest.raises(DamagedError, match="see its log"):
            await kinds(router, "one", "now")
        assert [str(error) for _, error in site.notes.damage] == ["the tree after change 1"]
        assert site.notes.faults == []
        assert len(await router.snapshots.all()) == 1


class SlowSite(Site):
    """Its last shard is still being brought up."""

    @asynccontextmanager
    async def open(self, number: int) -> AsyncGenerator[Opening, None]:
        async def before(operation: str) -> None:
            if number == SHARDS - 1 and operation == "finish":
                raise DiskFullError("index.db")

        async with super().open(number) as opening:
            yield HookedOpening(opening, before=before)


async def test_while_a_shard_is_starting_nothing_is_known_of_the_past() -> None:
    async with routing(SlowSite()) as router:
        with pytest.raises(DeclaredError) as refused:
            await router.snapshots.all()
        assert isinstance(refused.value.failure, Starting)


@pytest.mark.parametrize("is_full_still", [False, True])
async def test_a_rollback_that_a_full_disk_refused_leaves_no_snapshot_unless_it_says_so(
    site: Site, is_full_still: bool
) -> None:
    full = DiskFullError("heap.db")
    async with routing(site) as router:
        await fill(router, FIRST)
        site.fails[1] = [full]
        site.fails[0] = [None, full] if is_full_still else []
        selection = Selection(causes=frozenset({Cause.UPLOAD}))
        with pytest.raises(DiskFullError) as refused:
            await router.rollbacks.begin("r1", selection, "", CREATED)
        names = [one.name for one in await router.snapshots.all()]
        assert names == (["rollback-r1"] if is_full_still else [])
        assert ("`keygrove snapshot drop rollback-r1`" in str(refused.value)) is is_full_still
        assert await router.rollbacks.all() == []
