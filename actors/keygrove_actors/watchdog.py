"""Who holds up the event loop: a thread that asks it for a sign of life (A-119).

A plain function that runs too long cannot be interrupted, but it can be named: its
actor, its message and its stack, once for each time the loop stands still.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any, Final

from keygrove_actors.cell import Cell
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Request
from keygrove_actors.reports import SlowTurn
from keygrove_actors.runtime import Runtime

SLOW_S: Final = 0.1
"""Seconds that a turn may take before it is reported."""


class Watchdog:
    """Measures how late the loop is. `look` is called again and again, from any thread."""

    def __init__(
        self, hub: Hub, slow_s: float = SLOW_S, tell: Callable[[SlowTurn], None] | None = None
    ) -> None:
        self.lag_s = 0.0
        self._hub = hub
        self._slow_s = slow_s
        self._tell = tell
        self._loop_thread = threading.get_ident()
        self._asked: float | None = None
        self._has_told = False

    def look(self, now: float) -> SlowTurn | None:
        """Ask the loop for a sign of life, or see how long it has owed one."""
        if self._asked is None:
            self._asked, self._has_told = now, False
            self._hub.backend.call_from_anywhere(self._alive)
            return None
        self.lag_s = now - self._asked
        if self.lag_s <= self._slow_s or self._has_told:
            return None
        self._has_told = True
        slow = self._blame(self.lag_s)
        self._hub.backend.call_from_anywhere(lambda: self._hub.report(slow))
        if self._tell is not None:
            self._tell(slow)
        return slow

    def _alive(self) -> None:
        self._asked = None

    def _blame(self, seconds: float) -> SlowTurn:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the documented way to another thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        path, message = _culprit(frame)
        return SlowTurn(path, message, seconds, stack)


@contextmanager
def watchdog(
    runtime: Runtime, slow_s: float = SLOW_S, tell: Callable[[SlowTurn], None] | None = None
) -> Generator[Watchdog, None, None]:
    """Watch the loop this runs in while the block does.

    A `SlowTurn` goes to the runtime's observer when the loop is free again, and at once,
    in the watching thread, to `tell`.
    """
    dog = Watchdog(runtime.hub, slow_s, tell)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(slow_s / 4):
            dog.look(monotonic())

    thread = threading.Thread(target=watch, name="keygrove-watchdog", daemon=True)
    thread.start()
    try:
        yield dog
    finally:
        done.set()
        thread.join()


def _culprit(frame: FrameType | None) -> tuple[str, str]:
    """The actor whose handler is on the stack, and the message it handles; nothing if none is."""
    while frame is not None:
        local: dict[str, Any] = frame.f_locals
        cell = local.get("self") if isinstance(local.get("self"), Cell) else local.get("cell")
        message = local.get("message", local.get("item"))
        if isinstance(cell, Cell) and message is not None:
            return cell.path, type_name(
                message.message if isinstance(message, Request) else message
            )
        frame = frame.f_back
    return "", ""
