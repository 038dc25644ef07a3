"""All rows of a heap, looked at: level 3, and what the levels behind it read by."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlDatabase
from keygrove.storage import coding, values, versions
from keygrove.storage.coding import Dictionary
from keygrove.storage.fsck.findings import Findings, Level
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.rows import Row, seal
from keygrove.storage.values import Mended

PAGE = 256
"""Rows at once."""
SEALED = {
    "head": "n",
    "gap": "first",
    "audit": "seq",
    "redact": "seq",
    "snapshot": "name",
    "rollback": "name",
}
"""The smaller tables, and by what their rows are named."""


async def rows(
    reader: SqlDatabase, until: int, mended: Mended = values.AS_IT_IS
) -> AsyncIterator[list[tuple[int, Row | None]]]:
    """All rows up to `until`, oldest first; None for what is not as written."""
    for start in range(0, until, PAGE):
        yield await between(reader, start, min(start + PAGE, until), mended)


async def between(
    reader: SqlDatabase, after: int, until: int, mended: Mended = values.AS_IT_IS
) -> list[tuple[int, Row | None]]:
    """The rows on pages that can be read; those on others are sought one by one."""
    try:
        work = partial(versions.scan, after=after, until=until, mended=mended)
        return await reader.run(work, can_stop=True)
    except DamagedError:
        if until - after == 1:
            return [(until, None)]
        middle = (after + until) // 2
        return [
            *await between(reader, after, middle, mended),
            *await between(reader, middle, until, mended),
        ]


async def check_content(reader: SqlDatabase, until: int, found: Findings, tell: Tell) -> None:
    """Is every row what was written there: its checksum, and the hash of what it holds?"""
    async for page in rows(reader, until):
        for seq, row in page:
            if row is None:
                found.add(Level.CONTENT, "heap.db", f"row {seq}", "it is not what was written")
        tell("content", page[-1][0] if page else 0, until)
    for where in await _broken_dictionaries(reader):
        what = "it is not what was written, so no row can be read that is coded by it"
        found.add(Level.CONTENT, "heap.db", where, what)
    for table, number in SEALED.items():
        for where in await _broken(reader, table, number):
            found.add(Level.CONTENT, "heap.db", where, "it is not what was written")


class Listed(msgspec.Struct, frozen=True):
    """A row of the table of dictionaries, whatever it holds."""

    number: int
    name: object
    share: object
    octets: object
    dictionary: Dictionary | None
    """None if it is not what was written."""


async def dictionaries(reader: SqlDatabase) -> list[Listed]:
    """Those by which values are coded, oldest first.

    Raises:
        DamagedError: nobody can tell how many there are.
    """
    (last,) = await reader.run(lambda db: db.execute("SELECT max(id) FROM dict").fetchone())
    # None is ever deleted, so all numbers up to the last are there, or were.
    return [await _dictionary(reader, number) for number in range(1, (last or 0) + 1)]


async def _dictionary(reader: SqlDatabase, number: int) -> Listed:
    query = "SELECT h, share, v FROM dict WHERE id = ?"
    try:
        row = await reader.run(lambda db: db.execute(query, (number,)).fetchone())
    except DamagedError:
        row = None
    name, share, octets = row or (None, None, None)
    found: Dictionary | None = None
    if isinstance(octets, bytes) and isinstance(name, bytes):
        with suppress(DamagedError):
            found = coding.dictionary(octets, name)
    return Listed(number, name, share, octets, found)


async def _broken_dictionaries(reader: SqlDatabase) -> list[str]:
    try:
        there = await dictionaries(reader)
    except DamagedError:
        return ["table dict"]
    return [f"dictionary {one.number}" for one in there if one.dictionary is None]


async def _broken(reader: SqlDatabase, table: str, number: str) -> list[str]:
    """Rows of a smaller table that are not what was written."""
    try:
        rows = await reader.run(
            lambda db: db.execute(f"SELECT {number}, * FROM {table}").fetchall(), can_stop=True
        )
    except DamagedError:
        return [f"table {table}"]
    return [f"{table} {name!r}" for name, *row in rows if not is_sealed(table, row)]


def is_sealed(table: str, row: Sequence[object]) -> bool:
    """Is a row of a smaller table as it was written?"""
    first = 1 if SEALED[table] == "seq" else 0  # SQLite gives it, after the rest was summed up
    return seal(row[first:-1]) == row[-1]
