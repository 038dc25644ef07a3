"""What a shard says of its tree, and of where certificates are in it."""

from collections.abc import Callable

import pytest

from keygrove.errors import DamagedError
from keygrove.storage.address import aside_hash, content_hash, packets_hash, tree_key
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Outdated, Trace, Traced
from keygrove.storage.proofs import PINS_MAX, Pins
from keygrove.storage.write import Denial, Put
from keygrove_chaos.certificates import made, put_of, with_aside
from keygrove_chaos.stores import HookedStore
from tests.loops import Backend, virtual_trio

pytestmark = pytest.mark.anyio

ALICE, BOB = put_of(made(1, "Alice")), put_of(made(2, "Bob"))
NEWER = put_of(made(1, "Alice", "Alice Newer"))
CAROL = put_of(made(3, "Carol"))


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_trio()


async def holding(*puts: Put) -> MemoryStore:
    store = MemoryStore()
    await store.commit(puts)
    return store


async def test_the_slots_are_those_of_the_tree_and_of_its_change() -> None:
    store = await holding(ALICE, BOB)
    slots = Pins().slots(store, keep=False)
    assert (slots.change, slots.certificates) == (1, 2)
    assert slots.hashes == store.tree().slots()


async def test_what_is_served_and_what_is_set_aside_are_told_apart() -> None:
    put = with_aside(ALICE, b"aside")
    store, pins = await holding(put, BOB), Pins()
    pins.slots(store, keep=True)
    traced = await pins.trace(store, Trace(put.fingerprint, 1))
    assert isinstance(traced, Traced)
    assert (traced.packets, traced.aside) == (packets_hash(put.packets), aside_hash(b"aside"))
    assert (
        tree_key(put.fingerprint) + content_hash(put.packets, aside_hash(b"aside")) in traced.leaf
    )


async def test_what_did_not_change_is_traced_in_the_tree_that_was_kept() -> None:
    store, pins = await holding(ALICE, BOB), Pins()
    pins.slots(store, keep=True)
    before = await pins.trace(store, Trace(BOB.fingerprint, 1))
    absent = await pins.trace(store, Trace(CAROL.fingerprint, 1))
    await store.commit([NEWER])
    assert await pins.trace(store, Trace(BOB.fingerprint, 1)) == before
    assert await pins.trace(store, Trace(CAROL.fingerprint, 1)) == absent
    assert isinstance(absent, Traced)
    assert absent.packets == b""


@pytest.mark.parametrize(
    "write", [NEWER, Denial(ALICE.fingerprint, "", 1)], ids=["updated", "denied"]
)
async def test_what_changed_since_is_not_traced_in_an_older_tree(write: Put | Denial) -> None:
    store, pins = await holding(ALICE), Pins()
    pins.slots(store, keep=True)
    await store.commit([write])
    assert await pins.trace(store, Trace(ALICE.fingerprint, 1)) == Outdated()
    pins.slots(store, keep=True)
    assert isinstance(await pins.trace(store, Trace(ALICE.fingerprint, 2)), Traced)


async def test_as_many_trees_are_kept_as_there_are_heads_in_use() -> None:
    store, pins = await holding(ALICE), Pins()
    for number in range(PINS_MAX + 1):
        pins.slots(store, keep=True)
        await store.commit([put_of(made(10 + number))])
    pins.slots(store, keep=False)
    replies = [await pins.trace(store, Trace(ALICE.fingerprint, n)) for n in range(6)]
    known = [number for number, reply in enumerate(replies) if isinstance(reply, Traced)]
    assert known == [2, 3]


async def test_asking_again_for_the_same_tree_does_not_drop_another() -> None:
    store, pins = await holding(ALICE), Pins()
    pins.slots(store, keep=True)
    await store.commit([BOB])
    for _ in range(3):
        pins.slots(store, keep=True)
    assert isinstance(await pins.trace(store, Trace(ALICE.fingerprint, 1)), Traced)


async def test_what_changes_while_it_is_read_is_outdated() -> None:
    memory, pins = await holding(ALICE), Pins()

    async def change(_: str) -> None:
        await memory.commit([NEWER])

    pins.slots(memory, keep=True)
    store = HookedStore(memory, before=change)
    assert await pins.trace(store, Trace(ALICE.fingerprint, 1)) == Outdated()


class Rotten(HookedStore):
    """Has other packets than were committed."""

    def __init__(self, store: MemoryStore, tree: Callable[[], object]) -> None:
        super().__init__(store)
        self.tree = tree  # type: ignore[method-assign,assignment]


async def test_what_is_not_what_was_committed_is_damaged() -> None:
    sound, other = await holding(ALICE), await holding(NEWER)
    pins = Pins()
    rotten = Rotten(other, sound.tree)
    pins.slots(rotten, keep=True)
    with pytest.raises(DamagedError, match="not what was committed"):
        await pins.trace(rotten, Trace(ALICE.fingerprint, 1))
