"""Which tasks wait, and where: what an error says when a world cannot go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from keygrove_chaos.errors import is_of_loop

SHOWN: Final = 5
"""Tasks that are named; more are counted."""


def named(tasks: Iterable[tuple[str, Any]]) -> str:
    """The tasks, given by name and coroutine, in a line; `nobody` if there are none."""
    told = [f"{name} at {place(coro)}" for name, coro in tasks]
    more = [f"{len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return ", ".join([*told[:SHOWN], *more]) or "nobody"


def place(coro: Any) -> str:
    """The innermost line of a suspended coroutine that is not of an event loop."""
    found = "its beginning"
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None and not is_of_loop(frame):
            found = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    return found
