"""Stores that fail, or wait, when a test says so."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from keygrove.errors import DamagedError
from keygrove.storage.audit import Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.history import History
from keygrove.storage.mark import Mark
from keygrove.storage.merkle import Tree
from keygrove.storage.store import (
    AuditPage,
    CertificateStore,
    Counts,
    DenialPage,
    DigestPage,
    Opening,
    Page,
    Progress,
    Savings,
    Scrubbed,
)
from keygrove.storage.term import Term
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Redacted, Redaction, Write
from keygrove_protocols.openpgp.keys import Fingerprint

Hook: TypeAlias = Callable[[str], Awaitable[None]]
"""Told the name of an operation. It may wait, and it may raise."""


@asynccontextmanager
async def finished(
    opening: AbstractAsyncContextManager[Opening],
) -> AsyncGenerator[CertificateStore, None]:
    """A store that is up when the block begins."""
    async with opening as opened:
        yield await opened.finish()


async def _nothing(_: str) -> None:
    """Neither wait nor fail."""


class Notes:
    """See `watcher.Watcher`: keeps what it is told."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, Exception]] = []
        self.damage: list[tuple[str, DamagedError]] = []
        self.told: list[tuple[str, Progress | None]] = []

    def fault(self, where: str, error: Exception) -> None:
        """See `watcher.Watcher`."""
        self.faults.append((where, error))

    def damaged(self, shard: str, error: DamagedError) -> None:
        """See `watcher.Watcher`."""
        self.damage.append((shard, error))

    def progress(self, shard: str, progress: Progress | None) -> None:
        """See `watcher.Watcher`."""
        self.told.append((shard, progress))


class HookedStore:
    """See `store.CertificateStore`; calls hooks before and after each operation of another."""

    def __init__(
        self, store: CertificateStore, *, before: Hook = _nothing, after: Hook = _nothing
    ) -> None:
        self._store = store
        self.before = before
        self.after = after

    @property
    def is_read_only(self) -> bool:
        """See `store.CertificateStore`."""
        return self._store.is_read_only

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.CertificateStore`."""
        await self.before("get")
        found = await self._store.get(fingerprints)
        await self.after("get")
        return found

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        """See `store.CertificateStore`."""
        await self.before("get whole")
        return await self._store.get_whole(fingerprints)

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """See `store.CertificateStore`."""
        await self.before("sources")
        return await self._store.sources(fingerprints)

    async def find(self, terms: Sequence[Term], limit: int) -> list[tuple[Fingerprint, ...]]:
        """See `store.CertificateStore`."""
        await self.before("find")
        found = await self._store.find(terms, limit)
        await self.after("find")
        return found

    async def search(self, words: frozenset[str], limit: int) -> tuple[Fingerprint, ...]:
        """See `store.CertificateStore`."""
        await self.before("search")
        found = await self._store.search(words, limit)
        await self.after("search")
        return found

    async def denials_of(self, fingerprints: Sequence[Fingerprint]) -> list[Denial | None]:
        """See `store.CertificateStore`."""
        await self.before("denials of")
        return await self._store.denials_of(fingerprints)

    async def are_recorded(self, requests: Sequence[tuple[Fingerprint, bytes]]) -> list[bool]:
        """See `store.CertificateStore`."""
        await self.before("are recorded")
        return await self._store.are_recorded(requests)

    async def redactions_of(self, fingerprints: Sequence[Fingerprint]) -> list[Redacted]:
        """See `store.CertificateStore`."""
        await self.before("redactions of")
        return await self._store.redactions_of(fingerprints)

    async def commit(
        self,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        """See `store.CertificateStore`."""
        await self.before("commit")
        change = await self._store.commit(writes, records, redactions, marks)
        await self.after("commit")
        return change

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        await self.before("page")
        return await self._store.page(cursor, limit)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        await self.before("digests")
        return await self._store.digests(cursor, limit)

    async def denials(self, cursor: Cursor | None, limit: int) -> DenialPage:
        """See `store.CertificateStore`."""
        await self.before("denials")
        return await self._store.denials(cursor, limit)

    async def audit(self, cursor: Cursor | None, limit: int) -> AuditPage:
        """See `store.CertificateStore`."""
        await self.before("audit")
        return await self._store.audit(cursor, limit)

    @property
    def history(self) -> History:
        """See `store.CertificateStore`."""
        return self._store.history

    def counts(self) -> Counts:
        """See `store.CertificateStore`."""
        return self._store.counts()

    def head(self) -> Head:
        """See `store.CertificateStore`."""
        return self._store.head()

    def tree(self) -> Tree:
        """See `store.CertificateStore`."""
        return self._store.tree()

    async def upkeep(self) -> None:
        """See `store.CertificateStore`."""
        await self.before("upkeep")
        await self._store.upkeep()

    async def scrub(self, tell: Callable[[Scrubbed], None]) -> None:
        """See `store.CertificateStore`."""
        await self.before("scrub")
        await self._store.scrub(tell)

    async def compact(self) -> None:
        """See `store.CertificateStore`."""
        await self.before("compact")
        await self._store.compact()

    def savings(self) -> Savings:
        """See `store.CertificateStore`."""
        return self._store.savings()

    async def settle(self) -> None:
        """See `store.CertificateStore`."""
        await self.before("settle")
        await self._store.settle()


class HookedOpening:
    """See `store.Opening`; the store that comes of it calls the hooks, too."""

    def __init__(
        self, opening: Opening, *, before: Hook = _nothing, after: Hook = _nothing
    ) -> None:
        self._opening = opening
        self.before = before
        self.after = after

    def progress(self) -> Progress:
        """See `store.Opening`."""
        return self._opening.progress()

    def head(self) -> Head:
        """See `store.Opening`."""
        return self._opening.head()

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.Opening`."""
        await self.before("get early")
        return await self._opening.get(fingerprints)

    async def finish(self) -> CertificateStore:
        """See `store.Opening`."""
        await self.before("finish")
        store = await self._opening.finish()
        return HookedStore(store, before=self.before, after=self.after)
