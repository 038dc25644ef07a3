"""What is known not to be there: for a minute, and bounded by its bytes, oldest first out."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Set
from typing import Final, Generic, TypeVar

TTL_S: Final = 60.0
ENTRY_BYTES: Final = 320
"""What one takes beside the octets of its name, by measurement."""

K = TypeVar("K", bound=Hashable)


class Absent(Generic[K]):
    """Keys of what is not there."""

    def __init__(self, bytes_max: int, elapsed: Callable[[], float]) -> None:
        """Make room for `bytes_max`; `elapsed` is a stopwatch, in seconds."""
        self._bytes_max = bytes_max
        self._elapsed = elapsed
        self._known: OrderedDict[K, tuple[float, int]] = OrderedDict()
        """Until when, and the size. All live as long, so the oldest end first."""
        self.size_bytes = 0

    def __contains__(self, key: K) -> bool:
        known = self._known.get(key)
        if known is None:
            return False
        if self._elapsed() < known[0]:
            return True
        self.drop(key)
        return False

    def has_any(self, keys: Set[K]) -> bool:
        """Whether any of the keys may be known: quicker than to look for each."""
        return not self._known.keys().isdisjoint(keys)

    def add(self, key: K, octets: int) -> None:
        """Know for a minute from now that there is none; `octets` is the size of its name."""
        self.drop(key)
        size = ENTRY_BYTES + octets
        if size > self._bytes_max:
            return
        while self.size_bytes + size > self._bytes_max:
            _, (_, gone) = self._known.popitem(last=False)
            self.size_bytes -= gone
        self._known[key] = self._elapsed() + TTL_S, size
        self.size_bytes += size

    def drop(self, key: K) -> None:
        """There may be one by now."""
        known = self._known.pop(key, None)
        if known is not None:
            self.size_bytes -= known[1]
