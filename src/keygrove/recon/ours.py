"""Our side where no server is asked for it: digests of certificates, and whose they are.

    record  digest, 16 octets ‖ u8 octets of the fingerprint ‖ fingerprint, 20 octets, zeros behind

A million certificates take 37 MB so; a dict of them would take 200.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from keygrove.recon.listing import Gathered, Shown
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.field import DIGEST_BYTES

_FINGERPRINT_BYTES: Final = 20
_RECORD: Final = DIGEST_BYTES + 1 + _FINGERPRINT_BYTES


class Ours:
    """What partners would see; `gathered` is what the tree is made from."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self._by_octet = [bytearray() for _ in range(256)]

    def add(self, one: Shown) -> None:
        """One more."""
        self.gathered.add(one.digest)
        length = bytes([len(one.fingerprint)])
        padded = one.fingerprint.ljust(_FINGERPRINT_BYTES, b"\0")
        self._by_octet[one.digest[0]] += one.digest + length + padded

    def whose(self, digests: AbstractSet[Digest]) -> dict[Digest, Fingerprint]:
        """The certificates that have these digests."""
        found: dict[Digest, Fingerprint] = {}
        for octet in {digest[0] for digest in digests}:
            records = self._by_octet[octet]
            for at in range(0, len(records), _RECORD):
                digest = Digest(bytes(records[at : at + DIGEST_BYTES]))
                if digest in digests:
                    start = at + DIGEST_BYTES + 1
                    end = start + records[start - 1]
                    found[digest] = Fingerprint(bytes(records[start:end]))
        return found
