"""A listening port of a simulated host, as anyio's listeners are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from keygrove_chaos.network import Network
from keygrove_chaos.stream import Stream


class StreamListener(anyio.abc.Listener[Stream]):
    """See `anyio.abc.Listener`. A host that crashes closes its ports: make another one then."""

    def __init__(self, network: Network, host: str, port: int) -> None:
        """Listen. Streams wait until `serve` takes them."""
        self._waiting: deque[Stream] = deque()
        self._more = anyio.Event()
        self._close = network.listen(host, port, self._accept)

    async def serve(
        self,
        handler: Callable[[Stream], Any],
        task_group: anyio.abc.TaskGroup | None = None,
    ) -> None:
        """Run `handler` with each stream, in a task of its own, until cancelled."""
        async with AsyncExitStack() as stack:
            if task_group is None:
                task_group = await stack.enter_async_context(anyio.create_task_group())
            while True:
                while self._waiting:
                    task_group.start_soon(handler, self._waiting.popleft())
                self._more = anyio.Event()
                await self._more.wait()

    async def aclose(self) -> None:
        """Listen no more; streams that nobody took are reset."""
        self._close()
        while self._waiting:
            self._waiting.popleft().abort()
        await anyio.lowlevel.checkpoint()

    def _accept(self, stream: Stream) -> None:
        self._waiting.append(stream)
        self._more.set()
