"""Token buckets: how much each of many may have at once, and how fast it comes again. Pure.

A bucket is one number, the time at which it will be full again (generic cell rate algorithm): one
that is full is as none. So taking is one step, and whoever has to wait is told for how long.
"""

from typing import Generic, TypeVar

K = TypeVar("K")


class Buckets(Generic[K]):
    """A bucket for each key, full at first."""

    def __init__(self, size: float, rate: float, keys_max: int) -> None:
        """Have buckets of that size, to which so much comes a second.

        Args:
            keys_max: buckets that are kept. Of more, the fuller half is given up, which is to say
                filled.
        """
        self._size_s = size / rate
        self._rate = rate
        self._keys_max = keys_max
        self._full_at: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: K, amount: float, now: float) -> float:
        """Take so much out, if it is there.

        Args:
            amount: no more than the size.
            now: seconds, of a clock that only goes forward.

        Returns:
            0 if it was taken; else nothing was, and so many seconds later it will be there.
        """
        full_at = max(self._full_at.get(key, now), now) + amount / self._rate
        wait_s = full_at - now - self._size_s
        if wait_s > 0:
            return wait_s
        if key not in self._full_at and len(self._full_at) >= self._keys_max:
            self._make_room(now)
        self._full_at[key] = full_at
        return 0.0

    def _make_room(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        if len(self._full_at) >= self._keys_max:
            by_time = sorted(self._full_at, key=lambda key: self._full_at[key])
            self._full_at = {key: self._full_at[key] for key in by_time[(len(by_time) + 1) // 2 :]}
