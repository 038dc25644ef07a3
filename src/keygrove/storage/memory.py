"""The store in memory: for simulation, and the plain meaning of the contract."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from keygrove.storage.address import content_hash, tree_key
from keygrove.storage.audit import Record
from keygrove.storage.merkle import Change, Tree, blake3_256
from keygrove.storage.store import (
    AuditPage,
    Counts,
    Cursor,
    DenialPage,
    DigestPage,
    Digests,
    Head,
    Opened,
    Page,
    Version,
    Whole,
)
from keygrove.storage.tally import Tally
from keygrove.storage.term import Term, TermKind
from keygrove.storage.write import Denial, Lift, Put, Redaction, Write
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import UserIdHash


class MemoryStore:
    """See `store.CertificateStore`. What was committed lives as long as this object."""

    def __init__(self) -> None:
        self._puts: dict[Fingerprint, Put] = {}
        self._denials: dict[Fingerprint, Denial] = {}
        self._records: list[Record] = []
        self._redactions: dict[Fingerprint, Redaction] = {}
        self._changes: dict[Fingerprint, int] = {}
        self._change = 0
        self._tree = Tree(blake3_256)
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

    async def denials_of(self, fingerprints: Sequence[Fingerprint]) -> list[Denial | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [self._denials.get(name) for name in fingerprints]

    async def redactions_of(
        self, fingerprints: Sequence[Fingerprint]
    ) -> list[frozenset[UserIdHash]]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        known = [self._redactions.get(name) for name in fingerprints]
        return [frozenset() if one is None else one.user_ids for one in known]

    async def are_recorded(self, requests: Sequence[tuple[Fingerprint, bytes]]) -> list[bool]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        known = {(record.fingerprint, record.nonce) for record in self._records}
        return [request in known for request in requests]

    async def commit(
        self,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
    ) -> int:
        """See `store.CertificateStore`."""
        asked = [(record.fingerprint, record.nonce) for record in records]
        assert not any(await self.are_recorded(asked))
        self._change += 1
        self._tree = self._tree.updated(map(_change_of, writes))
        self._records += records
        self._redactions.update({one.fingerprint: one for one in redactions})
        for write in writes:
            match write:
                case Put():
                    self._put(write)
                case Denial():
                    self._deny(write)
                case Lift():
                    self._lift(write.fingerprint)
        return self._change

    def _put(self, put: Put) -> None:
        assert put.fingerprint not in self._denials
        old = self._puts.get(put.fingerprint)
        grown_bytes = put.size - (old.size if old else 0)
        self._tally.count(is_first=old is None, grown_bytes=grown_bytes, at=put.at)
        self._puts[put.fingerprint] = put
        self._changes[put.fingerprint] = self._change

    def _deny(self, denial: Denial) -> None:
        name = denial.fingerprint
        old = self._puts.pop(name, None)
        removed_bytes = None if old is None else old.size
        self._tally.deny(removed_bytes=removed_bytes, is_first=name not in self._denials)
        self._denials[name] = denial

    def _lift(self, name: Fingerprint) -> None:
        if name in self._denials:
            del self._denials[name]
            self._tally.lift()
        else:
            self._tally.remove(self._puts.pop(name).size)

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = _after(self._puts, cursor, limit)
        return Page(tuple(self._whole(name) for name in names), after)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = _after(self._puts, cursor, limit)
        puts = [self._puts[name] for name in names]
        return DigestPage(tuple(Digests(put.digest, put.sks_digest) for put in puts), after)

    async def denials(self, cursor: Cursor | None, limit: int) -> DenialPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = _after(self._denials, cursor, limit)
        return DenialPage(tuple(self._denials[name] for name in names), after)

    async def audit(self, cursor: Cursor | None, limit: int) -> AuditPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        start = int.from_bytes(cursor or b"")
        end = start + limit
        after = Cursor(end.to_bytes(8)) if end < len(self._records) else None
        return AuditPage(tuple(self._records[start:end]), after)

    def counts(self) -> Counts:
        """See `store.CertificateStore`."""
        return self._tally.counts(self._change)

    def head(self) -> Head:
        """See `store.CertificateStore`."""
        return Head(self._change, self._tree.root, len(self._tree))

    def tree(self) -> Tree:
        """See `store.CertificateStore`."""
        return self._tree

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


def _after(
    there: Iterable[Fingerprint], cursor: Cursor | None, limit: int
) -> tuple[list[Fingerprint], Cursor | None]:
    names = sorted(name for name in there if cursor is None or name > cursor)
    page = names[:limit]
    return page, Cursor(page[-1]) if len(names) > limit else None


def _carries(put: Put, term: Term) -> bool:
    if term.kind is TermKind.DIGEST:
        return term.value in {put.digest, put.sks_digest}
    return term in put.terms


def _change_of(write: Write) -> Change:
    value = content_hash(write.packets, write.aside) if isinstance(write, Put) else None
    return tree_key(write.fingerprint), value
