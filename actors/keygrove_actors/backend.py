"""The few functions asked of an event loop: asyncio (uvloop too) and trio.

Everything on a message's path is here, so that it costs what the loop's own primitives
cost; code beside that path, and all code of users, speaks anyio.

Work runs in the context variables given with it, never in those of whoever caused it:
what a sender had bound must not appear in the receiver.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Protocol, TypeVar

from keygrove_actors.backend_asyncio import AsyncioBackend

T = TypeVar("T")


class Parker(Protocol[T]):
    """A place where one task waits for one value, or one exception.

    It is done when it has either, or when its waiter was cancelled.
    """

    def done(self) -> bool:
        """Whether nobody waits any more, or will."""
        ...

    def set_result(self, result: T, /) -> None:
        """Let the waiter go on with `result`. Only while not done."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Let the waiter raise `exception`. Only while not done."""
        ...

    def __await__(self) -> Generator[Any, Any, T]: ...


class Timer(Protocol):
    """A function that is to be called later."""

    def cancel(self) -> None:
        """Forget it; harmless when it was called already."""
        ...


class Backend(Protocol):
    """An event loop, as the runtime sees it."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def parker(self) -> Parker[Any]:
        """A fresh parker."""
        ...

    def shortly(self, parker: Any) -> Awaitable[Any]:
        """What a parker of its own gets, if that is mostly there after one round of the loop."""
        ...

    def call_soon(self, function: Callable[[], None], context: Context) -> None:
        """Call `function` once, soon, in the order of such calls."""
        ...

    def call_at(self, when: float, function: Callable[[], None]) -> Timer:
        """Call `function` once `now()` has reached `when`."""
        ...

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], context: Context) -> None:
        """Start a task. It must end by itself, without an exception."""
        ...

    def current_task(self) -> object:
        """The running task, by identity; no actor's task while in a callback."""
        ...

    def clock(self) -> float:
        """Seconds, advancing within a callback too; for measuring how long one takes."""
        ...

    def call_from_anywhere(self, function: Callable[[], object]) -> None:
        """As `call_soon`, from any thread, and harmless when the loop is closed."""
        ...

    async def checkpoint(self) -> None:
        """Let others run, and be cancelled if that is due."""
        ...

    async def drained(self, within: float | None = None) -> None:
        """Wait until every task has ended, or `within` seconds, whatever cancels the waiter.

        Raises:
            BaseExceptionGroup: tasks raised, against their promise.
        """
        ...


def current_backend(context: Context) -> Backend:
    """The loop this runs in. Whoever asks must await `drained` in the end."""
    if in_trio():
        # Half of what it takes to import this package, and a worker process never needs it.
        from keygrove_actors.backend_trio import TrioBackend  # noqa: PLC0415

        return TrioBackend(context)
    return AsyncioBackend(asyncio.get_running_loop(), context)


def in_trio() -> bool:
    """Whether the caller runs on trio; if not, it is asyncio."""
    trio = sys.modules.get("trio")  # who runs on it has imported it
    return trio is not None and bool(trio.lowlevel.in_trio_task())
