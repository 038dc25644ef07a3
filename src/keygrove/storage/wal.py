"""A file's write-ahead log, kept short by the file's own writer.

Every program that reads the file holds on to what of the log it has seen. Those of our own end
after half a minute (`ports.Databases`); for the others nothing more is written at some length.
"""

from typing import Final

from keygrove.errors import DiskFullError
from keygrove.points import buggify
from keygrove.ports import SqlDatabase
from keygrove.storage import heap

CHECKPOINT_BYTES: Final = 8 << 20
"""Between two checkpoints: longer logs make longer pauses."""
LONG_BYTES: Final = 64 << 20
"""Then a checkpoint waits a moment for those who read: many short readings, one beginning before
the other ends, would let the log grow, too."""
LOG_BYTES_MAX: Final = 248 << 20
"""Then nothing is written until somebody has stopped reading: with what is written up to the next
checkpoint, that is 256 MiB."""
ADVICE: Final = (
    "end the program that has been reading the file for long, nothing of this write was kept"
)


class Wal:
    """Counts what is written, and checkpoints: never after a write, which must not fail by that."""

    def __init__(self, writer: SqlDatabase, name: str, *, octets_max: int = LOG_BYTES_MAX) -> None:
        self._writer = writer
        self._name = f"{name}-wal"
        self._written = 0
        self._left = 0
        self._octets_max = octets_max

    def wrote(self, octets: int) -> None:
        """So much was."""
        self._written += octets

    async def room(self) -> bool:
        """Checkpoint, if it is time; whether it was.

        Raises:
            DiskFullError: the log is as long as it may be, and is being read.
        """
        is_due = self._written > CHECKPOINT_BYTES or self._left > self._octets_max
        is_due = is_due or buggify("heap.checkpoint")
        if is_due:
            await self.checkpoint()
        if self._left > self._octets_max:
            raise DiskFullError(self._name, ADVICE)
        return is_due

    async def checkpoint(self) -> bool:
        """Move the log into the file; whether all of it is there now, and on the disk."""
        self._left, self._written = await self._writer.run(heap.checkpoint), 0
        if self._left > min(LONG_BYTES, self._octets_max):
            self._left = await self._writer.run(heap.restart_log)
        return not self._left
