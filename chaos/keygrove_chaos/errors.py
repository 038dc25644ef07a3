"""What can go wrong in the chaos tools themselves. Catch ChaosError to catch it all."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import cast


class ChaosError(Exception):
    """The root of every error this package raises."""


class HistoryError(ChaosError):
    """A history is not one: a line cannot be read, or its events contradict each other."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}; what is told here cannot be judged")


def first(error: BaseException) -> BaseException:
    """What went wrong first, where several things did."""
    while isinstance(error, BaseExceptionGroup):
        error = cast(BaseExceptionGroup[BaseException], error).exceptions[0]
    return error


def sentence(error: BaseException) -> str:
    """What went wrong first, and where, in one line."""
    error = first(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}".strip() + where
