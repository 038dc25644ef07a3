"""Ctrl-C and SIGTERM as cancellation, so that everything opened is closed in order."""

import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.abc

from keygrove.system.stream import write_through

T = TypeVar("T")

FINISH_S = 5.0
"""For what has begun when a command is told to stop."""


TERMINATED = 128 + signal.SIGTERM
"""The exit code that shells have for a program that it ended."""


@contextmanager
def ended_in_order() -> Generator[None, None, None]:
    """While the block runs, SIGTERM unwinds the stack as Ctrl-C does, so that all is tidied."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        sys.exit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(text: str) -> None:
    """Tell a person; who cannot be told any more need not be."""
    write_through(sys.stderr, text)


def run(
    work: Callable[[], Awaitable[T]],
    *,
    tell: Callable[[str], object] = say,
) -> T | None:
    """Run `work` on uvloop, and return what it returns; None if a signal cancelled it."""
    done: list[T] = []

    async def main() -> None:
        async with anyio.create_task_group() as listening:
            with anyio.CancelScope() as working:
                await listening.start(_cancel_on_signal, working, tell)
                done.append(await work())
            # Only now: a second signal while we stop must not end us at once.
            listening.cancel_scope.cancel()

    anyio.run(main, backend_options={"use_uvloop": True})
    return done[0] if done else None


async def finished(work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`; when cancelled meanwhile, go on with it for FINISH_S at most."""
    done: list[T] = []
    failed: list[Exception] = []

    async def limit(scope: anyio.CancelScope) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            scope.deadline = anyio.current_time() + FINISH_S

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope(shield=True) as scope:
            tasks.start_soon(limit, scope)
            try:
                done.append(await work())
            except Exception as error:  # noqa: BLE001 - raised below, where no group wraps it
                failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return done[0]


async def _cancel_on_signal(
    scope: anyio.CancelScope,
    tell: Callable[[str], object],
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            tell("stopping: what has begun is finished first\n")
