"""A tree as a whole program: up until a signal stops it, and clear about why it is not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from threading import current_thread, main_thread
from typing import Final, NoReturn

import anyio

from keygrove_actors.failures import Unkillable
from keygrove_actors.messages import ActorError, WrongThread, in_a_line
from keygrove_actors.reports import Report
from keygrove_actors.runtime import Runtime, run
from keygrove_actors.specs import SupSpec

BACKENDS: Final = ("asyncio", "trio")


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
        SystemExit: the tree did not start, gave up, or did not stop in time, or reports could not
            be delivered. Python prints why, in a line, and exits with code 1.
        WrongThread: this is not the main thread.
        ValueError: there is no such `backend`.

    Where an actor outlives its kill, no event loop would ever be left: then the process itself
    is ended, with the same line and code, and nothing further runs in it.
    """
    if current_thread() is not main_thread():
        raise WrongThread("serve is for the main thread, where signals arrive: here, use run")
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r:.80}: give one of {', '.join(BACKENDS)}")
    seed = int.from_bytes(os.urandom(8))
    tree = partial(run, spec, observe=observe, stop_deadline=stop_deadline, seed=seed)
    failure = anyio.run(_until_stopped, tree, backend=backend)
    match failure:
        case None:
            return
        case ActorError():
            raise SystemExit(in_a_line(str(failure)))
        case OSError():  # nobody else's: an actor's own is a crash
            raise SystemExit(in_a_line(f"reports were lost: {failure}: see where observe writes"))
        case _:
            raise failure


async def _until_stopped(
    tree: Callable[[], AbstractAsyncContextManager[Runtime]],
) -> Exception | None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            scopes = [tasks.cancel_scope]
            tasks.start_soon(_cancel_innermost, scopes, signals)
            try:
                async with tree() as runtime:
                    with anyio.CancelScope() as waiting:  # so that the block is left in order
                        scopes.append(waiting)
                        await runtime.wait()
            except Unkillable as error:
                _end_process(error)
            except Exception as error:  # noqa: BLE001 - raised where no task group wraps it
                return error
            finally:
                tasks.cancel_scope.cancel()
    return None


def _end_process(error: Unkillable) -> NoReturn:
    for known in (error.__context__, error):
        if isinstance(known, ActorError):
            sys.stderr.write(in_a_line(str(known)) + "\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it may have gone
            stream.flush()
    os._exit(1)


async def _cancel_innermost(
    scopes: list[anyio.CancelScope], signals: AsyncIterator[signal.Signals]
) -> None:
    async for _ in signals:
        scopes[-1].cancel()
