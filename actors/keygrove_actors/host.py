"""The actor's own task: async handlers, and everything that must be closed where it opened.

An actor whose `init` and handlers are plain functions has no host and no task; the first
thing that awaits makes one. Scopes nest like this, innermost last:

    own       cancelled by a kill, and by the deadline of cleaning up; nothing else
      stack   what `ctx.enter` opened, closed in reverse order
        life  cancelled by any exit signal: ends the running handler, or the wait for mail

anyio and trio demand that scopes are left in reverse order, by the task that entered
them. A resource may hold a scope open for as long as it lives, so `life` must lie
*above* all resources: `enter` leaves it, opens the resource, and enters a new one. The
price: a resource that hangs while it opens can only be killed, not stopped.
Rejected: a scope around each handler (2 to 3 µs each on asyncio, and the same trouble
with resources opened in handlers); a keeper task for each resource (A-178 wants the
actor's own task to close it).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import anyio

from keygrove_actors.backend import Parker
from keygrove_actors.hooks import come_to
from keygrove_actors.messages import WrongTask

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell
    from keygrove_actors.mail import Request

T = TypeVar("T")

TURN_MESSAGES: Final = 128
"""Messages handled before others get the loop; OTP's reductions serve the same end."""

TURN_S: Final = 0.002
"""Seconds after which others get the loop."""


class Work(NamedTuple):
    """A message that needs the task, its handler, and the call it came in, if any."""

    handler: Callable[[Any, Any], Awaitable[Any]]
    message: object
    request: Request | None


class _Life:
    """The scope above all resources; `__exit__` leaves whichever scope is current."""

    __slots__ = ("_cancelled", "_scope")

    def __init__(self) -> None:
        self._cancelled = False
        self._scope: anyio.CancelScope | None = None

    def __enter__(self) -> None:
        self._scope = scope = anyio.CancelScope()
        if self._cancelled:
            scope.cancel()
        scope.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        scope, self._scope = self._scope, None
        assert scope is not None
        return bool(scope.__exit__(kind, error, trace))

    def cancel(self) -> None:
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()


class Host:
    """Runs one actor's coroutines, one after the other."""

    __slots__ = (
        "_cell",
        "_error",
        "_is_leaving",
        "_life",
        "_own",
        "_parker",
        "_resources",
        "_served",
        "_stack",
        "_task",
        "_until",
        "_work",
        "doing",
        "since",
    )

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._own: anyio.CancelScope | None = None
        self._life = _Life()
        self._stack = AsyncExitStack()
        self._parker: Parker[None] | None = None
        self._work: Work | None = None
        self._error: Exception | None = None
        self._task: object = None
        self._served = self._resources = 0
        self._until = 0.0
        self._is_leaving = False
        self.doing: Work | None = None
        self.since = 0.0
        cell.hub.backend.spawn(self._main, cell.own_context())

    def give(self, work: Work) -> None:
        """Let the task do `work` next."""
        self._work = work
        self.wake()

    def wake(self) -> None:
        """Let the task look for work."""
        if self._parker is not None and not self._parker.done():
            self._parker.set_result(None)

    def interrupt(self) -> None:
        """End the running handler, or the wait for mail, at its next suspension point."""
        self._life.cancel()

    def leave(self) -> bool:
        """End the task while the actor lives on, if nothing is open that only it can close."""
        if self._resources or not self.is_parked():
            return False
        self._is_leaving = True
        self.wake()
        return True

    def kill(self) -> None:
        """End whatever the task does, cleaning up included."""
        if self._own is not None:
            self._own.cancel()

    def is_parked(self) -> bool:
        """Whether the task waits for work."""
        return self._parker is not None and not self._parker.done()

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Open `resource` beneath `life`; it is closed when the actor ends."""
        if self._cell.hub.backend.current_task() is not self._task:
            raise WrongTask(self._cell.label, "ctx.enter")
        self._life.__exit__(None, None, None)
        try:
            entered = await self._stack.enter_async_context(resource)
            self._resources += 1
            return entered
        finally:
            self._life.__enter__()

    async def _main(self) -> None:
        cell = self._cell
        self._task = cell.hub.backend.current_task()
        self._until = cell.hub.backend.clock() + TURN_S
        cell.hub.hosts[self._task] = cell
        self._own = anyio.CancelScope(shield=True)
        interrupt: KeyboardInterrupt | None = None
        try:
            with self._own:
                if cell.is_killed:
                    self._own.cancel()
                async with self._stack:
                    await self._live_and_leave()
        except BaseException as error:  # noqa: BLE001 - whatever closing raises is reported, the reason stays
            # out here nothing is the runtime's own cancellation any more: the scope took that
            interrupt = error if isinstance(error, KeyboardInterrupt) else None
            self._went_wrong(error)
        if self._own.cancelled_caught and not cell.is_killed:
            cell.overran()
        del cell.hub.hosts[self._task]
        if self._is_leaving:
            cell.host_left()
            return
        if self._work is not None:
            cell.lose(self._work)
        cell.announce()
        cell.unfence()
        if interrupt is not None:
            raise interrupt

    def _went_wrong(self, error: BaseException) -> None:
        if self._cell.reason is None:
            self._cell.crashed(error)
        elif not _is_only(error, self._error):
            self._cell.report_unclean(error)

    async def _live_and_leave(self) -> None:
        try:
            await self._live()
        except BaseException:  # a kill: `_leave` is not for it, its tasks are
            await self._end_tasks()
            raise
        if not self._is_leaving:
            await self._leave()

    async def _live(self) -> None:
        cell = self._cell
        try:
            with self._life:
                if not cell.is_started and cell.reason is None:
                    outcome = await cell.init_in_task()
                    if not cell.is_dead:  # it may have outlived its kill, and have a successor
                        cell.started(outcome)
                while cell.reason is None and not self._is_leaving:
                    await self._next()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
            self._error = error if isinstance(error, Exception) else None
            cell.crashed(error)

    async def _next(self) -> None:
        cell = self._cell
        work, self._work = self._work or self._look(), None
        if work is not None:
            self.doing, self.since = work, cell.hub.backend.now()
            await cell.serve(work)
            self.doing = None
        elif cell.reason is None:
            self._parker = cell.hub.backend.parker()
            await self._parker
            self._until = cell.hub.backend.clock() + TURN_S

    def _look(self) -> Work | None:
        """Have a turn; now and then in a callback, since handlers may never wait."""
        self._served += 1
        if self._served % TURN_MESSAGES and self._cell.hub.backend.clock() < self._until:
            return self._cell.turn()
        self._cell.schedule()
        return None

    async def _leave(self) -> None:
        """Run `terminate` and end the child tasks; then let the resources see the crash."""
        cell = self._cell
        assert self._own is not None
        self._own.deadline = cell.cleanup_deadline()
        try:
            await cell.terminate()
        finally:
            await self._end_tasks()
        if self._error is not None:
            raise self._error

    async def _end_tasks(self) -> None:
        if self._cell.tasks is not None:
            with anyio.CancelScope(shield=True):
                await self._cell.tasks.reap()


class TaskSet:
    """The tasks an actor started with `Ctx.start_soon`."""

    __slots__ = ("_cell", "_reaper", "_tasks")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._tasks: dict[ChildTask, None] = {}
        self._reaper: Parker[None] | None = None

    def __bool__(self) -> bool:
        """Whether any still runs."""
        return bool(self._tasks)

    def __len__(self) -> int:
        """How many still run."""
        return len(self._tasks)

    def start(
        self, function: Callable[..., Awaitable[Any]], args: Any, *, is_isolated: bool = False
    ) -> None:
        """Start one more; of an isolated one the actor is told the outcome, whatever it is."""
        self._tasks[ChildTask(self, self._cell, function, args, is_isolated)] = None

    def ended(self, task: ChildTask, result: Any, error: BaseException | None) -> None:
        """One is over; with `error`, so is its actor, unless it is isolated."""
        del self._tasks[task]
        if task.is_isolated:
            self._cell.task_done(task.name, result, error)
        elif error is not None:
            self._cell.task_failed(error)
        if not self._tasks and self._reaper is not None and not self._reaper.done():
            self._reaper.set_result(None)

    async def reap(self) -> None:
        """Cancel all, and wait until they are gone."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            self._reaper = self._cell.hub.backend.parker()
            await self._reaper


class ChildTask:
    """A task that belongs to an actor: its failure ends the actor, whose end ends it."""

    __slots__ = ("_args", "_function", "_is_cancelled", "_owner", "_scope", "cell", "is_isolated")

    def __init__(
        self,
        owner: TaskSet,
        cell: Cell,
        function: Callable[..., Awaitable[Any]],
        args: Any,
        is_isolated: bool,
    ) -> None:
        self.cell = cell
        self.is_isolated = is_isolated
        self._owner = owner
        self._function = function
        self._args = args
        self._scope: anyio.CancelScope | None = None
        self._is_cancelled = False
        cell.hub.backend.spawn(self._main, cell.hub.context.copy())

    @property
    def name(self) -> str:
        """What it runs."""
        return getattr(self._function, "__qualname__", repr(self._function))

    def cancel(self) -> None:
        """End it at its next suspension point."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def _main(self) -> None:
        failure: BaseException | None = None
        result: Any = None
        try:
            with anyio.CancelScope(shield=True) as self._scope:
                if self._is_cancelled:
                    self._scope.cancel()
                result = await come_to(self._function, self._args)
        except BaseException as error:  # noqa: BLE001 - a failed task is the actor's crash
            failure = error
        self._owner.ended(self, result, failure)
        if isinstance(failure, KeyboardInterrupt):
            raise failure


def _is_only(error: BaseException, known: BaseException | None) -> bool:
    """Whether `error` is but `known`, or groups of it, as task groups wrap what they pass on."""
    if isinstance(error, BaseExceptionGroup):
        group = cast(BaseExceptionGroup[BaseException], error)
        return all(_is_only(leaf, known) for leaf in group.exceptions)
    return error is known
