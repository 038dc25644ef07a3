"""What can go wrong in the chaos tools themselves. Catch ChaosError to catch it all."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final, TypeVar, cast

T = TypeVar("T")

_LOOPS: Final = frozenset(
    {"anyio", "asyncio", "trio", "keygrove_chaos.engine_aio", "keygrove_chaos.engine_trio"}
    | {"concurrent", "threading", "keygrove_chaos.tripwires"}
)
SHOWN: Final = 20
"""Names that are told where one is unknown."""


class ChaosError(Exception):
    """The root of every error this package raises."""


class RunError(ChaosError):
    """A run cannot go on. What it says is all there is to say: no line of ours is to blame."""


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
    where = "" if isinstance(error, RunError) else place(error)
    return f"{type(error).__name__}: {_text(error)}".strip() + (f" ({where})" if where else "")


def place(error: BaseException) -> str:
    """The innermost line that raised it and is not of an event loop, as `file.py:12`, or empty.

    Errors of ours are told where they were made.
    """
    walked = list(traceback.walk_tb(error.__traceback__))
    own = [(frame, number) for frame, number in walked if not is_of_loop(frame)] or walked
    if isinstance(error, ChaosError):
        own = [(frame, number) for frame, number in own if not _is_ours(frame)]
    return f"{Path(own[-1][0].f_code.co_filename).name}:{own[-1][1]}" if own else ""


def is_of_loop(frame: FrameType) -> bool:
    """Whether it runs code of an event loop, its threads or our wires, which is nobody's bug."""
    module: str = frame.f_globals.get("__name__", "")
    return module in _LOOPS or module.partition(".")[0] in _LOOPS


def _is_ours(frame: FrameType) -> bool:
    module: str = frame.f_globals.get("__name__", "")
    return module.partition(".")[0] == "keygrove_chaos"


def known(found: Mapping[str, T], name: object, what: str) -> T:
    """What has this name.

    Raises:
        ChaosError: nothing has; it says what there is.
    """
    if not isinstance(name, str) or name not in found:
        there = ", ".join(list(found)[:SHOWN]) or "none"
        raise ChaosError(f"there is no {what} {name!r:.80}; there are: {there}")
    return found[name]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - whatever the class of an error does in `__str__`
        return f"(its text cannot be had: {type(broken).__name__})"
