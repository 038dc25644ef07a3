"""A `Timeline` over an event loop's virtual clock, for tests of what is built on one."""

import heapq
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count
from random import Random

import anyio


class _Moment:
    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        self.function = None


class LoopTimeline:
    """See `timeline.Timeline`; what was noted is in `notes`."""

    def __init__(self, seed: int) -> None:
        self.notes: list[tuple[str | int | float, ...]] = []
        self.calls = 0
        self._seed = seed
        self._began = anyio.current_time()
        self._reached = 0.0
        self._heap: list[tuple[float, int, _Moment]] = []
        self._sequence = count()
        self._sooner = anyio.Event()

    def now(self) -> float:
        # Rounded, for a loop's clock that began elsewhere gives other last digits; and never
        # before the moment of a function that is called.
        return max(self._reached, round(anyio.current_time() - self._began, 9))

    def call_at(self, when: float, function: Callable[[], None]) -> _Moment:
        moment = _Moment(function)
        heapq.heappush(self._heap, (when, next(self._sequence), moment))
        if self._heap[0][2] is moment:
            self._sooner.set()
        return moment

    def stream(self, purpose: str) -> Random:
        return Random(f"{self._seed}:{purpose}")

    def note(self, *facts: str | int | float) -> None:
        self.notes.append((self.now(), *facts))

    async def drive(self) -> None:
        """Call what is due, for ever."""
        while True:
            while self._heap and self._heap[0][0] <= self.now() + 1e-9:
                when, _, moment = heapq.heappop(self._heap)
                self._reached, function = max(self._reached, when), moment.function
                if function is not None:
                    self.calls += 1
                    function()
            self._sooner = anyio.Event()
            wait_s = self._heap[0][0] - self.now() if self._heap else float("inf")
            with anyio.move_on_after(wait_s):
                await self._sooner.wait()


@asynccontextmanager
async def running(seed: int) -> AsyncGenerator[LoopTimeline, None]:
    """Time that passes while the block runs."""
    timeline = LoopTimeline(seed)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timeline.drive)
        yield timeline
        tasks.cancel_scope.cancel()
