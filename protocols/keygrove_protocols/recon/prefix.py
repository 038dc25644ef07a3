"""Names of the nodes of a prefix tree: the bits that all digests below a node begin with.

Bits are counted from the first octet on, in each octet from the most significant one. Each level
takes `BITQUANTUM` bits. Source: sks-keyserver, prefixTree.ml and bitstring.ml.
"""

from typing import Final

import msgspec

from keygrove_protocols.openpgp.keys import Digest

BITQUANTUM: Final = 2
FANOUT: Final = 1 << BITQUANTUM


class Prefix(msgspec.Struct, frozen=True, order=True):
    """So many bits of digests.

    Args:
        octets: as many as the bits need; the unused low bits of the last one are 0.
        length: in bits, a multiple of `BITQUANTUM`, at most those of a digest.
    """

    octets: bytes = b""
    length: int = 0

    def child(self, number: int) -> "Prefix":
        """The name of a child, from 0 to `FANOUT` - 1."""
        length = self.length + BITQUANTUM
        octets = bytearray(self.octets)
        if self.length % 8 == 0:
            octets.append(0)
        octets[-1] |= number << (-length % 8)
        return Prefix(bytes(octets), length)

    def children(self) -> tuple["Prefix", ...]:
        """The names of all of them, in order."""
        return tuple(self.child(number) for number in range(FANOUT))

    def covers(self, digest: Digest) -> bool:
        """Whether the digest begins with these bits."""
        whole, rest = divmod(self.length, 8)
        if digest[:whole] != self.octets[:whole]:
            return False
        return not rest or (digest[whole] ^ self.octets[whole]) >> (8 - rest) == 0

    def __str__(self) -> str:
        """As in the references: zeros and ones, none for the root."""
        number = int.from_bytes(self.octets, "big")
        return f"{number:0{8 * len(self.octets)}b}"[: self.length] if self.length else ""


ROOT: Final = Prefix()
