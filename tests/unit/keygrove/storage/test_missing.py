"""Files of a shard that are gone, or that something else lies in the place of."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from keygrove.errors import StoreError
from keygrove.storage.opening import Home, open_store
from keygrove.storage.reading import open_reader
from keygrove.storage.store import CertificateStore
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import made, put_of

pytestmark = pytest.mark.anyio

FOLDER = "shard-0"
ALICE = put_of(made(1, "Alice"))
GONE = r"heap\.db is gone, but .*index\.db, .* put it back, or restore a backup"


@asynccontextmanager
async def opened(root: Path) -> AsyncGenerator[CertificateStore, None]:
    home, turns = Home(FOLDER, "0/1", bytes(16)), anyio.Semaphore(1)
    async with open_store(SqliteFiles(root), home, turns, durable=False) as opening:
        yield await opening.finish()


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """That of a store that was left in disorder: some of it is in its log only."""
    async with opened(tmp_path) as store:
        await store.commit([ALICE])
    return tmp_path / FOLDER


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("is_emptied", [False, True], ids=["removed", "emptied"])
async def test_a_heap_that_is_gone_is_not_made_anew_and_its_log_is_kept(
    tmp_path: Path, folder: Path, *, is_emptied: bool
) -> None:
    heap = folder / "heap.db"
    saved = heap.read_bytes()
    heap.write_bytes(b"") if is_emptied else heap.unlink()
    before = content(folder)
    assert before["heap.db-wal"]
    with pytest.raises(StoreError, match=GONE):
        async with opened(tmp_path):
            pass
    with pytest.raises(StoreError, match=GONE):
        async with open_reader(SqliteFiles(tmp_path), FOLDER, "0/1"):
            pass
    assert content(folder) == before
    heap.write_bytes(saved)
    async with opened(tmp_path) as store:
        assert store.counts().certificates == 1


async def test_without_heap_and_index_a_shard_begins_empty(tmp_path: Path, folder: Path) -> None:
    for name in ("heap.db", "index.db"):
        (folder / name).unlink()
    async with opened(tmp_path) as store:
        assert store.counts().certificates == 0
        await store.commit([ALICE])
        assert store.counts().certificates == 1


async def test_a_folder_in_the_place_of_the_index_is_named(tmp_path: Path, folder: Path) -> None:
    index = folder / "index.db"
    index.unlink()
    index.mkdir()
    with pytest.raises(StoreError, match=r"cannot remove .*index\.db: Is a directory; move away"):
        async with opened(tmp_path):
            pass
    index.rmdir()
    async with opened(tmp_path) as store:
        assert store.counts().certificates == 1
