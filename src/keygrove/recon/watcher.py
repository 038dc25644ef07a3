"""Who hears of what happens in recon."""

from typing import Protocol


class Watcher(Protocol):
    """Told what the runtime cannot know of the actors of recon."""

    def tree_made_anew(self, why: str) -> None:
        """The prefix tree is not brought up from where it was, but from all that is stored."""
        ...

    def tree_up(self, digests: int) -> None:
        """It is as the stores are, for the first time or again."""
        ...

    def tree_not_dumped(self, why: str) -> None:
        """It could not be written down: the next start takes longer."""
        ...
