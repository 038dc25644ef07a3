"""A tree as a whole program: up until a signal stops it, and clear about why it is not."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import anyio

from keygrove_actors.messages import ActorError, in_a_line
from keygrove_actors.reports import Report
from keygrove_actors.runtime import Runtime, run
from keygrove_actors.specs import SupSpec


def serve(
    spec: SupSpec,
    *,
    observe: Callable[[Report], None] | None = None,
    stop_deadline: float | None = None,
    backend: str = "asyncio",
) -> None:
    """Run the tree in an event loop of its own until SIGINT or SIGTERM, and stop it in order.

    `observe` and `stop_deadline` are those of `run`, `backend` is anyio's. To be called in the
    main thread, where signals arrive. What is left to chance differs from run to run.

    Raises:
        SystemExit: the tree did not start, gave up, or did not stop in time. Python prints
            why, in a line, and exits with code 1.
    """
    seed = int.from_bytes(os.urandom(8))
    tree = partial(run, spec, observe=observe, stop_deadline=stop_deadline, seed=seed)
    failure = anyio.run(_until_stopped, tree, backend=backend)
    if failure is not None:
        raise SystemExit(in_a_line(str(failure)))


async def _until_stopped(
    tree: Callable[[], AbstractAsyncContextManager[Runtime]],
) -> ActorError | None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            scopes = [tasks.cancel_scope]
            tasks.start_soon(_cancel_innermost, scopes, signals)
            try:
                async with tree() as runtime:
                    with anyio.CancelScope() as waiting:  # so that the block is left in order
                        scopes.append(waiting)
                        await runtime.wait()
            except ActorError as error:
                return error
            finally:
                tasks.cancel_scope.cancel()
    return None


async def _cancel_innermost(
    scopes: list[anyio.CancelScope], signals: AsyncIterator[signal.Signals]
) -> None:
    async for _ in signals:
        scopes[-1].cancel()
