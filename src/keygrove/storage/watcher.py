"""Who hears of what happens in a shard."""

from typing import Protocol

from keygrove.errors import DamagedError
from keygrove.storage.store import Progress


class Watcher(Protocol):
    """Told what the runtime cannot know of an actor."""

    def fault(self, where: str, error: Exception) -> None:
        """An exception that cost one request only."""
        ...

    def damaged(self, shard: str, error: DamagedError) -> None:
        """Something stored is not what was written; told once of each."""
        ...

    def progress(self, shard: str, progress: Progress | None) -> None:
        """How far a shard's store is that takes long to be up; None: now it is."""
        ...
