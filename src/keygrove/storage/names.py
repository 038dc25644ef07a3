"""The fingerprints of a heap, listed in memory: what look-ups go by while there is no index.

The list is a temporary table of the heap's own writer, which nobody else needs meanwhile. By
measurement it takes two microseconds a certificate, and an index fifty times as long.
"""

from collections.abc import Sequence
from functools import partial

from keygrove.errors import StartingError
from keygrove.ports import SqlDatabase, SqlSession
from keygrove.storage import values
from keygrove.storage.rows import Op
from keygrove.storage.values import Form
from keygrove.storage.version import Version
from keygrove_protocols.openpgp.keys import Fingerprint

SLICE = 4_096
"""Rows to a statement: a look-up waits for one at most, and so does a stop."""

_LIST = (
    "INSERT OR REPLACE INTO temp.newest SELECT fp, seq FROM obj"
    " WHERE seq > ? AND seq <= ? ORDER BY seq"
)
_GET = (
    "SELECT o.flags, o.base, o.size, o.fp, o.md5, o.v, o.n"
    " FROM temp.newest AS x JOIN obj AS o ON o.seq = x.seq WHERE x.fp = ? AND o.op = ?"
)


class Names:
    """The newest version of each certificate among the first `total` rows, by fingerprint."""

    def __init__(self, writer: SqlDatabase, total: int) -> None:
        self._writer = writer
        self._total = total
        self._is_whole = False
        self.done = 0
        """Every row up to here is listed."""

    async def take_in(self) -> None:
        """List them all. Cancelled, it goes on when called again; a whole list stays as it is."""
        await self._writer.run(_create)
        while self.done < self._total:
            until = min(self.done + SLICE, self._total)
            await self._writer.run(partial(_list, after=self.done, until=until))
            self.done = until
        self._is_whole = True

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """The current version of each certificate, in the order asked.

        Raises:
            StartingError: they are not all listed.
        """
        if not self._is_whole:
            raise StartingError
        return await self._writer.run(lambda db: [_get(db, name) for name in fingerprints])

    async def drop(self) -> None:
        """Give the memory back."""
        self._is_whole = False
        await self._writer.run(_drop)


def _create(db: SqlSession) -> None:
    db.execute(
        "CREATE TEMP TABLE IF NOT EXISTS newest"
        " (fp BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID"
    )


def _list(db: SqlSession, *, after: int, until: int) -> None:
    db.execute(_LIST, (after, until))


def _get(db: SqlSession, name: Fingerprint) -> Version | None:
    row = db.execute(_GET, (name, Op.PUT)).fetchone()
    if row is None:
        return None
    flags, base, size, fp, md5, v, change = row
    return Version(fp, md5, values.plain(db, "v", v, Form(flags, base, size)), change)


def _drop(db: SqlSession) -> None:
    db.execute("DROP TABLE IF EXISTS temp.newest")
