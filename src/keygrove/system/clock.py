"""The system's clock, randomness and spare thread."""

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class SystemClock:
    """See `ports.Clock`."""

    def now(self) -> int:
        """See `ports.Clock`."""
        return int(time.time())

    def elapsed(self) -> float:
        """See `ports.Clock`. uvloop's own clock only counts milliseconds."""
        return time.perf_counter()


class SystemEntropy:
    """See `ports.Entropy`."""

    def token(self, size: int) -> bytes:
        """See `ports.Entropy`."""
        return secrets.token_bytes(size)


class ThreadCompute:
    """See `ports.Compute`. One thread: more would only fight over the interpreter's lock."""

    def __init__(self) -> None:
        self._turn = anyio.CapacityLimiter(1)

    async def run(self, work: Callable[[], T]) -> T:
        """See `ports.Compute`."""
        return await anyio.to_thread.run_sync(work, limiter=self._turn)
