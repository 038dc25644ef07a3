"""W1 and W2 on xoscar, all in one process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from keygrove_bench.actors.clock import Watch
from keygrove_bench.actors.messages import Inc, Ping
from keygrove_bench.actors.optional import imported
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program

xoscar: Any = imported("xoscar")


def _inc(self: Any, message: Inc) -> None:
    self.count += message.by


def _ping(_: Any, message: Ping) -> int:
    return message.number


def _total(self: Any) -> int:
    return int(self.count)


_Counter: Any = type(
    "Counter", (xoscar.Actor,), {"count": 0, "inc": _inc, "ping": _ping, "total": _total}
)


@asynccontextmanager
async def _counter() -> AsyncGenerator[Any, None]:
    port = xoscar.utils.get_next_port()
    pool = await xoscar.create_actor_pool(f"127.0.0.1:{port}", n_process=0)
    async with pool:
        yield await xoscar.create_actor(_Counter, address=pool.external_address)


async def cast(count: int) -> Figures:
    """W1."""
    async with _counter() as ref:
        watch = Watch()
        for _ in range(count):
            await ref.inc.tell(Inc(1))
        while await ref.total() != count:
            pass
        return watch.rate(count)


async def call(count: int) -> Figures:
    """W2."""
    async with _counter() as ref:
        watch = Watch()
        for number in range(count):
            assert await ref.ping(Ping(number)) == number
        return watch.rate(count)


PROGRAMS: Final[dict[str, Program]] = {"cast": cast, "call": call}
