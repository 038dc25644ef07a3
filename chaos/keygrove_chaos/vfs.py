"""SQLite on a simulated disk: a VFS whose files, chance and time are the world's.

The file calls follow SQLite's own os_unix.c: what is retried, which folder is synchronised
when, and which error is told as which code. The memory that connections to one file share,
and the locks among them, are SQLite's own: each main file stands on an empty real one in
SQLite's "unix-excl" form, which keeps the shared part of a log's index in the heap. So any
number of connections read and write one file side by side as in production, with nothing of
it on a real disk, without a thread, and without waiting: whoever would wait, waits for
virtual time (`sleep_s`).

SQLite has one random generator to a process, seeded by the default VFS. `own_chance` makes
that one ours and has it seeded anew, so one node's draws are no other's.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from posixpath import dirname
from random import Random
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TypeAlias

import apsw
from typing_extensions import Buffer

from keygrove_chaos.disk import File, Mount, PowerCutError
from keygrove_chaos.disk_faults import BLOCK_BYTES

BASE = "unix-excl"
DAY_MS = 86_400_000
EPOCH_MS = 2_440_587 * DAY_MS + DAY_MS // 2
"""1970 in SQLite's milliseconds, which begin with the Julian period."""

WallTime: TypeAlias = Callable[[], float]
"""Seconds since 1970, as the node believes them to be."""

_SYNC_FOLDER = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


class DiskVfs(apsw.VFS):
    """The VFS of one life of a node. Unregister it with `close`, after all its connections."""

    def __init__(self, mount: Mount, node: str, chance: Random, wall_s: WallTime) -> None:
        taken = apsw.vfs_names()
        names = (f"{node}:{mount.life}:{number}" for number in count())
        self.name = next(name for name in names if name not in taken)
        self.disk = mount.disk
        self._mount = mount
        self._chance = chance
        self._wall_s = wall_s
        self._stands = TemporaryDirectory(prefix="keygrove-vfs-")
        self._stand_of: dict[str, str] = {}
        super().__init__(self.name, base="unix")

    def close(self) -> None:
        """Take it away from SQLite."""
        self.unregister()
        self._stands.cleanup()

    def own_chance(self) -> None:
        """Have SQLite draw from this node's chance from now on."""
        apsw.set_default_vfs(self.name)
        apsw.randomness(0)  # forgets the generator's state

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        """What fails where SQLite wants to hear nothing of it: it is told no one."""
        return True

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        """Open a file; one that cannot be written, read-only."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        wanted = flags[0]
        if path is None:
            flags[1] = wanted
            return _SideFile(self._mount.open_unnamed())
        is_new = bool(wanted & apsw.SQLITE_OPEN_CREATE) and not self._exists(path)
        try:
            file = self._mount.open(path, create=bool(wanted & apsw.SQLITE_OPEN_CREATE))
        except OSError as error:
            raise _told(error, apsw.SQLITE_CANTOPEN) from error
        if wanted & apsw.SQLITE_OPEN_DELETEONCLOSE:
            self._mount.remove(path)
        flags[1] = wanted
        if wanted & apsw.SQLITE_OPEN_MAIN_DB:
            return _MainFile(file, self._stand(path))
        folder = dirname(path) if is_new and wanted & _SYNC_FOLDER else None
        return _SideFile(file, self._mount, folder)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Remove a file, and make that durable if so asked."""
        try:
            self._mount.remove(filename)
        except FileNotFoundError as error:
            raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT) from error
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_DELETE) from error
        if syncdir:
            try:
                self._mount.sync_folder(dirname(filename))
            except OSError as error:
                raise _told(error, apsw.SQLITE_IOERR_DIR_FSYNC) from error

    def xAccess(self, pathname: str, flags: int) -> bool:
        """Is it there? An empty file counts as none, as in os_unix.c."""
        try:
            there = self._mount.exists(pathname)
            return there and (
                flags != apsw.SQLITE_ACCESS_EXISTS or self._mount.open(pathname).size > 0
            )
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_ACCESS) from error

    def xFullPathname(self, name: str) -> str:
        """Paths are full already: the disk is the node's own."""
        return name

    def xRandomness(self, numbytes: int) -> bytes:
        """The node's."""
        return self._chance.randbytes(numbytes)

    def xSleep(self, microseconds: int) -> int:
        """Costs virtual time; nobody else runs meanwhile."""
        self.disk.owe(microseconds / 1e6)
        return microseconds

    def xCurrentTime(self) -> float:
        """Julian days."""
        return self.xCurrentTimeInt64() / DAY_MS

    def xCurrentTimeInt64(self) -> int:
        """Julian milliseconds."""
        return EPOCH_MS + int(self._wall_s() * 1000)

    def xGetLastError(self) -> tuple[int, str | None]:
        """Nothing beyond the codes."""
        return 0, None

    def _exists(self, path: str) -> bool:
        try:
            return self._mount.exists(path)
        except OSError as error:
            raise _told(error, apsw.SQLITE_CANTOPEN) from error

    def _stand(self, path: str) -> str:
        """The empty real file on which a main file's shared memory and locks stand."""
        return self._stand_of.setdefault(path, f"{self._stands.name}/{len(self._stand_of)}")


def close(db: apsw.Connection) -> None:
    """Close a connection. Its last checkpoint may fail, which SQLite keeps to itself."""
    with suppress(apsw.Error):
        db.close()


def code_of(error: apsw.Error) -> int:
    """SQLite's code; apsw's own complaints of how it is called have none."""
    code: int = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    return code


class _SideFile(apsw.VFSFile):
    """A log or journal: only connections that hold the main file's locks touch it."""

    def __init__(  # the base's own would open a real file
        self, file: File, mount: Mount | None = None, new_in: str | None = None
    ) -> None:
        self._file = file
        self._mount = mount
        self._new_in = new_in

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        """See `DiskVfs.excepthook`."""
        return True

    def xRead(self, amount: int, offset: int) -> bytes:
        """All, or what there is up to the end."""
        found = b""
        try:
            while len(found) < amount:
                part = self._file.read(amount - len(found), offset + len(found))
                if not part:
                    break
                found += part
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_CORRUPTFS) from error
        return found

    def xWrite(self, data: Buffer, offset: int) -> None:
        """All of it; what is written short is gone on with."""
        left = bytes(data)
        try:
            while left:
                size = self._file.write(left, offset)
                left, offset = left[size:], offset + size
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_WRITE) from error

    def xTruncate(self, newsize: int) -> None:
        """See `File.truncate`."""
        try:
            self._file.truncate(newsize)
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_TRUNCATE) from error

    def xSync(self, flags: int) -> None:
        """The file; the first time also the folder of a new one, whose failure is not told."""
        try:
            self._file.sync()
            self._sync_folder()
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_FSYNC) from error

    def xFileSize(self) -> int:
        """See `File.size`."""
        try:
            return self._file.size
        except OSError as error:
            raise _told(error, apsw.SQLITE_IOERR_FSTAT) from error

    def xSectorSize(self) -> int:
        """As os_unix.c has it."""
        return BLOCK_BYTES

    def xDeviceCharacteristics(self) -> int:
        """No atomicity at all; but a torn write leaves the octets beside it, as everywhere."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xFileControl(self, op: int, ptr: int) -> bool:
        """None is known here."""
        return False

    def xLock(self, level: int) -> None:
        """Always given."""

    def xUnlock(self, level: int) -> None:
        """Always given back."""

    def xCheckReservedLock(self) -> bool:
        """Nobody has it."""
        return False

    def xClose(self) -> None:
        """Nothing is kept."""

    def _sync_folder(self) -> None:
        folder, self._new_in = self._new_in, None
        if self._mount is None or folder is None:
            return
        try:
            self._mount.sync_folder(folder)
        except PowerCutError:
            raise
        except OSError:
            return  # os_unix.c does not look at it either


class _MainFile(_SideFile):
    """A database: its locks and its shared memory are those of the real file below it."""

    def __init__(self, file: File, stand: str) -> None:
        super().__init__(file)
        create = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        apsw.VFSFile.__init__(self, BASE, stand, [apsw.SQLITE_OPEN_MAIN_DB | create, 0])

    xLock = apsw.VFSFile.xLock
    xUnlock = apsw.VFSFile.xUnlock
    xCheckReservedLock = apsw.VFSFile.xCheckReservedLock
    xClose = apsw.VFSFile.xClose


def _told(error: OSError, code: int) -> Exception:
    """The exception that tells SQLite of it, by os_unix.c's rules."""
    if code == apsw.SQLITE_IOERR_WRITE and error.errno == errno.ENOSPC:
        code = apsw.SQLITE_FULL
    return apsw.exception_for(code)
