"""Level 1: are the files databases of ours, whole, and is nothing of their logs lost?"""

from keygrove.errors import DamagedError, StoreError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import heap, index
from keygrove.storage.fsck.findings import Findings, Level, advice_for
from keygrove.storage.fsck.wal import read_log

RESTORE = "restore the shard's folder from a backup"
REBUILD = "run `keygrove fsck --repair`, which makes it anew"
LOST = (
    "acknowledged changes may be gone; restore a backup, or load a dump that has them, then run "
    "`keygrove fsck --repair`"
)


def check_log(log: bytes, file: str, found: Findings) -> None:
    """Look at a log that nobody writes."""
    read = read_log(log)
    where = f"log behind frame {read.frames}"
    if read.is_lost:
        found.add(Level.STRUCTURE, file, where, "it cannot be read though it was written", LOST)
    elif read.is_cut:
        what = "it ends in what cannot be read: a commit that a power cut ended, or one that rotted"
        found.add(Level.STRUCTURE, file, where, what, LOST)


async def check_heap(reader: SqlDatabase, shard: str, found: Findings) -> heap.Tip | None:
    """Look at the heap; None if nothing more can be looked at."""
    try:
        tip = await reader.run(lambda db: heap.check(db, shard))
    except StoreError as error:
        found.add(Level.STRUCTURE, "heap.db", "", str(error), advice_for(error, RESTORE))
        return None
    await _check_pages(reader, "main.quick_check", "heap.db", found)
    for table in ("audit", "redact"):  # which have indexes, that a quick check passes over
        await _check_pages(reader, f"main.integrity_check({table})", "heap.db", found)
    if not await reader.run(lambda db: _has_schema(db, "main", heap.SCHEMA)):
        what = "its tables are not those that it was made with"
        found.add(Level.STRUCTURE, "heap.db", "schema", what, RESTORE)
    return tip


async def check_index(reader: SqlDatabase, tip: heap.Tip, found: Findings) -> index.Origin | None:
    """Look at the index, opened alone; None if it is none of this heap's, or damaged."""
    before = len(found.at(Level.STRUCTURE))
    try:
        origin = await reader.run(lambda db: index.origin(db, "main"))
    except StoreError as error:
        found.add(Level.STRUCTURE, "index.db", "", str(error), REBUILD)
        return None
    if origin.heap == tip.uuid and origin.done > tip.seq:
        what = f"it ends at row {tip.seq}, and its index has row {origin.done}"
        found.add(Level.STRUCTURE, "heap.db", "", what, LOST)
        return None
    if not origin.fits(tip):
        return None
    await _check_pages(reader, "main.quick_check", "index.db", found)
    return origin if len(found.at(Level.STRUCTURE)) == before else None


async def _check_pages(reader: SqlDatabase, pragma: str, file: str, found: Findings) -> None:
    advice = REBUILD if file == "index.db" else "run `keygrove fsck --repair`"
    try:
        told = await reader.run(lambda db: db.execute(f"PRAGMA {pragma}").fetchall(), can_stop=True)
    except DamagedError as error:
        told = [(str(error),)]
    for (what,) in told:
        if what != "ok":
            found.add(Level.STRUCTURE, file, "", " ".join(what.split()), advice)


def _has_schema(db: SqlSession, schema: str, statements: tuple[str, ...]) -> bool:
    rows = db.execute(f"SELECT sql FROM {schema}.sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {sql for (sql,) in rows} == set(statements)
