"""W1 and W2 on pykka: an actor is a thread."""

from __future__ import annotations

from typing import Any, Final

from keygrove_bench.actors.clock import Watch
from keygrove_bench.actors.messages import Inc, Ping
from keygrove_bench.actors.optional import imported
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program

pykka: Any = imported("pykka")


def _received(self: Any, message: object) -> int:
    if isinstance(message, Inc):
        self.count += message.by
        return 0
    return message.number if isinstance(message, Ping) else int(self.count)


_Counter: Any = type("Counter", (pykka.ThreadingActor,), {"count": 0, "on_receive": _received})


async def cast(count: int) -> Figures:
    """W1."""
    ref = _Counter.start()
    try:
        watch = Watch()
        for _ in range(count):
            ref.tell(Inc(1))
        assert ref.ask("count") == count
        return watch.rate(count)
    finally:
        ref.stop()


async def call(count: int) -> Figures:
    """W2."""
    ref = _Counter.start()
    try:
        watch = Watch()
        for number in range(count):
            assert ref.ask(Ping(number), timeout=5.0) == number
        return watch.rate(count)
    finally:
        ref.stop()


PROGRAMS: Final[dict[str, Program]] = {"cast": cast, "call": call}
