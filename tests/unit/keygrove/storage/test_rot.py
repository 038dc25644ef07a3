"""A page of the heap that rotted costs what lies on it, not the index."""

from pathlib import Path

import anyio
import pytest

from keygrove.errors import DamagedError
from keygrove.storage.heap import PAGE_BYTES
from keygrove.storage.opening import Home, open_store
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of, with_aside

HOME = Home("shard-0", "0/1", bytes(16))
PUTS = [put_of(made(number, f"{number} " + "x" * 2000)) for number in range(100)]
ROTTEN = 20
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


@pytest.mark.anyio
async def test_what_is_set_aside_is_not_read_for_those_who_are_served(tmp_path: Path) -> None:
    files = SqliteFiles(tmp_path)
    one = with_aside(put_of(made(1, "Alice")), b"never served" * 10_000)
    async with open_store(files, HOME, anyio.Semaphore(1), durable=False) as opening:
        store = await opening.finish()
        await store.commit([one])
        await store.settle()
    heap = tmp_path / "shard-0/heap.db"
    data = heap.read_bytes()
    kept = data.rindex(one.packets) // PAGE_BYTES
    pages = [
        b"\xff" * PAGE_BYTES if at != kept and page.count(b"never served") > 1 else page
        for at, page in enumerate(_pages(data))
    ]
    heap.write_bytes(b"".join(pages))
    async with open_store(files, HOME, anyio.Semaphore(1), durable=False) as opening:
        store = await opening.finish()
        (served,) = await store.get([one.fingerprint])
        assert served is not None
        assert served.packets == one.packets
        with pytest.raises(DamagedError):
            await store.get_whole([one.fingerprint])


def _pages(data: bytes) -> list[bytes]:
    return [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]
