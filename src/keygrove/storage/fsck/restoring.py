"""What rotted in a heap, put right where that can be: rows, and what they are coded by.

A row is found to be right again by what it says of itself (`mend`), by its packets from elsewhere,
or because what it leans on was put right.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import versions
from keygrove.storage.address import tree_key
from keygrove.storage.coding import Dictionary
from keygrove.storage.fsck.content import dictionaries
from keygrove.storage.fsck.mend import mended, mended_dictionary
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.fsck.wanted import Refetch
from keygrove.storage.rows import Op, Row, checksum
from keygrove.storage.values import V_IS_CODED, InForce, Mended
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


class Indexed(msgspec.Struct, frozen=True):
    """Of which certificate a row is."""

    key: bytes
    fingerprint: Fingerprint | None
    is_denial: bool


class Absent:
    """The numbers of no row that is there: in a heap whose history is thinned, many."""

    def __init__(self) -> None:
        self._starts = array("q")
        self._ends = array("q")

    def add(self, after: int, before: int) -> None:
        """All between these two, which are behind all that were added so far."""
        if before - after > 1:
            self._starts.append(after + 1)
            self._ends.append(before - 1)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]


class Dictionaries(msgspec.Struct, frozen=True):
    """What is left of those of a heap."""

    mended: Mapping[int, Dictionary]
    """Only those that had to be put right."""
    newest: InForce | None


class Restored(msgspec.Struct, frozen=True):
    """What became of rows that were not as written."""

    rows: Mapping[int, Row]
    left: dict[int, Indexed | None]
    """The others, and of which certificates they say that they are."""


async def restore_dictionaries(reader: SqlDatabase) -> Dictionaries:
    """Those of a heap, put right."""
    right: dict[int, Dictionary] = {}
    newest: InForce | None = None
    try:
        there = await dictionaries(reader)
    except DamagedError:
        return Dictionaries({}, None)
    for one in there:
        found = one.dictionary
        if found is None and isinstance(one.octets, bytes) and isinstance(one.name, bytes):
            found = await reader.run(
                partial(_mended_dictionary, octets=one.octets, name=one.name), can_stop=True
            )
            if found is not None:
                right[one.number] = found
        if found is not None and isinstance(one.share, float):
            newest = InForce(one.number, found, one.share)
    return Dictionaries(right, newest)


async def restore(
    reader: SqlDatabase,
    broken: Sequence[int],
    known: Mapping[int, Dictionary],
    refetch: Refetch,
    tell: Tell,
) -> Restored:
    """Put right what can be of these rows, which are in order."""
    work = _Restoring(reader, known)
    for done, seq in enumerate(reversed(broken)):  # what a row leans on stands behind it
        tell("mending", done, len(broken))
        await work.mend(seq)
    if work.wanted:
        await work.put_back(await refetch(frozenset(work.wanted.values())))
    return Restored(work.rows, work.left)


class _Restoring:
    def __init__(self, reader: SqlDatabase, known: Mapping[int, Dictionary]) -> None:
        self._reader = reader
        self._leant_on: dict[int, tuple[bytes, bytes]] = {}
        self._now = Mended(known, self._leant_on)
        self.rows: dict[int, Row] = {}
        self.left: dict[int, Indexed | None] = {}
        self.wanted: dict[int, Digest] = {}

    async def mend(self, seq: int) -> None:
        """Find what it was, by what it says of itself."""
        stored = await _raw(self._reader, seq)
        self.left[seq] = None if stored is None else _known(stored)
        if stored is None:
            return
        row = await self._reader.run(partial(_mended, stored=stored, now=self._now), can_stop=True)
        if row is not None:
            self._keep(row)
        elif (digest := _digest(stored)) is not None:
            self.wanted[seq] = digest

    async def put_back(self, found: Mapping[Digest, bytes]) -> None:
        """With these packets, and what leans on those that are right now."""
        for seq in sorted(self.left, reverse=True) if found else ():
            stored = await _raw(self._reader, seq)
            if stored is None:
                continue
            packets = found.get(self.wanted[seq]) if seq in self.wanted else None
            work = partial(_with, stored=stored, packets=packets, now=self._now)
            row = await self._reader.run(work)
            if row is not None:
                self._keep(row)

    def _keep(self, row: Row) -> None:
        self.rows[row.seq], self._leant_on[row.seq] = row, (row.v, row.aside)
        self.left.pop(row.seq, None)


async def _raw(reader: SqlDatabase, seq: int) -> tuple[object, ...] | None:
    try:
        return await reader.run(lambda db: versions.raw(db, seq))
    except DamagedError:
        return None


def _mended(db: SqlSession, stored: Sequence[object], now: Mended) -> Row | None:
    """On the connection's thread, because it takes long."""
    row = versions.intact(db, stored, now)
    return row or mended(stored, lambda other: versions.intact(db, other, now))


def _mended_dictionary(_: SqlSession, octets: bytes, name: bytes) -> Dictionary | None:
    return mended_dictionary(octets, name)


def _with(
    db: SqlSession, stored: Sequence[object], packets: bytes | None, now: Mended
) -> Row | None:
    """The row with these packets, if they are those that it held, or as it is."""
    flags, *columns, _, aside = stored
    if packets is not None and isinstance(flags, int):
        stored = (flags & ~V_IS_CODED, *columns, packets, aside)
    return versions.intact(db, stored, now)


def _digest(stored: Sequence[object]) -> Digest | None:
    """The one that it can be asked for by, if what it says of itself is as written."""
    columns, md5 = _columns(stored), stored[_AT["md5"]]
    is_named = stored[_AT["sum"]] == checksum(columns) and isinstance(md5, bytes) and md5
    return Digest(md5) if is_named and isinstance(md5, bytes) else None


def _known(stored: Sequence[object]) -> Indexed | None:
    """Of which certificate a row is, if it says so itself: its key is a hash of its name."""
    key, name, op = (stored[_AT[column]] for column in ("k", "fp", "op"))
    if not isinstance(name, bytes) or not isinstance(key, bytes) or tree_key(name) != key:
        return None
    return Indexed(key, Fingerprint(name), is_denial=op == Op.DENY)


def _columns(stored: Sequence[object]) -> tuple[object, ...]:
    return tuple(stored[2:])


_AT = {name: at for at, name in enumerate(Row.__struct_fields__, 2)}
