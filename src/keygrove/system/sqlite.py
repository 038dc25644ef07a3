"""SQLite through aiosqlite: a thread for each connection, one callable for each batch.

Walking a cursor across the thread boundary costs a hop for each row, so a callable runs on
the connection's own thread and brings back finished values. Checkpoints are the caller's:
until SQLite 3.51.3 one connection that checkpoints while another commits can lose
acknowledged pages ("WAL-reset bug", sqlite.org/wal.html), so no connection ever does so by
itself, and readers are opened read-only.
"""

import asyncio
import math
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import quote

import aiosqlite
import anyio
import anyio.to_thread

from keygrove.errors import DamagedError, DiskFullError, KeygroveError, StoreError, UnfitError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.system.datadir import make_folder
from keygrove.system.volume import FULL, is_read_only

T = TypeVar("T")

_NO_ROOM = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
}
"""What SQLite also answers when the disk is full. Not a failed sync: that is never harmless."""
FREE_BYTES_MIN = 1 << 20
COPY_BYTES = 1 << 20
INTERRUPT_EVERY_S = 0.01
READ_S_MAX = 30.0
"""A log cannot be emptied while somebody reads what was there before. Source: storage.md §4."""
CHECK_STEPS = 100_000
"""Of SQLite's virtual machine, between two looks at the clock: about a millisecond."""
READER_TIMEOUT_S = 5.0
"""How long a reader waits while the writer restarts the log."""
_ALONE = "&vfs=unix-excl"
"""What connections must know of each other lies in a file of 32 KiB beside the log, made anew by
the first of them. Where a full disk has no room for it, it is kept in memory: then this process
alone can read and write the file, and everything else is as ever. Source: sqlite.org/vfs.html."""
_AS_IT_IS = "&immutable=1"
"""Beside the log lies the index of its pages, which on a read-only file system cannot be made. A
file whose log is gone or empty needs neither: it is read as it is. Source: sqlite.org/uri.html."""
_HELD = (
    "another process has it to itself: a server that was started on a full disk does, "
    "so start it anew once there is room"
)


_SHORTER = "while it lasts the log cannot be emptied, so see what keeps the disk that busy"


_OWNER = "run this as the user whose file it is, and see that this one may read and write it"


class _Connection(aiosqlite.Connection):
    """aiosqlite's thread and queue, opened up for whole callables."""

    def __init__(
        self, path: Path, attached: Path | None, *, writable: bool, read_s_max: float
    ) -> None:
        def connect() -> sqlite3.Connection:
            try:
                return self._open_files(path, attached)
            except sqlite3.OperationalError as error:
                if not writable or not _is_full(path, error.sqlite_errorcode):
                    raise
                self._options = _ALONE
                return _connect(path, attached, writable=True, options=_ALONE)

        super().__init__(connect, iter_chunk_size=1)
        self._path = path
        self._writable = writable
        self._options = ""
        self._read_s_max = read_s_max
        self._late_at = math.inf

    def _open_files(self, path: Path, attached: Path | None) -> sqlite3.Connection:
        db = _connect(path, attached, writable=self._writable)
        if not self._writable:
            db.set_progress_handler(self._is_late, CHECK_STEPS)
        return db

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        """See `ports.SqlDatabase`."""
        ended = threading.Event()
        try:
            # The only way to ship a callable; aiosqlite leaves it untyped and for subclasses.
            read_s_max = math.inf if can_stop else self._read_s_max
            shipped = self._execute(self._guarded, work, ended, read_s_max)  # type: ignore[no-untyped-call] # pyright: ignore[reportUnknownMemberType]
            return cast(T, await shipped)
        except sqlite3.DatabaseError as error:
            raise _told(self._path, error) from error
        except asyncio.CancelledError:
            if can_stop:
                await self._stop(ended)
            raise

    async def _stop(self, ended: threading.Event) -> None:
        """Interrupt what is under way, until it has ended: before it begins, that does nothing."""
        with anyio.CancelScope(shield=True):
            while not ended.is_set():
                self._conn.interrupt()
                await anyio.sleep(INTERRUPT_EVERY_S)

    async def opened(self) -> None:
        """Open it; if that fails, its thread is gone, too."""
        try:
            await self
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._thread.join)
            raise

    async def close_quietly(self) -> None:
        """Close it, and move nothing out of its log.

        The last connection to a file has SQLite checkpoint it. After a failed synchronisation
        that would copy frames that the disk never got, and that the system's cache may have
        lost since: old pages over acknowledged ones. So another one, read-only, is the last.
        """
        guard: sqlite3.Connection | None = None
        if self._writable:
            with suppress(KeygroveError):
                guard = await self.run(lambda _: self._guard())
        try:
            await self.close()
        finally:
            if guard is not None:
                await anyio.to_thread.run_sync(guard.close)

    def _guard(self) -> sqlite3.Connection:
        """A read-only connection that has looked into the file."""
        name = _uri(self._path, writable=False) + self._options
        guard = sqlite3.connect(name, uri=True, check_same_thread=False)
        try:
            guard.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            guard.close()
            raise
        return guard

    def _is_late(self) -> bool:
        return time.monotonic() > self._late_at

    def _guarded(
        self, work: Callable[[SqlSession], T], ended: threading.Event, read_s_max: float
    ) -> T:
        """Run `work`; a transaction that it could not finish is undone here, on its thread."""
        self._late_at = time.monotonic() + read_s_max
        try:
            return work(self._conn)
        except BaseException:
            if self._conn.in_transaction:
                self._conn.rollback()
            raise
        finally:
            ended.set()


def _connect(
    path: Path, attached: Path | None, *, writable: bool, options: str = ""
) -> sqlite3.Connection:
    """Open the files themselves, and their logs: what cannot be read shows now."""
    if not writable:
        options += _as_it_is(path)
    db = sqlite3.connect(
        _uri(path, writable=writable) + options,
        uri=True,
        isolation_level=None,
        timeout=0 if writable else READER_TIMEOUT_S,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA trusted_schema = OFF")
        if attached is not None:
            as_it_is = "" if writable else _as_it_is(attached)
            db.execute("ATTACH ? AS side", (_uri(attached, writable=False) + as_it_is,))
        db.execute("SELECT count(*) FROM main.sqlite_master").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    return db


@contextmanager
def session(
    path: Path, *, writable: bool = False, is_still: bool = False
) -> Generator[sqlite3.Connection, None, None]:
    """A file on the caller's own thread, for commands that have nothing else to do meanwhile.

    Args:
        is_still: nobody writes it, and it has no log: nothing is made beside it.

    Raises:
        DiskFullError: the disk is full.
        StoreError: SQLite cannot go on with this file.
    """
    try:
        options = _AS_IT_IS if is_still else "" if writable else _as_it_is(path)
        with closing(_connect(path, None, writable=writable, options=options)) as db:
            yield db
    except sqlite3.DatabaseError as error:
        raise _told(path, error) from error


def _as_it_is(path: Path) -> str:
    """The option for a file that is only read, and that nobody can write."""
    log, shared = Path(f"{path}-wal"), Path(f"{path}-shm")
    if not is_read_only(path.parent):
        return ""
    try:
        is_whole = log.stat().st_size == 0
    except FileNotFoundError:
        is_whole = True
    if not is_whole and not shared.exists():
        raise StoreError(
            f"{path} cannot be read on a read-only file system: {log.name} lies beside it without "
            f"{shared.name}; copy the data directory to where it can be written"
        )
    return _AS_IT_IS if is_whole else ""


def _secure(log: Path) -> None:
    if is_read_only(log.parent):
        _forget(log)
    else:
        _write_again(log)


def _forget(path: Path) -> None:
    """Have the system read a file's octets anew, but for those that it still means to write."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def _write_again(path: Path) -> None:
    """Write a file's octets over themselves, and synchronise it.

    Where a synchronisation failed, the system keeps the octets and forgets that the disk has to
    get them: synchronising once more would do nothing, and say that all is well.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while part := os.pread(file, COPY_BYTES, at):
            at += os.pwrite(file, part, at)
        os.fsync(file)
    finally:
        os.close(file)


def _uri(path: Path, *, writable: bool) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}?mode={'rwc' if writable else 'ro'}"


def _told(path: Path, error: sqlite3.DatabaseError, *, at: str = "") -> KeygroveError:
    """Our error for one of SQLite's, met at what `at` says."""
    # Python's own have no code: a text is not UTF-8, and none is ever written so.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if _is_full(path, code):
        return DiskFullError(path.name)
    if code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DamagedError(f"{path} is damaged: {error}")
    if code & 0xFF == sqlite3.SQLITE_BUSY:
        return StoreError(f"{at}{path}: {error}; {_HELD}")
    if code & 0xFF == sqlite3.SQLITE_INTERRUPT:
        return StoreError(f"{at}{path}: reading took too long, and was ended: {_SHORTER}")
    if code & 0xFF == sqlite3.SQLITE_CANTOPEN:  # SQLite does not say why
        try:
            path.open("rb").close()
        except OSError as why:
            return _cannot("open", path, why)
    return StoreError(f"{at}{path}: {error}")


def _cannot(what: str, path: Path, error: OSError) -> StoreError:
    """Our error for one of the system's."""
    if isinstance(error, PermissionError):
        return UnfitError(f"cannot {what} {path}: {error.strerror}: {_OWNER}")
    return StoreError(f"cannot {what} {path}: {error.strerror}")


def _is_full(path: Path, code: int) -> bool:
    """Whether there is no room: SQLite says so, or cannot write where there is none."""
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return True
    if code not in _NO_ROOM or not path.parent.is_dir():
        return False
    return shutil.disk_usage(path.parent).free < FREE_BYTES_MIN


def has_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite can lose pages when two connections checkpoint and commit.

    Source: sqlite.org/wal.html; mended in 3.51.3, 3.50.7 and 3.44.6.
    """
    if version[:2] in {(3, 44), (3, 50)}:
        return version < {44: (3, 44, 6), 50: (3, 50, 7)}[version[1]]
    return (3, 7, 0) <= version < (3, 51, 3)


class SqliteFiles:
    """See `ports.Databases`: the files under one directory."""

    def __init__(self, root: Path, *, read_s_max: float = READ_S_MAX) -> None:
        self._root = root
        self._read_s_max = read_s_max

    @property
    def engine(self) -> str:
        """See `ports.Databases`."""
        has_bug = has_reset_bug(sqlite3.sqlite_version_info)
        note = "has the WAL-reset bug, which one writer per file avoids" if has_bug else "fine"
        return f"SQLite {sqlite3.sqlite_version} ({note})"

    @asynccontextmanager
    async def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AsyncGenerator[SqlDatabase, None]:
        """See `ports.Databases`."""
        file = self._root / path
        side = self._root / attached if attached is not None else None
        db = _Connection(file, side, writable=writable, read_s_max=self._read_s_max)
        try:
            if writable:
                await anyio.to_thread.run_sync(make_folder, file.parent)
            await db.opened()
        except sqlite3.DatabaseError as error:
            raise _told(file, error, at="cannot open ") from error
        except OSError as error:
            if error.errno in FULL:
                raise DiskFullError(file.name) from error
            raise _cannot("open", file, error) from error
        try:
            yield db
        finally:
            # Unshielded, a cancelled close leaves aiosqlite's thread running.
            with anyio.CancelScope(shield=True):
                await db.close_quietly()

    async def is_read_only(self) -> bool:
        """See `ports.Databases`."""
        try:
            return await anyio.to_thread.run_sync(is_read_only, self._root)
        except OSError as error:
            raise StoreError(f"cannot ask the file system of {self._root}: {error}") from error

    async def holds(self, path: str) -> bool:
        """See `ports.Databases`."""
        file = self._root / path
        try:
            return (await anyio.Path(file).stat()).st_size > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _cannot("look at", file, error) from error

    async def secure(self, path: str) -> None:
        """See `ports.Databases`."""
        log = self._root / f"{path}-wal"
        try:
            await anyio.to_thread.run_sync(_secure, log)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in FULL:
                raise DiskFullError(log.name) from error
            raise _cannot("synchronise", log, error) from error

    async def remove(self, path: str) -> None:
        """See `ports.Databases`."""
        for suffix in ("", "-wal", "-shm"):
            file = anyio.Path(f"{self._root / path}{suffix}")
            try:
                await file.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(
                    f"cannot remove {file}: {error.strerror}; move away what is there instead"
                ) from error
