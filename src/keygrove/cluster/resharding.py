"""Another number of shards for the same certificates, and for all that is known of them.

Commits of the old shards are written anew, in one order for all, each split among the new shards
that own the certificates it is about. Rows and commits get other numbers. Everything else stays as
it is: each certificate's versions, what brought them about and when, what is denied and redacted,
the audit log. Roots are made anew for each commit.

Of different shards' commits the one with the earlier time comes first, so that a time means the
same in all of them. But what one snapshot has comes before what it has not: so each new shard
stood, after some commit, as the snapshot says. A rollback's changes are behind the snapshot that
was made for it, and that is all that its undo has to know: of which it was, nothing more is kept.

Of a shard whose history was thinned (`storage.compaction`), what is left of commits that are not
kept any more is written with the next one that is. So nothing is shown of a moment but what was.
Such a commit may be a whole day's: it is written in several transactions, and its head is in the
last. Small values are coded by the old shards' newest dictionary, and the rest is left to
compaction, which looks at all rows of a heap that is new to it.

The functions run on connections' own threads; the new heaps are written, the old ones read.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import pairwise
from operator import attrgetter
from typing import TypeVar

import msgspec

from keygrove.cluster.placement import Placement
from keygrove.cluster.rollbacks import snapshot_of
from keygrove.errors import DamagedError, DataDirError
from keygrove.ports import SqlSession
from keygrove.storage import heap, ledger, values
from keygrove.storage.audit import Record
from keygrove.storage.heap import Commit, Epoch
from keygrove.storage.mark import Snapshot
from keygrove.storage.merkle import Tree, blake3_256
from keygrove.storage.rollback import Rollback, Toll
from keygrove.storage.rows import Row, check, checksum
from keygrove.storage.values import InForce
from keygrove.storage.version import Head
from keygrove.storage.write import Redaction
from keygrove_protocols.openpgp.keys import Fingerprint

T = TypeVar("T")

PAGE = 256
"""Rows of each old shard that are held at a time."""
LOG_BYTES = 16 << 20
"""Between two checkpoints of a new heap."""


class _Change(msgspec.Struct, frozen=True):
    """A commit of an old shard that is kept, with those before it that are not; or a part of it."""

    segment: int
    """How many snapshots do not have it."""
    at: int
    shard: int
    n: int
    rows: Sequence[Row]
    records: Sequence[Record]
    redactions: Sequence[Redaction]
    is_last: bool
    """Of the parts."""


class _Cut(msgspec.Struct, frozen=True):
    """A snapshot: the last commit of each shard that it has."""

    name: str
    root: bytes
    at: int
    changes: tuple[int, ...]


def reshard(
    old: Sequence[SqlSession], new: Sequence[SqlSession], tell: Callable[[int], object]
) -> tuple[str, ...]:
    """Write what the old heaps hold to new ones, which were just laid out.

    Args:
        tell: told how many octets of rows more are written.

    Returns:
        Snapshots that some shard has not: they were never finished, or not wholly dropped, and
        are left out.

    Raises:
        DamagedError: an old heap has a row that is not what was written.
        DataDirError: two snapshots were taken at once, so that neither has all that the other has;
            or a rollback has come farther in some shards than in others, or nowhere to its end.
    """
    cuts, lost = _cuts(old)
    rollbacks = _rollbacks(old)
    targets = [_Target(db, _dictionary(old)) for db in new]
    placement = Placement(len(new))
    numbers = [_Numbers() for _ in old]
    segment = 0
    changes = merge(
        *(_changes(db, shard, cuts) for shard, db in enumerate(old)),
        key=attrgetter("segment", "at", "shard", "n"),
    )
    for change in changes:
        while segment < change.segment:
            for target in targets:
                target.mark(cuts[segment])
            segment += 1
        _split(change, placement, targets, numbers[change.shard])
        tell(sum(row.size for row in change.rows))
    for target in targets:
        for cut in cuts[segment:]:
            target.mark(cut)
        for rollback in rollbacks:
            target.keep(rollback, is_first=target is targets[0])
        heap.empty_log(target.db)
    return lost


class _Numbers:
    """The new numbers of the rows of an old shard."""

    def __init__(self) -> None:
        self._new = array("q")

    def put(self, old: int, new: int) -> None:
        missing = old + 1 - len(self._new)
        self._new.extend([0] * missing)
        self._new[old] = new

    def get(self, old: int | None) -> int | None:
        """The new number of a row before; None for none.

        Raises:
            DamagedError: there is no such row any more.
        """
        if old is None:
            return None
        new = self._new[old] if old < len(self._new) else 0
        if not new:
            raise DamagedError(f"heap.db is damaged: row {old} is gone; run keygrove fsck")
        return new


class _Target:
    """A new heap, and how far it is."""

    def __init__(self, db: SqlSession, known: InForce | None) -> None:
        self.db = db
        self._in_force = known and values.adopt(db, known.dictionary, known.share)
        self._change = 0
        self._marked: dict[str, int] = {}
        self._seq = 0
        self._tree = Tree(blake3_256)
        self._records: list[Record] = []
        self._redactions: list[Redaction] = []
        self._is_open = False
        self._log_bytes = 0

    def add(
        self,
        rows: Sequence[Row],
        numbers: _Numbers,
        records: Sequence[Record],
        redactions: Sequence[Redaction],
    ) -> None:
        """Write what belongs here of a part of a commit, whose head is still to come."""
        own: list[Row] = []
        for row in rows:
            self._seq += 1
            numbers.put(row.seq, self._seq)
            own.append(_numbered(row, self._seq, self._change + 1, numbers.get(row.old)))
        self._tree = self._tree.updated(list({row.k: row.value for row in own}.items()))
        heap.extend(self.db, own, self._in_force)
        self._records += records
        self._redactions += redactions
        self._is_open = True
        self._log_bytes += sum(row.size for row in own)
        if self._log_bytes > LOG_BYTES:
            heap.checkpoint(self.db)
            self._log_bytes = 0

    def commit(self, at: int) -> None:
        """Write the head of a commit, if anything of it belongs here."""
        if not self._is_open:
            return
        commit = Commit(
            rows=(),
            head=Head(self._change + 1, self._tree.root, len(self._tree)),
            seq=self._seq,
            at=at,
            epoch=Epoch(min(self._change, 1), 1),
            records=self._records,
            redactions=self._redactions,
        )
        heap.append(self.db, commit)
        self._change += 1
        self._records, self._redactions, self._is_open = [], [], False

    def mark(self, cut: _Cut) -> None:
        """The snapshot is of how it stands now."""
        snapshot = Snapshot(cut.name, cut.root, cut.at, self._change)
        ledger.mark(self.db, snapshot, self._change)
        self._marked[cut.name] = self._change

    def keep(self, rollback: Rollback, *, is_first: bool) -> None:
        """Write what is to be known of a rollback. What it came to is counted once."""
        until = self._marked.get(snapshot_of(rollback.name), 0)
        selector = msgspec.structs.replace(rollback.selector, after=0, until=until)
        toll = rollback.toll if is_first else Toll()
        moved = msgspec.structs.replace(rollback, selector=selector, toll=toll)
        ledger.mark(self.db, moved, self._change)


def _split(
    change: _Change, placement: Placement, targets: Sequence[_Target], numbers: _Numbers
) -> None:
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    records: defaultdict[int, list[Record]] = defaultdict(list)
    redactions: defaultdict[int, list[Redaction]] = defaultdict(list)
    for row in change.rows:
        rows[placement.shard(Fingerprint(row.fp))].append(row)
    for record in change.records:
        records[placement.shard(record.fingerprint)].append(record)
    for redaction in change.redactions:
        redactions[placement.shard(redaction.fingerprint)].append(redaction)
    for number in sorted(rows.keys() | records.keys() | redactions.keys()):
        targets[number].add(rows[number], numbers, records[number], redactions[number])
    if change.is_last:
        for target in targets:
            target.commit(change.at)


def _numbered(row: Row, seq: int, n: int, old: int | None) -> Row:
    """The same row under other numbers."""
    check(row)  # or what rotted would be given a checksum that says it did not
    moved = msgspec.structs.replace(row, seq=seq, n=n, old=old, sum=b"")
    return msgspec.structs.replace(moved, sum=checksum(msgspec.structs.astuple(moved)))


def _changes(db: SqlSession, shard: int, cuts: Sequence[_Cut]) -> Iterator[_Change]:
    """All commits of an old shard, oldest first, but for those that only marked something."""
    bounds = [cut.changes[shard] for cut in cuts]
    records, redactions = _records(db), _redactions(db)
    rows = _rows(db)
    row = next(rows, None)
    heads = db.execute("SELECT n, at FROM head ORDER BY n")
    while found := heads.fetchone():
        n, at = found
        segment = bisect_left(bounds, n)
        own: list[Row] = []
        while row is not None and row.n <= n:
            if len(own) == PAGE:
                yield _Change(segment, at, shard, n, own, (), (), is_last=False)
                own = []
            own.append(row)
            row = next(rows, None)
        change = _Change(
            segment, at, shard, n, own, _until(records, n), _until(redactions, n), is_last=True
        )
        if change.rows or change.records or change.redactions:
            yield change
    if row is not None or records or redactions:
        raise DamagedError(f"heap.db of shard {shard} is damaged: a commit has no head")


def _until(of_commits: dict[int, list[T]], last: int) -> list[T]:
    """What belongs to commits up to that one, oldest first; it is taken out."""
    found: list[T] = []
    while of_commits and (first := next(iter(of_commits))) <= last:
        found += of_commits.pop(first)
    return found


def _rows(db: SqlSession) -> Iterator[Row]:
    after = 0
    while page := heap.after(db, after, PAGE):
        for row, _ in page:
            yield row
        after = page[-1][0].seq


def _dictionary(old: Sequence[SqlSession]) -> InForce | None:
    """That of an old shard which was adopted last there, of the first that has one."""
    return next((one for db in old if (one := values.newest_dictionary(db)) is not None), None)


def _records(db: SqlSession) -> dict[int, list[Record]]:
    """Entries of the audit log by the commit they belong to."""
    changes = dict(db.execute("SELECT seq, n FROM audit").fetchall())
    found: defaultdict[int, list[Record]] = defaultdict(list)
    for seq, record in ledger.records(db, 0, len(changes)):
        found[changes[seq]].append(record)
    return found


def _redactions(db: SqlSession) -> dict[int, list[Redaction]]:
    found: defaultdict[int, list[Redaction]] = defaultdict(list)
    for n, redaction in ledger.redactions(db):
        found[n].append(redaction)
    return found


def _cuts(old: Sequence[SqlSession]) -> tuple[list[_Cut], tuple[str, ...]]:
    """The snapshots that all shards have, oldest first; the names of those that only some have.

    Raises:
        DataDirError: two of them cannot be put in an order.
    """
    of_shards = [{one.name: one for one in ledger.snapshots(db)} for db in old]
    names = set[str]().union(*of_shards)
    common = names.intersection(*of_shards)
    cuts = sorted(
        (_cut([one[name] for one in of_shards]) for name in common),
        key=lambda cut: (sum(cut.changes), cut.changes),
    )
    for earlier, later in pairwise(cuts):
        if any(a > b for a, b in zip(earlier.changes, later.changes, strict=True)):
            raise DataDirError(
                f"snapshots {earlier.name} and {later.name} were taken at the same time, and "
                "cannot both be kept: drop one of them"
            )
    return cuts, tuple(sorted(names - common))


def _cut(marks: Sequence[Snapshot]) -> _Cut:
    first = marks[0]
    return _Cut(first.name, first.root, first.at, tuple(one.change or 0 for one in marks))


def _rollbacks(old: Sequence[SqlSession]) -> list[Rollback]:
    """Those of all shards, each with what it came to in all of them.

    Raises:
        DataDirError: one is not done, or not undone, in all of them.
    """
    of_shards = [{one.name: one for one in ledger.rollbacks(db)} for db in old]
    found: list[Rollback] = []
    for name in sorted(set[str]().union(*of_shards)):
        parts = [one[name] for one in of_shards if name in one]
        if len(parts) < len(old) or any(
            one.is_due or one.stage is not parts[0].stage for one in parts
        ):
            raise DataDirError(
                f"rollback {name} is not done in all shards: start the server, and have it finished"
            )
        toll = sum((one.toll for one in parts), start=Toll())
        found.append(msgspec.structs.replace(parts[0], toll=toll))
    return found
