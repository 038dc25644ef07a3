"""The data directory: made if need be, and owned by one writing process at a time."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from keygrove.cluster.signing import KEY_FILE
from keygrove.errors import DataDirError, InUseError
from keygrove.system import replacing
from keygrove.system.replacing import SHARD_FOLDER
from keygrove.system.volume import RESERVE

HEAP = "heap.db"
LOCK = "lock"
CONTROL = "control.sock"
PRECIOUS = (KEY_FILE,)
"""Files that nothing can make again, beside the shards; each is there or not."""
OF_A_SERVER = (KEY_FILE, RESERVE)
"""Files that are there only where shards were before them."""


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder if need be, and those above it; then its name is on the disk, too.

    A file is lost, however well synchronised, with the name of a folder above it. The last one
    is synchronised even if it was there: whoever made it may have been killed before that.
    """
    if not path.parent.exists():
        make_folder(path.parent, mode=0o777)
    path.mkdir(mode=mode, exist_ok=True)
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        # Where folders cannot be synchronised, or this one not be read, its names are as
        # durable as the file system makes them. A disk that fails is another matter.
        if error.errno == errno.EIO:
            raise


@contextmanager
def owned_anew(root: Path, command: str) -> Generator[None, None, None]:
    """As `owned`; if the block fails, what this made is gone again: the lock, and folders.

    Raises:
        InUseError: another process is; it says which.
        DataDirError: the directory cannot be made.
    """
    missing = [path for path in (root, *root.parents) if not path.exists()]
    is_locked_before = (root / LOCK).exists()
    with owned(root, command):
        try:
            yield
        except BaseException:
            if not is_locked_before:
                (root / LOCK).unlink(missing_ok=True)  # ours still: see `_take`
            with suppress(OSError):
                for path in missing:
                    path.rmdir()
            raise


@contextmanager
def owned(root: Path, command: str) -> Generator[None, None, None]:
    """Be the one process that writes below `root`, while the block runs.

    If another was broken off while it replaced the shards, that is finished first.

    Raises:
        InUseError: another process is; it says which.
        DataDirError: the directory cannot be made.
    """
    try:
        make_folder(root)
        lock = _open_lock(root / LOCK)
    except OSError as error:
        raise DataDirError(
            f"cannot use the data directory {root}: {error.strerror}; choose another with --data"
        ) from error
    try:
        _take(lock, root)
        _finish(root)
        # The name is a courtesy to whoever finds it locked: a full disk must not stop us.
        with suppress(OSError):
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()} {command}\n".encode(), 0)
        yield
        with suppress(OSError):
            os.truncate(lock, 0)
    finally:
        os.close(lock)


def owner_of(root: Path) -> int | None:
    """The process that owns the directory; None if none does, or the system does not tell.

    Asking must not lock it, not even for a moment: another might start just then.
    """
    path = root / LOCK
    with suppress(OSError):
        inode = (path if path.exists() else root).stat().st_ino  # see _open_lock
        for line in Path("/proc/locks").read_text().splitlines():
            # Number, kind, manner, mode, process, MAJOR:MINOR:INODE, and the range.
            match line.split():
                case [_, "FLOCK", _, "WRITE", process, place, *_] if place.rpartition(":")[
                    2
                ] == str(inode):
                    return int(process)
                case _:
                    pass
    return None


def _open_lock(path: Path) -> int:
    """On a read-only file system, where nobody writes, any file will do that is there."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path if path.exists() else path.parent, os.O_RDONLY | os.O_CLOEXEC)


def _take(lock: int, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = ""
        with suppress(IsADirectoryError):  # see _open_lock
            text = os.pread(lock, 200, 0).decode(errors="replace")
        pid, _, command = text.strip().partition(" ")
        holder = f"{command} (process {pid})" if command else "another process"
        raise InUseError(str(root), holder) from None
    if os.fstat(lock).st_nlink == 0:  # whoever had it took it away, and others make another
        raise InUseError(str(root), "another process, which ends just now")


def _finish(root: Path) -> None:
    try:
        replacing.finish(root)
    except OSError as error:
        raise DataDirError(
            f"the shards in {root} were to be replaced, and that cannot be finished: "
            f"{error.strerror}: {error.filename}"
        ) from error


def check_shards(root: Path, shards: int) -> None:
    """Refuse a shard count that differs from what the directory already holds.

    Raises:
        DataDirError: it differs, or what was in a shard's folder is gone.
    """
    held = count_shards(root)
    if held not in {0, shards}:
        raise DataDirError(
            f"the data directory {root} was made with shards = {held}, not {shards}: "
            f"set [storage] shards = {held}, or run keygrove reshard --shards {shards}"
        )
    heaps = _heaps(root, shards)
    missing = [heap.parent.name for heap in heaps if _is_void(heap)]
    # At a first start that was broken off some are not there yet, and nothing is in the others.
    if missing and any(_was_written(heap) for heap in heaps if heap.exists()):
        raise DataDirError(
            f"{', '.join(missing)} in the data directory {root} is gone, with what was in it: put "
            "the folder back, mount what it is on, or restore a backup"
        )
    others = [name for name in OF_A_SERVER if (root / name).exists()]
    if len(missing) == shards and others:
        raise DataDirError(
            f"all shards in the data directory {root} are gone, in which {' and '.join(others)} "
            "tell of a server: put their folders back, mount what they are on, or restore a "
            f"backup; to begin empty, move {' and '.join(others)} away"
        )


def begin_shards(root: Path, shards: int) -> None:
    """Make the shards' heaps, empty, where there are none yet: all of them before any is used.

    So one that is not there later was lost. It is for the owner, after `check_shards`.
    """
    for heap in _heaps(root, shards):
        if not _is_void(heap):
            continue
        # On a disk that is full or read-only the shard itself says so, and goes on when it can.
        with suppress(OSError):
            make_folder(heap.parent)
            heap.touch(mode=0o600)
            replacing.synchronise(heap.parent)


def count_shards(root: Path) -> int:
    """How many shards the directory was made with; 0 when it has no store yet.

    Each of its heaps knows. Where none can be asked, folders are counted.

    Raises:
        DataDirError: it cannot be looked into, or what is to be there is not there yet.
    """
    try:
        replacing.ensure_settled(root)
        held = _count(root)
        is_broken_off = replacing.is_broken_off(root)
    except OSError as error:
        raise DataDirError(f"cannot read {root}: {error.strerror}") from error
    if not held and is_broken_off:
        raise DataDirError(
            f"a restore into {root} was broken off: run keygrove restore again, or remove "
            f"{root / replacing.UNFINISHED} to begin empty"
        )
    return held


def _count(root: Path) -> int:
    told = [_told_by(heap) for heap in root.glob(f"{SHARD_FOLDER}*/{HEAP}")]
    known = [number for number in told if number is not None]
    if known:
        return max(known)
    return len({path.parent for path in root.glob(f"{SHARD_FOLDER}*/*.db")})


def _heaps(root: Path, shards: int) -> list[Path]:
    return [root / f"{SHARD_FOLDER}{number}" / HEAP for number in range(shards)]


def _is_void(heap: Path) -> bool:
    """Whether its folder has no database; with an index alone the shard itself refuses."""
    return not any(heap.parent.glob("*.db"))


def _was_written(heap: Path) -> bool:
    """Whether anything was ever committed to it; what cannot be read says so elsewhere."""
    try:
        with closing(sqlite3.connect(f"{heap.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM head LIMIT 1").fetchone() is not None
    except sqlite3.DatabaseError:
        return False


def _told_by(heap: Path) -> int | None:
    """How many shards this heap says there are; 0 if it was never finished, None if unreadable."""
    try:
        with closing(sqlite3.connect(f"{heap.absolute().as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT v FROM meta WHERE k = 'shard'").fetchone()
    except sqlite3.DatabaseError as error:
        return 0 if error.sqlite_errorcode == sqlite3.SQLITE_ERROR else None
    return None if row is None else int(row[0].partition("/")[2])
