"""The world on asyncio: an event loop whose clock jumps to whatever comes next.

A loop of asyncio runs ready callbacks in the order they became ready, and programs rely on
that. Which *task* wakes first, however, is up to sets ordered by address (a task group cancels
its children in that order), and in production up to the network. So in each round the steps
and wake-ups of tasks are taken out, sorted by the tasks' age, ordered by the run's strategy, and
put back into the places they had; all other callbacks keep theirs. What belongs to a
paused host is set aside until it goes on.

Private names of asyncio are used (`_run_once`, `_ready`, of handles `_callback`, `_cancelled`,
`_run`, `_context`); a test fails loudly should they change.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import count
from typing import Any, Final, TypeVar

from keygrove_chaos.entropy import Streams
from keygrove_chaos.errors import RunError, sentence
from keygrove_chaos.order import Order
from keygrove_chaos.trace import Trace
from keygrove_chaos.waiting import named
from keygrove_chaos.world import (
    HOST,
    STILL_PASSES,
    BackgroundError,
    DeadlockError,
    LivelockError,
    Main,
    Options,
    TimeUpError,
    World,
)

T = TypeVar("T")


class NumberedTask(asyncio.Task[Any]):
    """A task that knows how old it is."""

    __slots__ = ("number",)
    number: int


class JumpingLoop(asyncio.BaseEventLoop):
    """See the module. Without threads, sockets, files, processes and signals."""

    def __init__(self, order: Order, limit: float) -> None:
        super().__init__()
        self._now = 0.0
        self._limit = limit
        self._order = order
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._sequence = count()
        self._tasks = count(1)
        self._passes = 0
        self._paused: dict[str, list[asyncio.Handle]] = {}
        self._unheard: list[tuple[int, str, BaseException]] = []
        """By the age of the task; what to say, and of which error."""
        self._is_over = False
        self._ready: deque[asyncio.Handle]
        self.set_task_factory(self._number)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - coroutines only: generators are not tasks any more

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_at(  # type: ignore[override] # a callback of no arguments has none to pack
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's; equal times in the order of asking."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._sequence), timer))
        return timer

    now = time

    def abandon(self) -> None:
        """Cancel what is left, the oldest first; let nothing that comes of it be heard."""
        self._passes, self._limit, self._is_over = 0, self._now, True
        self._paused.clear()
        left = [task for task in asyncio.all_tasks(self) if isinstance(task, NumberedTask)]
        for task in sorted(left, key=lambda task: task.number):
            task.cancel()
        with suppress(DeadlockError, LivelockError, TimeUpError):
            self.run_until_complete(_all_gone(left))
            self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def pause(self, host: str) -> None:
        """See `world.Engine`."""
        self._paused.setdefault(host, [])

    def resume(self, host: str) -> None:
        """See `world.Engine`."""
        self._ready.extend(self._paused.pop(host, ()))

    def _number(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> NumberedTask:
        task = NumberedTask(coro, loop=loop, **options)
        task.number = next(self._tasks)
        return task

    def _run_once(self) -> None:
        """One round: what is ready now, or else what is due next."""
        ready = self._ready
        if not ready:
            self._jump()
        timers, now = self._timers, self._now
        while timers and timers[0][0] <= now:
            ready.append(heapq.heappop(timers)[2])
        if self._paused:
            self._set_aside()
        if len(ready) > 1:
            self._arrange()
        self._passes += 1
        if self._passes > STILL_PASSES:
            raise LivelockError(self._busy())
        for _ in range(len(ready)):
            handle: Any = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            paused = f"; paused: {', '.join(self._paused)}" if self._paused else ""
            raise DeadlockError(f"every task waits, and no timer is set: {self._waiting()}{paused}")
        when = timers[0][0]
        if when > self._limit:
            raise TimeUpError(f"not over after {self._limit:g} virtual seconds: {self._waiting()}")
        if when > self._now:
            self._now = when
            self._passes = 0

    def _arrange(self) -> None:
        ready: Any = self._ready
        steps: list[tuple[int, int, Any]] = []
        for place, handle in enumerate(ready):
            task = getattr(handle._callback, "__self__", None)
            if type(task) is NumberedTask:
                steps.append((task.number, place, handle))
        if len(steps) < 2:
            return
        places = [place for _, place, _ in steps]
        steps.sort(key=_age)
        handles = [handle for _, _, handle in steps]
        self._order.arrange(handles, [age for age, _, _ in steps])
        for place, handle in zip(places, handles, strict=True):
            ready[place] = handle

    def _set_aside(self) -> None:
        handles: list[Any] = list(self._ready)
        self._ready.clear()
        for handle in handles:
            waiting = self._paused.get(handle._context.get(HOST, ""))
            (self._ready if waiting is None else waiting).append(handle)

    def _busy(self) -> str:
        callbacks = [getattr(handle, "_callback", None) for handle in self._ready]
        tasks = [getattr(callback, "__self__", None) for callback in callbacks]
        running = named(_told(task) for task in tasks if isinstance(task, NumberedTask))
        return f"virtual time stands still at {self._now:g} s; running: {running}"

    def _waiting(self) -> str:
        left = [task for task in asyncio.all_tasks(self) if isinstance(task, NumberedTask)]
        return named(_told(task) for task in sorted(left, key=lambda task: task.number))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what killed a task that nobody awaited, or a callback; `check` raises it."""
        error = context.get("exception")
        if error is None:
            super().call_exception_handler(context)
        elif not self._is_over:
            task = context.get("future")  # what asyncio calls a task here
            who = f"task {_told(task)[0]}" if isinstance(task, NumberedTask) else "a callback"
            says = f"{who} died, and nobody awaited it: {sentence(error)}"
            self._unheard.append((getattr(task, "number", 0), says, error))

    def check(self) -> None:
        """Look for tasks and callbacks that died unheard.

        Raises:
            BackgroundError: one did.
        """
        gc.collect()  # a task says so when it is collected
        for _, says, error in sorted(self._unheard, key=_age):
            raise BackgroundError(says) from error

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to count: the heap drops it when its time comes."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""


_STREAMS: Final = "real sockets: take streams of a simulated Network, and a StreamListener"
_PROCESSES: Final = "real processes: have the scenario stand in for what they do"
_FILES: Final = "the kernel's files: take what they say as an argument"
_ABSENT: Final = {
    **dict.fromkeys(("create_connection", "create_server", "create_datagram_endpoint"), _STREAMS),
    **dict.fromkeys(("create_unix_connection", "create_unix_server"), _STREAMS),
    **dict.fromkeys(("sock_connect", "sock_accept", "sock_recv", "sock_sendall"), _STREAMS),
    **dict.fromkeys(("getaddrinfo", "getnameinfo", "start_tls"), _STREAMS),
    **dict.fromkeys(("subprocess_exec", "subprocess_shell", "add_signal_handler"), _PROCESSES),
    **dict.fromkeys(
        ("add_reader", "add_writer", "connect_read_pipe", "connect_write_pipe"), _FILES
    ),
}
"""What asyncio's loops do with the world outside, and what to do in its place.

Threads are a matter of `tripwires`.
"""


def _absent(name: str, advice: str) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError(f"{name} needs {advice}; a world has none of these")

    return refuse


for _name, _advice in _ABSENT.items():
    setattr(JumpingLoop, _name, _absent(_name, _advice))


def _age(step: tuple[int, Any, Any]) -> tuple[int, Any]:
    return step[:2]


def _told(task: NumberedTask) -> tuple[str, Any]:
    """Its name, and its coroutine. asyncio's own names differ from run to run."""
    coro: Any = task.get_coro()
    name = task.get_name()
    return coro.__qualname__ if name.startswith("Task-") else name, coro


def run_on_aio(main: Main[T], seed: int, trace: Trace, options: Options) -> tuple[T, float]:
    """Run the world to its end; its result, and the virtual seconds that took."""
    streams = Streams(seed)
    loop = JumpingLoop(options.order(streams.stream("order")), options.limit_s)
    try:
        try:
            world = World(streams, loop, trace, options.plan)
            result = loop.run_until_complete(_main(main, world))
        except RunError:
            loop.check()  # may be why
            raise
        loop.check()
        return result, loop.time()
    finally:
        loop.abandon()


async def _all_gone(tasks: Sequence[NumberedTask]) -> None:
    if tasks:
        await asyncio.wait(tasks)


async def _main(main: Main[T], world: World) -> T:
    return await main(world)
