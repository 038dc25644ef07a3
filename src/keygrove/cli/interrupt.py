"""Ctrl-C and SIGTERM as cancellation, so that everything opened is closed in order."""

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc

from keygrove.system.stream import write_through

T = TypeVar("T")

INTERRUPTED = 130


def say(text: str) -> None:
    """Tell a person; who cannot be told any more need not be."""
    write_through(sys.stderr, text)


def run(
    work: Callable[[], Awaitable[T]],
    *,
    interrupted: int = INTERRUPTED,
    tell: Callable[[str], object] = say,
) -> T:
    """Run `work` on uvloop. A signal cancels it, and ends the command with `interrupted`."""
    done: list[T] = []

    async def main() -> None:
        async with anyio.create_task_group() as listening:
            with anyio.CancelScope() as working:
                await listening.start(_cancel_on_signal, working, tell)
                done.append(await work())
            # Only now: a second signal while we stop must not end us at once.
            listening.cancel_scope.cancel()

    anyio.run(main, backend_options={"use_uvloop": True})
    if not done:
        sys.exit(interrupted)
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
