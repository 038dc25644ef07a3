"""The first coded symbols of a set, from which another set's holder tells what the two differ in.

    coded element   2^192 + digest || check, as a number, big-endian
    check, seed     the first 8 octets of BLAKE2b-192 of the digest, person "KeygroveRateless";
                    the other 16, little-endian, with the lowest bit set
    symbol          the sum of the coded elements at its place
    on the wire     26 octets: that modulo 2^208, big-endian

An element is at place 0, and at place i with a chance of 2 in i + 2. So the more a place is away,
the fewer are there, and however many elements there are, about 1.4 times as many symbols have
them all. From one of its places i an element gets to the next one by

    seed := seed * 0xDA942042E4DD58B5 mod 2^128
    u    := (the upper 53 bits of seed + 1/2) / 2^53
    i    := floor(sqrt((i + 1) * (i + 2) / u + 1/4) - 1/2)

with IEEE 754 numbers of 64 bits, whose four operations and roots are the same everywhere. That is
where u is met by the chance that none of the places in between is one: the product of j / (j + 2)
over them is (i + 1) * (i + 2) / ((k + 1) * (k + 2)), k being the last.

A symbol is a sum, so an element is put in or taken out at its some 18 places, whatever the size
of the set, and the symbols of a difference are the differences of symbols. In them whatever has
one element only shows it (`peeling`).

Digests are chosen by anybody, and there is no key that these would not know: two servers that
reconcile need the same, and a key made for one session needs all symbols made anew. Whoever looks
for digests that share their places can keep these from being told; it costs that session what
SKS's way costs.

Source: Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation" (arXiv 2402.02668), whose
symbols have a count and two exclusive ors in place of one number, and whose next place is an
approximation of this one.
"""

import hashlib
from collections.abc import Iterable
from math import sqrt
from typing import Final

import msgspec

from keygrove_protocols.errors import BadSketchError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import DIGEST_BYTES

SYMBOLS: Final = 1 << 14
"""That are kept. They tell some 11,900 differences; twice as many would take a tenth more time for
each change of the set."""

CHECK_BYTES: Final = 8
CODED_BITS: Final = 8 * (DIGEST_BYTES + CHECK_BYTES)
SYMBOL_BYTES: Final = 26
MODULUS: Final = 1 << 8 * SYMBOL_BYTES

_ONE: Final = 1 << CODED_BITS
_PERSON: Final = b"KeygroveRateless"
_HASH_BYTES: Final = 24
_MULTIPLIER: Final = 0xDA942042E4DD58B5
"""Of Steele and Vigna, "Computationally easy, spectrally good multipliers for congruential
pseudorandom number generators" (2021)."""
_SEED_MASK: Final = (1 << 128) - 1
_UNIT: Final = 2.0**-53


class Coded(msgspec.Struct, frozen=True, gc=False):
    """An element as symbols have it."""

    number: int
    seed: int

    def places(self, stop: int, start: int = 0) -> list[int]:
        """Where it is, in ascending order, from `start` up to and without `stop`."""
        found: list[int] = []
        place, seed = 0, self.seed
        while place < stop:
            if place >= start:
                found.append(place)
            seed = seed * _MULTIPLIER & _SEED_MASK
            share = ((seed >> 75) + 0.5) * _UNIT
            place = int(sqrt((place + 1) * (place + 2) / share + 0.25) - 0.5)
        return found


def coded(digest: bytes) -> Coded:
    """An element."""
    hashed = hashlib.blake2b(digest, digest_size=_HASH_BYTES, person=_PERSON).digest()
    number = _ONE | int.from_bytes(digest + hashed[:CHECK_BYTES])
    return Coded(number, int.from_bytes(hashed[CHECK_BYTES:], "little") | 1)


class Sketch:
    """The first `SYMBOLS` symbols of a set that changes.

    It does not know what is in the set: its owner changes both together. 1 MB at any size.
    """

    def __init__(self, digests: Iterable[Digest] = ()) -> None:
        self._sums = [0] * SYMBOLS
        self.apply(added=digests)

    @classmethod
    def from_bytes(cls, octets: bytes) -> "Sketch":
        """What `octets` was of.

        Raises:
            BadSketchError: it was of none.
        """
        if len(octets) != SYMBOLS * SYMBOL_BYTES:
            raise BadSketchError("this is no sketch of a set: make it anew from the set")
        sketch = cls()
        sketch._sums = numbers(octets)
        return sketch

    def apply(self, *, added: Iterable[Digest] = (), removed: Iterable[Digest] = ()) -> None:
        """Put some in, which are not there, and take some out, which are."""
        sums = self._sums
        for digest in added:
            one = coded(digest)
            for place in one.places(SYMBOLS):
                sums[place] += one.number
        for digest in removed:
            one = coded(digest)
            for place in one.places(SYMBOLS):
                sums[place] -= one.number

    def snapshot(self) -> "Sketch":
        """The symbols of this moment, which no change of this one reaches."""
        taken = Sketch()
        taken._sums = self._sums.copy()
        return taken

    def is_like(self, other: "Sketch") -> bool:
        """Whether both are of one set."""
        return self.octets() == other.octets()

    def sums(self, start: int, stop: int) -> list[int]:
        """Some symbols, modulo `MODULUS` in any representative."""
        return self._sums[start:stop]

    def octets(self, start: int = 0, stop: int = SYMBOLS) -> bytes:
        """Some symbols as they are sent, and all of them as they are kept."""
        return b"".join([(one % MODULUS).to_bytes(SYMBOL_BYTES) for one in self.sums(start, stop)])


def numbers(octets: bytes) -> list[int]:
    """Symbols as they were sent; the octets are a multiple of `SYMBOL_BYTES`."""
    starts = range(0, len(octets), SYMBOL_BYTES)
    return [int.from_bytes(octets[at : at + SYMBOL_BYTES]) for at in starts]
