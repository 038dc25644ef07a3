"""`heap.db`: the truth of one shard, one transaction for each commit, which appends.

    meta(k, v)      shard ("0/4"), uuid, algorithm ("blake3"), epoch (how many wrote), coded (up to
                    which row compaction has coded what was superseded)
    obj (seq, n, op, k, h, ah, size, fp, md5, sks, source, old, cause, origin, at, denial, sum,
         flags, base, v, aside)      see rows
    dict(id, h, share, v)      dictionaries by which values are coded, named by the hash of `v`
    gap (first, last, sum)     between these rows superseded ones are still to be dropped, see
                               compaction
    head (n, root, size, at, seq, sum)      one row for each commit: the root of the shard's tree
                               (merkle) after it, the number of certificates, when, in seconds
                               UTC, and its last row of obj
    snapshot(name, n, root, at, sum)        see mark.Snapshot
    rollback(name, v, sum)                  see rollback.Rollback, in MessagePack
    audit (seq, n, who, action, effect, fp, reason, at, nonce, sum)   see audit.Record
    redact(seq, n, fp, origin, at, ids, sum)   see write.Redaction: of those with one fingerprint
                               and origin the newest row counts

`seq` numbers rows, `n` numbers commits; `op` is rows.Op; `k` is the tree key, `fp` the
fingerprint, `md5` the SKS digest, `sks` the one at SKS servers; `source` names the input that
brought it about; `old` is the seq of the row that stood there before; `cause` and `origin` are
those of write.Write; `at` seconds UTC; `sum` a checksum of the columns before it, less a `seq`
that SQLite gives; `flags` and `base` how the values are coded (values); `v` the packets in
canonical order; `aside` what is never served: the last column, so that whoever serves `v` does
not read its pages.

Of what was superseded, and of the heads, compaction drops what `retention` does not keep, and
codes what stays.

Only this file is synchronised before a commit is acknowledged: keeping every random-keyed
table out of that transaction is what makes it fast (decision record 0007). The functions run
on a connection's own thread.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from keygrove.errors import DamagedError, FencedError, StoreError, UnfitError
from keygrove.ports import SqlSession
from keygrove.storage import ledger, values
from keygrove.storage.audit import Record
from keygrove.storage.mark import Mark
from keygrove.storage.merkle import EMPTY
from keygrove.storage.rows import Place, Row, seal
from keygrove.storage.values import InForce
from keygrove.storage.version import Head
from keygrove.storage.write import Redaction

FORMAT = 5
APPLICATION_ID = 0x4B47726F
PAGE_BYTES = 8192
"""Certificates average a few kB."""
FRAME_HEADER_BYTES = 24
"""Of each page in a log. Source: sqlite.org/fileformat2.html, section 4.1."""
READERS_WAIT_MS = 500
CACHE_KIB = 8 * 1024
ALGORITHM = "blake3"
"""Of all hashes: a heap made with another is refused."""
_COLUMNS = ", ".join(f"x.{name}" for name in Row.__struct_fields__)

SCHEMA = (
    "CREATE TABLE meta (k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE obj (seq INTEGER PRIMARY KEY, n INTEGER NOT NULL, op INTEGER NOT NULL,"
    " k BLOB NOT NULL, h BLOB NOT NULL, ah BLOB NOT NULL, size INTEGER NOT NULL,"
    " fp BLOB NOT NULL, md5 BLOB NOT NULL, sks BLOB NOT NULL, source BLOB NOT NULL, old INTEGER,"
    " cause INTEGER NOT NULL, origin TEXT NOT NULL, at INTEGER NOT NULL, denial BLOB NOT NULL,"
    " sum BLOB NOT NULL, flags INTEGER NOT NULL, base INTEGER, v BLOB NOT NULL,"
    " aside BLOB NOT NULL)",
    "CREATE TABLE dict (id INTEGER PRIMARY KEY, h BLOB NOT NULL, share REAL NOT NULL,"
    " v BLOB NOT NULL)",
    "CREATE TABLE gap (first INTEGER NOT NULL, last INTEGER NOT NULL, sum BLOB NOT NULL)",
    "CREATE TABLE head (n INTEGER PRIMARY KEY, root BLOB NOT NULL, size INTEGER NOT NULL,"
    " at INTEGER NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL)",
    "CREATE TABLE snapshot (name TEXT PRIMARY KEY, n INTEGER NOT NULL, root BLOB NOT NULL,"
    " at INTEGER NOT NULL, sum BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE rollback (name TEXT PRIMARY KEY, v BLOB NOT NULL, sum BLOB NOT NULL)"
    " WITHOUT ROWID",
    # A second row for the same request is refused by the file itself.
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY, n INTEGER NOT NULL, who BLOB,"
    " action INTEGER NOT NULL, effect INTEGER NOT NULL, fp BLOB NOT NULL, reason TEXT NOT NULL,"
    " at INTEGER NOT NULL, nonce BLOB NOT NULL, sum BLOB NOT NULL, UNIQUE (fp, nonce))",
    "CREATE TABLE redact (seq INTEGER PRIMARY KEY, n INTEGER NOT NULL, fp BLOB NOT NULL,"
    " origin TEXT NOT NULL, at INTEGER NOT NULL, ids BLOB NOT NULL, sum BLOB NOT NULL)",
    "CREATE INDEX redact_fp ON redact (fp)",
)


class Tip(msgspec.Struct, frozen=True):
    """The end of a heap."""

    uuid: bytes
    seq: int
    head: Head
    epoch: int
    """How many have written it."""


def prepare(db: SqlSession, shard: str, uuid: bytes, *, durable: bool) -> Tip:
    """Make ready to write: lay out an empty file, or check what is there.

    Raises:
        StoreError: as `check`; the file is left as it is.
    """
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        check(db, shard)
        set_up(db, durable=durable)
    else:
        set_up(db, durable=durable)
        create(db, shard, uuid)
    return check(db, shard)


def set_up(db: SqlSession, *, durable: bool) -> None:
    """Choose page size and journal, of the main file only, whatever is attached.

    Raises:
        StoreError: it keeps another journal. Then a commit would end with removing a file, which
            only its folder makes durable: a power cut would take it back.
    """
    db.execute(f"PRAGMA main.page_size = {PAGE_BYTES}")
    # All rows are asked for because the statement commits behind its last one. Dropped before,
    # it would fail, and the file keep its old journal, with nobody told.
    if db.execute("PRAGMA main.journal_mode = WAL").fetchall() != [("wal",)]:
        raise StoreError("a shard's file cannot be given a write-ahead log")
    db.execute(f"PRAGMA main.synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute(f"PRAGMA main.cache_size = -{CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA main.journal_size_limit = {64 << 20}")


def create(db: SqlSession, shard: str, uuid: bytes) -> None:
    """Lay out an empty file."""
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {FORMAT}")
    for statement in SCHEMA:
        db.execute(statement)
    meta: dict[str, str | bytes | int] = {
        "shard": shard,
        "uuid": uuid,
        "algorithm": ALGORITHM,
        "epoch": 0,
        "coded": 0,
    }
    db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
    db.execute("COMMIT")


def check(db: SqlSession, shard: str) -> Tip:
    """Where the heap ends.

    Raises:
        UnfitError: as `identify`.
        DamagedError: as `identify`, or its end is not one.
    """
    uuid, epoch = identify(db, shard)
    seq, n = db.execute("SELECT seq, n FROM obj ORDER BY seq DESC LIMIT 1").fetchone() or (0, 0)
    newest = db.execute("SELECT n, root, size FROM head ORDER BY n DESC LIMIT 1").fetchone()
    head = Head(0, EMPTY, 0) if newest is None else Head(*newest)
    if n > head.change:
        raise DamagedError(f"heap.db of shard {shard} is damaged: commit {n} has no head")
    return Tip(uuid, seq, head, epoch)


def identify(db: SqlSession, shard: str) -> tuple[bytes, int]:
    """The heap's name, and how many have written it.

    Raises:
        UnfitError: it is no heap of ours, or of a newer or older program, or of another shard.
        DamagedError: it is ours, and has lost what it was made with.
    """
    if db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise UnfitError(
            f"heap.db of shard {shard} is not a file of keygrove's: name another data directory, "
            "or restore a backup"
        )
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise UnfitError(
            f"heap.db of shard {shard} has format {version}, this program knows {FORMAT}: "
            "run a newer keygrove"
        )
    if version < FORMAT:
        raise UnfitError(
            f"heap.db of shard {shard} has format {version}, which this program does not read any "
            "more: load a dump anew, into an empty data directory"
        )
    meta = dict(db.execute("SELECT k, v FROM meta").fetchall())
    if not {"shard", "uuid", "algorithm", "epoch"} <= meta.keys():
        raise DamagedError(f"heap.db of shard {shard} is damaged: it does not say whose it is")
    if meta["algorithm"] != ALGORITHM:
        raise UnfitError(
            f"heap.db of shard {shard} hashes by {meta['algorithm']!r}, this program by "
            f"{ALGORITHM}: run the keygrove that made it"
        )
    if meta["shard"] != shard:
        raise UnfitError(
            f"heap.db belongs to shard {meta['shard']}, not {shard}: "
            "put each shard's folder back in its place"
        )
    return meta["uuid"], meta["epoch"]


def place(db: SqlSession, seq: int) -> Place:
    """That row as the one that says what a certificate is now. What is stored is not read.

    Raises:
        DamagedError: it is not there, or not as it was written.
    """
    row = db.execute("SELECT seq, op, size FROM obj WHERE seq = ?", (seq,)).fetchone()
    try:
        return msgspec.convert(row, Place)
    except msgspec.ValidationError as error:
        raise DamagedError(f"heap.db is damaged: row {seq}; run keygrove fsck") from error


class Epoch(msgspec.Struct, frozen=True):
    """Who writes: the first commit of each writer gives the heap an epoch of its own."""

    found: int
    """The heap has to have this one, or another wrote it since."""
    own: int


class Commit(msgspec.Struct, frozen=True):
    """What is written in one transaction."""

    rows: Sequence[Row]
    head: Head
    """After it."""
    seq: int
    """Of the last row there is after it."""
    at: int
    """When, in seconds UTC."""
    epoch: Epoch
    records: Sequence[Record] = ()
    redactions: Sequence[Redaction] = ()
    marks: Sequence[Mark] = ()
    dictionary: InForce | None = None


def append(db: SqlSession, commit: Commit) -> int:
    """Write a commit: on the disk when this returns, if the connection is durable.

    Returns:
        The octets that its certificates take.

    Raises:
        FencedError: another wrote the heap since it was read; nothing was written.
        HistoryError: as `ledger.mark`; nothing was written.
    """
    n, root, size = msgspec.structs.astuple(commit.head)
    begin(db, commit.epoch.found)
    # One that was opened before the other's last commit, and has not written yet, would find
    # its epoch in order, and lay its rows over those.
    if db.execute("SELECT coalesce(max(n), 0) FROM head").fetchone() != (n - 1,):
        db.execute("ROLLBACK")
        raise FencedError
    if commit.epoch.own != commit.epoch.found:
        db.execute("UPDATE meta SET v = ? WHERE k = 'epoch'", (commit.epoch.own,))
    head = (n, root, size, commit.at, commit.seq)
    db.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?, ?)", (*head, seal(head)))
    stored = insert(db, commit.rows, commit.dictionary)
    ledger.record(db, commit.records, n)
    ledger.redact(db, commit.redactions, n)
    for mark in commit.marks:
        ledger.mark(db, mark, n)
    db.execute("COMMIT")
    return stored


def extend(db: SqlSession, rows: Sequence[Row], dictionary: InForce | None) -> None:
    """Write rows of a commit whose head `append` writes later: to a heap that counts for nobody."""
    db.execute("BEGIN IMMEDIATE")
    insert(db, rows, dictionary)
    db.execute("COMMIT")


def begin(db: SqlSession, *epochs: int) -> None:
    """Begin a transaction of the writer that found one of these epochs, or gave it.

    Raises:
        FencedError: as `append`.
    """
    db.execute("BEGIN IMMEDIATE")
    (epoch,) = db.execute("SELECT v FROM meta WHERE k = 'epoch'").fetchone()
    if epoch not in epochs:
        db.execute("ROLLBACK")
        raise FencedError


def _stored(row: Row, dictionary: InForce | None) -> tuple[Any, ...]:
    """The columns of a row, whatever their types."""
    *columns, v, aside = msgspec.structs.astuple(row)
    return (*columns, *msgspec.structs.astuple(values.coded(v, aside, dictionary)))


def insert(db: SqlSession, rows: Sequence[Row], dictionary: InForce | None = None) -> int:
    """Write rows, within a transaction; the octets that their values take."""
    stored = [_stored(row, dictionary) for row in rows]
    marks = ", ".join("?" * (len(Row.__struct_fields__) + 2))
    db.executemany(f"INSERT INTO obj VALUES ({marks})", stored)
    return sum(len(v) + len(aside) for *_, v, aside in stored)


def after(db: SqlSession, seq: int, limit: int) -> list[tuple[Row, Place | None]]:
    """The rows behind `seq`, oldest first, each with the one that it replaced.

    Raises:
        DamagedError: one of them has values that no row is written with.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS}, x.flags, x.base, x.size, o.seq, o.op, o.size"
        " FROM obj AS x LEFT JOIN obj AS o ON o.seq = x.old WHERE x.seq > ? ORDER BY x.seq LIMIT ?",
        (seq, limit),
    )
    try:
        return [(_row(db, row[:-6], row[-6:-3]), _place(*row[-3:])) for row in rows.fetchall()]
    except msgspec.ValidationError as error:
        raise DamagedError(f"heap.db is damaged behind row {seq}: {error}") from error


def _row(db: SqlSession, columns: tuple[Any, ...], form: tuple[Any, ...]) -> Row:
    """A row from its columns, whatever their types are, decoded."""
    *front, v, aside = columns
    how = values.form(form)
    v, aside = values.plain(db, "v", v, how), values.plain(db, "aside", aside, how)
    return msgspec.convert((*front, v, aside), Row)


def _place(seq: int | None, op: int | None, size: int | None) -> Place | None:
    return None if seq is None else msgspec.convert((seq, op, size), Place)


def checkpoint(db: SqlSession) -> int:
    """Move the log into the file, as far as nobody reads it.

    Of the main file only: without its name the pragma would checkpoint attached ones, too.

    Returns:
        Octets of the log, if not all of it is in the file now; else 0.
    """
    return _left(db, "PRAGMA main.wal_checkpoint(PASSIVE)")


def restart_log(db: SqlSession) -> int:
    """Move the log into the file, and wait a moment for those who read what is older.

    Whoever begins to read meanwhile is not waited for.

    Returns:
        As `checkpoint`.
    """
    db.execute(f"PRAGMA busy_timeout = {READERS_WAIT_MS}")
    try:
        return _left(db, "PRAGMA main.wal_checkpoint(RESTART)")
    finally:
        db.execute("PRAGMA busy_timeout = 0")


def empty_log(db: SqlSession) -> int:
    """Move the log into the file and empty it, or as much of that as nobody's reading prevents.

    Returns:
        As `checkpoint`.
    """
    return _left(db, "PRAGMA main.wal_checkpoint(TRUNCATE)")


def _left(db: SqlSession, pragma: str) -> int:
    ((_, frames, moved),) = db.execute(pragma).fetchall()
    return 0 if moved == frames else frames * (PAGE_BYTES + FRAME_HEADER_BYTES)
