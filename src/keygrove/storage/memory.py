"""The store in memory: for simulation, and the plain meaning of the contract."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio

from keygrove.storage.store import (
    Counts,
    Cursor,
    DigestPage,
    Hour,
    Page,
    Put,
    Term,
    TermKind,
    Version,
)
from keygrove_protocols.openpgp.keys import Fingerprint


class MemoryStore:
    """See `store.CertificateStore`. What was committed lives as long as this object."""

    def __init__(self) -> None:
        self._puts: dict[Fingerprint, Put] = {}
        self._changes: dict[Fingerprint, int] = {}
        self._change = 0
        self._inserted: Counter[int] = Counter()
        self._updated: Counter[int] = Counter()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator["MemoryStore", None]:
        """Open it again, as after a restart."""
        yield self

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [self._version(fp) if fp in self._puts else None for fp in fingerprints]

    async def find(self, terms: Sequence[Term], limit: int) -> list[tuple[Fingerprint, ...]]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [
            tuple(sorted(fp for fp, put in self._puts.items() if _carries(put, term))[:limit])
            for term in terms
        ]

    async def search(self, words: frozenset[str], limit: int) -> tuple[Fingerprint, ...]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        found = [fp for fp, put in self._puts.items() if words and words <= put.words]
        return tuple(sorted(found)[:limit])

    async def commit(self, puts: Sequence[Put]) -> int:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        self._change += 1
        for put in puts:
            hour = put.at - put.at % 3600
            (self._updated if put.fingerprint in self._puts else self._inserted)[hour] += 1
            self._puts[put.fingerprint] = put
            self._changes[put.fingerprint] = self._change
        return self._change

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = self._after(cursor, limit)
        return Page(tuple(self._version(name) for name in names), after)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = self._after(cursor, limit)
        return DigestPage(tuple(self._puts[name].digest for name in names), after)

    def counts(self) -> Counts:
        """See `store.CertificateStore`."""
        hours = sorted(self._inserted | self._updated)
        return Counts(
            certificates=len(self._puts),
            packet_bytes=sum(len(put.packets) for put in self._puts.values()),
            change=self._change,
            hours=tuple(Hour(hour, self._inserted[hour], self._updated[hour]) for hour in hours),
        )

    async def upkeep(self) -> None:
        """Nothing lags behind in memory."""
        await anyio.sleep_forever()

    async def settle(self) -> None:
        """Nothing lags behind in memory."""

    def _version(self, name: Fingerprint) -> Version:
        put = self._puts[name]
        return Version(name, put.digest, put.packets, self._changes[name])

    def _after(self, cursor: Cursor | None, limit: int) -> tuple[list[Fingerprint], Cursor | None]:
        names = sorted(name for name in self._puts if cursor is None or name > cursor)
        page = names[:limit]
        return page, Cursor(page[-1]) if len(names) > limit else None


def _carries(put: Put, term: Term) -> bool:
    if term.kind is TermKind.DIGEST:
        return put.digest == term.value
    return term in put.terms
