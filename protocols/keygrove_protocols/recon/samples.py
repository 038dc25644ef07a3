"""Values of a set's characteristic polynomial at the sample points.

The polynomial of a set is the product of (x - z) over its elements z. That of a union of sets that
have nothing in common is the product of theirs, so a node's values follow from its children's.

    octets  meaning
    6 * 17  the values at `POINTS`, each as `field.encode` has it

Source: Minsky, Trachtenberg, Zippel, "Set Reconciliation with Nearly Optimal Communication
Complexity", section 2; sks-keyserver, prefixTree.ml.
"""

from collections.abc import Iterable
from typing import Final

from keygrove_protocols.recon.field import ELEMENT_BYTES, POINTS, SHIFTS, P

Samples = tuple[int, ...]

EMPTY: Final[Samples] = (1,) * len(POINTS)
"""Of the empty set."""

PACKED_BYTES: Final = ELEMENT_BYTES * len(POINTS)
_STARTS: Final = range(0, PACKED_BYTES, ELEMENT_BYTES)


def samples(digests: Iterable[bytes]) -> Samples:
    """Of a set of digests, none of which equals a sample point."""
    elements = [int.from_bytes(digest, "little") for digest in digests]
    return tuple([_product(elements, shift) for shift in SHIFTS])


def _product(elements: list[int], shift: int) -> int:
    product = 1
    for element in elements:  # reduced at each step: numbers that grow take longer
        product = product * (shift - element) % P
    return product


def times(one: Samples, other: Samples) -> Samples:
    """Of the union of two sets that have nothing in common."""
    return tuple([a * b % P for a, b in zip(one, other, strict=True)])


def over(whole: Samples, part: Samples) -> Samples:
    """Of what is left of a set without a part of it; of any two sets, the quotients."""
    return tuple([a * pow(b, -1, P) % P for a, b in zip(whole, part, strict=True)])


def pack(values: Samples) -> bytes:
    """So many octets, which take a third of the memory."""
    return b"".join([value.to_bytes(ELEMENT_BYTES, "little") for value in values])


def unpack(octets: bytes) -> Samples:
    """The values again."""
    return tuple([int.from_bytes(octets[at : at + ELEMENT_BYTES], "little") for at in _STARTS])
