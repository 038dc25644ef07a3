"""What a store has to be, as plainly as it can be told: lists and dicts, and nothing forgotten."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from keygrove.storage.address import aside_hash, content_hash, tree_key
from keygrove.storage.audit import Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.derive import digest_terms
from keygrove.storage.logged import Logged
from keygrove.storage.mark import Mark, Snapshot
from keygrove.storage.store import NamedDigests
from keygrove.storage.term import Term
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Lift, Put, Redacted, Redaction, Write
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.openpgp.redaction import PartHash
from tests.unit.keygrove.storage import naive_tree

NOWHERE = Cursor(b"")
"""Where an entry of the model's log is; of a store's, only that store can tell."""


class Commit(NamedTuple):
    """What is committed together."""

    writes: Sequence[Write]
    records: Sequence[Record] = ()
    redactions: Sequence[Redaction] = ()
    marks: Sequence[Mark] = ()


class Stood(NamedTuple):
    """A certificate since a change."""

    change: int
    held: Put | None
    denial: Denial | None


class Moment(NamedTuple):
    """All certificates after a change."""

    at: int
    stood: Mapping[Fingerprint, Stood]

    @property
    def values(self) -> dict[bytes, bytes]:
        """What the tree has."""
        return {tree_key(name): _value(one.held) for name, one in self.stood.items() if one.held}


class Plain:
    """A store that remembers every moment whole."""

    def __init__(self) -> None:
        self.moments = [Moment(0, {})]
        self.log: list[Logged] = []
        self._held_then: list[Put | None] = []
        """What was held since then, of each entry of the log."""
        self.records: list[Record] = []
        self.snapshots: dict[str, Snapshot] = {}
        self._redacted: dict[tuple[Fingerprint, str], frozenset[PartHash]] = {}

    @property
    def change(self) -> int:
        """The number of the last commit."""
        return len(self.moments) - 1

    @property
    def held(self) -> dict[Fingerprint, Put]:
        """What is held now."""
        return {name: one.held for name, one in self.moments[-1].stood.items() if one.held}

    @property
    def denials(self) -> dict[Fingerprint, Denial]:
        """What is denied now."""
        return {name: one.denial for name, one in self.moments[-1].stood.items() if one.denial}

    def commit(self, commit: Commit) -> int:
        """Do it."""
        change = self.change + 1
        stood = dict(self.moments[-1].stood)
        for write in commit.writes:
            before = stood.get(write.fingerprint)
            after = stood[write.fingerprint] = _after(write, change)
            was, now = (_value(one.held) if one and one.held else None for one in (before, after))
            is_denied = after.denial is not None
            digests = (after.held.digest, after.held.sks_digest) if after.held else ()
            facts = (write.cause, write.origin, write.at, digests, NOWHERE)
            self._held_then.append(after.held)
            self.log.append(Logged(change, write.fingerprint, was, now, is_denied, *facts))
        self.records += commit.records
        for one in commit.redactions:
            self._redacted[one.fingerprint, one.origin] = one.parts
        for mark in commit.marks:
            if not isinstance(mark, Snapshot):
                self.snapshots.pop(mark.name, None)
            else:
                made = change if mark.change is None else mark.change
                self.snapshots[mark.name] = msgspec.structs.replace(mark, change=made)
        at = max(one.at for part in commit for one in part)
        self.moments.append(Moment(at, stood))
        return change

    def head(self, change: int) -> Head:
        """How it stood after that change."""
        values = self.moments[change].values
        return Head(change, naive_tree.root("blake3", values), len(values))

    def get(self, name: Fingerprint, change: int) -> Version | None:
        """What was served after that change."""
        one = self.moments[change].stood.get(name)
        if one is None or one.held is None:
            return None
        return Version(name, one.held.digest, one.held.packets, one.change)

    def get_whole(self, name: Fingerprint) -> Whole | None:
        """All that is held."""
        one = self.moments[-1].stood.get(name)
        return None if one is None else _whole(one.held, one.change)

    def is_denied(self, name: Fingerprint, change: int) -> bool:
        """Was it, after that change?"""
        one = self.moments[change].stood.get(name)
        return one is not None and one.denial is not None

    def redacted(self, name: Fingerprint) -> Redacted:
        """What is not wanted of it."""
        mine = {origin: parts for (who, origin), parts in self._redacted.items() if who == name}
        return Redacted({origin: parts for origin, parts in mine.items() if parts})

    def find(self, term: Term) -> tuple[Fingerprint, ...]:
        """Who carries it."""
        return tuple(
            sorted(
                name
                for name, put in self.held.items()
                if term in put.terms | digest_terms(put.digest, put.sks_digest)
            )
        )

    def search(self, words: frozenset[str]) -> set[Fingerprint]:
        """Whose user IDs carry all of the words."""
        return {name for name, put in self.held.items() if words and words <= put.words}

    def digests(self) -> list[NamedDigests]:
        """Of all that is held."""
        return [
            NamedDigests(put.digest, put.sks_digest, name, name in self.denials)
            for name, put in self.held.items()
        ]

    def served(self, change: int) -> dict[Fingerprint, Digest]:
        """The digests of what was held and not denied after that change."""
        stood = self.moments[change].stood.items()
        return {
            name: one.held.digest for name, one in stood if one.held is not None and not one.denial
        }

    def change_at(self, at: int) -> int:
        """The newest change made by then."""
        return max((n for n, moment in enumerate(self.moments) if n and moment.at <= at), default=0)

    def past(self, name: Fingerprint) -> list[tuple[Logged, Whole | None]]:
        """The changes of a certificate, newest first, and what was held since each."""
        entries = zip(self.log, self._held_then, strict=True)
        mine = [(entry, put) for entry, put in entries if entry.fingerprint == name]
        return [(entry, _whole(put, entry.change)) for entry, put in reversed(mine)]

    def entries(self, after: int, until: int) -> list[Logged]:
        """What came behind one change, and not behind the other."""
        return [one for one in self.log if after < one.change <= until]


def _after(write: Write, change: int) -> Stood:
    match write:
        case Put():
            return Stood(change, write, None)
        case Denial():
            return Stood(change, write.held, msgspec.structs.replace(write, held=None))
        case Lift():
            return Stood(change, write.held, None)


def _whole(put: Put | None, change: int) -> Whole | None:
    if put is None:
        return None
    facts = (change, put.sks_digest, put.aside, put.source)
    return Whole(put.fingerprint, put.digest, put.packets, *facts)


def _value(put: Put) -> bytes:
    return content_hash(put.packets, aside_hash(put.aside) if put.aside else b"")
