"""What can go wrong in the chaos tools themselves. Catch ChaosError to catch it all."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import cast


class ChaosError(Exception):
    """The root of every error this package raises."""


class PlanError(ChaosError):
    """What a run is to play is no plan of its scenario: no run, and so no finding."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the plan cannot be played: {why}")


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
    return f"{type(error).__name__}: {_text(error)}".strip() + where


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - whatever the class of an error does in `__str__`
        return f"(its text cannot be had: {type(broken).__name__})"
