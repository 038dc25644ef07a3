"""Putting a whole set of files in the place of what a data directory holds, all or nothing.

Several folders cannot be renamed at once, so these names say how far it is, and one of them is
always there until it is done:

    incoming.part/   being written: worth nothing
    incoming/        whole, and on the disk: this counts. What stood in its place goes to outgoing/
    arriving/        the place is free: what is in it goes there
    outgoing/        what stood there before, to be deleted at the end

Whoever takes the lock of the data directory finishes what another began (`finish`). Nobody else
may look into the shards meanwhile (`ensure_settled`).
"""

import os
import shutil
from pathlib import Path

from keygrove.errors import DataDirError

SHARD_FOLDER = "shard-"
UNFINISHED = "incoming.part"
_INCOMING, _ARRIVING, _OUTGOING = "incoming", "arriving", "outgoing"


def begin(root: Path) -> Path:
    """A new folder for what is to come; what a former try left there is deleted.

    Raises:
        OSError: it cannot be made.
    """
    discard(root)
    part = root / UNFINISHED
    part.mkdir(mode=0o700)
    return part


def discard(root: Path) -> None:
    """Delete what was begun and is not whole."""
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)


def commit(root: Path) -> None:
    """What was written counts, and takes the place of the shards that there are.

    The files in it have to be on the disk already; the folders are when this returns.

    Raises:
        OSError: it cannot be done; before it counts, or behind that: then `finish` goes on.
    """
    part = root / UNFINISHED
    for folder in (*(path for path in part.iterdir() if path.is_dir()), part):
        synchronise(folder)
    part.rename(root / _INCOMING)
    finish(root)


def finish(root: Path) -> None:
    """Go on with what counts already, if there is anything; it may be done any number of times.

    Raises:
        OSError: it cannot be done now.
    """
    incoming, arriving, outgoing = (root / name for name in (_INCOMING, _ARRIVING, _OUTGOING))
    if incoming.is_dir():
        synchronise(root)
        outgoing.mkdir(mode=0o700, exist_ok=True)
        for shard in root.glob(f"{SHARD_FOLDER}*"):
            shard.rename(outgoing / shard.name)
        synchronise(outgoing)
        incoming.rename(arriving)
    if arriving.is_dir():
        synchronise(root)
        for path in arriving.iterdir():
            path.rename(root / path.name)
        synchronise(root)
        arriving.rmdir()
    if outgoing.is_dir():
        synchronise(root)
        shutil.rmtree(outgoing)


def ensure_settled(root: Path) -> None:
    """Refuse to look into shards of which some may be old and some new.

    Raises:
        DataDirError: they are being replaced, or that was broken off.
    """
    if (root / _INCOMING).is_dir() or (root / _ARRIVING).is_dir():
        raise DataDirError(
            f"the shards in {root} are being replaced: wait until that is done, or, if it was "
            "broken off, run the same command again or start `keygrove serve`"
        )


def is_broken_off(root: Path) -> bool:
    """Is there something that was begun, and never was whole?"""
    return (root / UNFINISHED).is_dir()


def synchronise(path: Path) -> None:
    """Have the octets of a file, or the names in a folder, on the disk.

    Raises:
        OSError: they may not be.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
