"""The store in memory: for simulation, and the plain meaning of the contract."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from copy import copy

import anyio
import anyio.lowlevel
import msgspec

from keygrove.errors import FencedError
from keygrove.storage.address import tree_key
from keygrove.storage.audit import Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Mark
from keygrove.storage.memory_history import NOTHING, MemoryHistory, Moment, State, version, whole
from keygrove.storage.merkle import Tree
from keygrove.storage.store import (
    AuditPage,
    Counts,
    DenialPage,
    DigestPage,
    NamedDigests,
    Opened,
    Page,
    Savings,
    Scrubbed,
)
from keygrove.storage.tally import Tally
from keygrove.storage.term import Term, TermKind
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Lift, Put, Redacted, Redaction, Write
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash


class MemoryStore:
    """See `store.CertificateStore`. What was committed lives as long as this object."""

    def __init__(self) -> None:
        self._states: dict[Fingerprint, State] = {}
        self._records: list[Record] = []
        self._redactions: dict[Fingerprint, dict[str, frozenset[PartHash]]] = {}
        self._tally = Tally()
        self._history = MemoryHistory()
        self._change = 0

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Opened, None]:
        """Open it again, as after a restart: another store of what is in this one."""
        another = copy(self)
        another._change = self._history.newest.head.change  # noqa: SLF001 - a copy of our own
        yield Opened(another)

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [version(name, self._state(name)) for name in fingerprints]

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [whole(name, self._state(name)) for name in fingerprints]

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        held = [self._state(name).held for name in fingerprints]
        return [None if put is None else put.source for put in held]

    async def find(self, terms: Sequence[Term], limit: int) -> list[tuple[Fingerprint, ...]]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        held = self._held()
        return [
            tuple(sorted(fp for fp, put in held.items() if _carries(put, term))[:limit])
            for term in terms
        ]

    async def search(self, words: frozenset[str], limit: int) -> tuple[Fingerprint, ...]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        found = [fp for fp, put in self._held().items() if words and words <= put.words]
        return tuple(sorted(found)[:limit])

    async def denials_of(self, fingerprints: Sequence[Fingerprint]) -> list[Denial | None]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [self._state(name).denial for name in fingerprints]

    async def redactions_of(self, fingerprints: Sequence[Fingerprint]) -> list[Redacted]:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        return [Redacted(dict(self._redactions.get(name, {}))) for name in fingerprints]

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
        marks: Sequence[Mark] = (),
    ) -> int:
        """See `store.CertificateStore`."""
        asked = [(record.fingerprint, record.nonce) for record in records]
        assert not any(await self.are_recorded(asked))
        if self._history.newest.head.change != self._change:
            raise FencedError
        self._change += 1
        self._records += records
        for one in redactions:
            by_origin = self._redactions.setdefault(one.fingerprint, {})
            by_origin.pop(one.origin, None)
            if one.parts:
                by_origin[one.origin] = one.parts
        logged = [self._write(write) for write in writes]
        changes = [(tree_key(one.fingerprint), one.after) for one in logged]
        tree = self.tree().updated(changes)
        head = Head(self._change, tree.root, len(tree))
        at = max(one.at for part in (writes, records, redactions, marks) for one in part)
        self._history.add(Moment(head, tree, at, dict(self._states)), logged, marks)
        return self._change

    def _write(self, write: Write) -> Logged:
        before = self._state(write.fingerprint)
        match write:
            case Put():
                assert before.denial is None
                after = State(self._change, write)
                self._tally.count_put(is_first=before.held is None, at=write.at)
            case Denial():
                denial = msgspec.structs.replace(write, held=None)
                after = State(self._change, write.held, denial)
            case Lift():
                after = State(self._change, write.held)
        self._tally.count(before.standing, after.standing)
        self._states[write.fingerprint] = after
        return after.logged(write, before)

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        names, after = _after(self._held(), cursor, limit)
        found = [whole(name, self._states[name]) for name in names]
        return Page(tuple(one for one in found if one is not None), after)

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        held = self._held()
        names, after = _after(held, cursor, limit)
        return DigestPage(tuple(self._named(held[name]) for name in names), after)

    def _named(self, put: Put) -> NamedDigests:
        is_denied = self._state(put.fingerprint).denial is not None
        return NamedDigests(put.digest, put.sks_digest, put.fingerprint, is_denied)

    async def denials(self, cursor: Cursor | None, limit: int) -> DenialPage:
        """See `store.CertificateStore`."""
        await anyio.lowlevel.checkpoint()
        denied = {name: one.denial for name, one in self._states.items() if one.denial}
        names, after = _after(denied, cursor, limit)
        return DenialPage(tuple(denied[name] for name in names), after)

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
        return self._history.newest.head

    def tree(self) -> Tree:
        """See `store.CertificateStore`."""
        return self._history.newest.tree

    @property
    def history(self) -> MemoryHistory:
        """See `store.CertificateStore`."""
        return self._history

    is_read_only = False

    async def upkeep(self) -> None:
        """Nothing lags behind in memory."""
        await anyio.sleep_forever()

    async def scrub(self, tell: Callable[[Scrubbed], None]) -> None:
        """Nothing rots in memory, as far as anybody could tell."""
        await anyio.sleep_forever()

    async def compact(self) -> None:
        """All is kept in memory."""
        await anyio.sleep_forever()

    def savings(self) -> Savings:
        """Nothing is saved in memory."""
        return Savings()

    async def settle(self) -> None:
        """Nothing lags behind in memory."""

    def _state(self, name: Fingerprint) -> State:
        return self._states.get(name, NOTHING)

    def _held(self) -> dict[Fingerprint, Put]:
        return {name: one.held for name, one in self._states.items() if one.held}


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
