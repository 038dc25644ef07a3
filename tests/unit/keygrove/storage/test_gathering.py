"""What other servers are given of certificates, by digests and fingerprints."""

from collections.abc import Sequence

import msgspec
import pytest

from keygrove.errors import DamagedError
from keygrove.storage.gathering import gathered
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import FetchStored, Stored
from keygrove.storage.state import pack
from keygrove.storage.version import Whole
from keygrove.storage.write import Denial, Put
from keygrove_chaos.certificates import CREATED, made, put_of
from keygrove_protocols.openpgp.certificate import to_bytes
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.verification import verify

pytestmark = pytest.mark.anyio

ALICE, BOB, CAROL = (put_of(made(number, "user")) for number in (1, 2, 3))
MUCH = 1 << 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Rotten(MemoryStore):
    """Bob's row is not what was written."""

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        if BOB.fingerprint in fingerprints:
            raise DamagedError("row 2")
        return await super().get_whole(fingerprints)


def stored(put: Put) -> Stored:
    return Stored(put.fingerprint, put.digest, put.packets)


async def fetch(
    store: MemoryStore,
    *digests: Digest,
    names: tuple[Fingerprint, ...] = (),
    octets_max: int = MUCH,
) -> tuple[set[Fingerprint], list[DamagedError]]:
    damage: list[DamagedError] = []
    found = await gathered(store, FetchStored(digests, names, octets_max), damage.append)
    assert len({one.fingerprint for one in found}) == len(found)
    return {one.fingerprint for one in found}, damage


async def test_each_is_given_once_however_it_is_named() -> None:
    store = MemoryStore()
    await store.commit([ALICE, BOB, CAROL])
    message = FetchStored((ALICE.digest, ALICE.digest), (ALICE.fingerprint,), MUCH)
    assert await gathered(store, message, lambda _: None) == (stored(ALICE),)
    found, _ = await fetch(store, ALICE.digest, names=(BOB.fingerprint,))
    assert found == {ALICE.fingerprint, BOB.fingerprint}


async def test_all_that_is_stored_is_given_not_what_is_served_alone() -> None:
    whole = pack(verify(made(1, "user", "set aside")))
    store = MemoryStore()
    await store.commit([msgspec.structs.replace(ALICE, aside=whole)])
    (one,) = await gathered(store, FetchStored((ALICE.digest,), (), MUCH), lambda _: None)
    assert one.packets == to_bytes(made(1, "user", "set aside"))


async def test_what_is_held_beside_a_denial_is_given_to_nobody() -> None:
    store = MemoryStore()
    said = put_of(made(1))
    await store.commit([Denial(ALICE.fingerprint, "spam", CREATED, held=said), BOB])
    found, _ = await fetch(store, said.digest, BOB.digest, names=(ALICE.fingerprint,))
    assert found == {BOB.fingerprint}


async def test_one_that_is_damaged_does_not_keep_the_others() -> None:
    store = Rotten()
    await store.commit([ALICE, BOB, CAROL])
    found, damage = await fetch(store, ALICE.digest, BOB.digest, CAROL.digest)
    assert found == {ALICE.fingerprint, CAROL.fingerprint}
    assert len(damage) == 1


async def test_what_does_not_fit_is_left_out() -> None:
    store = MemoryStore()
    puts = [put_of(made(number, "user")) for number in range(30)]
    await store.commit(puts)
    room = 5 * max(put.size for put in puts)
    found, _ = await fetch(store, *(put.digest for put in puts), octets_max=room)
    assert 5 <= len(found) < 8
