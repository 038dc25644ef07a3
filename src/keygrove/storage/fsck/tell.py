"""How far a check is."""

from typing import Protocol


class Tell(Protocol):
    """Told now and then."""

    def __call__(self, step: str, done: int, total: int, /) -> None:
        """So much of a step is done; the total is 0 where that is not known."""
        ...


def untold(_step: str, _done: int, _total: int, /) -> None:
    """Nobody wants to know."""
