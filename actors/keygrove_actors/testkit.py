"""Tools for testing actors: virtual time on asyncio, and a gate that lets nothing leak."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio

from keygrove_actors.backend import in_trio
from keygrove_actors.runtime import Runtime


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose clock jumps to the next timer whenever nothing else is to do.

    What `trio.testing.MockClock(autojump_threshold=0)` is for trio. Not for tests with
    threads or real sockets: it does not wait for them.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class _Jump(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[Any] = super().select(0 if timeout else timeout)
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


class LeakError(AssertionError):
    """A runtime left something behind."""


@asynccontextmanager
async def leak_gate() -> AsyncGenerator[list[Runtime], None]:
    """Refuse to be left while tasks live that did not before, or a runtime's tables hold entries.

    Append the runtimes to be checked to the list it yields.

    Raises:
        LeakError: something is left.
    """
    before = _tasks()
    runtimes: list[Runtime] = []
    yield runtimes
    left = {k: n for r in runtimes for k, n in r.leftovers().items() if n}
    if left:
        raise LeakError(f"left behind by the runtime: {left}; find who does not strike it out")
    if (extra := _tasks() - before) > 0:
        raise LeakError(f"{extra} tasks outlive the block: find who started them")


def _tasks() -> int:
    if in_trio():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())
