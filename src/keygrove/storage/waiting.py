"""Requests that an actor has put off, in order, until one of its tasks takes them together."""

from collections import deque
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Waiting(Generic[T]):
    """A bounded queue that is emptied in batches."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._some = anyio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Add an item, or say that there is no room."""
        if len(self._items) >= self._limit:
            return False
        self.insist(item)
        return True

    def insist(self, item: T) -> None:
        """Add an item, room or not: one of those whose number something else bounds."""
        self._items.append(item)
        self._some.set()

    async def take(self, at_most: int) -> list[T]:
        """Everything that waits, up to `at_most`, as soon as there is anything."""
        while not self._items:
            self._some = anyio.Event()
            await self._some.wait()
        return [self._items.popleft() for _ in range(min(at_most, len(self._items)))]
