"""What two sets differ in, told from the symbols of one of them as more and more come.

The differences of symbols are the symbols of the difference. One that has a single element left is
that element, with a sign that says who has it, and with a check that sums of more do not have: it
is found, and taken out at its other places, where then one less is left. If nothing is left
anywhere, all was found.

A partner may send whatever it likes. What would be found twice, or is no element of any set, or
contradicts our own set, ends it. So there are no more found than symbols came: a place that shows
one, and not 0 once that is out, shows it again, or has a sum whose check fits by chance. What a
partner is said to have and we have not is still a claim.

Source: as of `sketch`; and Goodrich and Mitzenmacher, "Invertible Bloom Lookup Tables" (2011).
"""

from collections.abc import Sequence
from math import inf, sqrt
from typing import Final

import msgspec

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import DIGEST_BYTES, is_element
from keygrove_protocols.recon.sketch import (
    CODED_BITS,
    MODULUS,
    SYMBOLS,
    Coded,
    Sketch,
    coded,
    numbers,
)
from keygrove_protocols.recon.solve import Difference
from keygrove_protocols.recon.view import View

AT_ONCE: Final = 4_096
"""Symbols in one message: some milliseconds to write and to read them."""

STUCK: Final = 8
"""So many times more symbols than are found or unsolved, and still it is not all: there are
digests that share their places. Of two that do not, one in ten thousand would last so long."""

_CODED_BYTES: Final = CODED_BITS // 8
_CODED_MASK: Final = (1 << CODED_BITS) - 1
_HALF: Final = MODULUS // 2
_SQUARE: Final = 7 / 3
"""On average, of 1 + x where 0 <= x < 1: what an element counts in a symbol."""


class _Found(msgspec.Struct, frozen=True, gc=False):
    coded: Coded
    sign: int
    """1: the partner has it; -1: we have."""


class Peeling:
    """What is known of one difference. It is worked out in steps, as there may be thousands."""

    def __init__(self, own: Sketch, view: View) -> None:
        self._own = own
        self._view = view
        self._rests: list[int] = []
        self._found: dict[Digest, _Found] = {}
        self._new: set[Digest] = set()
        """Of those found, the ones that are still to be held against the view."""
        self._todo: list[int] = []
        self._late: list[_Found] = []
        """What was found before, and is still to be taken out of what came last,"""
        self._late_from = 0
        """which begins here."""
        self._unsolved = 0
        self._net = 0.0
        self._squares = 0.0
        self._fault = ""

    @property
    def received(self) -> int:
        """Symbols that came."""
        return len(self._rests)

    @property
    def difference(self) -> Difference | None:
        """All that the sets differ in; None if that is not known."""
        if self._unsolved or self._fault:
            return None
        return Difference(remote_only=self._of(1), local_only=self._of(-1))

    @property
    def fault(self) -> str:
        """Why more symbols are of no use; empty: they may be."""
        if self._fault:
            return self._fault
        if self.received >= STUCK * (len(self._found) + self._unsolved):
            return "some digests share their places"
        if self.estimate > SYMBOLS:
            return f"some {self.estimate:,.0f} digests differ"
        return f"{SYMBOLS:,} symbols were not enough" if self.received >= SYMBOLS else ""

    @property
    def wanted(self) -> int:
        """Symbols, those that came included, that will probably do."""
        enough = int(1.4 * self.estimate + 6 * sqrt(self.estimate))
        more = min(max(enough, least_wanted(self.received)), self.received + AT_ONCE)
        return min(more, SYMBOLS)

    @property
    def estimate(self) -> float:
        """How many digests differ, give or take a fifth.

        At place 0 is the sum of all, with their signs. A chosen share p of them should be at
        another; by how much it is not, squared, is p * (1 - p) for each element.
        """
        if self.received < 2:
            return inf
        return max(abs(self._net) / 2, self._squares / (self.received - 1) / _SQUARE)

    def extend(self, octets: bytes) -> None:
        """Take in the next symbols; the work that is left from those before must be done."""
        assert not self._todo
        assert not self._late
        start = len(self._rests)
        theirs = numbers(octets)
        ours = self._own.sums(start, start + len(theirs))
        rests = [
            (their - our + _HALF) % MODULUS - _HALF for their, our in zip(theirs, ours, strict=True)
        ]
        self._weigh(start, rests)
        self._rests += rests
        self._unsolved += sum(1 for rest in rests if rest)
        self._todo += range(start, len(self._rests))
        self._late_from, self._late = start, list(self._found.values())

    def advance(self, steps: int) -> bool:
        """Do some of the work, up to a hundredth of a millisecond a step; whether there is more."""
        for _ in range(steps):
            if self._late:
                self._take_out(self._late.pop(), self._late_from)
            elif self._todo:
                self._look_at(self._todo.pop())
            if self._fault or not (self._late or self._todo):
                break
        self._hold_against_view()
        if self._fault:
            self._late, self._todo = [], []
        return bool(self._late or self._todo)

    def _weigh(self, start: int, rests: Sequence[int]) -> None:
        for place, rest in enumerate(rests, start):
            weight = rest / (1 << CODED_BITS)
            if place == 0:
                self._net = weight
            else:
                share = 2 / (place + 2)
                self._squares += (weight - self._net * share) ** 2 / (share * (1 - share))

    def _look_at(self, place: int) -> None:
        """See whether one element is left there, and whose."""
        rest = self._rests[place]
        number = abs(rest)
        if number >> CODED_BITS != 1:
            return
        digest = Digest((number & _CODED_MASK).to_bytes(_CODED_BYTES)[:DIGEST_BYTES])
        one = coded(digest)
        if one.number != number:
            return
        if digest in self._found or not is_element(digest):
            self._fault = "its symbols are of no set"
        else:
            self._found[digest] = _Found(one, 1 if rest > 0 else -1)
            self._new.add(digest)
            self._take_out(self._found[digest], 0)

    def _take_out(self, found: _Found, start: int) -> None:
        rests, todo = self._rests, self._todo
        number = found.sign * found.coded.number
        for place in found.coded.places(len(rests), start):
            rest = rests[place]
            left = rest - number
            rests[place] = left
            if left:
                self._unsolved += not rest
                todo.append(place)
            else:
                self._unsolved -= 1

    def _hold_against_view(self) -> None:
        """What we are said to have must be there, and what we are said to lack must not."""
        new, self._new = self._new, set()
        if self._view.lacks(new) != {one for one in new if self._found[one].sign > 0}:
            self._fault = self._fault or "its symbols contradict our set"

    def _of(self, sign: int) -> frozenset[Digest]:
        return frozenset(digest for digest, one in self._found.items() if one.sign == sign)


def least_wanted(received: int) -> int:
    """The fewest symbols to ask for after so many: so there is an end after few round trips."""
    return min(received + received // 4, received + AT_ONCE, SYMBOLS)
