"""Numbers that look random and follow from a seed alone, for jitter that a test can repeat.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), the
SplitMix64 of its section 5. Python's own generator takes 2.5 KB and a global.
"""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


class Chance:
    """One stream of numbers. Not for secrets."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def uniform(self) -> float:
        """The next number, at least 0 and below 1."""
        self._state = z = (self._state + _GOLDEN) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53
