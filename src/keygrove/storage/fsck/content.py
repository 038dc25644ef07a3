"""All rows of a heap, looked at: level 3, and what the levels behind it read by."""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from keygrove.errors import DamagedError
from keygrove.ports import SqlDatabase
from keygrove.storage import versions
from keygrove.storage.fsck.findings import Findings, Level
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.rows import Row, seal

PAGE = 256
"""Rows at once."""
SEALED = {"head": "n", "audit": "seq", "redact": "seq", "snapshot": "name", "rollback": "name"}
"""The smaller tables, and by what their rows are named."""


async def rows(
    reader: SqlDatabase, until: int, *, after: int = 0
) -> AsyncIterator[list[tuple[int, Row | None]]]:
    """All rows behind `after` and up to `until`, oldest first; None for what is not as written."""
    for start in range(after, until, PAGE):
        yield await between(reader, start, min(start + PAGE, until))


async def between(reader: SqlDatabase, after: int, until: int) -> list[tuple[int, Row | None]]:
    """The rows on pages that can be read; those on others are sought one by one."""
    try:
        work = partial(versions.scan, after=after, until=until)
        return await reader.run(work, can_stop=True)
    except DamagedError:
        if until - after == 1:
            return [(until, None)]
        middle = (after + until) // 2
        return [*await between(reader, after, middle), *await between(reader, middle, until)]


async def check_content(reader: SqlDatabase, until: int, found: Findings, tell: Tell) -> None:
    """Is every row what was written there: its checksum, and the hash of what it holds?"""
    async for page in rows(reader, until):
        for seq, row in page:
            if row is None:
                found.add(Level.CONTENT, "heap.db", f"row {seq}", "it is not what was written")
        tell("content", page[-1][0] if page else 0, until)
    for table, number in SEALED.items():
        for where in await _broken(reader, table, number):
            found.add(Level.CONTENT, "heap.db", where, "it is not what was written")


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
