"""Who holds up the event loop: a thread that asks it for a sign of life (A-119).

A plain function that runs too long cannot be interrupted, but it can be named: its
actor, what that is at, and its stack, once for each time the loop stands still.
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
from keygrove_actors.host import ChildTask
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Request
from keygrove_actors.reports import SlowTurn
from keygrove_actors.runtime import Runtime
from keygrove_actors.tasks import Task

SLOW_S: Final = 0.1
"""Seconds that a turn may take before it is reported."""

_STEPS: Final = {
    Cell.start.__code__: "init",
    Cell.init_in_task.__code__: "init",
    Cell.end.__code__: "terminate",
    Cell.terminate.__code__: "terminate",
}
"""What an actor is at in these, where there is no message."""


class Watchdog:
    """Measures how late the loop is. `look` is called again and again, from any thread.

    What `tell` raises, the first time, is for `threading.excepthook`: that prints it.
    """

    def __init__(
        self, hub: Hub, slow_s: float = SLOW_S, tell: Callable[[SlowTurn], None] | None = None
    ) -> None:
        self.lag_s = 0.0
        self._hub = hub
        self._slow_s = slow_s
        self._tell = tell
        self._loop_thread = threading.get_ident()
        self._asked: float | None = None
        self._has_told = self._has_failed = False

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
            try:
                self._tell(slow)
            except Exception as error:  # noqa: BLE001 - whoever is told must not end the watch
                self._failed(error)
        return slow

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            facts = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(facts))

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
    in the watching thread, to `tell`, whose errors do not end it.
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
    """The innermost actor on the stack, and what it is at; nothing if there is none."""
    while frame is not None:
        found = _doing(frame)
        if found is not None:
            return found
        frame = frame.f_back
    return "", ""


def _doing(frame: FrameType) -> tuple[str, str] | None:
    local: dict[str, Any] = frame.f_locals
    own = local.get("self")
    if isinstance(own, ChildTask | Task):
        return own.cell.path, own.name
    cell = own if isinstance(own, Cell) else local.get("cell")
    if not isinstance(cell, Cell):
        return None
    message = local.get("message", local.get("item"))
    if message is not None:
        return cell.path, type_name(message.message if isinstance(message, Request) else message)
    step = _STEPS.get(frame.f_code)
    return None if step is None else (cell.path, step)
