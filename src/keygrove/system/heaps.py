"""The heaps of all shards as files, for commands that copy or rewrite them."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from keygrove.errors import DataDirError, DiskFullError
from keygrove.storage.forest import Forest, united
from keygrove.storage.heap import Tip
from keygrove.storage.merkle import blake3_256
from keygrove.storage.rebuilding import ensure_intact, rebuilt
from keygrove.system.datadir import count_shards
from keygrove.system.replacing import SHARD_FOLDER
from keygrove.system.sqlite import session

_NAME = "heap.db"


def heap_paths(root: Path, shards: int) -> list[Path]:
    """Where the heaps of so many shards are below a data directory, or in a backup."""
    return [root / f"{SHARD_FOLDER}{number}" / _NAME for number in range(shards)]


def held_heaps(root: Path) -> list[Path]:
    """The heaps of a data directory, in order.

    Raises:
        DataDirError: there is no store.
    """
    shards = count_shards(root)
    if not shards:
        raise DataDirError(f"there is no store in {root}: name its directory with --data")
    return heap_paths(root, shards)


def size(root: Path) -> int:
    """Octets of all heaps there, without their logs.

    Raises:
        DataDirError: it cannot be looked into.
    """
    with files_worded(root):
        return sum(path.stat().st_size for path in root.glob(f"{SHARD_FOLDER}*/{_NAME}"))


def checked(
    heap: Path, shard: str, *, is_still: bool = True, is_whole: bool = False
) -> tuple[Tip, bytes]:
    """The end of a heap, and the hashes of the slots of the tree that its rows make.

    Args:
        is_still: as in `session`.
        is_whole: look at what each row holds, too.

    Raises:
        StoreError: it is none of this program's, or not that shard's.
        DamagedError: what is in it is not what was committed last.
    """
    with session(heap, is_still=is_still) as db:
        tip, tree = rebuilt(db, shard)
        if is_whole:
            ensure_intact(db, tip, shard)
    return tip, tree.slots()


def set_root(slots: Iterable[bytes]) -> bytes:
    """The root of the tree of all certificates, from the slots of each shard."""
    return Forest(blake3_256, united(slots)).root


@contextmanager
def files_worded(folder: Path) -> Generator[None, None, None]:
    """Word what the system says of files, most of which are in `folder`.

    Raises:
        DiskFullError: there is no room.
        DataDirError: anything else.
    """
    try:
        yield
    except OSError as error:
        name = str(error.filename or folder)
        if error.errno in {ENOSPC, EDQUOT}:
            raise DiskFullError(name) from error
        raise DataDirError(f"cannot use {name}: {error.strerror}") from error
