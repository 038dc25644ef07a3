"""When to begin a session with a partner: pure.

Its interval is as much longer than that of the heaviest partner as that weighs more. A partner
that fails is left alone for longer and longer; after some failures in a row its circuit is open,
and each attempt is a probe. One that is busy has not failed (recon.md, T7).
"""

from enum import Enum
from typing import Final

from keygrove.ports import Entropy
from keygrove.telemetry.partners import Result

JITTER: Final = 0.1
"""Of each pause, either way: else all would come at once for ever, once they did."""
PAUSE_MAX_S: Final = 3_600.0
OPEN_AFTER: Final = 5
"""Failures in a row."""


class Circuit(Enum):
    """Whether a partner is counted on."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    """It is being tried."""


class Pace:
    """One partner's."""

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self.is_trying = False

    @property
    def circuit(self) -> Circuit:
        """Its state."""
        if self.failures < OPEN_AFTER:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self.is_trying else Circuit.OPEN

    def note(self, result: Result) -> None:
        """A session came to its end, whoever began it."""
        if result == "done":
            self.failures = 0
        elif result != "busy":
            self.failures += 1

    def pause_s(self, interval_s: float) -> float:
        """Until the next one, without jitter."""
        longest = max(PAUSE_MAX_S, interval_s)
        return min(interval_s * 2.0 ** min(self.failures, 32), longest)


def chance(entropy: Entropy) -> float:
    """A number from 0 up to 1, which it never is."""
    return int.from_bytes(entropy.token(6)) / (1 << 48)


def jittered(pause_s: float, entropy: Entropy) -> float:
    """The same, more or less."""
    return pause_s * (1 - JITTER + 2 * JITTER * chance(entropy))


def share(weight: int, heaviest: int) -> float:
    """How many times the interval of the heaviest partner one of this weight, above 0, has."""
    return heaviest / weight
