"""SQLite on a simulated disk, without threads: work runs at once and inline.

The twin of `keygrove.system.sqlite`: the same pragmas, the same errors, the same order. What
the work's I/O cost is awaited afterwards, when no statement is under way, and only then is the
work answered; so others go on meanwhile, see what it did, and a crash finds it done and
not acknowledged. As with a thread's queue, work that was asked for is done even if whoever
asked was cancelled while it waited for its turn.
"""

import errno
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from posixpath import basename, dirname
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import anyio
import anyio.lowlevel
import apsw

from keygrove.errors import DamagedError, DiskFullError, KeygroveError, StoreError
from keygrove.ports import SqlDatabase, SqlRows, SqlSession, SqlValue
from keygrove_chaos.disk import File, Mount
from keygrove_chaos.timeline import Timeline
from keygrove_chaos.vfs import DiskVfs, WallTime, close, code_of

T = TypeVar("T")

_FULL = {errno.ENOSPC, errno.EDQUOT}
FREE_BYTES_MIN = 1 << 20
COPY_BYTES = 1 << 20
READER_TIMEOUT_MS = 5_000
_NO_ROOM = {
    apsw.SQLITE_CANTOPEN,
    apsw.SQLITE_IOERR_WRITE,
    apsw.SQLITE_IOERR_TRUNCATE,
    apsw.SQLITE_IOERR_SHMSIZE,
}
_DAMAGED = {apsw.SQLITE_CORRUPT, apsw.SQLITE_IOERR_CORRUPTFS}
"""SQLite itself reports the latter as the former; apsw raises what the file said."""


class SimulatedDatabases:
    """See `ports.Databases`: the files of one life of a node. Close it after all it opened."""

    engine = f"SQLite {apsw.sqlite_lib_version()} (simulated disk)"

    def __init__(self, timeline: Timeline, node: str, mount: Mount, wall_s: WallTime) -> None:
        # Two lives must not draw the same salts: frames of the former would look valid.
        chance = timeline.stream(f"sqlite:{node}:{mount.life}")
        self._mount = mount
        self._vfs = DiskVfs(mount, node, chance, wall_s)

    def close(self) -> None:
        """Take the node's files away from SQLite."""
        self._vfs.close()

    @asynccontextmanager
    async def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AsyncGenerator[SqlDatabase, None]:
        """See `ports.Databases`."""
        try:
            if writable:
                _make_folder(self._mount, dirname(path))
            db = self._connect(path, attached, writable=writable)
        except apsw.Error as error:
            raise _told(path, self._mount, error, at="cannot open ") from error
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError(basename(path)) from error
            raise StoreError(f"cannot open {path}: {error}") from error
        connection = _Connection(db, path, self._mount, self._vfs)
        try:
            await connection.rest()
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()

    async def is_read_only(self) -> bool:
        """See `ports.Databases`."""
        await anyio.lowlevel.checkpoint()
        return self._mount.disk.is_read_only

    async def holds(self, path: str) -> bool:
        """See `ports.Databases`."""
        await anyio.lowlevel.checkpoint()
        try:
            return self._mount.exists(path) and self._mount.open(path).size > 0
        except OSError as error:
            raise StoreError(f"cannot look at {path}: {error}") from error

    async def secure(self, path: str) -> None:
        """See `ports.Databases`."""
        log = f"{path}-wal"
        try:
            if self._mount.exists(log):
                file = self._mount.open(log)
                if self._mount.disk.is_read_only:
                    file.forget()
                else:
                    _write_again(file)
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError(basename(log)) from error
            raise StoreError(f"cannot synchronise {log}: {error}") from error
        await anyio.sleep(self._mount.disk.take_owed_s())

    async def remove(self, path: str) -> None:
        """See `ports.Databases`."""
        try:
            for suffix in ("", "-wal"):
                if self._mount.exists(f"{path}{suffix}"):
                    self._mount.remove(f"{path}{suffix}")
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error}") from error
        await anyio.sleep(self._mount.disk.take_owed_s())

    def _connect(self, path: str, attached: str | None, *, writable: bool) -> apsw.Connection:
        mode = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        flags = (mode if writable else apsw.SQLITE_OPEN_READONLY) | apsw.SQLITE_OPEN_URI
        self._vfs.own_chance()
        db = apsw.Connection(path, flags=flags, vfs=self._vfs.name, statementcachesize=256)
        try:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            db.set_busy_timeout(0 if writable else READER_TIMEOUT_MS)
            session = Session(db)
            session.execute("PRAGMA wal_autocheckpoint = 0")
            session.execute("PRAGMA trusted_schema = OFF")
            if attached is not None:
                session.execute("ATTACH ? AS side", (f"file:{quote(attached)}?mode=ro",))
            session.execute("SELECT count(*) FROM main.sqlite_master").fetchone()
        except apsw.Error:
            close(db)
            raise
        return db


def _make_folder(mount: Mount, path: str) -> None:
    """Make a folder and those above it, and its name durable, as `system.datadir` does."""
    if not path:  # the data directory itself
        return
    if not mount.exists(path):
        _make_folder(mount, dirname(path))
        mount.make_folder(path)
    mount.sync_folder(dirname(path))


def _write_again(file: File) -> None:
    """As `keygrove.system.sqlite` does."""
    at = 0
    while part := file.read(COPY_BYTES, at):
        at += file.write(part, at)
    file.sync()


class Session:
    """See `ports.SqlSession`: an apsw connection that behaves as the standard library's do."""

    def __init__(self, db: apsw.Connection) -> None:
        # apsw's stubs speak of collections.abc.Buffer, which only Python 3.12 has.
        self._db: Any = db

    def execute(self, sql: str, values: Sequence[SqlValue] = (), /) -> SqlRows:
        """See `ports.SqlSession`."""
        return _Rows(self._db.cursor(), sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[SqlValue]], /) -> object:
        """See `ports.SqlSession`."""
        return self._db.executemany(sql, rows)

    def roll_back(self) -> None:
        """Undo the transaction, if there is one."""
        if self._db.in_transaction:
            self.execute("ROLLBACK")


class _Rows:
    """A cursor. Dropped early it ends its statement, and whether that works is told no one."""

    def __init__(self, cursor: Any, sql: str, values: Sequence[SqlValue]) -> None:
        self._cursor = cursor  # apsw.Cursor; see Session
        self._cursor.execute(sql, values)

    def __del__(self) -> None:
        with suppress(apsw.Error):
            self._cursor.close()

    def fetchone(self) -> Any:
        """See `ports.SqlRows`."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """See `ports.SqlRows`."""
        rows: list[Any] = self._cursor.fetchall()
        return rows


class _Job(Generic[T]):
    """Work that waits for its turn, and then what came of it."""

    def __init__(self, work: Callable[[SqlSession], T]) -> None:
        self._work = work
        self._values: list[T] = []
        self._error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Was it its turn?"""
        return bool(self._values) or self._error is not None

    def do(self, db: apsw.Connection) -> None:
        """Its turn; a transaction that it could not finish is undone."""
        session = Session(db)
        try:
            self._values.append(self._work(session))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            self._error = error
            try:
                session.roll_back()
            except apsw.Error as failed:
                self._error = failed

    def result(self) -> T:
        """What the work returned, or raised."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._values[0]
        finally:
            # An error that is held keeps its frames, and they a cursor that keeps a lock.
            del error


class _Connection:
    """See `ports.SqlDatabase`."""

    def __init__(self, db: apsw.Connection, path: str, mount: Mount, vfs: DiskVfs) -> None:
        self._db = db
        self._path = path
        self._mount = mount
        self._vfs = vfs
        self._turn = anyio.Lock()
        self._free_at = anyio.current_time()
        self._queue: deque[_Job[Any]] = deque()  # each of whatever its work returns

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        """See `ports.SqlDatabase`. Work that is broken off costs no time any more."""
        job = _Job(work)
        self._queue.append(job)
        try:
            async with self._turn:
                while not job.is_done:
                    self._step()
                    await self.rest()
        except anyio.get_cancelled_exc_class():
            if can_stop:
                self._free_at = anyio.current_time()
            raise
        try:
            return job.result()
        except apsw.Error as error:
            raise _told(self._path, self._mount, error) from error

    async def close(self) -> None:
        """Do what was asked, and close it. In a life that is over nothing is written."""
        async with self._turn:
            while self._queue:
                self._step()
            self._vfs.own_chance()
            close(self._db)
            self._free_at += self._mount.disk.take_owed_s()
            await anyio.sleep_until(self._free_at)

    async def rest(self) -> None:
        """Let the time pass that the disk has cost; cut short, the rest of it comes later.

        Raises:
            StoreError: meanwhile the life of these files ended.
        """
        self._free_at = max(self._free_at, anyio.current_time()) + self._mount.disk.take_owed_s()
        self._mount.disk.busy_until = max(self._mount.disk.busy_until, self._free_at)
        await anyio.sleep_until(self._free_at)
        if not self._mount.is_alive:
            raise StoreError("the node is dead")

    def _step(self) -> None:
        self._vfs.own_chance()
        self._queue.popleft().do(self._db)


def _told(path: str, mount: Mount, error: apsw.Error, *, at: str = "") -> KeygroveError:
    """The product's error for one of SQLite's, as `keygrove.system.sqlite` has it."""
    code = code_of(error)
    is_full = code & 0xFF == apsw.SQLITE_FULL or (
        code in _NO_ROOM and mount.disk.free_bytes < FREE_BYTES_MIN
    )
    if is_full:
        return DiskFullError(basename(path))
    if code in _DAMAGED or code & 0xFF == apsw.SQLITE_CORRUPT:
        return DamagedError(f"{path} is damaged: {_text(error)}")
    return StoreError(f"{at}{path}: {_text(error)}")


def _text(error: apsw.Error) -> str:
    """SQLite's words, or the name of its code where the file raised it without any."""
    return str(error) or str(
        apsw.mapping_extended_result_codes.get(code_of(error), "unknown error")
    )
