"""trio as the runtime's event loop (see `backend`), for tests and simulations."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from functools import partial
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import trio

if TYPE_CHECKING:
    from keygrove_actors.backend import Parker, Timer

T = TypeVar("T")


class TrioParker(Generic[T]):
    """A parker on trio: the task is taken off the run queue and put back."""

    __slots__ = ("_done", "_error", "_result", "_task")

    def __init__(self) -> None:
        self._done = False
        self._result: T | None = None
        self._error: Exception | None = None
        self._task: trio.lowlevel.Task | None = None

    def done(self) -> bool:
        """Whether it has its value, or its waiter was cancelled."""
        return self._done

    def set_result(self, result: T, /) -> None:
        """Hand over `result`."""
        self._result = result
        self._settle()

    def set_exception(self, exception: Exception, /) -> None:
        """Hand over `exception`."""
        self._error = exception
        self._settle()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait; whoever asks after the hand-over need not wait."""
        if not self._done:
            self._task = trio.lowlevel.current_task()
            yield from trio.lowlevel.wait_task_rescheduled(self._abort).__await__()  # noqa: ASYNC105 - awaited here by hand
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def _settle(self) -> None:
        self._done = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)

    def _abort(self, _: Callable[[], None]) -> trio.lowlevel.Abort:
        self._done = True
        return trio.lowlevel.Abort.SUCCEEDED


class _TrioTimer:
    """An entry of the timer heap, blanked when cancelled."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        """Forget the function; the heap drops the husk when its time comes."""
        self.function = None


class TrioBackend:
    """One task of ours runs the callbacks that asyncio's loop would run by itself.

    `shuffle`, if set, may change their order before each round: a simulator's.

    Tasks are system tasks: a nursery held open across `run`'s block would wrap whatever
    the block raises in a group. `drained` does the nursery's other duty, the waiting.
    """

    def __init__(self, context: Context) -> None:
        self.now = self.clock = trio.current_time
        self._token = trio.lowlevel.current_trio_token()
        self.parker: Callable[[], Parker[Any]] = TrioParker
        self.shuffle: Callable[[deque[Callable[[], object]]], None] | None = None
        self._ready: deque[Callable[[], object]] = deque()
        self._timers: list[tuple[float, int, _TrioTimer]] = []
        self._sequence = count()
        self._asleep: TrioParker[None] | None = None
        self._is_closed = False
        self._running = 0
        self._empty = trio.Event()
        self._failures: list[BaseException] = []
        self._running += 1
        trio.lowlevel.spawn_system_task(self._run, self._serve, context=context)

    def shortly(self, parker: TrioParker[T]) -> Awaitable[T]:
        """Wait; this loop has no cheaper way."""
        return parker

    def call_soon(self, function: Callable[[], None], context: Context) -> None:
        """Call `function` in the serving task's next round."""
        self._ready.append(partial(context.run, function))
        self._wake()

    def call_at(self, when: float, function: Callable[[], None]) -> Timer:
        """Call `function` at `when`; equal times in the order of asking."""
        timer = _TrioTimer(function)
        heapq.heappush(self._timers, (when, next(self._sequence), timer))
        self._wake()
        return timer

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]], context: Context) -> None:
        """Start a task, and count it.

        Not at once: trio enters the context to make the coroutine, and a callback that
        spawns may be running in that very context.
        """
        self._running += 1
        self._ready.append(
            lambda: trio.lowlevel.spawn_system_task(self._run, main, context=context)
        )
        self._wake()

    def current_task(self) -> object:
        """The running task; while in a callback, the serving one."""
        return trio.lowlevel.current_task()

    def call_from_anywhere(self, function: Callable[[], object]) -> None:
        """Call `function` soon, unless the run is over."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function)

    async def checkpoint(self) -> None:
        """Let others run."""
        await trio.lowlevel.checkpoint()

    async def drained(self, within: float | None = None) -> None:
        """Stop serving, wait for every task, then raise what they raised."""
        self._is_closed = True
        self._wake()
        until = inf if within is None else self.now() + within
        with trio.CancelScope(shield=True, deadline=until):
            await self._empty.wait()
        if self._failures:
            raise BaseExceptionGroup("tasks of the runtime failed", self._failures)

    async def _run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await main()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - `drained` raises it
            self._failures.append(error)
        finally:
            self._running -= 1
            if not self._running:
                self._empty.set()

    async def _serve(self) -> None:
        while not self._is_closed or self._ready:
            self._run_timers()
            if self.shuffle is not None:
                self.shuffle(self._ready)
            for _ in range(len(self._ready)):
                self._call(self._ready.popleft())
            if self._ready:
                await trio.lowlevel.cancel_shielded_checkpoint()
            elif not self._is_closed:
                await self._sleep()

    def _run_timers(self) -> None:
        now = self.now()  # once: a timer that is set again meanwhile has its turn in the next round
        while self._timers and (self._timers[0][2].function is None or self._timers[0][0] <= now):
            function = heapq.heappop(self._timers)[2].function
            if function is not None:
                self._call(function)

    def _call(self, function: Callable[[], object]) -> None:
        """Call, and go on serving whatever it raises, as asyncio's loop does."""
        try:
            function()
        except Exception as error:  # noqa: BLE001 - `drained` raises it
            self._failures.append(error)

    async def _sleep(self) -> None:
        until = self._timers[0][0] if self._timers else inf
        self._asleep = TrioParker()
        with trio.CancelScope(deadline=until):
            await self._asleep
        self._asleep = None

    def _wake(self) -> None:
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)
