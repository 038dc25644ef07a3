"""How often a child may be restarted, and how long to wait before: pure, time is given."""

from __future__ import annotations

from collections import deque

import msgspec

from keygrove_actors.chance import Chance
from keygrove_actors.specs import Backoff, Jitter


class Pace(msgspec.Struct):
    """What is remembered of one child with a backoff or a budget of its own."""

    tries: int = 0
    """Restarts since it was last up for long."""
    up_since: float | None = None
    stamps: deque[float] = msgspec.field(default_factory=deque[float])
    """When it was restarted, as far as its budget's period reaches back."""


def spend(stamps: deque[float], now: float, period: float) -> int:
    """Note a restart at `now`; how many there were within `period`, this one included.

    A stamp exactly `period` old still counts (A-040).
    """
    while stamps and stamps[0] < now - period:
        stamps.popleft()
    stamps.append(now)
    return len(stamps)


def would_spend(stamps: deque[float], now: float, period: float) -> int:
    """What `spend` would return, without noting anything."""
    return 1 + sum(stamp >= now - period for stamp in stamps)


def delay_of(backoff: Backoff, tries: int, chance: Chance) -> float:
    """How long to wait before the restart that follows `tries` others, in seconds."""
    if tries == 0:
        delay = backoff.first
    else:
        try:
            delay = backoff.base * backoff.factor ** (tries - 1)
        except OverflowError:  # a crash loop that lasts for days
            delay = backoff.cap
    delay = min(delay, backoff.cap)
    match backoff.jitter:
        case Jitter.NONE:
            return delay
        case Jitter.FULL:
            return delay * chance.uniform()
        case Jitter.EQUAL:
            return delay / 2 + delay / 2 * chance.uniform()


def next_delay(pace: Pace, backoff: Backoff, now: float, chance: Chance) -> float:
    """How long to wait before the next restart, which is counted."""
    if pace.up_since is not None and now - pace.up_since >= backoff.reset_after:
        pace.tries = 0
    pace.up_since = None
    delay = delay_of(backoff, pace.tries, chance)
    pace.tries += 1
    return delay
