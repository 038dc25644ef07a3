"""Tasks of an actor that have a result (A-037): started now, awaited later, or told as mail.

`Ctx.start_soon` is for tasks that run as long as they like; this is for work whose outcome
somebody wants. A linked task's failure is the actor's crash, as with `start_soon`. An isolated
one tells its outcome once: to whoever awaits it when it is over, else as `TaskDone`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, cast

from keygrove_actors.hooks import check_task, come_to
from keygrove_actors.messages import CalleeExit, Killed

if TYPE_CHECKING:
    from keygrove_actors.backend import Parker
    from keygrove_actors.cell import Cell

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Task(Generic[T]):
    """What comes of a task: await it in an async handler, or in another task of its actor."""

    __slots__ = ("_error", "_is_over", "_result", "_waiters", "cell", "name")

    def __init__(
        self,
        cell: Cell,
        function: Callable[[*Args], Awaitable[T]],
        args: tuple[*Args],
        *,
        is_isolated: bool,
    ) -> None:
        self.cell = cell
        """Whose it is. For the runtime's own use."""
        self.name: str = getattr(function, "__qualname__", repr(function))
        self._is_over = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._waiters: list[Parker[None]] = []
        if cell.is_dead:
            self._cut_off()
        cell.start_task(self._main, (function, args, is_isolated))

    def done(self) -> bool:
        """Whether it is over, one way or another."""
        return self._is_over

    def __await__(self) -> Generator[Any, Any, T]:
        """Its result. Raises what it raised, and `CalleeExit` if its actor ended first."""
        if not self._is_over:
            parker: Parker[None] = self.cell.hub.backend.parker()
            self._waiters.append(parker)
            yield from parker.__await__()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    async def _main(
        self, function: Callable[[*Args], Awaitable[T]], args: tuple[*Args], is_isolated: bool
    ) -> None:
        is_cut_off, was_awaited = True, False
        try:
            self._result = await come_to(function, args)
            is_cut_off = False
        except (Exception, SystemExit) as error:
            is_cut_off, self._error = False, error
            if not is_isolated:
                raise
        finally:
            if is_cut_off:
                self._cut_off()
            was_awaited = self._end()
        if is_isolated and not was_awaited:
            self.cell.task_done(self.name, self._result, self._error)

    def _cut_off(self) -> None:
        reason = self.cell.reason or Killed()
        self._error, self._is_over = CalleeExit(self.cell.label, self.name, reason), True

    def _end(self) -> bool:
        """Wake who waits; whether anybody did."""
        self._is_over = True
        waiting = [parker for parker in self._waiters if not parker.done()]
        self._waiters.clear()
        for parker in waiting:
            parker.set_result(None)
        return bool(waiting)


class Tasks:
    """Where an actor starts tasks that have a result: its `ctx.tasks`."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def run(
        self, function: Callable[[*Args], Awaitable[T]], *args: *Args, isolated: bool = False
    ) -> Task[T]:
        """Run `function(*args)` in a task of this actor, and go on.

        Its failure is the actor's crash. With `isolated` it is not: the outcome is raised or
        returned where the task is awaited, and comes to `on_info` as `TaskDone` if nobody awaits
        it when it is over. The actor's end cancels it, and is announced when the task is gone.
        """
        check_task(function)
        return Task(self._cell, function, args, is_isolated=isolated)
