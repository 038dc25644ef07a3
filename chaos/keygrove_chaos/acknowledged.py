"""What a store acknowledged, and all that it tells, held against each other."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import msgspec

from keygrove.errors import DamagedError, HistoryError
from keygrove.storage.audit import Record
from keygrove.storage.mark import Mark, Snapshot
from keygrove.storage.memory import MemoryStore
from keygrove.storage.merkle import Difference, differences
from keygrove.storage.store import CertificateStore, Counts, NamedDigests
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Redaction, Write
from keygrove_chaos.certificates import made, put_of
from keygrove_protocols.openpgp.keys import Fingerprint

EVERYTHING: Final = 1_000
SNAPSHOTS: Final = ("first", "second", "third")
NUMBERS: Final = range(5)
USER_IDS: Final = (
    "Alice <a@x.example>",
    "Jean-Luc Ä <a@x.example>",
    "alice bob",
    "Bob <b@x.example>",
)
_WHOLE: Final = tuple(put_of(made(number, *USER_IDS)) for number in NUMBERS)
NAMES: Final = tuple(put.fingerprint for put in _WHOLE)
_TERMS: Final = sorted(
    {term for put in _WHOLE for term in put.terms}, key=lambda term: (term.kind.value, term.value)
)
_WORDS: Final = sorted({word for put in _WHOLE for word in put.words})


class MissingError(Exception):
    """What was acknowledged is not there, or what was not, is."""

    invariant = "I-01"


class AlteredError(MissingError):
    """A former time shows what it did not show then."""

    invariant = "I-31"


class Holdings(msgspec.Struct, frozen=True):
    """All that a store tells its readers."""

    certificates: list[Whole | None]
    denials: list[Denial | None]
    denied: list[Denial]
    audit: tuple[Record, ...]
    sources: list[bytes | None]
    pages: list[Whole]
    digests: list[NamedDigests]
    found: list[tuple[Fingerprint, ...]]
    searched: list[tuple[Fingerprint, ...]]
    counts: Counts
    head: Head


async def holdings(store: CertificateStore) -> Holdings:
    """Ask it."""
    page = await store.page(None, EVERYTHING)
    digests = await store.digests(None, EVERYTHING)
    denied = await store.denials(None, EVERYTHING)
    return Holdings(
        certificates=await store.get_whole(NAMES),
        denials=await store.denials_of(NAMES),
        denied=sorted(denied.denials, key=lambda one: one.fingerprint),
        audit=(await store.audit(None, EVERYTHING)).records,
        sources=await store.sources(NAMES),
        pages=sorted(page.versions, key=lambda one: one.fingerprint),
        digests=sorted(digests.digests, key=lambda one: one.stored),
        found=await store.find(_TERMS, EVERYTHING),
        searched=[await store.search(frozenset({word}), EVERYTHING) for word in _WORDS],
        # An index that is made anew knows of no updates that compaction has dropped.
        counts=msgspec.structs.replace(store.counts(), hours=()),
        head=store.head(),
    )


class _Then(msgspec.Struct, frozen=True):
    """What a store shows of a moment that a snapshot names."""

    snapshot: Snapshot
    head: Head
    root: bytes
    versions: list[Version | None]
    denied: list[bool]
    since: list[Difference]


async def _thens(store: CertificateStore) -> list[_Then]:
    history, found = store.history, list[_Then]()
    for one in await history.snapshots():
        change = one.change or 0
        tree = await history.tree(change)
        found.append(
            _Then(
                snapshot=one,
                head=await history.head(change),
                root=tree.root,
                versions=await history.get(NAMES, change),
                denied=await history.are_denied(NAMES, change),
                since=list(differences(tree, store.tree())),
            )
        )
    return found


class Commit(msgspec.Struct, frozen=True):
    """What is committed together."""

    writes: list[Write]
    records: list[Record]
    marks: list[Mark]
    redactions: list[Redaction] = []


class History(msgspec.Struct):
    """What was acknowledged, and the commit that nobody heard of any more."""

    acknowledged: list[Commit] = []
    pending: Commit | None = None

    def denied(self) -> set[Fingerprint]:
        """Whose denial was acknowledged last, and not its end."""
        last = {write.fingerprint: write for one in self.acknowledged for write in one.writes}
        return {name for name, write in last.items() if isinstance(write, Denial)}

    async def model(self, change: int) -> MemoryStore:
        """The store as it must be after so many commits.

        The one that was under way may be there; then it counts as acknowledged from now on.

        Raises:
            MissingError: there must be more, or less.
        """
        if change == len(self.acknowledged) + 1 and self.pending is not None:
            self.acknowledged.append(self.pending)
        self.pending = None
        if change != len(self.acknowledged):
            raise MissingError(f"{len(self.acknowledged)} were acknowledged, {change} are there")
        model = MemoryStore()
        for one in self.acknowledged:
            await model.commit(one.writes, one.records, one.redactions, one.marks)
        return model


async def look(store: CertificateStore, history: History) -> None:
    """Hold all that a store tells against what was acknowledged.

    Raises:
        MissingError: it is not the same.
    """
    model = await history.model(store.counts().change)
    after = f"after {len(history.acknowledged)} commits"
    there, due = await holdings(store), await holdings(model)
    for name in Holdings.__struct_fields__:
        if getattr(there, name) != getattr(due, name):
            raise MissingError(f"{after} its {name} are not theirs")
    if await store.history.rollbacks() != await model.history.rollbacks():
        raise MissingError(f"{after} its rollbacks are not theirs")
    try:
        shown = await _thens(store)
    except (DamagedError, HistoryError) as error:
        if "SQLITE_IOERR" in str(error):  # the disk could not read it, which alters nothing
            raise
        raise AlteredError(f"{after}: {error}") from error
    for one, was in zip_longest(shown, await _thens(model)):
        if one != was:
            raise AlteredError(f"{after} snapshot {(one or was).snapshot.name!r}")
