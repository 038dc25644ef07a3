"""The room on a simulated disk: the twin of `keygrove.system.volume`.

The reserve is a number of the disk, not sixteen megabytes of a file that each power cut would go
over; making it takes room, and fails, as writing the file would.
"""

import errno

import anyio

from keygrove.errors import DiskFullError, StoreError
from keygrove.ports import Room
from keygrove_chaos.disk import Mount, PowerCutError
from keygrove_chaos.disk_faults import Operation

RESERVE = "reserve"
_FULL = {errno.ENOSPC, errno.EDQUOT}


class SimulatedVolume:
    """See `ports.Volume`: for one life of a node."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self._disk = mount.disk

    async def measure(self) -> Room:
        """See `ports.Volume`."""
        await anyio.lowlevel.checkpoint()
        disk = self._disk
        return Room(
            free_bytes=disk.free_bytes,
            total_bytes=disk.total_bytes,
            reserved_bytes=disk.reserved_bytes,
            is_read_only=disk.is_read_only,
        )

    async def reserve(self, size_bytes: int) -> None:
        """See `ports.Volume`."""
        disk = self._disk
        if disk.reserved_bytes == size_bytes:
            return
        await self.release()
        self._begin(Operation.ENTRY)
        self._begin(Operation.WRITE, size_bytes)
        disk.reserved_bytes = size_bytes
        disk.end()
        await self._rest()

    async def release(self) -> None:
        """See `ports.Volume`."""
        if self._disk.reserved_bytes:
            self._begin(Operation.ENTRY)
            self._disk.reserved_bytes = 0
            self._disk.end()
        await self._rest()

    async def sync_s(self, times: int) -> float:
        """See `ports.Volume`."""
        for _ in range(times):
            self._begin(Operation.SYNC)
            self._disk.end()
        owed_s = self._disk.take_owed_s()
        await anyio.sleep(owed_s)
        return owed_s / times

    def _begin(self, operation: Operation, growth: int = 0) -> None:
        try:
            self._disk.begin(self._mount.life, operation, RESERVE, 0, growth)
            self._disk.faults.check_room(RESERVE, self._disk.used_bytes, growth)
        except PowerCutError:
            raise
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError(RESERVE) from error
            raise StoreError(f"the file system: {error.strerror}") from error

    async def _rest(self) -> None:
        await anyio.sleep(self._disk.take_owed_s())
