"""W1 to W3 with nothing but Python and uvloop: what no runtime on them can be faster than.

A mailbox is a deque, a reply a future, a turn a callback. There is no limit, no deadline, no
failure, no context, no fairness.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from keygrove_bench.actors.clock import Watch
from keygrove_bench.actors.messages import BURST, Counter, Inc, Ping
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program


class _Box:
    """The least of a ref and the actor behind it."""

    def __init__(self) -> None:
        self.actor = Counter()
        self.handlers: dict[type[Any], Any] = {Inc: Counter.inc, Ping: Counter.ping}
        self.waiting: deque[Any] = deque()
        self.loop = asyncio.get_running_loop()

    def cast(self, message: Inc) -> None:
        self.waiting.append(message)

    def casts_turn(self) -> None:
        waiting, handlers, actor = self.waiting, self.handlers, self.actor
        while waiting:
            message = waiting.popleft()
            handlers[type(message)](actor, message)

    async def call(self, message: Ping) -> int:
        future: asyncio.Future[int] = self.loop.create_future()
        if not self.waiting:
            self.loop.call_soon(self.calls_turn)
        self.waiting.append((message, future))
        return await future

    def calls_turn(self) -> None:
        waiting, handlers, actor = self.waiting, self.handlers, self.actor
        while waiting:
            message, future = waiting.popleft()
            future.set_result(handlers[type(message)](actor, message))


async def cast(count: int) -> Figures:
    """W1."""
    box = _Box()
    watch = Watch()
    for _ in range(count // BURST):
        for _ in range(BURST):
            box.cast(Inc(1))
        box.loop.call_soon(box.casts_turn)
        await asyncio.sleep(0)
    assert box.actor.count == count
    return watch.rate(count)


async def call(count: int) -> Figures:
    """W2."""
    box = _Box()
    watch = Watch()
    for number in range(count):
        assert await box.call(Ping(number)) == number
    return watch.rate(count)


async def callers(count: int, each: int) -> Figures:
    """W3."""
    box = _Box()

    async def calling() -> None:
        for number in range(each):
            await box.call(Ping(number))

    watch = Watch()
    await asyncio.gather(*(calling() for _ in range(count)))
    return watch.rate(count * each)


PROGRAMS: Final[dict[str, Program]] = {"cast": cast, "call": call, "callers": callers}
