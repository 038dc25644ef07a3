"""A page of the heap that rotted costs what lies on it, not the index."""

from pathlib import Path

import anyio
import pytest

from keygrove.errors import DamagedError
from keygrove.storage.heap import PAGE_BYTES
from keygrove.storage.opening import Home, open_store
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of

HOME = Home("shard-0", "0/1", bytes(16))
PUTS = [put_of(made(number, f"{number} " + "x" * 2000)) for number in range(100)]
ROTTEN = 10
"""A page in the middle of the rows."""


@pytest.mark.anyio
async def test_the_index_is_kept_and_certificates_elsewhere_are_served(tmp_path: Path) -> None:
    files = SqliteFiles(tmp_path)
    async with open_store(files, HOME, anyio.Semaphore(1), durable=False) as opening:
        store = await opening.finish()
        await store.commit(PUTS)
        await store.settle()
    heap, index = tmp_path / "shard-0/heap.db", tmp_path / "shard-0/index.db"
    before = index.stat().st_ino
    with heap.open("r+b") as file:
        file.seek(ROTTEN * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    async with open_store(files, HOME, anyio.Semaphore(1), durable=False) as opening:
        store = await opening.finish()
        served = 0
        for put in PUTS:
            try:
                served += (await store.get([put.fingerprint]))[0] is not None
            except DamagedError:
                continue
    assert index.stat().st_ino == before
    assert len(PUTS) // 2 < served < len(PUTS)
