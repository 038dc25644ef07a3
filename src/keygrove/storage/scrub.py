"""Looks at every row of a heap again and again, at a pace that nobody feels.

What is never asked for rots unseen, and a copy of it that is good may be gone by the time it is
asked for. It has a connection of its own: a look-up never waits for it. Where it is stands in the
index, so that one who is often started anew comes to the end, too.
"""

from collections.abc import Callable
from functools import partial

import anyio

from keygrove.errors import DamagedError, DiskFullError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import index, versions
from keygrove.storage.fsck import content
from keygrove.storage.store import Scrubbed

SLICE_BYTES = 256 << 10
SLICE_ROWS = 256
"""To a look: a few milliseconds on its thread."""
KEPT_EVERY_BYTES = 64 << 20
START_S = 60.0
"""A start has enough to do."""
REST_S = 3600.0
"""Between two rounds: a small heap is not read all the time."""
RETRY_S = 60.0
"""After the disk was full."""


class Scrub:
    """The work on one heap."""

    def __init__(
        self,
        reader: SqlDatabase,
        indexer: SqlDatabase,
        bytes_per_s: int,
        *,
        start_s: float = START_S,
    ) -> None:
        self._reader = reader
        self._indexer = indexer
        self._bytes_per_s = bytes_per_s
        self._start_s = start_s

    async def run(self, end: Callable[[], int], tell: Callable[[Scrubbed], None]) -> None:
        """Look at all rows up to `end`, as that is then, and begin anew, for as long as this runs.

        Raises:
            StoreError: the files cannot be read any more.
        """
        await anyio.sleep(self._start_s)
        at = await self._reader.run(index.scrubbed)
        unkept = 0
        while True:
            while at < end():
                until, size = await self._slice(at, end())
                rows = await content.between(self._reader, at, until)
                tell(Scrubbed(until, tuple(versions.rotten(seq) for seq, row in rows if not row)))
                at, unkept = until, unkept + size
                if unkept >= KEPT_EVERY_BYTES:
                    await self._keep(at)
                    unkept = 0
                await anyio.sleep(size / self._bytes_per_s)
            at = 0
            await self._keep(at)
            await anyio.sleep(REST_S)

    async def _slice(self, after: int, end: int) -> tuple[int, int]:
        """Up to which row to look, and how many octets that is."""
        try:
            return await self._reader.run(partial(_slice, after=after, end=end))
        except DamagedError:
            return after + 1, 0

    async def _keep(self, at: int) -> None:
        try:
            await self._indexer.run(partial(index.keep_scrubbed, seq=at))
        except DiskFullError:
            await anyio.sleep(RETRY_S)


def _slice(db: SqlSession, after: int, end: int) -> tuple[int, int]:
    until, total = min(after + SLICE_ROWS, end), 0
    rows = db.execute(
        "SELECT seq, size FROM obj WHERE seq > ? AND seq <= ? ORDER BY seq", (after, until)
    )
    for seq, size in rows.fetchall():
        total += size
        if total >= SLICE_BYTES:
            return seq, total
    return until, total
