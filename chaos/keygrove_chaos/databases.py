"""SQLite files that tell of every statement, and fail at whichever a test names.

Failing the first statement, then the second, and so on until nothing fails any more, shows
what a crash at any point leaves behind. Source: sqlite.org/testing.html, "I/O Error Testing".
"""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias, TypeVar

import anyio
import anyio.lowlevel
import msgspec

from keygrove.ports import Databases, SqlDatabase, SqlRows, SqlSession, SqlValue

T = TypeVar("T")


class Statement(msgspec.Struct, frozen=True):
    """What was asked of which connection."""

    path: str
    is_writable: bool
    sql: str

    @property
    def is_checkpoint(self) -> bool:
        """Whether it moves a log into its file."""
        return "wal_checkpoint" in self.sql


Watch: TypeAlias = Callable[[Statement], None]
"""Told of a statement before it runs, on its connection's thread. It may raise."""


class FailAt:
    """Raises `error` at the n-th statement (from 0), and at every one after that."""

    def __init__(self, number: int, error: Exception) -> None:
        self._left = number
        self._error = error

    @property
    def has_failed(self) -> bool:
        """Whether it came to that."""
        return self._left < 0

    def __call__(self, _: Statement) -> None:
        """See `Watch`."""
        if self._left <= 0:
            self._left = -1
            raise self._error
        self._left -= 1


class Opened(msgspec.Struct, frozen=True):
    """A connection that is open."""

    path: str
    is_writable: bool
    database: SqlDatabase


def ignore(_: Statement) -> None:
    """Let it pass."""


class WatchedDatabases:
    """See `ports.Databases`: others, each of their statements shown to `watch`."""

    def __init__(self, databases: Databases, watch: Watch = ignore) -> None:
        self._databases = databases
        self.watch = watch
        self.opened: list[Opened] = []

    @property
    def engine(self) -> str:
        """See `ports.Databases`."""
        return self._databases.engine

    @asynccontextmanager
    async def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AsyncGenerator[SqlDatabase, None]:
        """See `ports.Databases`."""

        def watch(sql: str) -> None:
            self.watch(Statement(path, writable, sql))

        async with self._databases.open(path, attached=attached, writable=writable) as db:
            opened = Opened(path, writable, db)
            self.opened.append(opened)
            try:
                yield _Database(db, watch)
            finally:
                self.opened.remove(opened)

    async def is_read_only(self) -> bool:
        """See `ports.Databases`."""
        return await self._databases.is_read_only()

    async def holds(self, path: str) -> bool:
        """See `ports.Databases`."""
        return await self._databases.holds(path)

    async def secure(self, path: str) -> None:
        """See `ports.Databases`."""
        await self._databases.secure(path)

    async def remove(self, path: str) -> None:
        """See `ports.Databases`."""
        await self._databases.remove(path)


class InlineDatabase:
    """See `ports.SqlDatabase`: in memory and on whichever thread asks, so on any event loop."""

    def __init__(self, watch: Watch = ignore) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self.watch = watch

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        """See `ports.SqlDatabase`. Nobody can be cancelled meanwhile."""
        await anyio.lowlevel.checkpoint()
        try:
            return work(_Session(self._db, lambda sql: self.watch(Statement("", True, sql))))
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise

    def close(self) -> None:
        """Forget all that is in it."""
        self._db.close()


class _Database:
    def __init__(self, database: SqlDatabase, watch: Callable[[str], None]) -> None:
        self._database = database
        self._watch = watch

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        """See `ports.SqlDatabase`."""
        watched = partial(self._watched, work)
        return await self._database.run(watched, can_stop=can_stop)

    def _watched(self, work: Callable[[SqlSession], T], db: SqlSession) -> T:
        return work(_Session(db, self._watch))


class _Session:
    def __init__(self, session: SqlSession, watch: Callable[[str], None]) -> None:
        self._session = session
        self._watch = watch

    def execute(self, sql: str, values: Sequence[SqlValue] = (), /) -> SqlRows:
        """See `ports.SqlSession`."""
        self._watch(sql)
        return self._session.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable[Sequence[SqlValue]], /) -> object:
        """See `ports.SqlSession`."""
        self._watch(sql)
        return self._session.executemany(sql, rows)
