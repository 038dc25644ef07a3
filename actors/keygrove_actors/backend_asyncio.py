"""asyncio, uvloop too, as the runtime's event loop (see `backend`)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from math import inf
from time import monotonic
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from keygrove_actors.backend import Parker, Timer

T = TypeVar("T")

SLICE_S: Final = 0.0001
"""Seconds after which functions in a row let the loop go round, for sockets and tasks."""

SLICE_CALLS: Final = 32
"""Functions after which they do, also where the clock stands still: a simulated one."""


class AsyncioBackend:
    """asyncio's own functions, nearly without a layer between.

    But for `call_soon`: a callback of the loop for each turn costs a handle and, in a chain of
    actors, a round of polling for each hop. So one callback runs many functions in a row.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        # a plain loop's time is this clock, behind one more call
        is_plain = type(loop).time is asyncio.BaseEventLoop.time
        self.now = monotonic if is_plain else loop.time
        # uvloop's time stands still within a callback
        self.clock = self.now if isinstance(loop, asyncio.BaseEventLoop) else monotonic
        self.parker: Callable[[], Parker[Any]] = loop.create_future
        self._loop = loop
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._ready: deque[tuple[Callable[[], None], Context]] = deque()
        self._is_serving = False

    @coroutine
    def shortly(self, parker: asyncio.Future[T]) -> Generator[Any, Any, T]:
        """Look in the next round of the loop, since being woken in it takes one more."""
        try:
            yield
        except BaseException:
            parker.cancel()  # done, so nobody waits; an error in it already is not logged
            raise
        return (yield from parker)

    def call_soon(self, function: Callable[[], None], context: Context) -> None:
        """Call `function` after those that are ready, perhaps in the same callback of the loop."""
        if self._is_serving:
            self._ready.append((function, context))
        else:
            self._is_serving = True
            self._loop.call_soon(self._serve, function, context, context=context)

    def _serve(self, function: Callable[[], None], context: Context) -> None:
        """A callback of the loop, in `context`: call `function`, and what is ready then."""
        try:
            function()
            if self._ready:
                self._serve_ready(context)
        finally:
            if self._ready:
                function, context = self._ready.popleft()
                self._loop.call_soon(self._serve, function, context, context=context)
            else:
                self._is_serving = False

    def _serve_ready(self, entered: Context) -> None:
        """Call what is ready, until others should have the loop."""
        ready, until = self._ready, self.clock() + SLICE_S
        for _ in range(SLICE_CALLS):
            function, context = ready.popleft()
            if context is entered:
                function()
            else:
                context.run(function)
            if not ready or self.clock() >= until:
                break

    def call_at(self, when: float, function: Callable[[], None]) -> Timer:
        """Call `function` at `when`, by the loop's own timer."""
        return self._loop.call_at(when, function, context=self._context)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], context: Context) -> None:
        """Start a task, and keep it from being collected."""
        task = self._loop.create_task(main(), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def current_task(self) -> object:
        """The running task, or None."""
        return asyncio.current_task(self._loop)

    def call_from_anywhere(self, function: Callable[[], object]) -> None:
        """Call `function` soon, unless the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, context=self._context)

    async def checkpoint(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    async def drained(self, within: float | None = None) -> None:
        """Wait for every task, whatever cancels the waiter; then raise what they raised."""
        interrupted: asyncio.CancelledError | None = None
        until = inf if within is None else self.now() + within
        while self._tasks and (left := until - self.now()) > 0:
            try:
                await asyncio.wait(self._tasks, timeout=None if left == inf else left)
            except asyncio.CancelledError as error:
                interrupted = error
        if self._failures:
            raise BaseExceptionGroup("tasks of the runtime failed", self._failures)
        if interrupted is not None:
            raise interrupted

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)
