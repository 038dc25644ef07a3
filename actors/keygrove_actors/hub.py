"""What all actors of one runtime share: the loop, the clock wheel, the names, the observer.

One hub for each `run` block, reached through the cells: several runtimes may live side by
side in one loop, and nothing of one is seen in another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from keygrove_actors.backend import Backend, Parker
from keygrove_actors.chance import Chance
from keygrove_actors.messages import ActorId, Crash, MonitorId, NameTaken
from keygrove_actors.reports import Cause, DeadLetter, Report
from keygrove_actors.trace import trace_of
from keygrove_actors.wheel import Wheel

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell


class Waiter:
    """A caller that waits for a name to appear, at most until its wheel entry expires."""

    __slots__ = ("parker",)

    def __init__(self, parker: Parker[bool]) -> None:
        self.parker = parker

    def expire(self) -> None:
        """Give up."""
        self.settle(appeared=False)

    def settle(self, *, appeared: bool) -> None:
        """Let the caller go on, unless it has gone already."""
        if not self.parker.done():
            self.parker.set_result(appeared)


class Counters:
    """What happened too often to report each time; read by whoever wants metrics."""

    __slots__ = ("abandoned", "dead_letters", "expired", "late_replies")

    def __init__(self) -> None:
        self.abandoned = 0
        self.dead_letters = 0
        self.expired = 0
        self.late_replies = 0


class Hub:
    """The shared part of one runtime."""

    __slots__ = (
        "_crashes",
        "_ids",
        "_monitors",
        "_observe",
        "backend",
        "chance",
        "context",
        "counters",
        "failed",
        "hosts",
        "names",
        "observer_error",
        "root",
        "turning",
        "waiters",
        "wheel",
    )

    def __init__(
        self,
        backend: Backend,
        context: Context,
        observe: Callable[[Report], None] | None,
        seed: int = 0,
    ) -> None:
        self.backend = backend
        self.chance = Chance(seed)
        self.root: Cell | None = None
        self.failed: dict[str, Cell] = {}
        self.context = context
        self.wheel = Wheel(backend)
        self.names: dict[str, Cell] = {}
        self.waiters: dict[str, dict[Waiter, None]] = {}
        self.hosts: dict[object, Cell] = {}
        self.turning: Cell | None = None
        self.counters = Counters()
        self.observer_error: Exception | None = None
        self._observe = observe
        self._ids = count(1)
        self._monitors = count(1)
        self._crashes = count(1)

    def actor_id(self) -> ActorId:
        """An id no other incarnation has."""
        return ActorId(next(self._ids))

    def monitor_id(self) -> MonitorId:
        """An id no other monitor has."""
        return MonitorId(next(self._monitors))

    def report(self, report: Report) -> None:
        """Tell the observer. One that raises is not asked again; `run` raises its error."""
        if self._observe is None:
            return
        try:
            self._observe(report)
        except Exception as error:  # noqa: BLE001 - an observer must not harm the tree it watches
            self._observe = None
            self.observer_error = error

    def dead_letter(self, target: str, message: object, cause: Cause) -> None:
        """Count and report a message no handler will see."""
        self.counters.dead_letters += 1
        self.report(DeadLetter(target, type(message).__name__, cause, self.backend.now()))

    def crash(self, error: BaseException, path: str) -> Crash:
        """`error` as data; of a group, the first leaf gives name and text (A-179)."""
        first = _first_leaf(error)
        return Crash(
            type(first).__name__,
            str(first),
            trace_of(error),
            f"{path}#{next(self._crashes)}",
        )

    def register(self, name: str, cell: Cell) -> None:
        """Give `cell` the name, and wake whoever waits for it.

        Raises:
            NameTaken: a live actor has it.
        """
        holder = self.names.get(name)
        if holder is not None:
            raise NameTaken(name, holder.path)
        self.names[name] = cell
        for waiter in self.waiters.pop(name, {}):
            waiter.settle(appeared=True)

    def unregister(self, name: str, cell: Cell) -> None:
        """Free the name, if it is that cell's."""
        if self.names.get(name) is cell:
            del self.names[name]

    async def name_appears(self, name: str, within: float) -> bool:
        """Wait for an actor to take the name; whether one did."""
        waiter = Waiter(self.backend.parker())
        slot = self.wheel.add(self.backend.now() + within, waiter)
        waiting = self.waiters.setdefault(name, {})
        waiting[waiter] = None
        try:
            return await waiter.parker
        finally:
            slot.pop(waiter, None)
            waiting.pop(waiter, None)
            if not waiting:
                self.waiters.pop(name, None)

    def calling_cell(self) -> Cell | None:
        """The actor in whose turn or own task this runs; None in plain and child tasks."""
        if self.turning is not None:
            return self.turning
        hosts = self.hosts
        return hosts.get(self.backend.current_task()) if hosts else None

    def entries(self) -> dict[str, int]:
        """How much is left behind, by kind; all zero once the tree is down."""
        return {
            "names": len(self.names),
            "waiters": len(self.waiters),
            "tasks": len(self.hosts),
            "deadlines": len(self.wheel),
        }


def _first_leaf(error: BaseException) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        group = cast(BaseExceptionGroup[BaseException], error)
        return _first_leaf(group.exceptions[0])
    return error


def type_name(value: Any) -> str:
    """The name of a message's class, which is all that errors and reports tell of it."""
    return type(value).__name__
