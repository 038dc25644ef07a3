"""What is committed but not yet in the index: asked before the index by every reader."""

from collections import defaultdict
from typing import TypeVar

import msgspec

from keygrove.storage.store import Digests
from keygrove.storage.term import Term
from keygrove.storage.write import Denial
from keygrove_protocols.openpgp.keys import Fingerprint


class Found(msgspec.Struct, frozen=True):
    """What a certificate that is held can be found by, and what is known without reading it."""

    value: bytes
    """The hash of all that is stored of it."""
    digests: Digests
    source: bytes
    size: int
    terms: frozenset[Term]
    """Those of its digests, too."""
    words: frozenset[str]


class Entry(msgspec.Struct, frozen=True):
    """One certificate's newest row in the heap, and what it is by that."""

    seq: int
    key: bytes
    fingerprint: Fingerprint
    found: Found | None
    """What it can be found by, if anything of it is held."""
    denial: Denial | None
    """Its denial, if it is denied. What is held of it then is what its key says against itself."""


class Overlay:
    """Entries by fingerprint, by term and by word."""

    def __init__(self) -> None:
        self._entries: dict[Fingerprint, Entry] = {}
        self._by_term: defaultdict[Term, set[Fingerprint]] = defaultdict(set)
        self._by_word: defaultdict[str, set[Fingerprint]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, fingerprint: Fingerprint) -> bool:
        return fingerprint in self._entries

    def get(self, fingerprint: Fingerprint) -> Entry | None:
        """The entry of this certificate, if it has changed since the last flush."""
        return self._entries.get(fingerprint)

    def add(self, entry: Entry) -> None:
        """Take in a newer row of a certificate."""
        known = self._entries.get(entry.fingerprint)
        if known is not None:
            self._forget(known)
        self._entries[entry.fingerprint] = entry
        if entry.found is None:
            return
        for term in entry.found.terms:
            self._by_term[term].add(entry.fingerprint)
        for word in entry.found.words:
            self._by_word[word].add(entry.fingerprint)

    def drop(self, entry: Entry) -> None:
        """The index has this entry now; keep a newer one of the same certificate."""
        if self._entries.get(entry.fingerprint) is entry:
            self._forget(entry)

    def entries(self) -> list[Entry]:
        """All entries, in tree-key order."""
        return sorted(self._entries.values(), key=lambda entry: entry.key)

    def find(self, term: Term) -> list[Entry]:
        """The entries that carry `term`."""
        return [self._entries[name] for name in self._by_term.get(term, ())]

    def search(self, words: frozenset[str]) -> list[Entry]:
        """The entries that carry all of `words`."""
        if not words:
            return []
        rarest, *others = sorted((self._by_word.get(word, set()) for word in words), key=len)
        return [self._entries[name] for name in rarest.intersection(*others)]

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.fingerprint]
        if entry.found is None:
            return
        for term in entry.found.terms:
            _discard(self._by_term, term, entry.fingerprint)
        for word in entry.found.words:
            _discard(self._by_word, word, entry.fingerprint)


T = TypeVar("T")


def _discard(index: dict[T, set[Fingerprint]], name: T, fingerprint: Fingerprint) -> None:
    names = index[name]
    names.discard(fingerprint)
    if not names:
        del index[name]
