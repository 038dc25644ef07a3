"""What is known of an actor class once it is made: who handles what, and how."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from types import CoroutineType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from keygrove_actors.failures import WrongReply
from keygrove_actors.messages import Call, Defer, Stop, StopReply
from keygrove_actors.outcomes import ContinueReply

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell
    from keygrove_actors.ctx import Ctx

Plain: TypeAlias = Callable[[Any, Any], Any]
Slow: TypeAlias = Callable[[Any, Any], Awaitable[Any]]


class Traits(NamedTuple):
    """`plain` maps message types to plain functions, `slow` to coroutine functions.

    Exact types only: a lookup must not walk base classes. `direct` has what may run on a
    caller's stack. `info` is the class's own `on_info`, if it has one.
    """

    plain: dict[type[Any], Plain]
    slow: dict[type[Any], Slow]
    direct: dict[type[Any], Plain]
    serves: type[Any] | None
    info: Plain | Slow | None
    has_init: bool
    needs_task_for_init: bool
    needs_task_to_end: bool
    has_lanes: bool
    traps: bool
    reentrant: bool
    idle_after: float | None
    hibernate_after: float | None
    stash_limit: int
    ctx: Callable[[Cell], Ctx]

    @property
    def served(self) -> str:
        """The name of the protocol; of one that is not named, what all are."""
        return (self.serves or object).__name__


def checked(traits: Traits) -> Traits:
    """The same, with every reply compared with its message class's declaration (A-100)."""
    return traits._replace(
        plain={k: _checked_plain(k, f) for k, f in traits.plain.items()},
        direct={k: _checked_plain(k, f) for k, f in traits.direct.items()},
        slow={k: _checked_slow(k, f) for k, f in traits.slow.items()},
    )


def check_reply(target: str, kind: type[Any], reply: Any) -> None:
    """Raise `WrongReply` unless `reply` is what calls of `kind` are answered with.

    What msgspec has no notion of (live objects, foreign classes) is let through.
    """
    declared = _reply_type(kind)
    if declared is None:
        return
    try:
        msgspec.convert(reply, declared, strict=True, from_attributes=False)
    except msgspec.ValidationError as error:
        raise WrongReply(target, kind.__name__, str(error)) from error
    except (TypeError, NameError):
        return


def _reply_type(kind: type[Any]) -> Any:
    for base in kind.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            if get_origin(generic) is Call:
                return get_args(generic)[1]
    return None


_UNCHECKED = (Defer, Stop, CoroutineType)


def _check(actor: Any, kind: Any, outcome: Any) -> None:
    if isinstance(outcome, _UNCHECKED):
        return
    if isinstance(outcome, StopReply | ContinueReply):
        outcome = outcome.reply  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    check_reply(type(actor).__name__, kind, outcome)


def _is_call(kind: type[Any]) -> bool:
    return issubclass(kind, Call)


def _checked_plain(kind: Any, function: Plain) -> Plain:
    if not _is_call(kind):
        return function

    @wraps(function)
    def check(actor: Any, message: Any) -> Any:
        outcome = function(actor, message)
        _check(actor, kind, outcome)
        return outcome

    return check


def _checked_slow(kind: Any, function: Slow) -> Slow:
    if not _is_call(kind):
        return function

    @wraps(function)
    async def check(actor: Any, message: Any) -> Any:
        outcome = await function(actor, message)
        _check(actor, kind, outcome)
        return outcome

    return check


_MUTABLE = (list, dict, set, bytearray)


def mutable_fields(kind: type[Any]) -> list[str]:
    """The fields of a message class that sender and receiver could both change (A-104)."""
    try:
        hints: dict[str, Any] = get_type_hints(kind)
    except (NameError, TypeError):  # of a scope that cannot be seen from here: go by the words
        hints = vars(kind).get("__annotations__", {})
    return [name for name in getattr(kind, "__struct_fields__", ()) if _is_mutable(hints.get(name))]


def _is_mutable(hint: Any) -> bool:
    if isinstance(hint, str):
        return re.match(r"(list|dict|set|bytearray)\b", hint) is not None
    origin = get_origin(hint)
    if origin in {tuple, Union, UnionType}:
        return any(map(_is_mutable, get_args(hint)))
    return hint in _MUTABLE or origin in _MUTABLE


def is_slow(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine."""
    return inspect.iscoroutinefunction(function)
