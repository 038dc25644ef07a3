"""What happened, as a list of facts whose hash is equal whenever the run was the same.

An event is a tuple: virtual nanoseconds, then stable names and numbers. Never addresses, never
the text of an error. Hashing is in blocks, which costs a third of hashing each event; the hash
after each block is kept, so that two runs that differ can be compared by bisection.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Final, TypeAlias

import msgspec

Fact: TypeAlias = str | int | float
Event: TypeAlias = tuple[Fact, ...]

BLOCK: Final = 1000
"""Events between two checkpoints."""
LAST: Final = 200
"""Events that are always kept, to be shown when a run fails."""
NANO: Final = 1_000_000_000

_encoder = msgspec.msgpack.Encoder()


class Trace:
    """The events of one run. With `keep`, those from `first` to before `last` are kept, too."""

    def __init__(self, keep: range | None = None) -> None:
        self.events = 0
        self.at = 0.0
        self.checkpoints: list[str] = []
        self.kept: list[Event] = []
        self._keep = range(0) if keep is None else keep
        self._hash = hashlib.blake2b(digest_size=16)
        self._block: list[Event] = []
        self._last: deque[list[Event]] = deque(maxlen=1)

    def add(self, now: float, facts: Event) -> None:
        """Write down an event at `now` virtual seconds."""
        event = (round(now * NANO), *facts)
        self._block.append(event)
        if self.events in self._keep:
            self.kept.append(event)
        self.events += 1
        self.at = now
        if len(self._block) == BLOCK:
            self._close_block()

    def digest(self) -> str:
        """One word for all events so far: 32 hexadecimal digits."""
        whole = self._hash.copy()
        whole.update(_encoded(self._block))
        return whole.hexdigest()

    def last(self, count: int = LAST) -> list[Event]:
        """The events before this moment, oldest first."""
        before = self._last[0] if self._last else []
        return [*before, *self._block][-count:]

    def _close_block(self) -> None:
        self._hash.update(_encoded(self._block))
        self.checkpoints.append(self._hash.hexdigest())
        self._last.append(self._block)
        self._block = []


def _encoded(block: list[Event]) -> bytes:
    try:
        return _encoder.encode(block)
    except (OverflowError, UnicodeEncodeError):
        # MessagePack has neither numbers of more than 64 bits nor half surrogate pairs.
        return _encoder.encode([tuple(map(ascii, event)) for event in block])


def line(event: Event) -> str:
    """An event as people read it: seconds, then the facts."""
    at, *facts = event
    assert isinstance(at, int)
    told = f"{at / NANO:14.6f}  " + " ".join(map(str, facts))
    return told.encode(errors="backslashreplace").decode()


def first_difference(mine: list[str], other: list[str]) -> range | None:
    """Which events to look at, by the checkpoints of two runs; None if these are all equal."""
    pairs = zip(mine, other, strict=False)
    differing = next((at for at, (a, b) in enumerate(pairs) if a != b), None)
    if differing is None:
        return None
    return range(differing * BLOCK, (differing + 1) * BLOCK)
