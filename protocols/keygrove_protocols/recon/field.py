"""The field of SKS: numbers modulo a prime of 129 bits, and digests as such.

    octets  meaning
    17      an element, least significant octet first, below `P`

A digest's 16 octets, as they are printed, are the first 16 of those; its 17th is 0. Values at
sample points need all 129 bits.

Source: sks-keyserver, zZp.ml; Hockeypuck, conflux/zp.go.
"""

from typing import Final

from keygrove_protocols.errors import BadElementError
from keygrove_protocols.openpgp.keys import Digest

P: Final = 530512889551602322505127520352579437339
DIGEST_BYTES: Final = 16
DIGEST_BITS: Final = 8 * DIGEST_BYTES
ELEMENT_BYTES: Final = 17

MBAR: Final = 5
"""The most differences that one node's values can tell. All servers have the same."""

SHIFTS: Final = (0, -1, 1, -2, 2, -3)
"""The sample points, as small numbers: one more than `MBAR`, to check with."""

POINTS: Final = tuple(shift % P for shift in SHIFTS)

NO_ELEMENTS: Final = frozenset(
    Digest(point.to_bytes(DIGEST_BYTES, "little")) for point in POINTS if not point >> DIGEST_BITS
)
"""The digests that equal a sample point, which no set may have: a value would be 0 for good."""


def is_element(digest: Digest) -> bool:
    """Whether a set may have it: it is none of `NO_ELEMENTS`."""
    return digest not in NO_ELEMENTS


def element(digest: Digest) -> int:
    """The number that a digest stands for.

    Raises:
        BadElementError: it equals a sample point.
    """
    assert len(digest) == DIGEST_BYTES
    if not is_element(digest):
        raise BadElementError(f"{digest.hex()} is a sample point of recon: leave it out of the set")
    return int.from_bytes(digest, "little")


def digest(element: int) -> Digest:
    """The digest that a number stands for.

    Raises:
        BadElementError: it stands for none, being a sample point or longer than a digest.
    """
    if not 0 <= element < 1 << DIGEST_BITS or element in POINTS:
        raise BadElementError("no digest has this number: take nothing of what came with it")
    return Digest(element.to_bytes(DIGEST_BYTES, "little"))


def encode(number: int) -> bytes:
    """Any number of the field, as 17 octets."""
    return number.to_bytes(ELEMENT_BYTES, "little")


def decode(octets: bytes) -> int:
    """The number of 17 octets.

    Raises:
        BadElementError: they are more or fewer, or the number is not below `P`.
    """
    if len(octets) != ELEMENT_BYTES:
        raise BadElementError(f"a number of recon has {ELEMENT_BYTES} octets, not {len(octets)}")
    number = int.from_bytes(octets, "little")
    if number >= P:
        raise BadElementError("a number of recon is not below its prime")
    return number
