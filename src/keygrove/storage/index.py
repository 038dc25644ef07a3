"""`index.db`: derived from the heap, disposable, rebuilt when it is missing or foreign.

    scrub(seq)                     every heap row up to here was looked at in this round
    done(seq, is_settled)          every heap row up to here is reflected; and since an orderly end,
                                   nothing was written here
    origin(heap, format)           the heap it was derived from, and by which rules
    key (k, h, seq, fp, md5, sks, source)   current versions in tree-key order; k is the tree key,
                                            h the hash of what is stored
    deny(k, seq)                   what is denied, in the same order, and the row that says so
    gone(k, seq)                   what was held or denied, and neither is
    term(kind, id, fp)             what a certificate is found by (store.TermKind)
    word                           FTS5 without content; rowid is the seq of the version
    stat(name, value)              counters, so that nothing ever scans
    hour(start, inserted, updated)

A certificate's words are written by our own rules before they come here, so the FTS5
tokenizer only has to split at spaces: `ascii` takes every octet from 128 on as part of a
token, and the hyphen is named. Nothing else but letters and digits occurs in them.

The functions run on a connection's own thread. Readers see this file attached as `side`.
Source of the layout: decision record 0007.
"""

from collections.abc import Iterable, Sequence

import msgspec

from keygrove.errors import DamagedError, TooBroadError
from keygrove.ports import SqlSession
from keygrove.storage.derive import Derived, derive, digest_terms
from keygrove.storage.heap import Tip
from keygrove.storage.overlay import Entry, Found
from keygrove.storage.store import Hour
from keygrove.storage.tally import HOUR_S, HOURS_KEPT, Tally
from keygrove.storage.term import Term
from keygrove.storage.values import form, plain
from keygrove_protocols.openpgp.keys import Fingerprint

FORMAT = 6
"""To be raised with every change of this layout, or of what terms and words mean."""

POSTINGS_MAX = 200_000
"""Of all words of a search, in one shard: to look at them takes some 50 ms."""

_SCHEMA = (
    "CREATE TABLE origin (heap BLOB NOT NULL, format INTEGER NOT NULL)",
    "CREATE TABLE done (seq INTEGER NOT NULL, is_settled INTEGER NOT NULL)",
    "CREATE TABLE key (k BLOB PRIMARY KEY, h BLOB NOT NULL, seq INTEGER NOT NULL,"
    " fp BLOB NOT NULL, md5 BLOB NOT NULL, sks BLOB NOT NULL, source BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE deny (k BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE gone (k BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE term (kind INTEGER, id BLOB, fp BLOB, PRIMARY KEY (kind, id, fp)) WITHOUT ROWID",
    "CREATE VIRTUAL TABLE word USING fts5"
    "(t, content='', detail=none, columnsize=0, tokenize=\"ascii tokenchars '-'\")",
    "CREATE TABLE stat (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE hour (start INTEGER PRIMARY KEY, inserted INTEGER, updated INTEGER)",
    "CREATE TABLE scrub (seq INTEGER NOT NULL)",
    "INSERT INTO done VALUES (0, 0)",
    "INSERT INTO scrub VALUES (0)",
    "INSERT INTO stat VALUES"
    " ('certificates', 0), ('packet_bytes', 0), ('denials', 0), ('lifts', 0)",
)

_STAGES = (
    "CREATE TEMP TABLE IF NOT EXISTS asked (k BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TEMP TABLE IF NOT EXISTS new_key (k, h, seq, fp, md5, sks, source)",
    "CREATE TEMP TABLE IF NOT EXISTS new_term (kind, id, fp)",
)
"""In memory, and of the index's writer: what a transaction gathers before it is sorted in."""

_BEGIN = "BEGIN"
"""IMMEDIATE would begin to read the attached heap, too; and nobody else writes the index."""


def create(db: SqlSession, heap_uuid: bytes) -> None:
    """Lay out an empty index for this heap, if there is nothing yet."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        return
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute("INSERT INTO origin VALUES (?, ?)", (heap_uuid, FORMAT))
    db.execute("COMMIT")


class Origin(msgspec.Struct, frozen=True):
    """The heap that an index was derived from, by which rules, and how far."""

    heap: bytes
    format: int
    done: int

    def fits(self, tip: Tip) -> bool:
        """Is it the index of the heap with that end, made by today's rules?"""
        return (self.heap, self.format) == (tip.uuid, FORMAT) and self.done <= tip.seq


def origin(db: SqlSession, schema: str) -> Origin:
    """Read it. The heap grows meanwhile: look at its end afterwards.

    Raises:
        DamagedError: the index has lost it.
    """
    done = f"(SELECT seq FROM {schema}.done)"
    row = db.execute(f"SELECT heap, format, {done} FROM {schema}.origin").fetchone()
    if row is None or None in row:
        raise DamagedError("index.db is damaged: it does not say what it was derived from")
    return Origin(*row)


def is_usable(db: SqlSession, tip: Tip) -> bool:
    """Does it belong to the heap, and is it whole? If not, making it anew costs only time.

    Each page is looked at only where the last end was none in order: of a million certificates
    that takes longer than all the rest of a start.
    """
    if not origin(db, "main").fits(tip):
        return False
    is_settled: int = db.execute("SELECT is_settled FROM done").fetchone()[0]
    return bool(is_settled) or db.execute("PRAGMA main.quick_check(1)").fetchone() == ("ok",)


def settle(db: SqlSession) -> None:
    """Say that this is an end in order."""
    db.execute("UPDATE done SET is_settled = 1")


def unsettle(db: SqlSession) -> None:
    """Say that it is open: should that end by a page that cannot be read, each is looked at."""
    db.execute("UPDATE done SET is_settled = 0")


def read_tally(db: SqlSession, schema: str) -> tuple[int, Tally]:
    """How far the index is, and its counters, of one moment."""
    db.execute("BEGIN")
    stats = dict(db.execute(f"SELECT name, value FROM {schema}.stat").fetchall())
    hours = db.execute(f"SELECT start, inserted, updated FROM {schema}.hour ORDER BY start")
    tally = Tally(stats["certificates"], stats["packet_bytes"], stats["denials"], stats["lifts"])
    for start, inserted, updated in hours.fetchall():
        tally.hours[start] = Hour(start, inserted, updated)
    done = db.execute(f"SELECT seq FROM {schema}.done").fetchone()[0]
    db.execute("COMMIT")
    return done, tally


def write(db: SqlSession, entries: Sequence[Entry]) -> None:
    """Bring the index up to these entries, in a transaction. Repeating it changes nothing.

    The heap is attached as `side`: what to take out is derived from the version replaced. That
    is read before the transaction, which lasts: whoever reads the heap keeps its log from
    being emptied.

    Rows come to each table in the order of its own key, so that a page is written once; SQLite
    sorts them, because it lets other threads run meanwhile.

    Args:
        entries: the oldest first: FTS5 writes a segment whenever a row's number is not the next.
    """
    for statement in _STAGES:
        db.execute(statement)
    news = _news(db, entries)
    db.execute(_BEGIN)
    db.execute("UPDATE done SET is_settled = 0")
    for one in news:
        entry = one.entry
        if one.old is not None:
            _clear(db, entry, one.held, one.old)
        if entry.found is not None:
            _write_found(db, entry, entry.found)
        _list_in(db, "deny", entry, is_in=entry.denial is not None, was_in=one.was_denied)
        is_gone = entry.found is None and entry.denial is None
        _list_in(db, "gone", entry, is_in=is_gone, was_in=one.was_gone)
    db.execute("INSERT OR REPLACE INTO key SELECT * FROM temp.new_key ORDER BY k")
    db.execute("INSERT OR IGNORE INTO term SELECT * FROM temp.new_term ORDER BY kind, id, fp")
    for stage in ("new_key", "new_term"):
        db.execute(f"DELETE FROM temp.{stage}")
    db.execute("COMMIT")


_PLACES = ("key", "deny", "gone")
"""Each certificate that there ever was stands in one of these, or in the first two."""


class _News(msgspec.Struct, frozen=True):
    """What the index lacks of a certificate, and what it has: from which row, if it is held."""

    entry: Entry
    held: int
    old: Derived | None
    was_denied: bool
    was_gone: bool


def _news(db: SqlSession, entries: Sequence[Entry]) -> list[_News]:
    standing = [_standing(db, entries, table) for table in _PLACES]
    news: list[_News] = []
    for entry in entries:
        held, denied, gone = (rows.get(entry.key, 0) for rows in standing)
        if max(held, denied, gone) < entry.seq:
            old = _replaced(db, held) if held else None
            news.append(_News(entry, held, old, denied > 0, gone > 0))
    return news


def _standing(db: SqlSession, entries: Sequence[Entry], table: str) -> dict[bytes, int]:
    """The rows that a table has of these certificates, by tree key, each by its number."""
    db.executemany("INSERT INTO temp.asked VALUES (?)", ((entry.key,) for entry in entries))
    # CROSS: what is asked for is looked up in the table, and not the other way about.
    there = f"SELECT k, seq FROM temp.asked CROSS JOIN main.{table} USING (k)"
    found: dict[bytes, int] = dict(db.execute(there).fetchall())
    db.execute("DELETE FROM temp.asked")
    return found


def _clear(db: SqlSession, entry: Entry, held: int, old: Derived) -> None:
    """Take out what this entry has no more of the row that it was held by."""
    if old.words:
        db.execute(
            "INSERT INTO word (word, rowid, t) VALUES ('delete', ?, ?)", (held, _line(old.words))
        )
    terms = old.terms - (entry.found.terms if entry.found else frozenset())
    rows = sorted(_term_rows(terms, entry))  # the order of a set is another in each process
    db.executemany("DELETE FROM term WHERE kind = ? AND id = ? AND fp = ?", rows)
    if entry.found is None:
        db.execute("DELETE FROM key WHERE k = ?", (entry.key,))


def _list_in(db: SqlSession, table: str, entry: Entry, *, is_in: bool, was_in: bool) -> None:
    if is_in:
        db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (entry.key, entry.seq))
    elif was_in:
        db.execute(f"DELETE FROM {table} WHERE k = ?", (entry.key,))


def _replaced(db: SqlSession, seq: int) -> Derived:
    """The terms and words that the index has of a row of the heap."""
    found = db.execute(
        "SELECT flags, base, size, v, md5, sks FROM side.obj WHERE seq = ?", (seq,)
    ).fetchone()
    if found is None:
        raise DamagedError(f"row {seq}, which is in index.db, is not in heap.db any more")
    flags, base, size, v, *digests = found
    derived = derive(plain(db, "v", v, form((flags, base, size))))
    return Derived(derived.terms | digest_terms(*digests), derived.words)


def _write_found(db: SqlSession, entry: Entry, found: Found) -> None:
    if found.words:
        db.execute("INSERT INTO word (rowid, t) VALUES (?, ?)", (entry.seq, _line(found.words)))
    db.executemany("INSERT INTO temp.new_term VALUES (?, ?, ?)", _term_rows(found.terms, entry))
    stored, sks = found.digests.stored, found.digests.sks
    db.execute(
        "INSERT INTO temp.new_key VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.key, found.value, entry.seq, entry.fingerprint, stored, sks, found.source),
    )


def _term_rows(terms: frozenset[Term], entry: Entry) -> list[tuple[int, bytes, bytes]]:
    return [(term.kind.value, term.value, entry.fingerprint) for term in terms]


def finish(db: SqlSession, done: int, change: Tally) -> None:
    """Say that every heap row up to `done` is in, and add `change` to the counters."""
    db.execute(_BEGIN)
    db.executemany(
        "UPDATE stat SET value = value + ? WHERE name = ?",
        [
            (change.certificates, "certificates"),
            (change.packet_bytes, "packet_bytes"),
            (change.denials, "denials"),
            (change.lifts, "lifts"),
        ],
    )
    db.executemany(
        "INSERT INTO hour VALUES (?, ?, ?) ON CONFLICT (start) DO UPDATE SET"
        " inserted = inserted + excluded.inserted, updated = updated + excluded.updated",
        [(hour.start, hour.inserted, hour.updated) for hour in change.hours.values()],
    )
    if change.hours:
        db.execute("DELETE FROM hour WHERE start < ?", (max(change.hours) - HOURS_KEPT * HOUR_S,))
    db.execute("UPDATE done SET seq = ?, is_settled = 0", (done,))
    db.execute("COMMIT")


def values(db: SqlSession, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """Tree keys behind `after`, in order, each with the hash of what is stored there."""
    rows = db.execute("SELECT k, h FROM side.key WHERE k > ? ORDER BY k LIMIT ?", (after, limit))
    return rows.fetchall()


def scrubbed(db: SqlSession) -> int:
    """The last row of the heap that was looked at by the scrub."""
    row = db.execute("SELECT seq FROM side.scrub").fetchone()
    return 0 if row is None else row[0]


def keep_scrubbed(db: SqlSession, seq: int) -> None:
    """Write down how far the scrub is."""
    db.execute(_BEGIN)
    db.execute("UPDATE done SET is_settled = 0")
    db.execute("UPDATE scrub SET seq = ?", (seq,))
    db.execute("COMMIT")


def distrust(db: SqlSession) -> None:
    """Have the next start make the index anew."""
    db.execute("UPDATE origin SET format = 0")


def denied(db: SqlSession, after: bytes, limit: int) -> dict[bytes, int]:
    """Tree keys behind `after` of what is denied, in order, each with the row that says so."""
    rows = db.execute("SELECT k, seq FROM side.deny WHERE k > ? ORDER BY k LIMIT ?", (after, limit))
    return dict(rows.fetchall())


def denial_seq(db: SqlSession, key: bytes) -> int | None:
    """The row that denies the certificate with this tree key."""
    row = db.execute("SELECT seq FROM side.deny WHERE k = ?", (key,)).fetchone()
    return None if row is None else row[0]


def find(db: SqlSession, term: Term, limit: int) -> list[Fingerprint]:
    """The certificates that carry `term`, by fingerprint."""
    rows = db.execute(
        "SELECT fp FROM side.term WHERE kind = ? AND id = ? ORDER BY fp LIMIT ?",
        (term.kind.value, term.value, limit),
    )
    return [row[0] for row in rows.fetchall()]


def seq(db: SqlSession, key: bytes) -> int | None:
    """The row that says what the certificate is now; None where there never was one."""
    tables = ", ".join(f"(SELECT seq FROM side.{name} WHERE k = ?1)" for name in _PLACES)
    number: int | None = db.execute(f"SELECT coalesce({tables})", (key,)).fetchone()[0]
    return number


def source(db: SqlSession, key: bytes) -> bytes | None:
    """What brought the current version about; None if there is none."""
    row = db.execute("SELECT source FROM side.key WHERE k = ?", (key,)).fetchone()
    return None if row is None else row[0]


def search(
    db: SqlSession, words: Sequence[str], limit: int, postings: int = POSTINGS_MAX
) -> list[Fingerprint]:
    """The certificates that carry all of `words`. A word never reaches FTS5's own syntax.

    Raises:
        TooBroadError: of several words there are more than so many `postings`. One word alone
            is looked at until there are enough of it.
    """
    if len(words) > 1:
        for word in words:
            postings -= db.execute(_COUNT, (f'"{word}"', postings + 1)).fetchone()[0]
            if postings < 0:
                raise TooBroadError
    query = " ".join(f'"{word}"' for word in words)
    rows = db.execute(
        "SELECT obj.fp FROM side.word JOIN obj ON obj.seq = word.rowid"
        " WHERE word.word MATCH ? LIMIT ?",
        (query, limit),
    )
    return [row[0] for row in rows.fetchall()]


def has_words(db: SqlSession, seq: int, words: Iterable[str]) -> bool:
    """Is the version of that row found by all of these words?"""
    query = " ".join(f'"{word}"' for word in sorted(words))
    row = db.execute(
        "SELECT 1 FROM side.word WHERE word.word MATCH ? AND word.rowid = ?", (query, seq)
    ).fetchone()
    return row is not None


_COUNT = "SELECT count(*) FROM (SELECT 1 FROM side.word WHERE word.word MATCH ? LIMIT ?)"


def _line(words: Iterable[str]) -> str:
    return " ".join(sorted(words))
