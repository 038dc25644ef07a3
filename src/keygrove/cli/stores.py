"""The shards of a data directory, opened to be read beside whoever writes them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from keygrove.cluster.router import shard_name
from keygrove.errors import DataDirError
from keygrove.storage.opening import open_reader
from keygrove.storage.sqlite import SqliteStore
from keygrove.storage.store import Cursor, Whole
from keygrove.system.datadir import count_shards
from keygrove.system.sqlite import SqliteFiles
from keygrove_protocols.openpgp.keys import Digest

PAGE = 500
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


async def versions(store: SqliteStore) -> AsyncIterator[Whole]:
    """Every certificate of a shard."""
    cursor: Cursor | None = None
    while True:
        page = await store.page(cursor, PAGE)
        for version in page.versions:
            yield version
        cursor = page.cursor
        if cursor is None:
            return


async def all_digests(store: SqliteStore) -> list[Digest]:
    """The digest of every certificate of a shard."""
    found: list[Digest] = []
    cursor: Cursor | None = None
    while True:
        page = await store.digests(cursor, DIGEST_PAGE)
        found.extend(digests.stored for digests in page.digests)
        cursor = page.cursor
        if cursor is None:
            return found
