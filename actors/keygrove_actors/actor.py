"""What an actor is: private state, and one handler for each type of message."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar, get_args, get_origin

from keygrove_actors.cell import Cell
from keygrove_actors.ctx import Ctx
from keygrove_actors.hooks import check_hooks, check_message
from keygrove_actors.lanes import lane_of
from keygrove_actors.messages import (
    Call,
    Cast,
    Defer,
    Down,
    Ignore,
    Reason,
    SpecWarning,
    Stop,
    StopReply,
)
from keygrove_actors.outcomes import Continue, ContinueReply, Exit, Hibernate, Idle
from keygrove_actors.traits import Plain, Slow, Traits, is_slow, mutable_fields

P = TypeVar("P")
R = TypeVar("R")
S = TypeVar("S", bound="Actor[Any]")

CallOutcome: TypeAlias = (
    R
    | Defer
    | Stop
    | StopReply[R]
    | ContinueReply[R]
    | Awaitable[R | Defer | Stop | StopReply[R] | ContinueReply[R]]
)
CastOutcome: TypeAlias = (
    Stop
    | Defer
    | Continue
    | Hibernate
    | Awaitable[Stop | Defer | Continue | Hibernate | None]
    | None
)
InitOutcome: TypeAlias = Ignore | Continue | Awaitable[Ignore | Continue | None] | None

_KIND = "__handles__"


def on(
    kind: type[Call[Any, R]],
) -> Callable[[Callable[[S, Any], CallOutcome[R]]], Callable[[S, Any], CallOutcome[R]]]:
    """Mark a method as the handler of calls of `kind`; checkers hold it to the reply type.

    A `def` handler answers in the runtime's turn, an `async def` one in the actor's task.
    Checkers cannot compare the method's own message parameter with `kind`, so that is
    done when the class is made.

    Raises:
        TypeError: `kind` is no class of calls.
    """
    return _mark(kind, "on", Call)


def on_cast(
    kind: type[Cast[Any]],
) -> Callable[[Callable[[S, Any], CastOutcome]], Callable[[S, Any], CastOutcome]]:
    """Mark a method as the handler of casts of `kind`, as `on` does for calls.

    Raises:
        TypeError: `kind` is no class of casts.
    """
    return _mark(kind, "on_cast", Cast)


def _mark(kind: Any, by: str, base: type[Any]) -> Callable[[Any], Any]:
    if not isinstance(kind, type) or not issubclass(kind, base):
        raise TypeError(_no_kind(kind, by, base))
    if shared := mutable_fields(kind):
        warnings.warn(
            f"{kind.__name__} shares {', '.join(shared)} between sender and receiver, since "
            "messages are not copied: use tuple, bytes, frozenset or a frozen struct",
            SpecWarning,
            stacklevel=3,
        )

    def mark(method: Any) -> Any:
        setattr(method, _KIND, kind)
        return method

    return mark


def _no_kind(kind: Any, by: str, base: type[Any]) -> str:
    """What is wrong with `@by(kind)`."""
    if isinstance(kind, FunctionType):
        return f"@{by} stands before {kind.__qualname__} without a message: write @{by}(Message)"
    if not isinstance(kind, type):
        return f"@{by} is given {kind!r:.80}: give the class of the messages, not one of them"
    if issubclass(kind, Call | Cast):
        other = "on_cast" if by == "on" else "on"
        return f"{kind.__name__} is not for @{by}, which is for a {base.__name__}: use @{other}"
    what = "a call is Call[Protocol, Reply]" if base is Call else "a cast is Cast[Protocol]"
    return f"@{by} is given {kind.__name__}: derive it, {what}"


class Actor(Generic[P]):
    """Handles one message at a time, so its state needs no locks. Serves protocol `P`.

    What may well happen (not found, refused) is a reply. An exception is a crash: the
    supervisor throws this object away and starts a new one. The constructor is cheap and
    does no I/O; `init` opens what is needed. `init`, `terminate`, `on_down` and handlers
    may each be `def` or `async def`; an actor with only plain ones costs no task.
    """

    trap_exit: ClassVar[bool] = False
    """Get exit signals, but for kills, as `on_exit` instead of dying of them."""
    reentrant: ClassVar[bool] = False
    """Let async handlers run side by side, interleaving at awaits."""
    idle_after: ClassVar[float | None] = None
    """Seconds without a user's message after which `on_idle` is called."""
    hibernate_after: ClassVar[float | None] = None
    """Seconds without a user's message after which memory is given back."""
    stash_limit: ClassVar[int] = 1000
    """Messages that may be put aside."""
    version: ClassVar[int] = 0
    """Of the state's shape; what `upgrade` is told of the class it takes over from."""

    __traits__: ClassVar[Traits]
    __stands_for__: ClassVar[type[Any] | None] = None
    """Of an actor that only holds a place: whose. It is shown as vacant, under that class."""

    def init(self, ctx: Ctx) -> InitOutcome:
        """Open what the actor needs; the start is acknowledged when this returns.

        `IGNORE` counts as started, and ends the actor quietly; `CONTINUE(x)` has
        `on_continue(x)` run right after the acknowledgement, before any message.
        """

    def terminate(self, reason: Reason) -> Awaitable[None] | None:
        """Clean up, at any end but a kill, within the child's `shutdown` time.

        What `ctx.enter` opened is still open. An error is reported, and changes nothing.
        """

    def on_down(self, down: Down) -> CastOutcome:
        """A monitored actor ended."""

    def on_exit(self, exit: Exit) -> CastOutcome:  # noqa: A002 - OTP's word
        """An exit signal came, and the actor traps them."""

    def on_idle(self, idle: Idle) -> CastOutcome:
        """Nobody sent anything for as long as `idle_after`."""

    def on_info(self, message: Any) -> CastOutcome:
        """A message that is neither a declared call nor a declared cast.

        Unless a class overrides this, such messages are counted, and reported once.
        """

    def on_continue(self, value: Any) -> CastOutcome:
        """What `init` or a handler put off with `CONTINUE(value)`."""

    def on_hibernate(self) -> None:
        """Drop what can be had again; nothing else is to be done for a while."""

    @classmethod
    def upgrade(cls, state: Any, version: int, extra: Any) -> Self:
        """An actor of this class that goes on from the state of an older one.

        `state` is what `sysapi.get_state` would show, unmasked; here, it is taken as it is.
        """
        actor = cls.__new__(cls)
        if isinstance(state, dict):
            vars(actor).update(state)  # pyright: ignore[reportUnknownArgumentType]
        else:
            vars(actor)["state"] = state
        return actor

    @classmethod
    def __handlers__(cls) -> dict[type[Any], Plain]:
        """Which message type is handled by what."""
        return _handlers(cls)

    def __begun__(self, cell: Cell) -> None:
        """Its `init` returned; no message was handled yet."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__traits__ = _traits(cls)


def _traits(cls: type[Actor[Any]]) -> Traits:
    check_hooks(cls)
    plain: dict[type[Any], Plain] = {}
    slow: dict[type[Any], Slow] = {}
    for kind, method in cls.__handlers__().items():
        (slow if is_slow(method) else plain)[kind] = method
    return Traits(
        plain,
        slow,
        {kind: method for kind, method in plain.items() if issubclass(kind, Call)},
        served(cls),
        info=None if _overrides(cls, "on_info") is None else cls.on_info,
        has_init=_overrides(cls, "init") is not None,
        needs_task_for_init=is_slow(cls.init),
        needs_task_to_end=is_slow(cls.terminate),
        has_lanes=any(lane_of(kind) == "high" for kind in (*plain, *slow)),
        traps=cls.trap_exit,
        reentrant=cls.reentrant,
        idle_after=cls.idle_after,
        hibernate_after=cls.hibernate_after,
        stash_limit=cls.stash_limit,
        ctx=Ctx,
    )


def _overrides(cls: type[Actor[Any]], name: str) -> type[Any] | None:
    """The class below `Actor` that defines `name`, if one does."""
    return next((b for b in cls.__mro__[: cls.__mro__.index(Actor)] if name in vars(b)), None)


def _handlers(cls: type[Actor[Any]]) -> dict[type[Any], Plain]:
    table = own_notices(cls)
    for method, kind in marked(cls):
        if kind in table:
            raise TypeError(f"{cls.__name__} has two handlers for {kind.__name__}: keep one")
        table[kind] = method
    return table


def own_notices(cls: type[Actor[Any]]) -> dict[type[Any], Plain]:
    """The handlers of what the runtime itself tells an actor."""
    return {Down: cls.on_down, Exit: cls.on_exit, Idle: cls.on_idle}


def marked(cls: type[Actor[Any]]) -> list[tuple[Plain, type[Any]]]:
    """The methods marked by `on` and `on_cast`, each with its message type."""
    names = {
        name: getattr(method, _KIND)
        for base in reversed(cls.__mro__)
        for name, method in vars(base).items()
        if hasattr(method, _KIND)
    }
    found = [(getattr(cls, name), kind) for name, kind in names.items()]
    for method, kind in found:
        check_message(method, kind, served(cls))
    return found


def served(cls: type[Any]) -> type[Any] | None:
    """The protocol named in `Actor[...]`, None where that is left open."""
    for base in cls.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if isinstance(origin, type) and issubclass(origin, Actor):
                named: Any = arguments[0]
                return named if isinstance(named, type) and named is not Any else None
    return None
