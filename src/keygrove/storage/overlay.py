"""What is committed but not yet in the index: asked before the index by every reader.

There are up to tens of thousands of entries, with a dozen terms each. None of that can be
part of a cycle, so Python's collector is not given them to walk through (`gc=False`).
"""

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

import msgspec

from keygrove.storage.store import Digests
from keygrove.storage.term import Term
from keygrove.storage.write import Denial
from keygrove_protocols.openpgp.keys import Fingerprint

_Names: TypeAlias = Fingerprint | set[Fingerprint]
"""Who is found by something: most often one alone, which needs no set. Ten sets to each entry
would take more memory, and more time, than all the rest of it."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """What a certificate that is held can be found by, and what is known without reading it."""

    value: bytes
    """The hash of all that is stored of it."""
    digests: Digests
    source: bytes
    size: int
    terms: frozenset[Term]
    """Those of its digests, too."""
    words: frozenset[str]


class Entry(msgspec.Struct, frozen=True, gc=False):
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
        self._by_key: dict[bytes, Fingerprint] = {}
        self._by_term: dict[Term, _Names] = {}
        self._by_word: dict[str, _Names] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, fingerprint: Fingerprint) -> bool:
        return fingerprint in self._entries

    def get(self, fingerprint: Fingerprint) -> Entry | None:
        """The entry of this certificate, if it has changed since the last flush."""
        return self._entries.get(fingerprint)

    def named(self, key: bytes) -> Fingerprint | None:
        """The fingerprint of the entry with this tree key."""
        return self._by_key.get(key)

    def add(self, entry: Entry) -> None:
        """Take in a newer row of a certificate."""
        known = self._entries.get(entry.fingerprint)
        if known is not None:
            self._forget(known)
        self._entries[entry.fingerprint] = entry
        self._by_key[entry.key] = entry.fingerprint
        if entry.found is not None:
            _add(self._by_term, entry.found.terms, entry.fingerprint)
            _add(self._by_word, entry.found.words, entry.fingerprint)

    def drop(self, entry: Entry) -> None:
        """The index has this entry now; keep a newer one of the same certificate."""
        if self._entries.get(entry.fingerprint) is entry:
            self._forget(entry)

    def entries(self) -> list[Entry]:
        """All entries, in tree-key order."""
        return sorted(self._entries.values(), key=lambda entry: entry.key)

    def by_age(self) -> list[Entry]:
        """All entries, the oldest first."""
        return list(self._entries.values())

    def find(self, term: Term) -> list[Entry]:
        """The entries that carry `term`."""
        return [self._entries[name] for name in _names(self._by_term.get(term))]

    def search(self, words: frozenset[str]) -> list[Entry]:
        """The entries that carry all of `words`."""
        if not words:
            return []
        rarest, *others = sorted((_names(self._by_word.get(word)) for word in words), key=len)
        return [self._entries[name] for name in rarest.intersection(*others)]

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.fingerprint]
        del self._by_key[entry.key]
        if entry.found is not None:
            _discard(self._by_term, entry.found.terms, entry.fingerprint)
            _discard(self._by_word, entry.found.words, entry.fingerprint)


T = TypeVar("T")


def _names(found: _Names | None) -> set[Fingerprint]:
    if found is None:
        return set()
    return found if isinstance(found, set) else {found}


def _add(index: dict[T, _Names], whats: Iterable[T], name: Fingerprint) -> None:
    for what in whats:
        found = index.setdefault(what, name)
        if found is not name:
            if isinstance(found, set):
                found.add(name)
            else:
                index[what] = {found, name}


def _discard(index: dict[T, _Names], whats: Iterable[T], name: Fingerprint) -> None:
    for what in whats:
        found = index.pop(what)
        if isinstance(found, set):
            found.discard(name)
            if found:
                index[what] = found
