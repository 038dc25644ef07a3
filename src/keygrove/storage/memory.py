"""The store in memory: for simulation, and the plain meaning of the contract."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from keygrove.storage.store import (
    Counts,
    Cursor,
    DigestPage,
    Digests,
    Opened,
    Page,
    Put,
    Term,
    TermKind,
    Version,
    Whole,
)
from keygrove.storage.tally import Tally
from keygrove_protocols.openpgp.keys import Fingerprint


class MemoryStore:
    """See `store.CertificateStore`. What was committed lives as long as this object."""

    def __init__(self) -> None:
        self._puts: dict[Fingerprint, Put] = {}
        self._changes: dict[Fingerprint, int] = {}
        self._change = 0
        self._tally = Tally()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Opened, None]:
        """Open it again, as after a restart."""
        yield Opened(self)

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [self._version(fp) if fp in self._puts else None for fp in fingerprints]

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [self._whole(fp) if fp in self._puts else None for fp in fingerprints]

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [self._puts[fp].source if fp in self._puts else None for fp in fingerprints]

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
            old = self._puts.get(put.fingerprint)
            grown_bytes = put.size - (old.size if old else 0)
            self._tally.count(is_first=old is None, grown_bytes=grown_bytes, at=put.at)
            self._puts[put.fingerprint] = put
            self._changes[put.fingerprint] = self._change
        return self._change

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = self._after(cursor, limit)
        return Page(tuple(self._whole(name) for name in names), after)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = self._after(cursor, limit)
        puts = [self._puts[name] for name in names]
        return DigestPage(tuple(Digests(put.digest, put.sks_digest) for put in puts), after)

    def counts(self) -> Counts:
        """See `store.CertificateStore`."""
        return self._tally.counts(self._change)

    async def upkeep(self) -> None:
        """Nothing lags behind in memory."""
        await anyio.sleep_forever()

    async def settle(self) -> None:
        """Nothing lags behind in memory."""

    def _version(self, name: Fingerprint) -> Version:
        put = self._puts[name]
        return Version(name, put.digest, put.packets, self._changes[name])

    def _whole(self, name: Fingerprint) -> Whole:
        put, change = self._puts[name], self._changes[name]
        return Whole(name, put.digest, put.packets, change, put.sks_digest, put.aside, put.source)

    def _after(self, cursor: Cursor | None, limit: int) -> tuple[list[Fingerprint], Cursor | None]:
        names = sorted(name for name in self._puts if cursor is None or name > cursor)
        page = names[:limit]
        return page, Cursor(page[-1]) if len(names) > limit else None


def _carries(put: Put, term: Term) -> bool:
    if term.kind is TermKind.DIGEST:
        return term.value in {put.digest, put.sks_digest}
    return term in put.terms
