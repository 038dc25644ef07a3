"""The algorithm-specific octets of keys and signatures.

A multiprecision integer (MPI) is u16 bits and as many octets as these need, the most
significant first. One with leading zero bits is malformed in version 6; in older packets such
are about, and do no harm.

Source: RFC 9580, sections 3.2 and 5.5.5.
"""

import msgspec

from keygrove_protocols.openpgp.keys import CURVES


class KeyMaterial(msgspec.Struct, frozen=True, gc=False):
    """What stands behind the first fields of a key packet, and how it is to be read."""

    version: int
    algorithm: int
    octets: bytes

    @property
    def is_strict(self) -> bool:
        """Whether numbers in the key's signatures have exactly the bits that they say."""
        return self.version == 6

    def integers(self, count: int) -> list[bytes]:
        """All of the material, as that many numbers."""
        return _well_formed(self.octets, count)

    def curve_and_point(self) -> tuple[str | None, bytes]:
        """The name of the curve, None if we do not know it, and the octets of the point."""
        end = 1 + self.octets[0]
        size = CURVES.get(self.octets[1:end])
        return size.curve if size else None, _well_formed(self.octets[end:], 1)[0]


def read_integers(octets: bytes, count: int, *, is_strict: bool) -> list[bytes] | None:
    """The octets of `count` numbers, as they stand.

    None if they are not all there, if something follows, or, with `is_strict`, if one of them
    has another number of bits than it says.
    """
    found: list[bytes] = []
    at = 0
    for _ in range(count):
        start = at + 2
        bits = int.from_bytes(octets[at:start])
        at = start + (bits + 7 >> 3)
        value = octets[start:at]
        if is_strict and int.from_bytes(value).bit_length() != bits:
            return None
        found.append(value)
    return found if at == len(octets) else None


def padded(value: bytes, octets: int) -> bytes | None:
    """The number in exactly that many octets, with zeros in front; None if it is larger."""
    if len(value) > octets:
        value = value.lstrip(b"\0")
    return value.rjust(octets, b"\0") if len(value) <= octets else None


def _well_formed(octets: bytes, count: int) -> list[bytes]:
    found = read_integers(octets, count, is_strict=False)
    assert found is not None, "the key was parsed before"
    return found
