"""Recon by ranges, as negentropy has it: fingerprints of ranges, cut where they differ.

A prototype. Each message tells of the whole space, from the lowest digest up:

    u8 octets of a bound ‖ the bound, where the range ends; none: at the end of all
    u8 0, skip: nothing to say of it
       1, fingerprint: 16 octets, of the sum of the range's digests and their number
       2, digests: u16 count ‖ all of the range
       3, the answer to those: u16 count ‖ digests that the other lacks

Ranges of 32 digests or more are cut in 16. Prefix sums stand in for the sums that a tree would
keep in its nodes, so that a fingerprint costs no walk over the range. Skips are left out where
nothing else follows. Source: hoytech/negentropy, docs; Meyer, "Range-Based Set Reconciliation".
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from keygrove_protocols.openpgp.keys import Digest

BUCKETS: Final = 16
LISTED: Final = 2 * BUCKETS
END: Final = b""
"""The bound behind all digests."""


class Ordered:
    """A set in order, and sums of all that is before each."""

    def __init__(self, digests: Iterable[Digest]) -> None:
        self.digests = sorted(digests)
        self.sums = [0, *accumulate(int.from_bytes(one) for one in self.digests)]

    def index(self, bound: bytes) -> int:
        """Of the first digest that is not below."""
        return len(self.digests) if bound == END else bisect_left(self.digests, bound)

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Of a range."""
        total = (self.sums[stop] - self.sums[start]) % (1 << 256)
        return hashlib.sha256(total.to_bytes(32) + (stop - start).to_bytes(8)).digest()[:16]

    def bound(self, at: int) -> bytes:
        """The shortest that has this digest above and the one before below."""
        before, here = self.digests[at - 1], self.digests[at]
        length = next(i for i in range(16) if before[i] != here[i]) + 1
        return here[:length]


class _Message:
    """Ranges, joined where nothing is said of several."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._skipped: bytes | None = None

    def skip(self, bound: bytes) -> None:
        self._skipped = bound

    def say(self, bound: bytes, kind: int, octets: bytes) -> None:
        if self._skipped is not None:
            self._octets += _bound(self._skipped) + b"\x00"
            self._skipped = None
        self._octets += _bound(bound) + bytes((kind,)) + octets

    def take(self) -> bytes:
        return bytes(self._octets)


def _bound(bound: bytes) -> bytes:
    return bytes((len(bound),)) + bound


def _listed(digests: Iterable[Digest]) -> bytes:
    found = list(digests)
    return len(found).to_bytes(2) + b"".join(found)


class Ranges:
    """Either end."""

    def __init__(self, ordered: Ordered) -> None:
        self.learned: set[Digest] = set()
        self._set = ordered

    def answer(self, octets: bytes) -> bytes:
        """What there is to say to those ranges; to nothing, the first cut."""
        message = _Message()
        if not octets:
            self._cut(message, 0, len(self._set.digests), END)
        at = start = 0
        while at < len(octets):
            length = octets[at]
            bound, kind = octets[at + 1 : at + 1 + length], octets[at + 1 + length]
            at += 2 + length
            stop = self._set.index(bound)
            if kind == 1:
                is_same = octets[at : at + 16] == self._set.fingerprint(start, stop)
                at += 16
                if is_same:
                    message.skip(bound)
                else:
                    self._cut(message, start, stop, bound)
            elif kind:
                count = int.from_bytes(octets[at : at + 2])
                at += 2
                theirs = {Digest(octets[i : i + 16]) for i in range(at, at + 16 * count, 16)}
                at += 16 * count
                mine = set(self._set.digests[start:stop])
                self.learned |= theirs - mine
                if kind == 2 and mine - theirs:
                    message.say(bound, 3, _listed(mine - theirs))
                else:
                    message.skip(bound)
            else:
                message.skip(bound)
            start = stop
        return message.take()

    def _cut(self, message: _Message, start: int, stop: int, bound: bytes) -> None:
        count = stop - start
        if count < LISTED:
            message.say(bound, 2, _listed(self._set.digests[start:stop]))
            return
        ends = [start + count * part // BUCKETS for part in range(1, BUCKETS + 1)]
        for end in ends:
            upper = bound if end == stop else self._set.bound(end)
            message.say(upper, 1, self._set.fingerprint(start, end))
            start = end
