"""What can go wrong in the chaos tools themselves. Catch ChaosError to catch it all."""

from __future__ import annotations


class ChaosError(Exception):
    """The root of every error this package raises."""


class HistoryError(ChaosError):
    """A history is not one: a line cannot be read, or its events contradict each other."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}; what is told here cannot be judged")
