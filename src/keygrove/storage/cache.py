"""What is ready to be served, bounded by its bytes, least recently used out first."""

from collections import OrderedDict
from enum import Enum

import msgspec

from keygrove_protocols.openpgp.keys import Digest, Fingerprint

OVERHEAD_BYTES = 500
"""What an entry takes beside its body: key, answer and the dictionary's own."""
SHARE = 16
"""An entry above a sixteenth of the cache would push out too much else."""


class Form(Enum):
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


class Cache:
    """Answers by fingerprint and form."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[tuple[Fingerprint, Form], Answer] = OrderedDict()
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, fingerprint: Fingerprint, form: Form) -> Answer | None:
        """The answer, if it is here."""
        key = (fingerprint, form)
        answer = self._entries.get(key)
        if answer is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return answer

    def put(self, form: Form, answer: Answer) -> None:
        """Keep an answer, unless it is too large to be worth it."""
        size = _size(answer)
        if size * SHARE > self._bytes_max:
            return
        self._drop((answer.fingerprint, form))
        self._entries[answer.fingerprint, form] = answer
        self.size_bytes += size
        while self.size_bytes > self._bytes_max:
            self._drop(next(iter(self._entries)))

    def invalidate(self, fingerprint: Fingerprint) -> None:
        """The certificate changed."""
        for form in Form:
            self._drop((fingerprint, form))

    def _drop(self, key: tuple[Fingerprint, Form]) -> None:
        answer = self._entries.pop(key, None)
        if answer is not None:
            self.size_bytes -= _size(answer)


def _size(answer: Answer) -> int:
    return OVERHEAD_BYTES + len(answer.body or b"")
