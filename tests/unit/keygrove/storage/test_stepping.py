"""Steps as the heap has them, beside whoever writes it."""

from pathlib import Path

import pytest

from keygrove.errors import HistoryError
from keygrove.storage import stepping
from keygrove.storage.merkle import EMPTY
from keygrove.storage.version import Head
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of
from keygrove_protocols.openpgp.keys import Digest
from tests.shards import opened

pytestmark = pytest.mark.anyio

ALICE, BOB = put_of(made(1, "Alice")), put_of(made(2, "Bob"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_a_commit_that_was_not_acknowledged_is_no_step_though_it_can_be_read(
    tmp_path: Path, limit: int
) -> None:
    async with opened(tmp_path, 1) as (store,):
        heads = [store.head()]
        for one in (ALICE, BOB):
            await store.commit([one])
            heads.append(store.head())

        async def told(after: int, newest: Head) -> list[Digest | None]:
            start = heads[after].change, heads[after].root
            async with SqliteFiles(tmp_path).open("shard-0/heap.db", writable=False) as db:
                found = await db.run(lambda session: stepping.steps(session, start, newest, limit))
            assert found.newest == newest.change
            return [one.after for one in found.steps]

        assert await told(0, heads[1]) == [ALICE.digest]
        assert await told(1, heads[1]) == []
        assert await told(1, heads[2]) == [BOB.digest]
        with pytest.raises(HistoryError):
            await told(2, heads[1])
        assert heads[0].root == EMPTY
