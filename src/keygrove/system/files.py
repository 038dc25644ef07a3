"""Secret files on this machine."""

import errno
import os
import stat
from pathlib import Path

import anyio.to_thread

from keygrove.errors import DiskFullError, SecretFileError
from keygrove.system.datadir import make_folder

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_FULL = (errno.ENOSPC, errno.EDQUOT)


class SecretFiles:
    """See `ports.Files`: the files under one directory, which one process at a time owns."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read(self, path: str, bytes_max: int) -> bytes | None:
        """See `ports.Files`."""
        file = self._root / path
        try:
            return await anyio.to_thread.run_sync(_read, file, bytes_max)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretFileError(
                f"cannot read {file}: {error.strerror}; it has to be a file of the user who runs "
                "the server, with mode 0600"
            ) from error

    async def create(self, path: str, content: bytes) -> None:
        """See `ports.Files`."""
        file = self._root / path
        try:
            await anyio.to_thread.run_sync(_create, file, content)
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError(file.name) from error
            raise SecretFileError(f"cannot make {file}: {error.strerror}") from error


def _read(path: Path, bytes_max: int) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise SecretFileError(f"{path} is no file: move away what is there")
        if status.st_mode & _OTHERS:
            raise SecretFileError(
                f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}): if nobody "
                "else can have read it, chmod 600 it; if somebody can, remove it, for a new one"
            )
        return os.read(file, bytes_max)
    finally:
        os.close(file)


def _create(path: Path, content: bytes) -> None:
    """Under another name first: a file of this name is whole, whenever the power goes."""
    make_folder(path.parent)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(file)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
