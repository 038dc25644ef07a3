"""Functions called whenever a file descriptor can be read or written, on either loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio

from keygrove_actors.backend import in_trio
from keygrove_actors.cell import Cell
from keygrove_actors.ctx import Ctx


class Watch:
    """Calls `function` each time `fd` is ready, until closed. An exception is the actor's crash.

    On asyncio the loop calls it, at the cost of one registration for its whole life; on
    trio a task of the actor does.
    """

    __slots__ = ("_cell", "_fd", "_function", "_is_writer", "_loop", "_scope")

    def __init__(
        self, ctx: Ctx, fd: int, function: Callable[[], object], *, is_writer: bool = False
    ) -> None:
        cell = ctx.self_ref.resolve()
        assert cell is not None, "asked for by a living actor"
        self._cell: Cell = cell
        self._fd = fd
        self._function = function
        self._is_writer = is_writer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None
        if in_trio():
            self._scope = anyio.CancelScope()
            ctx.start_soon(self._serve, self._scope)
        else:
            self._loop = asyncio.get_running_loop()
            add = self._loop.add_writer if is_writer else self._loop.add_reader
            add(fd, self._ready)

    def close(self) -> None:
        """Call no more; before `fd` is closed."""
        if self._loop is not None:
            remove = self._loop.remove_writer if self._is_writer else self._loop.remove_reader
            remove(self._fd)
            self._loop = None
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None

    def _ready(self) -> None:
        try:
            self._function()
        except Exception as error:  # noqa: BLE001 - let it crash: the actor, not the loop
            self.close()
            self._cell.task_failed(error)

    async def _serve(self, scope: anyio.CancelScope) -> None:
        wait = anyio.wait_writable if self._is_writer else anyio.wait_readable
        with scope:
            while self._scope is not None:
                await wait(self._fd)
                self._function()
