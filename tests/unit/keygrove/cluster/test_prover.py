"""Heads and proofs of all shards together, checked by what shares no code with these."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec
import pytest

from keygrove.cluster.placement import Placement
from keygrove.cluster.prover import HEAD_AGE_MAX_S, HEAD_PAUSE_S, TRIES, Prover
from keygrove.cluster.router import Router, shard_name
from keygrove.cluster.signing import Signing
from keygrove.storage.committer import Means
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Failed, Order, Outdated, ShardApi
from keygrove.storage.proofs import Proof
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.store import Opened, Opening
from keygrove.storage.write import Cause
from keygrove_actors import ChildSpec, Crash, Runtime, SupSpec, run
from keygrove_chaos.certificates import binary, candidate_of, made, put_of, with_aside
from keygrove_chaos.node import EPOCH, InlineCompute, LoopClock, MemoryFiles, SeededEntropy
from keygrove_chaos.stores import HookedStore, Notes
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.proofs.proof import Head, Proved, parse_head, verify
from tests.loops import Backend, virtual_trio
from tests.unit.keygrove.storage import naive_tree

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


class Site:
    """A prover over shards in memory, and whoever checks it."""

    def __init__(self, runtime: Runtime, stores: list[MemoryStore], notes: Notes) -> None:
        self.runtime = runtime
        self.notes = notes
        self.stores = stores
        self.router = Router(runtime.whereis, len(stores))
        self.signing = Signing(MemoryFiles(), SeededEntropy(0), name="k.example", fallback="")
        self.prover = Prover(self.router, self.signing, LoopClock())

    async def put(self, *certificates: Certificate) -> None:
        await self.router.merge_all([candidate_of(one, Cause.LOAD) for one in certificates])

    async def proved(self, name: Fingerprint) -> Proved:
        reply = await self.prover.prove(name)
        assert isinstance(reply, Proof)
        key = await self.signing.key()
        shown = verify(msgspec.json.encode(reply), key.verifier)
        assert shown.fingerprint == name
        return shown

    async def holds(self, certificate: Certificate) -> bool:
        shown = await self.proved(fingerprint(certificate))
        if shown.packets is None:
            return False
        assert shown.is_of(binary([certificate]))
        return True

    async def head(self) -> Head:
        key = await self.signing.key()
        return parse_head((await self.prover.head()).encode(), key.verifier)


@asynccontextmanager
async def site_of(shards: int, opener: OpenStore | None = None) -> AsyncGenerator[Site, None]:
    stores = [MemoryStore() for _ in range(shards)]
    notes = Notes()
    means = Means(LoopClock(), InlineCompute(), InlineCompute(), VERIFIED)
    children = tuple(
        ChildSpec(
            shard_name(number),
            partial(Shard, opener or store.opened, means, cache_bytes=0, watcher=notes),
            name=shard_name(number),
        )
        for number, store in enumerate(stores)
    )
    async with run(SupSpec(children=children, intensity=5)) as runtime:
        yield Site(runtime, stores, notes)


@pytest.mark.parametrize("shards", [1, 4, 7])
@pytest.mark.parametrize("size", [0, 1, 40])
async def test_what_is_held_is_proved_and_what_is_not(shards: int, size: int) -> None:
    async with site_of(shards) as site:
        await site.put(*(made(number) for number in range(size)))
        held = [await site.holds(made(number)) for number in range(size + 20)]
        assert held == [True] * size + [False] * 20
        head = await site.head()
        assert (head.server, head.hash, head.size, head.at) == ("k.example", "blake3", size, EPOCH)


async def test_the_root_is_that_of_the_definition_whatever_the_shards() -> None:
    roots: set[bytes] = set()
    for shards in (1, 4, 7):
        async with site_of(shards) as site:
            await site.put(*(made(number) for number in range(100)))
            roots.add((await site.head()).root)
            runs = b"".join(run for store in site.stores for run in store.tree().entries())
    entries = {runs[at : at + 32]: runs[at + 32 : at + 64] for at in range(0, len(runs), 64)}
    assert roots == {naive_tree.root("blake3", entries)}


@pytest.mark.parametrize("shards", [1, 4, 7])
async def test_whatever_is_acknowledged_can_be_proved_at_once(shards: int) -> None:
    async with site_of(shards) as site:
        for number in range(10):
            assert not await site.holds(made(number))
            await site.put(made(number))
            assert await site.holds(made(number))
            await site.router.deny(fingerprint(made(number)), Order(None, "", bytes([number])))
            assert not await site.holds(made(number))


async def test_newer_packets_are_proved_in_place_of_older_ones() -> None:
    async with site_of(2) as site:
        await site.put(made(1, "Alice"))
        assert await site.holds(made(1, "Alice"))
        await site.put(made(1, "Alice", "Alice Newer"))
        assert await site.holds(made(1, "Alice", "Alice Newer"))


async def test_what_is_set_aside_does_not_hide_what_is_served() -> None:
    put = with_aside(put_of(made(1)), b"never served")
    async with site_of(3) as site:
        await site.stores[Placement(3).shard(put.fingerprint)].commit([put])
        assert await site.holds(made(1))


@pytest.mark.parametrize("shards", [1, 4, 7])
async def test_proofs_hold_while_others_write(shards: int) -> None:
    """Each is of one moment, whatever comes in between the slots of one shard and the path."""
    async with site_of(shards) as site:
        await site.put(*(made(number) for number in range(20)))
        shown: list[bool] = []
        is_over = False

        async def write(first: int) -> None:
            number = first
            while not is_over:
                await site.put(made(number % 200 + 100))
                await site.router.deny(fingerprint(made(number % 200 + 100)), _order(number))
                await site.router.allow(fingerprint(made(number % 200 + 100)), _order(~number))
                number += 3
                await anyio.sleep(HEAD_PAUSE_S / 10)  # else the virtual clock stands still

        async def read(first: int) -> None:
            for number in range(first, first + 20):
                shown.append(await site.holds(made(number % 40)) is (number % 40 < 20))
                await anyio.sleep(HEAD_PAUSE_S / 9)

        async with anyio.create_task_group() as writers:
            for first in range(3):
                writers.start_soon(write, first)
            async with anyio.create_task_group() as readers:
                for first in range(0, 40, 10):
                    readers.start_soon(read, first)
            is_over = True
        assert shown == [True] * 80


def _order(number: int) -> Order:
    return Order(None, "", number.to_bytes(8, signed=True))


async def test_one_head_serves_all_proofs_of_what_did_not_change() -> None:
    async with site_of(4) as site:
        await site.put(*(made(number) for number in range(10)))
        head = await site.head()
        await site.put(made(11))
        for number in range(10):
            assert (await site.proved(fingerprint(made(number)))).head == head
        assert await site.head() == head
        assert (await site.proved(fingerprint(made(11)))).head != head


async def test_all_who_wait_for_a_head_get_the_same() -> None:
    async with site_of(4) as site:
        await site.put(*(made(number) for number in range(10)))
        await site.head()
        await site.put(*(made(number) for number in range(10, 20)))
        heads: list[bytes] = []
        begun = anyio.current_time()

        async def ask(number: int) -> None:
            heads.append((await site.proved(fingerprint(made(number)))).head.root)

        async with anyio.create_task_group() as tasks:
            for number in range(10, 20):
                tasks.start_soon(ask, number)
        assert len(set(heads)) == 1
        assert anyio.current_time() - begun <= HEAD_PAUSE_S


async def test_heads_are_signed_no_faster_than_at_their_pace() -> None:
    async with site_of(2) as site:
        begun = anyio.current_time()
        for number in range(11):
            await site.put(made(number))
            await site.proved(fingerprint(made(number)))
        assert anyio.current_time() - begun == pytest.approx(10 * HEAD_PAUSE_S)


async def test_an_old_head_is_signed_anew() -> None:
    async with site_of(2) as site:
        first = await site.head()
        await anyio.sleep(HEAD_AGE_MAX_S)
        assert await site.head() == first
        await anyio.sleep(1)
        again = await site.head()
        assert again.root == first.root
        assert again.at == EPOCH + HEAD_AGE_MAX_S + 1


async def test_after_the_crash_of_a_shard_there_is_another_head() -> None:
    async with site_of(2) as site:
        await site.put(*(made(number) for number in range(10)))
        await site.head()
        for number in range(2):
            site.runtime.whereis(shard_name(number), ShardApi).exit(Crash("Test", "crashed"))
        await anyio.sleep(1)
        assert all([await site.holds(made(number)) for number in range(10)])


@asynccontextmanager
async def _restless(memory: MemoryStore) -> AsyncGenerator[Opening, None]:
    """A store in which a certificate changes each time before it is read."""
    numbers = iter(range(1_000))

    async def change(operation: str) -> None:
        if operation == "get whole":
            await memory.commit([put_of(made(1, f"name {next(numbers)}"))])

    yield Opened(HookedStore(memory, before=change))


async def test_a_certificate_that_never_rests_is_given_up() -> None:
    memory = MemoryStore()
    await memory.commit([put_of(made(1))])
    async with site_of(1, partial(_restless, memory)) as site:
        assert await site.prover.prove(fingerprint(made(1))) == Outdated()
    assert memory.head().change == 1 + TRIES


@asynccontextmanager
async def _rotten(stored: MemoryStore, committed: MemoryStore) -> AsyncGenerator[Opening, None]:
    store = HookedStore(stored)
    store.tree = committed.tree  # type: ignore[method-assign]
    yield Opened(store)


async def test_a_damaged_certificate_has_no_proof_and_the_others_have() -> None:
    stored, committed = MemoryStore(), MemoryStore()
    await stored.commit([put_of(made(1, "Rotten")), put_of(made(2))])
    await committed.commit([put_of(made(1, "Sound")), put_of(made(2))])
    async with site_of(1, partial(_rotten, stored, committed)) as site:
        assert await site.prover.prove(fingerprint(made(1))) == Failed()
        assert await site.holds(made(2))
        assert (len(site.notes.damage), site.notes.faults) == (1, [])
