"""The work on a shard's history that has time: see `compaction` and `training` for what it does.

Once a minute what has to be done is found out by a connection of its own, so that nobody's
reading waits for that, and done by the heap's writer in small transactions, with pauses between
them: a commit waits for one of these at most. A full disk ends it until the next time.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeAlias, TypeVar

import anyio

from keygrove.errors import DamagedError, DiskFullError
from keygrove.points import buggify, crash_point, sometimes
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import compaction, retention, training
from keygrove.storage.compaction import Done, Slice
from keygrove.storage.follower import Follower
from keygrove.storage.heap import PAGE_BYTES, Epoch
from keygrove.storage.retention import Gap, Moment, Retention
from keygrove.storage.store import Savings
from keygrove.storage.values import InForce
from keygrove.storage.wal import Wal

T = TypeVar("T")

EVERY_S: Final = 60.0
SOON_S: Final = 2.0
PAUSE_S: Final = 0.02
"""As long as a transaction takes, or longer."""
SHORT: Final = Retention(all_s=20, fine_s=60, fine_period_s=5, coarse_period_s=20)
"""For simulated minutes."""
PAGES: Final = 4
"""Of the log, for each row that changes."""
CHECK_ROWS: Final = 1_000
"""New ones, until a look at the dictionary is worth the while."""

OpenReader: TypeAlias = Callable[[], AbstractAsyncContextManager[SqlDatabase]]


COMMIT_BYTES: Final = 2 * PAGE_BYTES
"""Of the log, besides what is stored: the last pages of two tables are written anew each time."""


class Compactor:
    """Keeps one heap's history to what is to be kept, and small."""

    def __init__(
        self,
        writer: SqlDatabase,
        open_reader: OpenReader,
        follower: Follower,
        in_force: InForce | None,
        *,
        retention: Retention,
    ) -> None:
        self.writer = writer
        self.wal = Wal(writer, "heap.db")
        self._open_reader = open_reader
        self._follower = follower
        self._retention = retention
        self.in_force = in_force
        self._done = Done()
        self._plain = self._stored = 0
        self._usual = 1.0 if in_force is None else in_force.share
        self._judged = 0

    def wrote(self, plain: int, stored: int) -> None:
        """A commit was written: so many octets of certificates, and what they take."""
        self._plain += plain
        self._stored += stored
        self.wal.wrote(plain + COMMIT_BYTES)

    def savings(self) -> Savings:
        """What was done so far."""
        done = self._done
        return Savings(
            self._plain, self._stored, done.dropped, done.deltas, done.saved, done.damaged
        )

    async def forever(self, epoch: Callable[[], Epoch]) -> None:
        """Do it again and again.

        Raises:
            FencedError: another writes the heap now.
            StoreError: SQLite cannot go on with it.
        """
        while True:
            # What was superseded by then is read by nobody any more after such a pause.
            secured = self._follower.secured
            is_soon = buggify("compaction.soon")
            await anyio.sleep(SOON_S if is_soon else EVERY_S)
            try:
                await self.once(epoch, secured, SHORT if is_soon else None)
            except DiskFullError:
                continue  # until the next time
            except DamagedError:
                self._done.damaged += 1  # nothing is dropped by what is not what was written

    async def once(
        self, epoch: Callable[[], Epoch], secured: int, retention: Retention | None = None
    ) -> None:
        """Do all there is to do now.

        Args:
            epoch: of the one who writes the heap.
            secured: up to this row the index is on the disk: no row above is touched.
            retention: in place of the store's own.

        Raises:
            DamagedError: what tells which moments are kept is not what was written.
            DiskFullError: there is no room; what was done is done.
            StoreError: as `forever`.
        """
        kept = retention or self._retention
        async with self._open_reader() as reader:
            await self._judge(reader, epoch)
            old = await self._forget(reader, epoch, secured, kept)
            await self._drop(reader, epoch)
            await self._code(reader, epoch, old)

    async def _judge(self, reader: SqlDatabase, epoch: Callable[[], Epoch]) -> None:
        if self._follower.newest < self._judged + CHECK_ROWS:
            return
        self._judged = self._follower.newest
        judge = partial(training.judge, in_force=self.in_force, usual=self._usual)
        verdict = await reader.run(judge)
        if verdict is None:
            return
        if verdict.better is None:
            self._usual = max(self._usual, verdict.share) if self.in_force else 1.0
            return
        adopt = partial(
            compaction.adopt,
            dictionary=verdict.better,
            share=verdict.better_share,
            epochs=_of(epoch),
        )
        self.in_force, self._usual = await self._write(adopt, 1), verdict.better_share

    async def _forget(
        self, reader: SqlDatabase, epoch: Callable[[], Epoch], secured: int, kept: Retention
    ) -> int:
        """Returns the last row of those moments that are not kept one and all."""
        moments, now, named = await reader.run(partial(compaction.moments, done=secured))
        for gap in retention.gaps(moments, now, named, kept):
            left: Gap | None = gap
            while left is not None:
                work = partial(compaction.forget, gap=left, epochs=_of(epoch))
                left = await self._write(work, len(left.dropped[: compaction.HEADS]) // 8 + 1)
        return max((one.seq for one in moments if _is_old(one, now, kept)), default=0)

    async def _drop(self, reader: SqlDatabase, epoch: Callable[[], Epoch]) -> None:
        while gap := await reader.run(compaction.next_gap):
            number, first, last = gap
            after = first
            while pairs := await reader.run(
                partial(compaction.superseded, first=first, last=last, after=after)
            ):
                work = partial(
                    compaction.drop, pairs=pairs, epochs=_of(epoch), in_force=self.in_force
                )
                part = await self._write(work, len(pairs))
                self._count(part)
                after = pairs[part.pairs - 1].newer
            close = partial(compaction.close_gap, number=number, epochs=_of(epoch))
            await self._write(close, 1)

    async def _code(self, reader: SqlDatabase, epoch: Callable[[], Epoch], last: int) -> None:
        reached = await reader.run(compaction.coded_up_to)
        while reached < last:
            pairs, end = await reader.run(partial(compaction.to_code, after=reached, last=last))
            work = partial(compaction.code, pairs=pairs, last=end, epochs=_of(epoch))
            part = await self._write(work, len(pairs) + 1)
            self._count(part)
            reached = end if part.pairs == len(pairs) else pairs[part.pairs - 1].newer

    def _count(self, part: Slice) -> None:
        self._done.add(part.done)
        if part.done.dropped:
            sometimes("compaction.dropped")
        if part.done.deltas:
            sometimes("compaction.coded")

    async def _write(self, work: Callable[[SqlSession], T], rows: int) -> T:
        """Have the writer do something in a transaction of its own, and let others have a turn."""
        await self.wal.room()
        found = await self.writer.run(work)
        self.wal.wrote(rows * PAGES * PAGE_BYTES)
        crash_point("compaction")
        await anyio.sleep(PAUSE_S)
        return found


def _of(epoch: Callable[[], Epoch]) -> tuple[int, int]:
    one = epoch()
    return one.found, one.own


def _is_old(one: Moment, now: int, kept: Retention) -> bool:
    return one.at <= now - kept.all_s
