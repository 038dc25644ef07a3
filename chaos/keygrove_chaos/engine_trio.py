"""The world on trio: its scheduler seeded, its clock one that jumps.

trio sorts each round's tasks by age and then shuffles them with a random generator of its own,
if a private flag says so; in place of that generator stands the run's strategy. Timers of the
world are a heap behind one task, which holds the only deadline trio sees of them.

Private names of trio are used (`_core._run._r`, `_ALLOW_DETERMINISTIC_SCHEDULING`, of tasks
`_counter`); a test fails loudly should they change. Pausing a host is beyond this engine.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator, MutableSequence
from contextlib import contextmanager
from itertools import count
from math import inf
from typing import Any, TypeVar

import trio
import trio.testing

from keygrove_chaos.entropy import Streams
from keygrove_chaos.order import Order
from keygrove_chaos.trace import Trace
from keygrove_chaos.waiting import named
from keygrove_chaos.world import (
    STILL_PASSES,
    LivelockError,
    Main,
    Options,
    TimeUpError,
    UnsupportedError,
    World,
)

T = TypeVar("T")


class _Timer:
    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        self.function = None


class _Timers:
    """The world's timers, and the task that calls them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Timer]] = []
        self._sequence = count()
        self._news = trio.Event()
        self._until = inf

    def now(self) -> float:
        """See `world.Engine`."""
        return trio.current_time()

    def call_at(self, when: float, function: Callable[[], None], /) -> _Timer:
        """See `world.Engine`."""
        timer = _Timer(function)
        heapq.heappush(self._heap, (when, next(self._sequence), timer))
        if when < self._until:
            self._news.set()
        return timer

    def pause(self, host: str) -> None:
        """See `world.Engine`."""
        raise UnsupportedError(f"trio cannot pause {host}: use the engine aio")

    def resume(self, host: str) -> None:
        """See `world.Engine`."""
        raise UnsupportedError(f"trio cannot pause {host}: use the engine aio")

    async def serve(self) -> None:
        """Call each function when its time has come."""
        heap = self._heap
        while True:
            while heap and heap[0][0] <= trio.current_time():
                function = heapq.heappop(heap)[2].function
                if function is not None:
                    function()
            self._until = heap[0][0] if heap else inf
            self._news = trio.Event()
            with trio.CancelScope(deadline=self._until):
                await self._news.wait()


class _Strategy:
    """Stands where trio has its random generator, and so sees every round."""

    def __init__(self, order: Order, streams: Streams) -> None:
        random = streams.stream("trio")
        self.random = random.random
        self.uniform = random.uniform
        self._order = order
        self._passes = 0
        self._at: float = 0.0
        self._first: int | None = None
        self.scope: trio.CancelScope | None = None
        self.livelock = ""

    def shuffle(self, batch: MutableSequence[Any]) -> None:
        """Arrange a round, which comes sorted by age; trio takes the last of it first."""
        if self._first is None:
            self._first = batch[0]._counter
        self._passes += 1
        if self._passes > STILL_PASSES:
            now = trio.current_time()
            if now == self._at:
                running = named((task.name, task.coro) for task in batch)
                self.livelock = f"virtual time stands still at {now:g} s; running: {running}"
                assert self.scope is not None
                self.scope.cancel()  # raised by `_main`: an error here would break trio's run
            self._passes, self._at = 0, now
        if len(batch) > 1:
            # trio counts tasks on from run to run: ages begin anew in each
            self._order.arrange(batch, [task._counter - self._first for task in batch])
            batch.reverse()


@contextmanager
def _seeded(order: Order, streams: Streams) -> Generator[_Strategy, None, None]:
    core: Any = trio._core._run  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportAttributeAccessIssue] - trio has no public switch
    before = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r
    strategy = _Strategy(order, streams)
    core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = True, strategy
    try:
        yield strategy
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = before


def run_on_trio(main: Main[T], seed: int, trace: Trace, options: Options) -> tuple[T, float]:
    """Run the world to its end; its result, and the virtual seconds that took."""
    streams = Streams(seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    with _seeded(options.order(streams.stream("order")), streams) as strategy:
        return trio.run(_main, main, streams, trace, options, strategy, clock=clock)


async def _main(
    main: Main[T], streams: Streams, trace: Trace, options: Options, strategy: _Strategy
) -> tuple[T, float]:
    timers = _Timers()
    trio.lowlevel.spawn_system_task(timers.serve)
    this, waiting = trio.lowlevel.current_task(), list[str]()
    with trio.CancelScope() as strategy.scope:

        def end() -> None:
            waiting.append(named(_below(this)))
            scope.cancel()

        scope = strategy.scope
        timers.call_at(options.limit_s, end)
        return await main(World(streams, timers, trace, options.plan)), trio.current_time()
    if strategy.livelock:
        raise LivelockError(strategy.livelock)
    raise TimeUpError(f"not over after {options.limit_s:g} virtual seconds: {', '.join(waiting)}")


def _below(task: trio.lowlevel.Task) -> Iterator[tuple[str, Any]]:
    """The task and all that it started, by name and coroutine, the oldest first."""
    yield task.name, task.coro
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=_counter):
            yield from _below(child)


def _counter(task: Any) -> int:
    counter: int = task._counter
    return counter
