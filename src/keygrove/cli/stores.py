"""The shards of a data directory, opened to be read beside whoever writes them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import TypeVar, cast

from keygrove.cluster.router import shard_name
from keygrove.errors import DataDirError
from keygrove.storage.address import tree_key
from keygrove.storage.cursor import Cursor
from keygrove.storage.messages import GetSlots, ShardApi, Slots
from keygrove.storage.reading import open_reader
from keygrove.storage.snapshot_messages import ChangeAt, Compare, FetchAt, ListSnapshots
from keygrove.storage.snapshots import look_back
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import CertificateStore, NamedDigests
from keygrove.storage.version import Whole
from keygrove.system.datadir import count_shards
from keygrove.system.sqlite import SqliteFiles
from keygrove_actors import Call

R = TypeVar("R")

PAGE = 500
"""Certificates held at once, of all shards; if there are many, at least PAGE_MIN of each."""
PAGE_MIN = 20
DIGEST_PAGE = 20_000


@asynccontextmanager
async def stores(root: Path) -> AsyncGenerator[list[SqliteStore], None]:
    """All shards below `root`.

    Raises:
        DataDirError: there is no store.
        StoreError: one cannot be read.
    """
    number = count_shards(root)
    if not number:
        raise DataDirError(f"there is no store in {root}: name its directory with --data")
    files = SqliteFiles(root)
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(open_reader(files, shard_name(at), f"{at}/{number}"))
            for at in range(number)
        ]


class ReadShards:
    """See `cluster.snapshots.Shards`: of stores that are only read."""

    def __init__(self, opened: Sequence[CertificateStore]) -> None:
        self._stores = opened

    async def ask(self, shard: int, message: Call[ShardApi, R]) -> R:
        """See `Shards`."""
        # Each answers as its message says.
        return cast("R", await _look(self._stores[shard], message))

    async def ask_all(self, message: Call[ShardApi, R]) -> list[R]:
        """See `Shards`."""
        return [await self.ask(shard, message) for shard in range(len(self._stores))]


async def _look(store: CertificateStore, message: object) -> object:
    match message:
        case ListSnapshots() | ChangeAt() | Compare() | FetchAt():
            return await look_back(store, message)
        case GetSlots():
            head = store.head()
            tree = await store.history.tree(head.change)
            return Slots(head.change, head.size, tree.slots())
        case _:
            raise TypeError(f"{type(message).__name__} is for a shard that is served")


async def all_versions(opened: Sequence[CertificateStore]) -> AsyncIterator[Whole]:
    """Every certificate of all shards, in the order of tree keys, however many shards there are.

    That is the order in which each shard lists its own, so that one of each is compared.
    """
    limit = max(PAGE // max(len(opened), 1), PAGE_MIN)
    shards = [_versions(store, limit) for store in opened]
    heads: list[tuple[bytes, int, Whole]] = []
    for at, shard in enumerate(shards):
        if (head := await anext(shard, None)) is not None:
            heads.append((tree_key(head.fingerprint), at, head))
    heapify(heads)
    while heads:
        _, at, version = heads[0]
        yield version
        if (head := await anext(shards[at], None)) is None:
            heappop(heads)
        else:
            heapreplace(heads, (tree_key(head.fingerprint), at, head))


async def _versions(store: CertificateStore, limit: int) -> AsyncIterator[Whole]:
    """Every certificate of a shard, in the order of tree keys."""
    cursor: Cursor | None = None
    while True:
        page = await store.page(cursor, limit)
        for version in page.versions:
            yield version
        cursor = page.cursor
        if cursor is None:
            return


async def all_digests(store: SqliteStore) -> list[NamedDigests]:
    """The digests of every certificate of a shard."""
    found: list[NamedDigests] = []
    cursor: Cursor | None = None
    while True:
        page = await store.digests(cursor, DIGEST_PAGE)
        found.extend(page.digests)
        cursor = page.cursor
        if cursor is None:
            return found
