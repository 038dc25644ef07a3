"""What a shard can answer without its store: bounded by its bytes, and never stale.

Three kinds: certificates ready to be served, by fingerprint and form; what was found by a term;
and what is not there, be it a fingerprint or a term. The first two share most of the room, see
`segments`; the last has a part of its own, see `absent`.

Who reads the store opens a `Reading` before, and hands it in with what came of it: what changed
since then is not kept. A change takes out, after its commit and before its acknowledgement,
all that the old or the new version is in:

* each form, and that there was none, by fingerprint;
* what was found by each term of the new version, and that nothing was;
* whatever was found that names the certificate. That is what the old version's terms found, or
  at least all of it that matters: where a listing by such a term ends before the certificate,
  it is the same without it. So nobody has to read the old version to know its terms.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Set
from contextlib import contextmanager
from enum import Enum, IntEnum
from typing import Final, TypeAlias

import msgspec

from keygrove.storage.absent import Absent
from keygrove.storage.segments import Segments
from keygrove.storage.term import Term
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

ANSWER_BYTES: Final = 700
"""What an answer takes beside its body, by measurement: key, answer, places and counters."""
LISTING_BYTES: Final = 600
"""The same of what was found by a term, beside the term's own octets."""
NAME_BYTES: Final = 350
"""Of each fingerprint in it: itself, and the way back from it to the term."""
SHARE: Final = 32
"""A larger part of the cache is not given to one entry. A hundredth would keep one in 25 of
Debian's certificates out of a shard's 16 MiB, those that take longest to make: by measurement
0.51 of all look-ups and 0.38 of their bytes come from the cache then, and 0.55 and 0.57 so."""
ABSENT_SHARE: Final = 16
"""Part of the room for what is not there."""
CHANGED_MAX: Final = 65_536
"""What one reading remembers of changes, some megabytes; beyond that nothing of it is kept."""


class Form(IntEnum):
    """How a certificate is wanted."""

    ARMOR = 1
    """ASCII armor for HKP v1."""
    LEGACY = 2
    """Packets for HKP v1: nothing of version 5 or above."""
    BINARY = 3
    """All packets."""
    SUMMARY = 4
    """What an index shows: `openpgp.summary.Summary` as MessagePack."""


class Answer(msgspec.Struct, frozen=True, tag=True):
    """A certificate ready to be served. `body` None: it exists, but has no such form."""

    fingerprint: Fingerprint
    digest: Digest
    change: int
    """The shard's change number for which this holds."""
    body: bytes | None


class Nothing(Enum):
    """What is known of a certificate that is not held."""

    NOT_HELD = 1


NOT_HELD: Final = Nothing.NOT_HELD


class Listing(msgspec.Struct, frozen=True):
    """The certificates that carry a term, by fingerprint, at most `limit`."""

    term: Term
    limit: int
    names: tuple[Fingerprint, ...]


Key: TypeAlias = tuple[Fingerprint, Form] | Term


class Reading:
    """What is being read from the store since a moment, and what changed since."""

    def __init__(self) -> None:
        self._changed: set[Fingerprint | Term] = set()
        self._is_lost = False

    def note(self, fingerprint: Fingerprint, terms: Set[Term]) -> None:
        """A certificate changed that has these terms now."""
        if len(self._changed) > CHANGED_MAX:
            self._is_lost = True
            return
        self._changed.add(fingerprint)
        self._changed |= terms

    def is_new(self, *about: Fingerprint | Term) -> bool:
        """Whether what was read about all of these still holds."""
        return not self._is_lost and self._changed.isdisjoint(about)


class Cache:
    """Answers, without the store."""

    def __init__(self, bytes_max: int, elapsed: Callable[[], float]) -> None:
        """Make room for `bytes_max`; `elapsed` is a stopwatch, in seconds."""
        absent_max = bytes_max // ABSENT_SHARE
        self._entry_max = bytes_max // SHARE
        self._entries: Segments[Key, Answer | Listing] = Segments(bytes_max - absent_max)
        self._absent: Absent[Fingerprint | Term] = Absent(absent_max, elapsed)
        self._listed_in: defaultdict[Fingerprint, set[Term]] = defaultdict(set)
        """The terms of what was found, by each certificate in it."""
        self._readings: list[Reading] = []
        self.hits = 0
        self.negative_hits = 0
        """Of these, those by which there is nothing."""
        self.misses = 0

    @property
    def size_bytes(self) -> int:
        """All that is kept."""
        return self._entries.size_bytes + self._absent.size_bytes

    @property
    def evictions(self) -> int:
        """How many entries went for others."""
        return self._entries.evictions

    @contextmanager
    def reading(self) -> Generator[Reading, None, None]:
        """Read the store in the block, and put what came of it before its end."""
        reading = Reading()
        self._readings.append(reading)
        try:
            yield reading
        finally:
            self._readings.remove(reading)

    def get(self, fingerprint: Fingerprint, form: Form) -> Answer | Nothing | None:
        """What is known of a certificate; None if the store has to be asked."""
        answer = self._entries.get((fingerprint, form))
        if answer is not None:
            self.hits += 1
            assert isinstance(answer, Answer)
            return answer
        if fingerprint in self._absent:
            self.hits += 1
            self.negative_hits += 1
            return NOT_HELD
        self.misses += 1
        self._entries.miss(_name(fingerprint, form))
        return None

    def find(self, term: Term, limit: int) -> tuple[Fingerprint, ...] | None:
        """At most `limit` certificates that carry a term; None if the store has to be asked."""
        listing = self._entries.get(term)
        if listing is not None:
            assert isinstance(listing, Listing)
            if limit <= listing.limit or len(listing.names) < listing.limit:
                self.hits += 1
                return listing.names[:limit]
        elif term in self._absent:
            self.hits += 1
            self.negative_hits += 1
            return ()
        else:
            self._entries.miss(_name(term.value, term.kind))
        self.misses += 1
        return None

    def put(self, reading: Reading, form: Form, answer: Answer) -> bool:
        """Keep an answer, if there is room, unless it may be old: then False."""
        name = answer.fingerprint
        if not reading.is_new(name):
            return False
        self._entries.drop((name, form))
        size = ANSWER_BYTES + len(answer.body or b"")
        self._enter((name, form), answer, _name(name, form), size)
        return True

    def put_absent(self, reading: Reading, fingerprint: Fingerprint) -> None:
        """Keep that there is no such certificate, unless that may be old."""
        if reading.is_new(fingerprint):
            self._absent.add(fingerprint, len(fingerprint))

    def put_listing(self, reading: Reading, listing: Listing) -> None:
        """Keep what was found, if there is room, unless it may be old."""
        term, names = listing.term, listing.names
        if not listing.limit or not reading.is_new(term, *names):
            return
        self._drop_listing(term)
        if not names:
            self._absent.add(term, len(term.value))
            return
        size = LISTING_BYTES + len(term.value) + NAME_BYTES * len(names)
        if self._enter(term, listing, _name(term.value, term.kind), size):
            for name in names:
                self._listed_in[name].add(term)

    def invalidate(self, fingerprint: Fingerprint, terms: Set[Term]) -> None:
        """A certificate changed that has these terms now, those of its digests too."""
        for reading in self._readings:
            reading.note(fingerprint, terms)
        self._absent.drop(fingerprint)
        for form in Form:
            self._entries.drop((fingerprint, form))
        for term in tuple(self._listed_in.get(fingerprint, ())):
            self._drop_listing(term)
        # A commit changes a thousand certificates of a dozen terms each, and most terms nobody
        # asked for: looking for each held the event loop half as long again.
        if self._entries.has_any(terms) or self._absent.has_any(terms):
            for term in terms:
                self._drop_listing(term)

    def _enter(self, key: Key, entry: Answer | Listing, name: bytes, size: int) -> bool:
        if size > self._entry_max:
            return False
        evicted = self._entries.put(key, entry, name=name, size=size)
        for other in evicted or ():
            if isinstance(other, Listing):
                self._unlink(other)
        return evicted is not None

    def _drop_listing(self, term: Term) -> None:
        """Forget what was found by it, and that nothing was."""
        self._absent.drop(term)
        listing = self._entries.drop(term)
        if listing is not None:
            assert isinstance(listing, Listing)
            self._unlink(listing)

    def _unlink(self, listing: Listing) -> None:
        for name in listing.names:
            terms = self._listed_in[name]
            terms.discard(listing.term)
            if not terms:
                del self._listed_in[name]


def _name(value: bytes, kind: int) -> bytes:
    """A name for the sketch. That a form has the number of a kind of term is harmless."""
    return bytes((kind,)) + value
