"""A store in several shards, on real files."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio

from keygrove.storage.opening import Home, open_store
from keygrove.storage.sqlite import SqliteStore
from keygrove.system.datadir import owned
from keygrove.system.heaps import set_root
from keygrove.system.resharding import Resharded, reshard_store
from keygrove.system.sqlite import SqliteFiles


@asynccontextmanager
async def opened(root: Path, shards: int) -> AsyncGenerator[list[SqliteStore], None]:
    """The stores of all shards, made if need be, and brought up."""
    files, turns = SqliteFiles(root), anyio.Semaphore(1)
    async with AsyncExitStack() as stack:
        stores: list[SqliteStore] = []
        for number in range(shards):
            home = Home(f"shard-{number}", f"{number}/{shards}", bytes([number]) * 16)
            opening = await stack.enter_async_context(open_store(files, home, turns, durable=False))
            stores.append(await opening.finish())
        yield stores


def root_of(stores: Sequence[SqliteStore]) -> bytes:
    """Of the tree of all certificates."""
    return set_root(store.tree().slots() for store in stores)


def resharded(root: Path, shards: int) -> Resharded:
    """Have it in so many shards."""
    with owned(root, "a test"):
        return reshard_store(root, shards, token=bytes, tell=lambda _what, _more: None)
