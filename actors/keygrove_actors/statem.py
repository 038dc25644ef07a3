"""A state machine as an actor, in the manner of OTP's `gen_statem`.

A handler is chosen by state and message type; without `@when` it serves every state that
has none of its own. What changes the state, `go`, takes effect when the handler has
returned. Then, in this order:

    1  the state timeout is cancelled, the new state's enter hook runs
    2  `next_event`s, in the order given
    3  postponed messages, in the order they arrived; only if the state changed
    4  timeouts of zero
    5  the mail that waited all along

The last three lines are one prefix put before the mailbox, so nothing else can come
between. What the runtime tells by itself (`on_down`, `on_exit`, `on_idle`, `on_info`,
`on_continue`) is an event like any other.

Source: OTP 25, `gen_statem.erl` (`loop_state_transition` and what follows it).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Final, Generic, TypeVar

from keygrove_actors.actor import Actor, marked, own_notices
from keygrove_actors.cell import Cell
from keygrove_actors.failures import StashFull, WrongMoment
from keygrove_actors.hooks import check_shape
from keygrove_actors.hub import type_name
from keygrove_actors.messages import Cast, Defer, WrongProtocol
from keygrove_actors.timers import MessageTimer
from keygrove_actors.traits import Plain, is_slow

P = TypeVar("P")
E = TypeVar("E", bound=enum.Enum)
F = TypeVar("F", bound=Callable[..., Any])

_NOTICES: Final = ("on_info", "on_continue")
_STATES: Final = "__states__"
_ENTERS: Final = "__enters__"


def when(*states: enum.Enum) -> Callable[[F], F]:
    """Let a handler, marked by `on` or `on_cast`, serve these states only."""
    _check_states("when", states)

    def mark(method: F) -> F:
        setattr(method, _STATES, states)
        return method

    return mark


def enters(*states: enum.Enum) -> Callable[[F], F]:
    """Run this method, `def f(self, old)`, whenever one of these states is entered.

    It may set timeouts and add events; it may not change the state, postpone, or await.
    """
    _check_states("enters", states)

    def mark(method: F) -> F:
        check_shape(method, method.__qualname__, "old: State")
        if is_slow(method):
            raise TypeError(f"{method.__qualname__} is entered at once and cannot await: use def")
        setattr(method, _ENTERS, states)
        return method

    return mark


def _check_states(mark: str, states: tuple[Any, ...]) -> None:
    if not states or not all(isinstance(state, enum.Enum) for state in states):
        raise TypeError(f"@{mark} is for some states: write @{mark}(State.SOME), with parentheses")


def _as_event(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method with what surrounds each event; called by another such one, itself alone."""

    @wraps(method)
    def at_once(actor: StateActor[Any, Any], message: Any) -> Any:
        machine = actor.machine()
        if machine.is_at_notice:
            return method(actor, message)
        machine.begin(is_notice=True)
        return machine.after(actor, message, method(actor, message))

    @wraps(method)
    async def slowly(actor: StateActor[Any, Any], message: Any) -> Any:
        machine = actor.machine()
        if machine.is_at_notice:
            return await method(actor, message)
        machine.begin(is_notice=True)
        return machine.after(actor, message, await method(actor, message))

    return slowly if is_slow(method) else at_once


class StateActor(Actor[P], Generic[P, E]):
    """An actor whose handlers depend on its state, one of the enum `E`.

    A class says where it starts by `initial`.
    """

    initial: ClassVar[Any]
    __table__: ClassVar[dict[tuple[enum.Enum | None, type[Any]], Plain]]
    __hooks__: ClassVar[dict[enum.Enum, Callable[[Any, Any], None]]]
    __machine__: _Machine | None = None

    def __init_subclass__(cls) -> None:
        for name in _NOTICES:
            if name in vars(cls):
                setattr(cls, name, _as_event(vars(cls)[name]))
        super().__init_subclass__()

    @property
    def state(self) -> E:
        """The state now; within a handler that went elsewhere, still the old one."""
        state: E = self.machine().state
        return state

    def go(self, state: E) -> None:
        """Be in `state` when the handler has returned; the same state is no change."""
        self.machine().go(state)

    def repeat_state(self) -> None:
        """Enter the present state again, and retry what was postponed."""
        self.machine().repeat()

    def next_event(self, message: Cast[P]) -> None:
        """Handle `message` before all queued mail."""
        self.machine().events.append(message)

    def state_timeout(self, seconds: float | None, message: Cast[P] | None = None) -> None:
        """Have `message` handled in so many seconds, unless the state changes; None cancels."""
        self.machine().timeout("state", seconds, message)

    def event_timeout(self, seconds: float, message: Cast[P]) -> None:
        """Have `message` handled in so many seconds, unless any event comes before."""
        self.machine().timeout("event", seconds, message)

    def named_timeout(
        self, name: str, seconds: float | None, message: Cast[P] | None = None
    ) -> None:
        """As `state_timeout`, but by a name of its own, and it survives changes of state."""
        self.machine().timeout(f"name:{name}", seconds, message)

    def on_unhandled(self, message: Any) -> Any:
        """No handler takes `message` in this state.

        By default a call is refused with `WrongProtocol`, and a cast counted and lost.
        """
        return self.machine().refuse(self, message)

    def machine(self) -> _Machine:
        """What keeps the state. For this class's own use."""
        if self.__machine__ is None:
            raise WrongMoment("init ran before there was a state")
        return self.__machine__

    @classmethod
    def __handlers__(cls) -> dict[type[Any], Plain]:
        """One dispatcher for each message type, async if any of its handlers is."""
        cls.__table__, cls.__hooks__ = {}, {}
        for method, kind in marked(cls):
            for state in getattr(method, _STATES, (None,)):
                if (state, kind) in cls.__table__:
                    raise TypeError(
                        f"{cls.__name__} has two handlers for {kind.__name__} in {state}: keep one"
                    )
                cls.__table__[state, kind] = method
        handlers = [method for method, _ in marked(cls)]
        for name in dir(cls):
            hook: Any = getattr(cls, name, None)
            if hasattr(hook, _STATES) and hook not in handlers:
                raise TypeError(f"{cls.__name__}.{name} has @when, and no @on or @on_cast: add one")
            for state in getattr(hook, _ENTERS, ()):
                cls.__hooks__[state] = hook
        slow = {kind for (_, kind), method in cls.__table__.items() if is_slow(method)}
        kinds = dict.fromkeys(kind for _, kind in cls.__table__)
        own = {kind: _dispatch_slowly if kind in slow else _dispatch for kind in kinds}
        return {**{k: _as_event(method) for k, method in own_notices(cls).items()}, **own}

    def __begun__(self, cell: Cell) -> None:
        """Enter the first state."""
        if not isinstance(getattr(self, "initial", None), enum.Enum):
            raise TypeError(f"{type(self).__name__} starts in no state: set initial to one of them")
        self.__machine__ = _Machine(cell, type(self).initial)
        self.__machine__.enter(self, None)
        self.__machine__.queue()


def _dispatch(actor: StateActor[Any, Any], message: Any) -> Any:
    """Handle one event."""
    machine = actor.machine()
    machine.begin()
    handler = machine.handler_of(actor, message)
    return machine.after(actor, message, handler(actor, message))


async def _dispatch_slowly(actor: StateActor[Any, Any], message: Any) -> Any:
    """Handle one event of a type for which some handler awaits."""
    machine = actor.machine()
    machine.begin()
    handler = machine.handler_of(actor, message)
    outcome: Any = handler(actor, message)
    if is_slow(handler):
        outcome = await outcome
    return machine.after(actor, message, outcome)


class _Machine:
    """The state, and what happens between two events."""

    __slots__ = (
        "_cell",
        "_is_entering",
        "_next",
        "_repeats",
        "_zero",
        "events",
        "is_at_notice",
        "state",
    )

    def __init__(self, cell: Cell, state: Any) -> None:
        self.state: Any = state
        self.events: list[Any] = []
        self._cell = cell
        self._next: Any = None
        self._repeats = self._is_entering = self.is_at_notice = False
        self._zero: list[MessageTimer] = []

    def go(self, state: Any) -> None:
        if self._is_entering:
            raise WrongMoment(f"{state} cannot be gone to while a state is entered")
        if type(state) is not type(self.state):
            kind = type(self.state).__name__
            raise TypeError(f"{state!r:.80} is no state here: go to a member of {kind}")
        self._next = state

    def repeat(self) -> None:
        if self._is_entering:
            raise WrongMoment("a state cannot be repeated while it is entered")
        self._repeats = True

    def timeout(self, name: str, seconds: float | None, message: Any) -> None:
        self._cancel(name)
        if seconds is None:
            return
        timer = MessageTimer(self._cell, message, seconds, every=None, name=f"statem:{name}")
        if seconds <= 0:
            self._zero.append(timer.at_once())

    def begin(self, *, is_notice: bool = False) -> None:
        """There is an event; whatever awaited none is cancelled by it."""
        self._cancel("event")
        self._next, self._repeats, self.is_at_notice = None, False, is_notice

    def handler_of(self, actor: StateActor[Any, Any], message: Any) -> Plain:
        """Who handles an event in this state."""
        table = type(actor).__table__
        kind: Any = type(message)  # pyright: ignore[reportUnknownVariableType] - any of the declared ones
        return table.get((self.state, kind)) or table.get((None, kind)) or type(actor).on_unhandled

    def after(self, actor: StateActor[Any, Any], message: Any, outcome: Any) -> Any:
        """What the handler asked for besides its answer."""
        self.is_at_notice = False
        if outcome is Defer.POSTPONE:
            self._postpone(message)
            outcome = Defer.KEPT
        old, target, self._next = self.state, self._next, None
        is_change = target is not None and target is not old
        postponed: list[Any] = []
        if is_change or self._repeats:
            if is_change:
                self._cancel("state")
                self.state = target
                if self._cell.watch is not None:
                    self._cell.watch.state(str(target))
            stashed, self._cell.stashed = self._cell.stashed, None
            postponed = list(stashed or ())
            self.enter(actor, old)
        self.queue(postponed)
        return outcome

    def enter(self, actor: StateActor[Any, Any], old: Any) -> None:
        """Run the enter hook of the present state."""
        hook = type(actor).__hooks__.get(self.state)
        if hook is None:
            return
        self._is_entering = True
        try:
            hook(actor, old)
        finally:
            self._is_entering = False

    def queue(self, postponed: list[Any] | None = None) -> None:
        """Put before the mail what comes before it."""
        first = [*self.events, *(postponed or ()), *self._zero]
        self.events, self._zero = [], []
        self._cell.post_first(first)

    def refuse(self, actor: StateActor[Any, Any], message: Any) -> Defer:
        """Turn away what no handler takes."""
        cell = self._cell
        request = cell.at_hand()
        if request is None:
            cell.hub.unhandled(cell, message)
        else:
            served = f"{cell.traits.served} in {self.state}"
            takes = [k for state, k in type(actor).__table__ if state in {self.state, None}]
            request.fail(WrongProtocol(cell.label, type_name(message), served, takes))
        return Defer.KEPT

    def _postpone(self, message: Any) -> None:
        cell = self._cell
        if len(cell.stashed or ()) >= cell.limit:
            raise StashFull(cell.label, cell.limit)
        cell.put_aside(message)

    def _cancel(self, name: str) -> None:
        for timer in list(self._cell.timers or ()):
            if timer.name == f"statem:{name}":
                timer.cancel()
