"""W10 and W11 on our runtime: worker processes behind ports."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, Final

from keygrove_bench.actors.clock import Watch, quantiles
from keygrove_bench.actors.features import echo_port
from keygrove_bench.actors.sides import Figures
from keygrove_bench.actors.worker import Program

WINDOW: Final = 64
BODY: Final = b"x" * 100
RETRY_S: Final = 0.0002
"""Between two calls to a worker that is not back yet."""


async def port(one: int, many: int) -> Figures:
    """W10."""
    async with echo_port("cold") as worker:
        assert await worker.echo(BODY) == BODY
        watch = Watch()
        for _ in range(one):
            await worker.echo(BODY)
        single = watch.rate(one)["rate"]

        async def calling() -> None:
            for _ in range(many // WINDOW):
                await worker.echo(BODY)

        watch = Watch()
        await asyncio.gather(*(calling() for _ in range(WINDOW)))
        return {"one": single, "many": watch.rate(many)["rate"]}


async def port_restart(count: int, how: str) -> Figures:
    """W11."""
    times: list[float] = []
    async with echo_port(how) as worker:
        await worker.echo(BODY)
        for _ in range(count):
            os.kill(await worker.pid(), signal.SIGKILL)
            watch = Watch()
            await _answered(worker)
            times.append(watch.seconds())
    return quantiles(times, {"p50": 0.5, "p95": 0.95}, 1e3)


async def _answered(worker: Any) -> None:
    """Call until there is an answer: a call that fails was of the worker just killed."""
    while True:
        try:
            await worker.echo(BODY)
        except Exception:  # noqa: BLE001 - whatever the runtime says of a worker on its way up
            await asyncio.sleep(RETRY_S)
        else:
            return


PROGRAMS: Final[dict[str, Program]] = {"port": port, "port-restart": port_restart}
