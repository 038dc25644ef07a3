"""What every form of the database port promises beyond what the store's contract shows."""

import pytest

from keygrove.ports import Databases, SqlSession
from keygrove.storage import heap

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("form", ["sqlite-full", "sqlite-simulated"]),
]


def write(db: SqlSession) -> None:
    heap.set_up(db, durable=True)
    db.execute("CREATE TABLE IF NOT EXISTS some (value)")
    db.execute("INSERT INTO some VALUES (1)")


async def test_closing_moves_nothing_out_of_the_log(databases: Databases) -> None:
    for lives in (1, 2):
        async with databases.open("some.db") as db:
            await db.run(write)
        async with databases.open("some.db", writable=False) as db:
            found = await db.run(lambda s: s.execute("SELECT count(*) FROM some").fetchone())
            assert found == (lives,)
    async with databases.open("some.db") as db:
        ((_, frames, _),) = await db.run(
            lambda s: s.execute("PRAGMA main.wal_checkpoint(PASSIVE)").fetchall()
        )
    assert frames > 0


async def test_a_file_holds_something_from_its_first_write_until_it_is_removed(
    databases: Databases,
) -> None:
    assert not await databases.holds("folder/some.db")
    async with databases.open("folder/some.db") as db:
        await db.run(write)
    assert await databases.holds("folder/some.db")
    await databases.remove("folder/some.db")
    assert not await databases.holds("folder/some.db")


async def test_a_log_that_was_emptied_stays_so(databases: Databases) -> None:
    async with databases.open("some.db") as db:
        await db.run(write)
        await db.run(heap.empty_log)
    async with databases.open("some.db") as db:
        ((_, frames, _),) = await db.run(
            lambda s: s.execute("PRAGMA main.wal_checkpoint(PASSIVE)").fetchall()
        )
    assert frames == 0
