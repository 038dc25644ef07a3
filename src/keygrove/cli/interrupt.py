"""Ctrl-C and SIGTERM as cancellation, so that everything opened is closed in order."""

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc

from keygrove.system.stream import write_through

T = TypeVar("T")


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
