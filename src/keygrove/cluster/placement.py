"""Which shard holds which certificate: slots, given out by rendezvous hashing.

Each slot goes to the shard that scores highest for it, so another shard takes slots from
all others and from nowhere else. Source: Thaler and Ravishankar, 1998, "highest random
weight".
"""

from functools import lru_cache

from blake3 import blake3

from keygrove.storage.address import SLOTS, slot
from keygrove_protocols.openpgp.keys import Fingerprint


class Placement:
    """The map from slots to shards, for a fixed number of shards."""

    def __init__(self, shards: int) -> None:
        self._owners = _owners(shards)

    def shard(self, fingerprint: Fingerprint) -> int:
        """The shard that owns this certificate: 0 and up."""
        return self._owners[slot(fingerprint)]


@lru_cache(maxsize=8)  # a server has one number of shards, a simulation a few
def _owners(shards: int) -> tuple[int, ...]:
    """The shard of each slot. Takes milliseconds, and each restart of an actor asks."""
    return tuple(max(range(shards), key=lambda n: _score(n, at)) for at in range(SLOTS))


def _score(shard: int, at: int) -> bytes:
    return blake3(b"\x07" + f"shard-{shard}/{at}".encode()).digest(8)
