"""Level 2: is the index what follows from the rows of the heap, and nothing more?

Of a heap and an index that nobody writes. What is derived from a certificate's packets is
looked up piece by piece, and the totals show that there is nothing beside it.
"""

from functools import partial

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import index, versions
from keygrove.storage.derive import derive, digest_terms
from keygrove.storage.fsck.findings import FINDINGS_MAX, Findings, Level
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.rows import Op
from keygrove.storage.tally import HOUR_S

PAGE = 256
ADVICE = "run `keygrove fsck --repair`, which makes the index anew"

_NEWEST = (
    "CREATE TEMP TABLE newest (k BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO temp.newest SELECT k, max(seq) FROM main.obj WHERE seq <= ? GROUP BY k",
)
_SAME = " AND ".join(f"x.{name} IS o.{name}" for name in ("h", "seq", "fp", "md5", "sks", "source"))
_ROWS = "FROM temp.newest AS n JOIN main.obj AS o ON o.seq = n.seq"
_DIFFERING = (
    f"SELECT n.seq {_ROWS} LEFT JOIN side.key AS x ON x.k = n.k WHERE o.h != x'' AND NOT"
    f" (x.k IS NOT NULL AND {_SAME}) LIMIT ?",
    f"SELECT x.seq FROM side.key AS x WHERE NOT EXISTS (SELECT 1 {_ROWS} WHERE n.k = x.k"
    " AND o.h != x'') LIMIT ?",
)
_LISTED = {"deny": f"o.op = {Op.DENY:d}", "gone": f"o.op = {Op.LIFT:d} AND o.h = x''"}
_COUNTED = (
    f"SELECT coalesce(sum(o.h != x''), 0), coalesce(sum(o.size), 0), coalesce(sum(o.op = ?), 0)"
    f" {_ROWS}"
)
_PER_HOUR = (
    "SELECT y.start FROM side.hour AS y JOIN (SELECT x.at - x.at % ? AS start,"
    " sum(coalesce(o.size, 0) = 0) AS inserted, sum(coalesce(o.size, 0) != 0) AS updated"
    " FROM main.obj AS x LEFT JOIN main.obj AS o ON o.seq = x.old"
    " WHERE x.op = ? AND x.seq <= ? GROUP BY 1) AS z ON z.start = y.start WHERE"
)
_HOURS = f"{_PER_HOUR} (y.inserted, y.updated) IS NOT (z.inserted, z.updated)"
_HOURS_THINNED = f"{_PER_HOUR} y.inserted + y.updated < z.inserted + z.updated"
"""Where rows were dropped since, and others say that they came behind what was there before."""
_IS_THINNED = "SELECT count(*) < ? FROM main.obj WHERE seq <= ?"
_POSTINGS = "CREATE VIRTUAL TABLE temp.postings USING fts5vocab(side, word, row)"


class _Derived(msgspec.Struct):
    """What the certificates looked at so far have."""

    terms: int = 0
    words: int = 0
    certificates: int = 0
    is_whole: bool = True
    """None of them was left out because it rotted."""


async def check_index(reader: SqlDatabase, done: int, found: Findings, tell: Tell) -> None:
    """Compare the index, attached as `side`, with the rows up to `done`, which it reflects."""
    tell("index", 0, 0)
    await reader.run(partial(_list_newest, done=done), can_stop=True)
    for where, what in await reader.run(partial(_compare, done=done), can_stop=True):
        found.add(Level.INDEX, "index.db", where, what, ADVICE)
    derived, after = _Derived(), b""
    (total,) = await reader.run(
        lambda db: db.execute("SELECT count(*) FROM temp.newest").fetchone()
    )
    while True:
        page = await reader.run(partial(_page, after=after), can_stop=True)
        if not page:
            break
        after = page[-1][0]
        for where, what in await _looked_up(reader, page, derived):
            found.add(Level.INDEX, "index.db", where, what, ADVICE)
        tell("index", derived.certificates, total)
    if derived.is_whole:
        for where, what in await reader.run(partial(_count, derived=derived), can_stop=True):
            found.add(Level.INDEX, "index.db", where, what, ADVICE)


async def _looked_up(
    reader: SqlDatabase, page: list[tuple[bytes, int]], derived: _Derived
) -> list[tuple[str, str]]:
    """Terms and words of some certificates; those on pages that cannot be read are left out."""
    before = msgspec.structs.astuple(derived)
    try:
        return await reader.run(partial(_look_up, page=page, derived=derived))
    except DamagedError:
        derived.terms, derived.words, derived.certificates, _ = before
        if len(page) == 1:
            derived.is_whole = False
            return []
        middle = len(page) // 2
        return [
            *await _looked_up(reader, page[:middle], derived),
            *await _looked_up(reader, page[middle:], derived),
        ]


def _list_newest(db: SqlSession, done: int) -> None:
    create, fill = _NEWEST
    db.execute("DROP TABLE IF EXISTS temp.newest")
    db.execute(create)
    db.execute(fill, (done,))


def _compare(db: SqlSession, done: int) -> list[tuple[str, str]]:
    """Tables of which each row follows from one of the heap."""
    found: list[tuple[str, str]] = []
    for query, what in zip(_DIFFERING, ("lacks", "has"), strict=True):
        for (seq,) in db.execute(query, (FINDINGS_MAX,)).fetchall():
            found.append(("table key", f"it {what} what does not follow from row {seq}"))
    for table, listed in _LISTED.items():
        query = (
            f"SELECT seq FROM (SELECT n.k, n.seq {_ROWS} WHERE {listed} EXCEPT"
            f" SELECT k, seq FROM side.{table}) UNION SELECT seq FROM (SELECT k, seq FROM"
            f" side.{table} EXCEPT SELECT n.k, n.seq {_ROWS} WHERE {listed}) LIMIT ?"
        )
        for (seq,) in db.execute(query, (FINDINGS_MAX,)).fetchall():
            found.append((f"table {table}", f"it differs from row {seq} of heap.db"))
    names = ("certificates", "packet_bytes", "denials")
    expected = dict(zip(names, db.execute(_COUNTED, (Op.DENY,)).fetchone(), strict=True))
    counters = dict(db.execute("SELECT name, value FROM side.stat").fetchall())
    for name in names:
        if counters.get(name) != expected[name]:
            what = f"it says {counters.get(name)}, and heap.db has {expected[name]}"
            found.append((f"counter {name}", what))
    # One that only one side has may have been dropped for its age.
    (is_thinned,) = db.execute(_IS_THINNED, (done, done)).fetchone()
    hours = _HOURS_THINNED if is_thinned else _HOURS
    for (start,) in db.execute(hours, (HOUR_S, Op.PUT, done)).fetchall():
        found.append((f"hour {start}", "its counters are not those of its rows"))
    return found


def _page(db: SqlSession, after: bytes) -> list[tuple[bytes, int]]:
    return db.execute(
        "SELECT k, seq FROM temp.newest WHERE k > ? ORDER BY k LIMIT ?", (after, PAGE)
    ).fetchall()


def _look_up(
    db: SqlSession, page: list[tuple[bytes, int]], derived: _Derived
) -> list[tuple[str, str]]:
    """Terms and words of some certificates."""
    found: list[tuple[str, str]] = []
    for _, seq in page:
        derived.certificates += 1
        ((_, row),) = versions.scan(db, seq - 1, seq)
        if row is None:
            derived.is_whole = False
            continue
        if not row.v:
            continue
        what = derive(row.v)
        terms = what.terms | digest_terms(row.md5, row.sks)
        derived.terms += len(terms)
        derived.words += len(what.words)
        name = f"certificate {row.fp.hex().upper()}"
        for term in terms:
            query = "SELECT count(*) FROM side.term WHERE kind = ? AND id = ? AND fp = ?"
            if db.execute(query, (term.kind.value, term.value, row.fp)).fetchone() != (1,):
                found.append((name, f"it is not found by its {term.kind.name.lower()}"))
        if what.words and not index.has_words(db, seq, what.words):
            found.append((name, "it is not found by its words"))
    return found


def _count(db: SqlSession, derived: _Derived) -> list[tuple[str, str]]:
    """Is there more than was looked up?"""
    db.execute("DROP TABLE IF EXISTS temp.postings")
    db.execute(_POSTINGS)
    (terms,) = db.execute("SELECT count(*) FROM side.term").fetchone()
    (words,) = db.execute("SELECT coalesce(sum(doc), 0) FROM temp.postings").fetchone()
    pairs = (("term", terms, derived.terms), ("word", words, derived.words))
    return [
        (f"table {name}", f"it has {there:,} entries, and the certificates have {expected:,}")
        for name, there, expected in pairs
        if there != expected
    ]
