"""The file system of the data directory: how much room it has, and a file that keeps some."""

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import anyio.to_thread

from keygrove.errors import DiskFullError, StoreError
from keygrove.ports import Room

T = TypeVar("T")

RESERVE = "reserve"
PAGE = bytes(4096)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system answers for want of room."""


def is_read_only(root: Path) -> bool:
    """Whether the file system is that a directory is on; not whether we may write there.

    One that is not there yet will be on that of the folder above it.
    """
    try:
        return bool(os.statvfs(root).f_flag & os.ST_RDONLY)
    except FileNotFoundError:
        if root == root.parent:
            raise
        return is_read_only(root.parent)


class DataVolume:
    """See `ports.Volume`. A file system that hangs holds up a thread, and nobody else."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._reserve = root / RESERVE

    async def measure(self) -> Room:
        """See `ports.Volume`."""
        return await self._run(self._measure)

    async def reserve(self, size_bytes: int) -> None:
        """See `ports.Volume`."""
        await self._run(partial(self._keep, size_bytes))

    async def release(self) -> None:
        """See `ports.Volume`."""
        await self._run(partial(self._reserve.unlink, missing_ok=True))

    async def sync_s(self, times: int) -> float:
        """See `ports.Volume`."""
        return await self._run(partial(self._sync_s, times))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(work)
        except OSError as error:
            if error.errno in FULL:
                raise DiskFullError(RESERVE) from error
            raise StoreError(f"the file system of {self._root}: {error.strerror}") from error

    def _measure(self) -> Room:
        found = os.statvfs(self._root)
        return Room(
            free_bytes=found.f_bavail * found.f_frsize,
            total_bytes=found.f_blocks * found.f_frsize,
            reserved_bytes=self._reserved(),
            is_read_only=bool(found.f_flag & os.ST_RDONLY),
        )

    def _reserved(self) -> int:
        try:
            return self._reserve.stat().st_size
        except FileNotFoundError:
            return 0

    def _keep(self, size_bytes: int) -> None:
        if self._reserved() == size_bytes:
            return
        self._reserve.unlink(missing_ok=True)
        file = os.open(self._reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, size_bytes)
        except OSError:
            self._reserve.unlink()
            raise
        finally:
            os.close(file)

    def _sync_s(self, times: int) -> float:
        file = os.open(self._reserve, os.O_RDWR | os.O_CLOEXEC)
        try:
            return median(_timed(file) for _ in range(times))
        finally:
            os.close(file)


def _timed(file: int) -> float:
    os.pwrite(file, PAGE, 0)
    begun = time.perf_counter()
    os.fdatasync(file)
    return time.perf_counter() - begun
