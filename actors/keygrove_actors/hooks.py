"""What a class of actors defines and could never work, found when the class is made.

Checkers find most of it; not everybody runs them. What only shows in a turn, a coroutine
that nobody awaits, is found there.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, Final, get_args, get_origin

from keygrove_actors.messages import Call
from keygrove_actors.traits import is_slow

HOOKS: Final = {
    "init": "ctx: Ctx",
    "terminate": "reason: Reason",
    "on_down": "down: Down",
    "on_exit": "exit: Exit",
    "on_idle": "idle: Idle",
    "on_info": "message: Any",
    "on_continue": "value: Any",
    "on_hibernate": "",
}
"""What the runtime calls an actor for, each with what it is given."""


def check_hooks(cls: type[Any]) -> None:
    """Raise `TypeError` if the runtime could not call, or not go by, what `cls` defines."""
    for name, takes in HOOKS.items():
        check_shape(getattr(cls, name), f"{cls.__name__}.{name}", takes)
    if is_slow(cls.on_hibernate):
        raise TypeError(f"{cls.__name__}.on_hibernate is called at once and cannot await: use def")
    if not isinstance(inspect.getattr_static(cls, "upgrade"), classmethod):
        raise TypeError(f"{cls.__name__}.upgrade has no actor yet, it makes one: use @classmethod")
    for name in ("idle_after", "hibernate_after"):
        seconds: object = getattr(cls, name)
        if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
            raise TypeError(
                f"{cls.__name__} has {name} {seconds!r:.80}: give seconds, more than 0, or None"
            )
    if not isinstance(cls.stash_limit, int) or cls.stash_limit < 0:
        raise TypeError(f"{cls.__name__} has stash_limit {cls.stash_limit!r:.80}: give a number")


def check_shape(method: Any, name: str, takes: str) -> None:
    """Raise `TypeError` unless `method` can be called with what it `takes`, and returns."""
    try:
        inspect.signature(method).bind(*([None, None] if takes else [None]))
    except TypeError as error:
        arguments = f"self, {takes}" if takes else "self"
        way = f"write def {name.rpartition('.')[2]}({arguments})"
        raise TypeError(f"{name} does not take what it is given: {way}") from error
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise TypeError(f"{name} yields, and would be asked for no more than one value: return it")


def check_message(method: Callable[..., Any], kind: type[Any], serves: type[Any] | None) -> None:
    """Compare what checkers cannot: the annotation of the message with the marked kind."""
    name, takes = method.__qualname__, f"message: {kind.__name__}"
    if not kind.__struct_config__.frozen:
        raise TypeError(f"{kind.__qualname__} can be changed on its way: declare it frozen=True")
    parameters = list(inspect.signature(method).parameters.values())
    if len(parameters) < 2 or parameters[1].annotation is inspect.Parameter.empty:
        raise TypeError(
            f"{name} does not say what it takes: write def {method.__name__}(self, {takes})"
        )
    taken = parameters[1].annotation
    # a postponed annotation may be of a scope that cannot be seen from here: compare names
    named = taken.rpartition(".")[2] if isinstance(taken, str) else None
    if taken is not kind and named != kind.__name__:
        raise TypeError(f"{name} handles {kind.__qualname__} but takes {taken}")
    check_shape(method, name, takes)
    asked = _protocol(kind)
    if serves is None or asked is None or issubclass(serves, asked) or issubclass(asked, serves):
        return
    raise TypeError(
        f"{name} handles {kind.__name__}, which is for {asked.__name__}, and its actor serves "
        f"{serves.__name__}: no ref would let it through, so declare it for {serves.__name__}"
    )


def _protocol(kind: type[Any]) -> type[Any] | None:
    """Whom calls of `kind` are for, None if that is left open. Casts come by timers, too."""
    for base in kind.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            if get_origin(generic) is Call:
                protocol: Any = get_args(generic)[0]
                return protocol if isinstance(protocol, type) else None
    return None


def check_task(function: Any) -> None:
    """Raise `TypeError` unless it is a function; a coroutine is closed."""
    if isinstance(function, CoroutineType):
        function.close()
        raise TypeError(f"{function.__qualname__} is called already: give it and its arguments")
    if not callable(function):
        raise TypeError(f"{function!r:.80} is no task: give an async function and its arguments")


async def come_to(function: Callable[..., Any], args: Any) -> Any:
    """What `function(*args)` comes to.

    Raises:
        TypeError: there is nothing to await.
    """
    pending = function(*args)
    if not isinstance(pending, Awaitable):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} gave {pending!r:.80} to await: make a task of an async function")
    return await pending  # pyright: ignore[reportUnknownVariableType] - whatever it is


def not_awaited(who: str, outcome: Any) -> TypeError:
    """The error for an outcome of a `def` that is a coroutine, which is closed."""
    assert isinstance(outcome, CoroutineType)
    outcome.close()
    return TypeError(
        f"{who} has a def that returned a coroutine, {outcome.__qualname__}, which nobody awaits: "
        "make it async def, and await there"
    )
