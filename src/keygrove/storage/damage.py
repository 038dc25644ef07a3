"""What a shard knows of rows that are not what was written."""

from collections.abc import Callable

from keygrove.errors import DamagedError
from keygrove.storage.store import Scrubbed

KNOWN_MAX = 10_000


class Damage:
    """Rows that were met, each told once."""

    def __init__(self, tell: Callable[[DamagedError], None]) -> None:
        self._tell = tell
        self._known: set[str] = set()
        self.requests = 0
        """That could not be answered for it."""
        self.scrubbed_until = 0
        """The last row that was looked at again."""

    def __len__(self) -> int:
        return len(self._known)

    def met(self, error: DamagedError) -> None:
        """A request met it."""
        self.requests += 1
        self.found(error)

    def found(self, error: DamagedError) -> None:
        """Somebody who looked found it."""
        if str(error) not in self._known and len(self._known) < KNOWN_MAX:
            self._known.add(str(error))
            self._tell(error)

    def scrubbed(self, some: Scrubbed) -> None:
        """Some of what is stored was looked at again."""
        self.scrubbed_until = some.until
        for error in some.damage:
            self.found(error)
