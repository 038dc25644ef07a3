"""What an operator may do to a running actor, in the manner of OTP's `sys`.

Each function is a request of the runtime's own: it is served between two messages,
before any that wait, also when the mailbox is full or the actor is suspended; not while
a handler runs (A-117, A-147).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from keygrove_actors import state
from keygrove_actors.actor import Actor
from keygrove_actors.cell import Cell
from keygrove_actors.failures import NotSuspended
from keygrove_actors.mail import Command
from keygrove_actors.messages import BadSpec, CallingSelf, NoProc
from keygrove_actors.ref import Ref
from keygrove_actors.supref import SupervisorView
from keygrove_actors.watch import LOG_EVENTS, Statistics, TraceEvent, Watch

TIMEOUT_S: Final = 5.0
"""Seconds until a request is given up where nothing else is said."""


async def suspend(ref: Ref[Any], *, timeout: float = TIMEOUT_S) -> None:  # noqa: ASYNC109 - kept by the wheel
    """Let the actor begin no further message until `resume`; signals and requests are served."""
    await _ask(ref, "suspend", _suspend, timeout)


async def resume(ref: Ref[Any], *, timeout: float = TIMEOUT_S) -> None:  # noqa: ASYNC109 - kept by the wheel
    """Go on with the mail in order; harmless if it was not suspended."""
    await _ask(ref, "resume", _resume, timeout)


async def get_state(ref: Ref[Any], *, timeout: float = TIMEOUT_S) -> dict[str, Any]:  # noqa: ASYNC109 - kept by the wheel
    """A snapshot of the actor's state, secrets masked."""
    found: dict[str, Any] = await _ask(
        ref, "get_state", lambda cell: state.snapshot(cell.actor), timeout
    )
    return found


async def replace_state(
    ref: Ref[Any],
    change: Callable[[Any], Any],
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - kept by the wheel
) -> None:
    """Give the actor `change(state)` for a state.

    The state is the declared struct, or a shallow copy of the attributes: return another,
    do not change this one. What `change` raises is raised here, and nothing is changed.
    """
    await _ask(ref, "replace_state", lambda cell: _replace(cell, change), timeout)


async def change_code(
    ref: Ref[Any],
    kind: type[Actor[Any]],
    extra: Any = None,
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - kept by the wheel
) -> None:
    """Let a suspended actor go on as one of class `kind`, made by its `upgrade`.

    What `upgrade` raises is raised here, and the old actor stays.

    Raises:
        NotSuspended: the actor is running.
        BadSpec: it is a supervisor; `SupRef.replace_spec` is the way to change one. Or `kind`
            is no class of actors, or one that serves another protocol than refs to it ask for.
    """
    given: Any = kind  # by untyped callers, which keep no promise
    if not isinstance(given, type) or not issubclass(given, Actor):
        raise BadSpec(f"{given!r:.80} is no class of actors: give the one to go on with")
    await _ask(ref, "change_code", lambda cell: _change_code(cell, kind, extra), timeout)


async def count_statistics(ref: Ref[Any], *, on: bool) -> None:
    """Count the actor's messages from now on, or no more."""
    await _watching(ref, "count_statistics", lambda watch: watch.count(on=on))


async def statistics(ref: Ref[Any]) -> Statistics | None:
    """What was counted; None unless `count_statistics` turned it on."""
    found: Statistics | None = await _ask(
        ref,
        "statistics",
        lambda cell: None if cell.watch is None else cell.watch.statistics(),
        TIMEOUT_S,
    )
    return found


async def keep_log(ref: Ref[Any], events: int = LOG_EVENTS) -> None:
    """Let the actor remember its last events; with 0, none."""
    await _watching(ref, "keep_log", lambda watch: watch.keep_log(events))


async def log(ref: Ref[Any]) -> tuple[TraceEvent, ...]:
    """The events remembered, oldest first; empty unless `keep_log` was asked for."""
    found: tuple[TraceEvent, ...] = await _ask(
        ref, "log", lambda cell: () if cell.watch is None else cell.watch.log(), TIMEOUT_S
    )
    return found


async def trace(ref: Ref[Any], sink: Callable[[TraceEvent], None] | None) -> None:
    """Tell `sink` every event of the actor, as it happens; with None, nobody any more.

    A sink that raises is not told again.
    """
    await _watching(ref, "trace", lambda watch: watch.trace(sink))


async def install(ref: Ref[Any], keep: Callable[[Any], bool]) -> None:
    """Ask `keep` of each message whether it is to be handled; what is not is a dead letter.

    A filter that raises is taken away.
    """
    await _watching(ref, "install", lambda watch: watch.install(keep))


async def remove(ref: Ref[Any], keep: Callable[[Any], bool]) -> None:
    """Take an installed filter away."""
    await _watching(ref, "remove", lambda watch: watch.remove(keep))


async def _ask(ref: Ref[Any], what: str, function: Callable[[Cell], Any], within: float) -> Any:
    ref.hub.check_thread(ref, what)
    cell = ref.resolve()
    if cell is None:
        raise NoProc(ref.label, what)
    hub = cell.hub
    if hub.calling_cell() is cell:
        raise CallingSelf(cell.label, what)
    deadline = hub.due(within)
    command = Command(function, hub.backend.parker(), cell, within, deadline)
    slot = hub.wheel.add(deadline, command)
    try:
        cell.command(command)
        return await command.parker
    finally:
        slot.pop(command, None)


async def _watching(ref: Ref[Any], what: str, change: Callable[[Watch], None]) -> None:
    await _ask(ref, what, lambda cell: _watch(cell, change), TIMEOUT_S)


def _watch(cell: Cell, change: Callable[[Watch], None]) -> None:
    """Change what watches a cell, and its tables with it; unwatched, it is fast again."""
    if cell.watch is None:
        cell.watch = Watch(cell)
    change(cell.watch)
    if cell.watch.is_needed():
        cell.hub.taps[cell] = cell.watch
    else:
        cell.watch = None
        cell.hub.taps.pop(cell, None)
    cell.retable()


def _suspend(cell: Cell) -> None:
    cell.is_suspended = cell.halted = True
    cell.is_idle = False
    cell.retable()


def _resume(cell: Cell) -> None:
    if not cell.is_suspended:
        return
    cell.is_suspended = False
    cell.halted = cell.reason is not None
    cell.retable()
    cell.settle_down()


def _replace(cell: Cell, change: Callable[[Any], Any]) -> None:
    _refuse_supervisor(cell)
    state.put(cell.actor, change(state.raw(cell.actor)))


def _change_code(cell: Cell, kind: type[Actor[Any]], extra: Any) -> None:
    _refuse_supervisor(cell)
    if not cell.is_suspended:
        raise NotSuspended(cell.label)
    old = cell.actor
    before, after = cell.traits.serves, kind.__traits__.serves
    if before is not None and after is not None and after is not before:
        raise BadSpec(
            f"{kind.__qualname__} serves {after.__qualname__}, and refs to {cell.label} "
            f"ask for {before.__qualname__}: give a class that serves that"
        )
    successor = kind.upgrade(state.raw(old), type(old).version, extra)
    cell.become(successor)
    cell.rebox()


def _refuse_supervisor(cell: Cell) -> None:
    if isinstance(cell, SupervisorView):
        raise BadSpec(f"{cell.label} is a supervisor: change it by SupRef.replace_spec")
