"""Another number of shards in a data directory that no server uses.

The new shards are written beside the old ones, and checked: together they have the same root. Then
they take their place (`replacing`). Up to that moment the old ones count, and from then on the new
ones, whatever happens.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from keygrove.cluster.resharding import reshard
from keygrove.errors import DamagedError, DataDirError
from keygrove.storage import heap
from keygrove.system import replacing
from keygrove.system.heaps import (
    checked,
    files_worded,
    heap_paths,
    held_heaps,
    set_root,
    size,
)
from keygrove.system.replacing import synchronise
from keygrove.system.sqlite import session


class Resharded(msgspec.Struct, frozen=True):
    """What came of it."""

    root: str
    """Of the tree of all certificates, in hexadecimal: the same as before."""
    certificates: int
    shards_before: int
    shards: int
    snapshots_lost: tuple[str, ...]
    """Those that some shard had not: they were never finished, or not wholly dropped."""


def reshard_store(
    root: Path, shards: int, *, token: Callable[[int], bytes], tell: Callable[[str, int], None]
) -> Resharded:
    """Write the store below `root`, whose lock is ours, with so many shards.

    Args:
        token: random octets, so many.
        tell: told what is done now, and how many octets of heaps more.

    Raises:
        DataDirError: there is no store, or not room enough, or files cannot be written.
        DiskFullError: the room was not enough.
        DamagedError: a heap is not what was written.
        StoreError: a heap cannot be read.
    """
    with files_worded(root):
        old = held_heaps(root)
        if len(old) == shards:
            raise DataDirError(
                f"the data directory {root} has {shards} shard{'s' * (shards > 1)} already"
            )
        _ensure_room(root, old)
        tell("checking what there is", 0)
        before = [checked(path, f"{at}/{len(old)}", is_still=False) for at, path in enumerate(old)]
        part = replacing.begin(root)
        try:
            new = heap_paths(part, shards)
            tell("writing the new shards", 0)
            lost = _write(old, new, token=token, tell=lambda more: tell("", more))
            tell("checking the new shards", 0)
            after = [checked(path, f"{at}/{shards}") for at, path in enumerate(new)]
            found = set_root(slots for _, slots in after)
            if found != set_root(slots for _, slots in before):
                raise DamagedError(f"{root} is left as it was: the new shards have another root")
            replacing.commit(root)
        finally:
            replacing.discard(root)
    return Resharded(
        root=found.hex(),
        certificates=sum(tip.head.size for tip, _ in after),
        shards_before=len(old),
        shards=shards,
        snapshots_lost=lost,
    )


def _ensure_room(root: Path, old: Sequence[Path]) -> None:
    needed, free = size(root) + sum(map(_saved, old)), shutil.disk_usage(root).free
    if free < needed:
        raise DataDirError(
            f"the new shards need {needed >> 20:,} MiB beside the old ones, and the disk of {root} "
            f"has {free >> 20:,}: free some space first"
        )


def _saved(path: Path) -> int:
    """How much more what is in a heap takes where no row leans on another."""
    query = "SELECT sum(size - length(v) - length(aside)) FROM obj WHERE base IS NOT NULL"
    with session(path) as db:
        return db.execute(query).fetchone()[0] or 0


def _write(
    old: Sequence[Path],
    new: Sequence[Path],
    *,
    token: Callable[[int], bytes],
    tell: Callable[[int], None],
) -> tuple[str, ...]:
    with ExitStack() as opened:
        sources = [opened.enter_context(session(path)) for path in old]
        targets: list[sqlite3.Connection] = []
        for number, path in enumerate(new):
            path.parent.mkdir(mode=0o700)
            db = opened.enter_context(session(path, writable=True))
            heap.prepare(db, f"{number}/{len(new)}", token(16), durable=False)
            db.execute("PRAGMA synchronous = OFF")  # they count when all are on the disk
            targets.append(db)
        lost = reshard(sources, targets, tell)
    for path in new:
        synchronise(path)
    return lost
