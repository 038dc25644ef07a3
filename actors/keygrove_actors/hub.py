"""What all actors of one runtime share: the loop, the clock wheel, the names, the observer.

One hub for each `run` block, reached through the cells: several runtimes may live side by
side in one loop, and nothing of one is seen in another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from itertools import count
from math import inf, isnan
from threading import current_thread, get_ident
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from keygrove_actors.backend import Backend, Parker
from keygrove_actors.chance import Chance
from keygrove_actors.crashes import trace_text
from keygrove_actors.failures import not_seconds
from keygrove_actors.letters import Letters
from keygrove_actors.messages import (
    ActorError,
    ActorId,
    Crash,
    MonitorId,
    NameTaken,
    WrongThread,
)
from keygrove_actors.reports import Cause, Report
from keygrove_actors.wheel import Alarm, Wheel

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell
    from keygrove_actors.mail import Mailbox
    from keygrove_actors.signals import Signals
    from keygrove_actors.turns import Turns
    from keygrove_actors.watch import Watch

DIRECT_TURNS: Final = 128
"""Direct turns after which a caller lets others have the loop."""

HANDLED_MAX: Final = 10_000
"""Of which classes and specs it is kept what they handled, where no meter forgets some."""

WAYS: Final = (
    "anyio.from_thread.run_sync(ref.cast, message), or anyio.from_thread.run(ref.call, message)"
)
"""How another thread reaches an actor."""


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

    __slots__ = (
        "abandoned",
        "call_errors",
        "dead_letters",
        "dropped",
        "expired",
        "handled",
        "late_replies",
        "timers_dropped",
        "unhandled",
        "zombies",
    )

    def __init__(self) -> None:
        self.abandoned = 0
        self.call_errors: dict[str, int] = {}
        self.dead_letters = 0
        self.dropped: dict[str, int] = {}
        self.expired = 0
        self.handled: dict[tuple[str, str], int] = {}
        self.late_replies = 0
        self.timers_dropped = 0
        self.unhandled = 0
        self.zombies = 0

    def call_failed(self, error: Exception) -> None:
        """A caller gets this in place of a reply."""
        if isinstance(error, ActorError):  # any other is of a function given to `sysapi`
            kind = type(error).__name__
            self.call_errors[kind] = self.call_errors.get(kind, 0) + 1

    def ended(self, actor: object, child: str, handled: int) -> None:
        """An actor ended: what it handled still counts for its class and spec."""
        if actor is not None:
            key = kind_of(actor), child
            self.handled[key] = self.handled.get(key, 0) + handled
            if len(self.handled) > HANDLED_MAX:
                del self.handled[next(iter(self.handled))]


class Gate(Protocol):
    """Decides over each message on its way; a test kit's."""

    def admits(self, cell: Mailbox, item: Any) -> bool:
        """Whether `item` goes into that mailbox now; if not, it is the gate's."""
        ...

    def direct(self, cell: Mailbox, table: dict[type[Any], Any]) -> dict[type[Any], Any]:
        """The handlers of that cell that may run as direct turns."""
        ...


class Labelled(Protocol):
    """What people have a word for."""

    @property
    def label(self) -> str:
        """That word."""
        ...


class Options(NamedTuple):
    """What `run` was told about the whole runtime."""

    direct: bool = True
    check_replies: bool = False
    kill_grace: float = 1.0
    gate: Gate | None = None
    seed: int = 0


class Hub:
    """The shared part of one runtime."""

    __slots__ = (
        "_crashes",
        "_ids",
        "_monitors",
        "_observe",
        "_told",
        "backend",
        "budget",
        "chance",
        "check_replies",
        "context",
        "counters",
        "direct",
        "failed",
        "fences",
        "gate",
        "group_monitors",
        "groups",
        "hosts",
        "kill_grace",
        "letters",
        "names",
        "observer_error",
        "root",
        "taps",
        "thread",
        "turning",
        "waiters",
        "wheel",
    )

    def __init__(
        self,
        backend: Backend,
        context: Context,
        observe: Callable[[Report], None] | None,
        options: Options = Options(),  # noqa: B008 - immutable
    ) -> None:
        self.backend = backend
        self.chance = Chance(options.seed)
        self.root: Cell | None = None
        self.failed: dict[str, Cell] = {}
        self.context = context
        self.thread = get_ident()
        self.wheel = Wheel(backend)
        self.names: dict[str, Cell] = {}
        self.waiters: dict[str, dict[Waiter, None]] = {}
        self.hosts: dict[object, Cell] = {}
        self.turning: Cell | None = None
        self.budget = DIRECT_TURNS
        self.direct, self.check_replies, self.kill_grace, self.gate, _ = options
        self.groups: dict[str, dict[Cell, int]] = {}
        self.group_monitors: dict[str, dict[Cell, None]] = {}
        self.taps: dict[Signals, Watch | None] = {}
        self.fences: dict[Signals, Alarm] = {}
        self.counters = Counters()
        self.letters = Letters(self.wheel, backend.now, self.report)
        self._told: set[tuple[type[Any], type[Any]]] = set()
        self.observer_error: BaseException | None = None
        self._observe = observe
        self._ids = count(1)
        self._monitors = count(1)
        self._crashes = count(1)

    def due(self, seconds: float | None, what: str = "timeout") -> float:
        """When so many `seconds` are over, on the loop's clock; with None, never.

        Raises:
            TypeError: it is no number.
            ValueError: it is not a number, as floats have one.
        """
        try:
            when = inf if seconds is None else self.backend.now() + seconds
        except (TypeError, OverflowError) as error:
            raise not_seconds(what, seconds) from error
        if isnan(when):
            raise not_seconds(what, seconds)
        return when

    def check_thread(self, target: Labelled, what: object, way: str = WAYS) -> None:
        """See that `target` gets `what`, a message or a word for it, in the loop's own thread.

        `way` is how it gets there from another one.

        Raises:
            WrongThread: this is another; the runtime's tables would be torn.
        """
        if get_ident() != self.thread:
            raise WrongThread(
                f"{target.label} was given {what if isinstance(what, str) else type_name(what)} in "
                f"thread {current_thread().name}, and its loop runs in another: there, use {way}"
            )

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
        except BaseException as error:  # noqa: BLE001 - an observer must not harm the tree it watches
            self._observe = None
            self.observer_error = error

    def dead_letter(self, target: str, message: object, cause: Cause) -> None:
        """Count and report a message no handler will see."""
        self.counters.dead_letters += 1
        self.letters.add(target, type(message).__name__, cause)

    def unhandled(self, cell: Turns, message: object) -> None:
        """Count a message nobody declared; report its type once for each actor class."""
        self.counters.unhandled += 1
        key = (type(cell.actor), type(message))
        if key not in self._told:
            self._told.add(key)
            self.dead_letter(cell.label, message, Cause.UNHANDLED)

    def sent(self, message: object, target: str) -> bool:
        """Look at a message on its way out; whether it may go on. Only asked with taps.

        What a fenced actor sends is discarded; what a traced one sends is told its sink.
        """
        sender = self.calling_cell()
        if sender is None or sender not in self.taps:
            return True
        if sender.is_dead:
            self.dead_letter(target, message, Cause.FENCED)
            return False
        watch = self.taps[sender]
        if watch is not None:
            watch.sent(type_name(message), target)
        return True

    def crash(self, error: BaseException, path: str) -> Crash:
        """`error` as data; of a group, the first leaf gives name and text (A-179)."""
        first = _first_leaf(error)
        return Crash(
            type(first).__name__,
            _text(first),
            trace_text(error),
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
        slot = self.wheel.add(self.due(within, "wait_up"), waiter)
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

    def undead(self) -> tuple[str, ...]:
        """The paths of those that were killed and declared dead, and still run."""
        return tuple(cell.path for cell in self.taps if cell.is_dead)

    def entries(self) -> dict[str, int]:
        """How much is left behind, by kind; all zero once the tree is down."""
        return {
            "names": len(self.names),
            "groups": len(self.groups) + len(self.group_monitors),
            "waiters": len(self.waiters),
            "taps": len(self.taps),
            "tasks": len(self.hosts),
            "deadlines": len(self.wheel),
        }


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error's own `__str__` is broken: the crash counts, not its text
        return "(its text cannot be had)"


def _first_leaf(error: BaseException) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        group = cast(BaseExceptionGroup[BaseException], error)
        leaves = [_first_leaf(one) for one in group.exceptions]
        return next((e for e in leaves if isinstance(e, Exception | SystemExit)), leaves[0])
    return error


def kind_of(actor: Any) -> str:
    """The name of the class that an actor is counted under."""
    kind: type[Any] = actor.__stands_for__ or actor.__class__
    return kind.__name__


def type_name(value: Any) -> str:
    """The name of a message's class, which is all that errors and reports tell of it."""
    return type(value).__name__
