"""Which requests are not tried again: those a worker was at when it crashed, twice running."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

POISON_S: Final = 600.0
"""How long a poisoned request is refused."""
POISONED_MAX: Final = 1024


class Poison:
    """What the incarnations of one port, or the ports of one pool, remember of crashes.

    A request in flight at a crash is a suspect until the next crash; a suspect that is in
    flight then, too, is refused from there on. Requests are known by a digest of operation
    and payload: whoever sent them, and however often.
    """

    __slots__ = ("_suspects", "_until")

    def __init__(self) -> None:
        self._suspects: frozenset[bytes] = frozenset()
        self._until: dict[bytes, float] = {}

    def crashed(self, requests: Iterable[tuple[str, bytes]], now: float) -> tuple[str, ...]:
        """A worker crashed with these in flight; the operations of those refused from now on."""
        found = {_digest(op, payload): op for op, payload in requests}
        guilty = [digest for digest in found if digest in self._suspects]
        self._suspects = frozenset(found)
        for digest in guilty:
            self._until[digest] = now + POISON_S
        while len(self._until) > POISONED_MAX:
            del self._until[next(iter(self._until))]
        return tuple(found[digest] for digest in guilty)

    def is_refused(self, op: str, payload: bytes, now: float) -> bool:
        """Whether this request is one of them."""
        if not self._until:
            return False
        digest = _digest(op, payload)
        until = self._until.get(digest)
        if until is None or now < until:
            return until is not None
        del self._until[digest]
        return False


def _digest(op: str, payload: bytes) -> bytes:
    return blake2b(op.encode() + b"\0" + payload, digest_size=16).digest()
