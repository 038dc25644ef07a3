"""A mailbox with an express lane, for classes that handle messages marked `lane = "high"`.

High first, but after 16 high ones one normal message if any waits, so that a flood of
urgent mail cannot starve the rest. What is put back at the front stays in front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from keygrove_actors.mail import Envelope, Request

HIGH_IN_A_ROW: Final = 16
"""High messages after which a normal one has its turn."""


def lane_of(message: Any) -> str:
    """The lane a message, or its class, asks for."""
    return getattr(message, "lane", "normal")


class Lanes:
    """What `Mailbox` asks of a deque, over three of them."""

    __slots__ = ("_front", "_high", "_normal", "_streak")

    def __init__(self) -> None:
        self._front: deque[Any] = deque()
        self._high: deque[Any] = deque()
        self._normal: deque[Any] = deque()
        self._streak = 0

    def append(self, item: Any) -> None:
        """Queue by lane."""
        message: Any = item.message if isinstance(item, Request | Envelope) else item
        (self._high if lane_of(message) == "high" else self._normal).append(item)

    def extendleft(self, items: Iterable[Any]) -> None:
        """Put each before all else, so the last one comes first."""
        self._front.extendleft(items)

    def insert(self, position: int, item: Any) -> None:
        """Put `item` before the one at `position`, near the front."""
        self._front.insert(position, item)

    def popleft(self) -> Any:
        """Take whichever is to be handled next."""
        if self._front:
            return self._front.popleft()
        if self._high and (self._streak < HIGH_IN_A_ROW or not self._normal):
            self._streak += 1
            return self._high.popleft()
        self._streak = 0
        return self._normal.popleft()

    def __len__(self) -> int:
        return len(self._front) + len(self._high) + len(self._normal)

    def __iter__(self) -> Iterator[Any]:
        return chain(self._front, self._high, self._normal)

    def __getitem__(self, position: int) -> Any:
        lane, position = self._find(position)
        return lane[position]

    def __delitem__(self, position: int) -> None:
        lane, position = self._find(position)
        del lane[position]

    def _find(self, position: int) -> tuple[deque[Any], int]:
        for lane in (self._front, self._high, self._normal):
            if position < len(lane):
                return lane, position
            position -= len(lane)
        raise IndexError(position)
