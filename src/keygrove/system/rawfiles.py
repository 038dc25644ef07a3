"""Files of databases that nobody has open."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread

from keygrove.errors import StoreError

KEPT = "damaged"


class RawFiles:
    """See `ports.RawFiles`: the files under one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def log(self, path: str) -> bytes:
        """See `ports.RawFiles`."""
        log = self._root / f"{path}-wal"
        try:
            return await anyio.Path(log).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreError(f"cannot read {log}: {error.strerror}") from error

    async def make(self, path: str, like: str) -> None:
        """See `ports.RawFiles`."""
        file = self._root / path
        try:
            await anyio.to_thread.run_sync(_make, file, self._root / like)
        except OSError as error:
            raise StoreError(f"cannot make {file}: {error.strerror}") from error

    async def replace(self, path: str, by: str, guard: str) -> str:
        """See `ports.RawFiles`."""
        try:
            return await anyio.to_thread.run_sync(_replace, self._root, path, by, guard)
        except OSError as error:
            raise StoreError(
                f"cannot put {by} in the place of {path}: {error.strerror}; "
                "what was there lies beside it"
            ) from error


def _make(path: Path, like: Path) -> None:
    status = like.stat()
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with suppress(PermissionError):  # that is for root, whose file the server could not open
            os.fchown(file, status.st_uid, status.st_gid)
        os.fchmod(file, stat.S_IMODE(status.st_mode))
    finally:
        os.close(file)


def _replace(root: Path, path: str, by: str, guard: str) -> str:
    kept = _unused(root, path)
    folder = os.open((root / path).parent, os.O_RDONLY)
    try:
        if not (root / guard).exists():
            (root / guard).write_text("a repair was interrupted\n")
        for suffix in ("-wal", "-shm"):
            (root / f"{by}{suffix}").unlink(missing_ok=True)
        with (root / by).open("rb") as file:
            os.fsync(file.fileno())
        os.fsync(folder)
        # The file goes before its log: without that it would be an older state, and look whole.
        (root / path).rename(root / kept)
        os.fsync(folder)
        if (root / f"{path}-wal").exists():
            (root / f"{path}-wal").rename(root / f"{kept}-wal")
        (root / f"{path}-shm").unlink(missing_ok=True)
        os.fsync(folder)
        (root / by).rename(root / path)
        os.fsync(folder)
    finally:
        os.close(folder)
    return kept


def _unused(root: Path, path: str) -> str:
    """A name that none of these files has yet."""
    number = 1
    while any((root / f"{path}.{KEPT}-{number}{suffix}").exists() for suffix in ("", "-wal")):
        number += 1
    return f"{path}.{KEPT}-{number}"
