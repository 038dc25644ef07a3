"""The way to the shards: who is asked, and what comes back."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest

from keygrove.cluster.placement import Placement
from keygrove.cluster.router import Router, shard_name
from keygrove.errors import DiskFullError, StoreError
from keygrove.storage.absorb import Outcome
from keygrove.storage.audit import Effect
from keygrove.storage.cache import Form
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Administered, Merged, NoSpace, Order, Replayed
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.store import Opened, Opening
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Cause
from keygrove_actors import CalleeExit, ChildSpec, NoProc, SupSpec, run
from keygrove_chaos.certificates import binary, candidate_of, made, put_of, with_aside
from keygrove_chaos.node import InlineCompute, LoopClock
from keygrove_chaos.stores import Hook, HookedStore, Notes
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio

SHARDS = 3
A = Term(TermKind.ADDRESS, b"a@x.example")


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


class Site:
    """Stores in memory, and what was asked of each."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.fails: dict[tuple[int, str], Exception] = {}
        self.stores = [MemoryStore() for _ in range(SHARDS)]

    def openers(self) -> list[OpenStore]:
        return [partial(self._open, number) for number in range(SHARDS)]

    @asynccontextmanager
    async def _open(self, number: int) -> AsyncGenerator[Opening, None]:
        yield Opened(HookedStore(self.stores[number], before=self._before(number)))

    def _before(self, number: int) -> Hook:
        async def before(operation: str) -> None:
            self.asked.append((number, operation))
            error = self.fails.pop((number, operation), None)
            if error is not None:
                raise error

        return before


@pytest.fixture
def site() -> Site:
    return Site()


@asynccontextmanager
async def routing(site: Site) -> AsyncGenerator[Router, None]:
    means = Means(LoopClock(), InlineCompute(), InlineCompute(), VERIFIED)
    children = tuple(
        ChildSpec(
            shard_name(number),
            partial(Shard, opener, means, cache_bytes=0, watcher=Notes()),
            name=shard_name(number),
        )
        for number, opener in enumerate(site.openers())
    )
    async with run(SupSpec(children=children, intensity=5)) as runtime:
        yield Router(runtime.whereis, SHARDS)
        site.asked.append((-1, "end"))


def some(number: int, *user_ids: str) -> list[Certificate]:
    return [made(n, *user_ids) for n in range(number)]


async def store(router: Router, certificates: Sequence[Certificate]) -> list[object]:
    return list(await router.merge_all([candidate_of(one, Cause.LOAD) for one in certificates]))


async def test_a_certificate_is_merged_at_its_own_shard_alone(site: Site) -> None:
    one = made(1)
    async with routing(site) as router:
        await store(router, [one])
    owner = Placement(SHARDS).shard(fingerprint(one))
    assert [number for number, asked in site.asked if asked == "commit"] == [owner]


async def test_a_fetch_asks_the_owner_alone(site: Site) -> None:
    async with routing(site) as router:
        await store(router, [made(1)])
        site.asked.clear()
        await router.fetch(fingerprint(made(1)), Form.BINARY)
        await router.fetch(fingerprint(made(2)), Form.BINARY)
        owners = [Placement(SHARDS).shard(fingerprint(made(n))) for n in (1, 2)]
        assert site.asked == [(owner, "get") for owner in owners]


async def test_fetches_come_back_in_the_order_asked(site: Site) -> None:
    certificates = some(10)
    names = [fingerprint(one) for one in certificates]
    async with routing(site) as router:
        await store(router, certificates[1:])
        answers = await router.fetch_all(names, Form.BINARY)
        assert answers[0] is None
        assert [getattr(one, "body", None) for one in answers[1:]] == [
            binary([one]) for one in certificates[1:]
        ]
        assert await router.fetch_all([], Form.BINARY) == []


async def test_sources_come_back_in_the_order_asked_from_one_call_a_shard(site: Site) -> None:
    puts = [with_aside(put_of(made(n)), b"", bytes([n]) * 16) for n in range(10)]
    names = [put.fingerprint for put in puts]
    for put in puts[1:]:
        await site.stores[Placement(SHARDS).shard(put.fingerprint)].commit([put])
    async with routing(site) as router:
        assert await router.sources(names) == [None, *(put.source for put in puts[1:])]
        assert [asked for _, asked in site.asked].count("sources") <= SHARDS
        assert await router.sources([]) == []


async def test_merges_come_back_in_the_order_given(site: Site) -> None:
    certificates = some(10)
    async with routing(site) as router:
        await store(router, certificates[::2])
        replies = await store(router, certificates)
        assert [getattr(one, "outcome", None) for one in replies] == [
            Outcome.UNCHANGED,
            Outcome.ADDED,
        ] * 5


async def test_administrators_requests_go_to_the_owner_alone(site: Site) -> None:
    one, other = put_of(made(1)), put_of(made(1, "Alice"))
    name = one.fingerprint
    async with routing(site) as router:
        await store(router, [made(1)])
        site.asked.clear()
        requests = [
            await router.replace(other, Order(None, "", b"1")),
            await router.deny(name, Order(None, "", b"2")),
            await router.allow(name, Order(None, "", b"3")),
            await router.allow(name, Order(None, "", b"3")),
        ]
        assert requests == [*(Administered(Effect.DONE, n) for n in (2, 3, 4)), Replayed()]
        assert {number for number, _ in site.asked} == {Placement(SHARDS).shard(name)}


async def test_a_find_and_a_search_ask_all_shards_and_give_the_first(site: Site) -> None:
    certificates = some(12, "Alice <a@x.example>")
    names = sorted(fingerprint(one) for one in certificates)
    async with routing(site) as router:
        await store(router, certificates)
        site.asked.clear()
        assert await router.find(A, 100) == tuple(names)
        assert await router.search(frozenset({"alice"}), 100) == tuple(names)
        assert await router.find(A, 5) == tuple(names[:5])
        assert await router.search(frozenset({"alice"}), 5) == tuple(names[:5])
        assert {number for number, _ in site.asked} == set(range(SHARDS))


async def test_the_figures_come_in_the_order_of_the_shards(site: Site) -> None:
    certificates = some(30)
    placement = Placement(SHARDS)
    async with routing(site) as router:
        await store(router, certificates)
        counts = [status.counts.certificates for status in await router.status()]
        owners = [placement.shard(fingerprint(one)) for one in certificates]
        assert counts == [owners.count(number) for number in range(SHARDS)]


async def test_a_shard_that_crashes_speaks_for_all(site: Site) -> None:
    async with routing(site) as router:
        await store(router, some(12, "Alice <a@x.example>"))
        site.fails[1, "find"] = StoreError("gone")
        with pytest.raises(CalleeExit) as failed:
            await router.find(A, 100)
        assert failed.value.target == "shard-1"
        assert len(await router.find(A, 100)) == 12


async def test_a_full_disk_of_one_shard_is_its_own_answer(site: Site) -> None:
    certificates = some(12)
    owners = [Placement(SHARDS).shard(fingerprint(one)) for one in certificates]
    async with routing(site) as router:
        site.fails[1, "commit"] = DiskFullError("heap.db")
        replies = await store(router, certificates)
        assert [isinstance(reply, NoSpace) for reply in replies] == [at == 1 for at in owners]
        assert [isinstance(reply, Merged) for reply in replies] == [at != 1 for at in owners]


async def test_reads_do_not_wait_long_for_a_shard_that_is_gone(site: Site) -> None:
    async with run(SupSpec(children=())) as runtime:
        router = Router(runtime.whereis, SHARDS)
        with pytest.raises(NoProc):
            await router.find(A, 1)
    assert site.asked == []
