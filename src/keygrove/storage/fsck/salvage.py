"""A heap written anew from what can be read of one: every row as it was, but for those that rotted.

Each of these is put right if it can be (`restoring`), or else left out.
A certificate whose newest row is left out is not held any more, and its log says why: an older
version is not brought back, for what the newest added may be a revocation. A denial stands,
without its reason. Of the commits only those are kept whose roots the rows make still.

Nothing leans on another row in the new heap. Small values are coded by the dictionary that was in
force; the rest is left to compaction, which looks at all rows of a heap that is new to it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeAlias

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlDatabase, SqlSession, SqlValue
from keygrove.storage import heap
from keygrove.storage.address import tree_key
from keygrove.storage.fsck import content, fresh
from keygrove.storage.fsck.restoring import Absent, Indexed, restore, restore_dictionaries
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.fsck.wanted import Refetch
from keygrove.storage.merkle import Tree, blake3_256
from keygrove.storage.rows import Row, row_of
from keygrove.storage.sqlite_history import grown
from keygrove.storage.values import InForce, Mended
from keygrove.storage.version import Head
from keygrove.storage.write import Cause, Denial, Lift, Write
from keygrove_protocols.openpgp.keys import Fingerprint

LOST_REASON = "keygrove fsck: the reason was lost"
PAGE = 256


class End(msgspec.Struct, frozen=True):
    """How far a heap reaches, by what can be read of it."""

    uuid: bytes
    epoch: int
    seq: int
    change: int


class Lost(msgspec.Struct, frozen=True):
    """A row that could not be put right, and what is known of it all the same."""

    seq: int
    fingerprint: Fingerprint | None
    is_denial: bool


AskIndex: TypeAlias = Callable[[Callable[[int], bool]], Awaitable[Mapping[int, Indexed]]]
"""What an index says of those of its rows that are asked for."""


class HeadRow(msgspec.Struct, frozen=True, array_like=True):
    """A row of the table of commits."""

    n: int
    root: bytes
    size: int
    at: int
    seq: int
    sum: bytes


class Salvaged(msgspec.Struct):
    """What became of a heap."""

    rows: int
    """There now."""
    mended: list[int]
    """Rows put right."""
    superseded: list[int]
    """Rows left out that newer ones had replaced."""
    lost: list[Lost]
    """Rows left out that said, or may have said, what a certificate is now."""
    heads: int
    """Commits that cannot be shown any more."""
    gone: Counter[str]
    """How many rows of which other table cannot be read, or mean nothing any more."""
    unread: set[str]
    """Other tables of which nothing can be read."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost."""
        return not (self.superseded or self.lost or self.heads or self.gone or self.unread)


class Task(msgspec.Struct, frozen=True):
    """What is to be written."""

    shard: str
    uuid: bytes
    """Names the new heap, so that no index of the old one fits."""
    at: int
    """Now, in seconds UTC."""
    refetch: Refetch


class Salvage:
    """The work on one heap."""

    def __init__(self, old: SqlDatabase, new: SqlDatabase, end: End, tell: Tell) -> None:
        self._old = old
        self._new = new
        self._end = end
        self._tell = tell
        self._done = Salvaged(0, [], [], [], 0, Counter(), set())
        self._absent = Absent()

    async def run(self, task: Task, ask_index: AskIndex) -> Salvaged:
        """Write it all."""
        dictionaries = await restore_dictionaries(self._old)
        begin = partial(
            fresh.begin,
            shard=task.shard,
            uuid=task.uuid,
            epoch=self._end.epoch,
            in_force=dictionaries.newest,
        )
        in_force = await self._new.run(begin)
        for table in ("audit", "redact"):
            await self._copy_table(table, "seq")
        mended = Mended(dictionaries.mended)
        broken = await self._broken(mended)
        known = dictionaries.mended
        restored = await restore(self._old, broken, known, task.refetch, self._tell)
        self._done.mended = sorted(restored.rows)
        missing = await self._copy_rows(restored.rows, mended, in_force)
        left = restored.left
        indexed = await ask_index(lambda seq: seq in left or seq in self._absent)
        # Of rows that are not there at all most were left out by a repair before this one.
        left |= {seq: None for seq in indexed if seq not in left}
        await self._sort(left, missing, indexed)
        await self._finish(task.at, await self._copy_heads())
        await self._copy_marks()
        await self._new.run(heap.empty_log)
        return self._done

    async def _broken(self, mended: Mended) -> list[int]:
        """The rows that are not as written."""
        broken: list[int] = []
        before = 0
        async for page in content.rows(self._old, self._end.seq, mended):
            for seq, row in page:
                self._absent.add(before, seq)
                before = seq
                if row is None:
                    broken.append(seq)
            self._tell("reading", before, self._end.seq)
        self._absent.add(before, self._end.seq + 1)
        return broken

    async def _copy_rows(
        self, restored: Mapping[int, Row], mended: Mended, in_force: InForce | None
    ) -> set[int]:
        missing: set[int] = set()
        async for page in content.rows(self._old, self._end.seq, mended):
            rows = [row or restored.get(seq) for seq, row in page]
            some = [row for row in rows if row is not None]
            missing |= await self._new.run(partial(fresh.put, rows=some, in_force=in_force))
            self._done.rows += len(some)
            self._tell("writing", page[-1][0] if page else 0, self._end.seq)
        return missing

    async def _sort(
        self,
        left: Mapping[int, Indexed | None],
        missing: set[int],
        indexed: Mapping[int, Indexed],
    ) -> None:
        """What was left out: replaced since, or what a certificate was by then."""
        audited = await self._new.run(fresh.audited) if left else dict[bytes, Fingerprint]()
        keys: set[bytes] = set()
        for seq, said in sorted(left.items(), key=itemgetter(0), reverse=True):
            known = said or indexed.get(seq) or Indexed(b"", None, is_denial=False)
            newer = await self._new.run(partial(fresh.standing, key=known.key))
            is_newer = newer is not None and newer[0] > seq
            if seq in missing or is_newer or known.key in keys:
                self._done.superseded.append(seq)
                continue
            older = None if newer is None else newer[1]
            name = known.fingerprint or older or audited.get(known.key)
            self._done.lost.append(Lost(seq, name, known.is_denial))
            keys |= {known.key} - {b""}
        self._done.superseded.sort()
        self._done.lost.reverse()

    async def _copy_table(self, table: str, order: str) -> None:
        """A table in the order of its numbers, as far as it can be read."""
        end = await self._last(table, order)
        for start in range(0, end, PAGE):
            found = await self._between(table, order, start, min(start + PAGE, end))
            rows = [row for row in found if content.is_sealed(table, row)]
            self._count(table, len(found) - len(rows))
            await self._new.run(partial(fresh.copy, table=table, rows=rows))

    def _count(self, table: str, number: int) -> None:
        if number:
            self._done.gone[table] += number

    async def _last(self, table: str, order: str) -> int:
        try:
            query = f"SELECT coalesce(max({order}), 0) FROM main.{table}"
            row = await self._old.run(lambda db: db.execute(query).fetchone())
        except DamagedError:
            self._done.unread.add(table)
            return 0
        last: int = row[0]
        return last

    async def _between(
        self, table: str, order: str, after: int, until: int
    ) -> list[Sequence[SqlValue]]:
        """Rows on pages that can be read; those on others are sought one by one."""
        query = f"SELECT * FROM main.{table} WHERE {order} > ? AND {order} <= ? ORDER BY {order}"
        try:
            return await self._old.run(lambda db: db.execute(query, (after, until)).fetchall())
        except DamagedError:
            if until - after == 1:
                self._count(table, table != "head")
                return []
            middle = (after + until) // 2
            return [
                *await self._between(table, order, after, middle),
                *await self._between(table, order, middle, until),
            ]

    async def _copy_heads(self) -> fresh.Grown:
        """Those that the rows make still. Others are told, and dropped."""
        reached = fresh.Grown(Tree(blake3_256), 0, Head.empty())
        for start in range(0, self._end.change, PAGE):
            until = min(start + PAGE, self._end.change)
            for values in await self._between("head", "n", start, until):
                reached = await self._copy_head(reached, values)
            self._tell("commits", until, self._end.change)
        return reached

    async def _copy_head(self, before: fresh.Grown, values: Sequence[SqlValue]) -> fresh.Grown:
        try:
            row = msgspec.convert(values, HeadRow)
        except msgspec.ValidationError:
            self._done.heads += 1
            return before
        after = before
        if before.seq <= row.seq <= self._end.seq:
            after = await self._grown(before, row.seq)
        stands = (after.tree.root, len(after.tree), after.seq)
        if stands != (row.root, row.size, row.seq) or not content.is_sealed("head", values):
            self._done.heads += 1
            return after
        await self._new.run(partial(fresh.copy, table="head", rows=[values]))
        return fresh.Grown(after.tree, after.seq, Head(row.n, row.root, row.size))

    async def _grown(self, before: fresh.Grown, seq: int) -> fresh.Grown:
        changes = await self._new.run(partial(fresh.changes, after=before.seq, until=seq))
        return fresh.Grown(await grown(before.tree, changes), seq, before.head)

    async def _copy_marks(self) -> None:
        """Snapshots and rollbacks, as far as what they need is kept; gaps that are open."""
        keeps = {"snapshot": fresh.kept_snapshots, "rollback": self._rollbacks, "gap": fresh.gaps}
        for table, keep in keeps.items():
            try:
                rows = await self._old.run(partial(_all, table=table))
            except DamagedError:
                self._done.unread.add(table)
                continue
            whole = [row for row in rows if content.is_sealed(table, row)]
            kept = await self._new.run(partial(keep, rows=whole))
            self._count(table, len(rows) - len(kept))
            await self._new.run(partial(fresh.copy, table=table, rows=kept))

    def _rollbacks(
        self, _: SqlSession, rows: Sequence[Sequence[SqlValue]]
    ) -> list[Sequence[SqlValue]]:
        """Those that are done, and those that can be gone on with: all former states are kept."""
        return [row for row in rows if not self._done.heads or not fresh.is_due(row)]

    async def _finish(self, at: int, reached: fresh.Grown) -> None:
        """A commit of ours, where the last one there was cannot be shown any more."""
        last, change = await self._new.run(fresh.end)
        reached = await self._grown(reached, last)
        writes = [write for lost in self._done.lost if (write := _write(lost, at)) is not None]
        head = Head(reached.head.change, reached.tree.root, len(reached.tree))
        is_told = change <= reached.head.change and self._end.seq == last
        if not writes and head == reached.head and is_told:
            return
        number = max(change, reached.head.change, self._end.change) + 1
        rows: list[Row] = []
        for seq, write in enumerate(writes, self._end.seq + 1):
            place = await self._new.run(partial(fresh.place, key=tree_key(write.fingerprint)))
            rows.append(row_of(write, seq, number, place))
        tree = await grown(reached.tree, [(row.k, row.value) for row in rows])
        seq = self._end.seq + len(rows) if rows else last
        made = Head(number, tree.root, len(tree))
        await self._new.run(partial(fresh.append, rows=rows, head=made, seq=seq, at=at))
        self._done.rows += len(rows)


def _all(db: SqlSession, table: str) -> list[Sequence[SqlValue]]:
    return db.execute(f"SELECT * FROM main.{table}").fetchall()


def _write(lost: Lost, at: int) -> Write | None:
    if lost.fingerprint is None:
        return None
    if lost.is_denial:
        return Denial(lost.fingerprint, LOST_REASON, at, cause=Cause.REPAIR)
    return Lift(lost.fingerprint, at, cause=Cause.REPAIR)
