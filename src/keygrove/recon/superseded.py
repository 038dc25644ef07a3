"""Digests that were those of certificates a moment ago (recon.md, T16).

A certificate that changes between a session and the fetch after it is asked for by the digest that
it had. Whoever asks is given what there is of it now, and has it a round earlier.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from keygrove_protocols.openpgp.keys import Digest, Fingerprint

KEPT_S: Final = 600.0
KEPT_MAX: Final = 20_000
"""Some 5 MB; a load may change more in that time, and then the latest count."""


class Superseded:
    """Some of them, each with whose it was."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: OrderedDict[Digest, tuple[Fingerprint, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, digest: Digest, fingerprint: Fingerprint) -> None:
        """From now on that certificate has another digest."""
        self._known[digest] = fingerprint, self._now()
        self._known.move_to_end(digest)
        if len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        self._forget()

    def of(self, digests: Iterable[Digest]) -> tuple[Fingerprint, ...]:
        """Whose these were, of those that are known, each once."""
        self._forget()
        known = [self._known[digest][0] for digest in digests if digest in self._known]
        return tuple(dict.fromkeys(known))

    def _forget(self) -> None:
        oldest = self._now() - KEPT_S
        while self._known and next(iter(self._known.values()))[1] < oldest:
            self._known.popitem(last=False)
