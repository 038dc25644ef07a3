"""Chance that a seed repeats: a stream of random numbers for each purpose.

Streams are seeded by text, which Python hashes by SHA-512: the same in every process. One more
draw from one stream changes no other, so a fault taken away leaves the rest of a run alike.
"""

from __future__ import annotations

from random import Random


class Streams:
    """All the streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Random] = {}

    def stream(self, purpose: str) -> Random:
        """The stream of this purpose: the same one each time."""
        found = self._streams.get(purpose)
        if found is None:
            found = self._streams[purpose] = Random(f"{self.seed}:{purpose}")  # noqa: S311 - to be repeatable is its purpose
        return found


class SeededEntropy:
    """See `keygrove.ports.Entropy`: octets from a stream."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self, size: int) -> bytes:
        """See `keygrove.ports.Entropy`."""
        return self._random.randbytes(size)
