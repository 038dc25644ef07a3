"""What an actor is: private state, and one handler for each type of message."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, get_args, get_origin, overload

from keygrove_actors.cell import Cell
from keygrove_actors.host import TaskSet
from keygrove_actors.links import Monitor
from keygrove_actors.messages import (
    ActorId,
    Call,
    Cast,
    Defer,
    Down,
    Ignore,
    MonitorId,
    Reason,
    Stop,
    StopReply,
    WrongTask,
)
from keygrove_actors.ref import Ref, ReplyTo
from keygrove_actors.supref import SupRef
from keygrove_actors.timers import MessageTimer
from keygrove_actors.turns import Traits

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
S = TypeVar("S", bound="Actor[Any]")

CallOutcome: TypeAlias = (
    R | Defer | Stop | StopReply[R] | Awaitable[R | Defer | Stop | StopReply[R]]
)
CastOutcome: TypeAlias = Stop | Awaitable[Stop | None] | None
InitOutcome: TypeAlias = Ignore | Awaitable[Ignore | None] | None

_KIND = "__handles__"


def on(
    kind: type[Call[Any, R]],
) -> Callable[[Callable[[S, Any], CallOutcome[R]]], Callable[[S, Any], CallOutcome[R]]]:
    """Mark a method as the handler of calls of `kind`; checkers hold it to the reply type.

    A `def` handler answers in the runtime's turn, an `async def` one in the actor's task.
    Checkers cannot compare the method's own message parameter with `kind`, so that is
    done when the class is made.
    """
    return _mark(kind)


def on_cast(
    kind: type[Cast[Any]],
) -> Callable[[Callable[[S, Any], CastOutcome]], Callable[[S, Any], CastOutcome]]:
    """Mark a method as the handler of casts of `kind`, as `on` does for calls."""
    return _mark(kind)


def _mark(kind: type[Any]) -> Callable[[Any], Any]:
    def mark(method: Any) -> Any:
        setattr(method, _KIND, kind)
        return method

    return mark


class Ctx:
    """What an actor may ask of the runtime. Given to `init`; good for this actor only."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def id(self) -> ActorId:
        """This incarnation."""
        return self._cell.id

    @property
    def name(self) -> str | None:
        """The name from the spec."""
        return self._cell.spec.name

    @property
    def incarnation(self) -> int:
        """1 at the first start of the child, one more at each restart."""
        return self._cell.incarnation

    @property
    def self_ref(self) -> Ref[Any]:
        """The address of this incarnation; it never reaches a successor."""
        return Ref(self._cell.hub, self._cell)

    @property
    def reply_to(self) -> ReplyTo[Any]:
        """The way back to the caller of the call at hand: keep it, and return `DEFER`."""
        request = self._cell.current
        if request is None:
            raise WrongTask(self._cell.label, "ctx.reply_to")
        return ReplyTo(self._cell, request)

    def now(self) -> float:
        """Monotonic seconds of the event loop, which tests may run faster."""
        return self._cell.hub.backend.now()

    def whereis(self, name: str, proto: type[P]) -> Ref[P]:
        """The address of whoever has `name` when a message is sent there.

        Raises:
            WrongProtocol: an actor has the name now, and serves another protocol.
        """
        return Ref[P].named(self._cell.hub, name, proto)

    @overload
    def supervisor(self, path: str) -> SupRef[Any]: ...

    @overload
    def supervisor(self, path: str, proto: type[P]) -> SupRef[P]: ...

    def supervisor(self, path: str, proto: type[Any] = object) -> SupRef[Any]:
        """The supervisor at `path`, the ids from the root down; "" is the root itself.

        Its children's refs are given out for protocol `proto`.
        """
        return SupRef(self._cell.hub, path, proto)

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Open `resource`; the actor's own task closes it at its end, in reverse order.

        Raises:
            WrongTask: not called from an async `init` or handler.
        """
        host = self._cell.host
        if host is None:
            raise WrongTask(self._cell.label, "ctx.enter")
        return await host.enter(resource)

    def start_soon(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run `function(*args)` in a task of this actor: its failure is the actor's crash.

        The actor's end cancels it, and is announced only when the task is gone.
        """
        if self._cell.tasks is None:
            self._cell.tasks = TaskSet(self._cell)
        self._cell.tasks.start(function, args)

    def monitor(self, ref: Ref[Any]) -> MonitorId:
        """Have `on_down` called once when the actor now at `ref` ends, or if none is there."""
        return Monitor.set(self._cell, ref)

    def demonitor(self, monitor_id: MonitorId, *, flush: bool = True) -> None:
        """Take a monitor back. With `flush`, a `Down` already in the mailbox goes with it."""
        monitor = (self._cell.monitors or {}).get(monitor_id)
        if monitor is not None:
            monitor.withdraw(flush=flush)

    def send_after(
        self, delay: float, message: Cast[Any], *, name: str | None = None
    ) -> MessageTimer:
        """Have `message` handled in `delay` seconds; a timer of the same `name` is replaced."""
        return MessageTimer(self._cell, message, delay, every=None, name=name)

    def send_every(
        self, period: float, message: Cast[Any], *, name: str | None = None
    ) -> MessageTimer:
        """Have `message` handled each `period` seconds, without bursts after a stall."""
        return MessageTimer(self._cell, message, period, every=period, name=name)


class Actor(Generic[P]):
    """Handles one message at a time, so its state needs no locks. Serves protocol `P`.

    What may well happen (not found, refused) is a reply. An exception is a crash: the
    supervisor throws this object away and starts a new one. The constructor is cheap and
    does no I/O; `init` opens what is needed. `init`, `terminate`, `on_down` and handlers
    may each be `def` or `async def`; an actor with only plain ones costs no task.
    """

    __traits__: ClassVar[Traits]

    def init(self, ctx: Ctx) -> InitOutcome:
        """Open what the actor needs; the start is acknowledged when this returns.

        `IGNORE` counts as started, and ends the actor quietly.
        """

    def terminate(self, reason: Reason) -> Awaitable[None] | None:
        """Clean up, at any end but a kill, within the child's `shutdown` time.

        What `ctx.enter` opened is still open. An error is reported, and changes nothing.
        """

    def on_down(self, down: Down) -> CastOutcome:
        """A monitored actor ended."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__traits__ = _traits(cls)


def _traits(cls: type[Actor[Any]]) -> Traits:
    plain: dict[type[Any], Callable[[Any, Any], Any]] = {}
    slow: dict[type[Any], Callable[[Any, Any], Awaitable[Any]]] = {}
    for kind, method in _handlers(cls).items():
        (slow if inspect.iscoroutinefunction(method) else plain)[kind] = method
    return Traits(
        plain,
        slow,
        _served(cls),
        has_init=any("init" in vars(b) for b in cls.__mro__[: cls.__mro__.index(Actor)]),
        needs_task_for_init=inspect.iscoroutinefunction(cls.init),
        needs_task_to_end=inspect.iscoroutinefunction(cls.terminate),
        ctx=Ctx,
    )


def _handlers(cls: type[Actor[Any]]) -> dict[type[Any], Callable[[Any, Any], Any]]:
    table: dict[type[Any], Callable[[Any, Any], Any]] = {Down: cls.on_down}
    names = {
        name: getattr(method, _KIND)
        for base in reversed(cls.__mro__)
        for name, method in vars(base).items()
        if hasattr(method, _KIND)
    }
    for name, kind in names.items():
        method = getattr(cls, name)
        if kind in table:
            raise TypeError(f"{cls.__name__} has two handlers for {kind.__name__}: keep one")
        _check_message(method, kind)
        table[kind] = method
    return table


def _check_message(method: Callable[..., Any], kind: type[Any]) -> None:
    """Compare what checkers cannot: the annotation of the message with the marked kind."""
    if not kind.__struct_config__.frozen:
        raise TypeError(f"{kind.__qualname__} can be changed on its way: declare it frozen=True")
    parameters = list(inspect.signature(method).parameters.values())
    taken = parameters[1].annotation if len(parameters) > 1 else None
    # a postponed annotation may be of a scope that cannot be seen from here: compare names
    named = taken.rpartition(".")[2] if isinstance(taken, str) else None
    if taken is not kind and named != kind.__name__:
        raise TypeError(f"{method.__qualname__} handles {kind.__qualname__} but takes {taken}")


def _served(cls: type[Any]) -> type[Any] | None:
    """The protocol named in `Actor[...]`, None where that is left open."""
    for base in cls.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if isinstance(origin, type) and issubclass(origin, Actor):
                return arguments[0] if isinstance(arguments[0], type) else None
    return None
