"""What a supervisor decides: a pure function from its model and an event to effects.

No I/O, no clock, no awaiting: the shell (`supervisor`) carries out the effects and feeds
back what came of them. One child is started or stopped at a time; while the model waits
for that (`waiting`), other news is put off (`pending`), as OTP's supervisor leaves it in
its mailbox. A restart whose start fails is tried again by an event sent to itself
(`Retry`), so that whatever arrived meanwhile, a stop above all, has its turn first.

Source: OTP 25, `supervisor.erl` (`restart/2`, `terminate_children/2`, `add_restart/1`).
Deviations: stamps are fractions of a second; a stop is honoured between two starts of a
round; a stale retry is told by its number, so it never counts twice.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from keygrove_actors.messages import ORDERLY, Killed, Reason, Shutdown
from keygrove_actors.specs import Restart, Strategy, SupSpec


class State(enum.Enum):
    """Where a child is in its life."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    """Its start failed and will be tried again."""


class Child(msgspec.Struct):
    """One child of the model. `ended` holds the reason of an end not yet dealt with."""

    id: str
    restart: Restart
    dies_by_kill: bool = False
    state: State = State.DOWN
    ended: Reason | None = None
    attempt: int = 0


# ---- events


class Boot(msgspec.Struct, frozen=True):
    """Start all children."""


class Started(msgspec.Struct, frozen=True):
    """The child's `init` returned; with `ignored`, there is no actor all the same."""

    id: str
    ignored: bool = False


class StartFailure(msgspec.Struct, frozen=True):
    """The child's start failed."""

    id: str
    reason: Reason
    now: float


class Exited(msgspec.Struct, frozen=True):
    """The child, once up, is dead."""

    id: str
    reason: Reason
    now: float


class Retry(msgspec.Struct, frozen=True):
    """The time of a failed restart has come again."""

    id: str
    attempt: int
    now: float


class StopAsked(msgspec.Struct, frozen=True):
    """Stop the children in order, then end with `reason`."""

    reason: Reason


class KillAsked(msgspec.Struct, frozen=True):
    """Kill the children at once, then end."""


Event: TypeAlias = Boot | Started | StartFailure | Exited | Retry | StopAsked | KillAsked


# ---- effects


class Start(msgspec.Struct, frozen=True):
    """Start the child; answer with `Started` or `StartFailure`."""

    id: str


class Stop(msgspec.Struct, frozen=True):
    """Tell the child to stop, by its spec; answer with `Exited`."""

    id: str


class Kill(msgspec.Struct, frozen=True):
    """Kill the child; answer with `Exited` or `StartFailure`."""

    id: str


class ArmRetry(msgspec.Struct, frozen=True):
    """Send `Retry` back after `delay`, behind the news that waits already."""

    id: str
    attempt: int
    delay: float = 0.0


class Ready(msgspec.Struct, frozen=True):
    """All children are up for the first time."""


class Restarting(msgspec.Struct, frozen=True):
    """A restart because of the child was decided: `used` are spent within the period."""

    id: str
    used: int


class GaveUp(msgspec.Struct, frozen=True):
    """One restart too many, because of the child."""

    id: str


class EndedBadly(msgspec.Struct, frozen=True):
    """The child was told to stop and ended for another reason."""

    id: str
    reason: Reason


class ExitSelf(msgspec.Struct, frozen=True):
    """All children are down: the supervisor ends with `reason`."""

    reason: Reason


Effect: TypeAlias = (
    Start | Stop | Kill | ArmRetry | Ready | Restarting | GaveUp | EndedBadly | ExitSelf
)

_ALIVE: Final = frozenset({State.STARTING, State.UP, State.STOPPING})

_News: TypeAlias = Exited | Retry


class Model(msgspec.Struct):
    """All a supervisor knows of its children, in start order."""

    strategy: Strategy
    intensity: int
    period: float
    children: list[Child]
    stamps: list[float] = []
    to_stop: deque[str] = msgspec.field(default_factory=deque[str])
    to_start: deque[str] = msgspec.field(default_factory=deque[str])
    waiting: str | None = None
    pending: deque[_News] = msgspec.field(default_factory=deque[_News])
    is_up: bool = False
    leaving: Reason | None = None
    is_killed: bool = False
    is_gone: bool = False


def model_of(spec: SupSpec) -> Model:
    """The model of a supervisor that has started nothing yet."""
    children = [Child(c.id, c.restart, c.shutdown == "brutal_kill") for c in spec.children]
    return Model(spec.strategy, spec.intensity, spec.period, children)


def step(model: Model, event: Event) -> list[Effect]:
    """Take note of `event`; what is to be done next, in order. Changes the model."""
    effects: list[Effect] = []
    match event:
        case Boot():
            model.to_start.extend(c.id for c in model.children)
        case StopAsked(reason):
            _leave(model, reason)
        case KillAsked():
            _kill(model, effects)
        case Retry():
            model.pending.append(event)
        case Started():
            _started(model, event)
        case StartFailure() | Exited():
            _fell(model, event, effects)
    _advance(model, effects)
    return effects


def _find(model: Model, child_id: str) -> Child | None:
    return next((c for c in model.children if c.id == child_id), None)


def _child(model: Model, child_id: str) -> Child:
    child = _find(model, child_id)
    assert child is not None, child_id
    return child


def _advance(model: Model, effects: list[Effect]) -> None:
    """Do what can be done until a child must be waited for, or nothing is left to do."""
    if model.is_killed and any(c.state in _ALIVE for c in model.children):
        return
    while model.waiting is None and not model.is_gone:
        if model.to_stop:
            _stop_next(model, effects)
        elif model.leaving is not None:
            model.is_gone = True
            effects.append(ExitSelf(model.leaving))
        elif model.to_start:
            child = _child(model, model.to_start.popleft())
            child.state, model.waiting = State.STARTING, child.id
            effects.append(Start(child.id))
        elif not model.is_up:
            model.is_up = True
            effects.append(Ready())
        elif model.pending:
            _deal_with(model, model.pending.popleft(), effects)
        else:
            return


def _stop_next(model: Model, effects: list[Effect]) -> None:
    child = _child(model, model.to_stop.popleft())
    if child.ended is not None:
        _stopped(model, child, child.ended, effects)
    elif child.state is State.UP:
        child.state, model.waiting = State.STOPPING, child.id
        effects.append(Stop(child.id))
    else:
        _stopped(model, child, None, effects)


def _stopped(model: Model, child: Child, reason: Reason | None, effects: list[Effect]) -> None:
    if reason is not None and not _expected(child, reason):
        effects.append(EndedBadly(child.id, reason))
    if child.ended is not None:
        model.pending = deque(n for n in model.pending if not _is_end_of(n, child.id))
    child.state, child.ended = State.DOWN, None
    if child.restart is Restart.TEMPORARY:
        model.children.remove(child)


def _is_end_of(news: _News, child_id: str) -> bool:
    return isinstance(news, Exited) and news.id == child_id


def _expected(child: Child, reason: Reason) -> bool:
    """Whether a child that was told to stop may end so (A-012)."""
    if child.dies_by_kill and isinstance(reason, Killed):
        return True
    if child.restart is Restart.PERMANENT:
        return isinstance(reason, Shutdown)
    return isinstance(reason, ORDERLY)


def _started(model: Model, event: Started) -> None:
    if model.is_killed:
        return
    child = _child(model, event.id)
    model.waiting = None
    child.state = State.DOWN if event.ignored else State.UP
    if event.ignored and child.restart is Restart.TEMPORARY:
        model.children.remove(child)


def _fell(model: Model, event: StartFailure | Exited, effects: list[Effect]) -> None:
    """A child is dead: the one waited for, or another."""
    child = _find(model, event.id)
    if child is None:
        return
    if model.waiting != event.id:
        child.state = State.DOWN
        child.ended = event.reason
        if isinstance(event, Exited):
            model.pending.append(event)
        return
    model.waiting = None
    if isinstance(event, StartFailure):
        _start_failed(model, child, event, effects)
    else:
        _stopped(model, child, event.reason, effects)


def _start_failed(model: Model, child: Child, event: StartFailure, effects: list[Effect]) -> None:
    child.state = State.DOWN
    model.to_start.clear()
    if model.leaving is not None:
        return
    if not model.is_up:
        _leave(model, Shutdown(f"failed_to_start_child:{child.id}"))
        return
    child.state = State.RESTARTING
    child.attempt += 1
    effects.append(ArmRetry(child.id, child.attempt))


def _deal_with(model: Model, news: _News, effects: list[Effect]) -> None:
    child = _find(model, news.id)
    if child is None:
        return
    if isinstance(news, Retry):
        if child.state is State.RESTARTING and child.attempt == news.attempt:
            _restart(model, child, news.now, effects)
        return
    child.state, child.ended = State.DOWN, None
    if _is_restarted(child.restart, news.reason):
        _restart(model, child, news.now, effects)
    elif child.restart is Restart.TEMPORARY:
        model.children.remove(child)


def _is_restarted(restart: Restart, reason: Reason) -> bool:
    if restart is Restart.TRANSIENT:
        return not isinstance(reason, ORDERLY)
    return restart is Restart.PERMANENT


def _restart(model: Model, child: Child, now: float, effects: list[Effect]) -> None:
    """Count the restart, then give up or bring the child's group down and up again."""
    model.stamps = [t for t in model.stamps if t >= now - model.period] + [now]
    if len(model.stamps) > model.intensity:
        effects.append(GaveUp(child.id))
        _leave(model, Shutdown("reached_max_restart_intensity"))
        return
    effects.append(Restarting(child.id, len(model.stamps)))
    group = _group(model, child)
    model.to_stop.extend(c.id for c in reversed(group) if c is not child)
    model.to_start.extend(c.id for c in group if c.restart is not Restart.TEMPORARY)


def _group(model: Model, child: Child) -> Sequence[Child]:
    match model.strategy:
        case Strategy.ONE_FOR_ONE:
            return (child,)
        case Strategy.REST_FOR_ONE:
            return model.children[model.children.index(child) :]
        case Strategy.ONE_FOR_ALL:
            return tuple(model.children)


def _leave(model: Model, reason: Reason) -> None:
    """Stop all children, in reverse order, and end; the first reason stays.

    A child that is just starting is stopped in its turn, once it is up (A-038).
    """
    if model.leaving is None:
        model.leaving = reason
        model.to_start.clear()
        model.to_stop = deque(
            c.id for c in reversed(model.children) if c.state is not State.STOPPING
        )


def _kill(model: Model, effects: list[Effect]) -> None:
    """Kill all children at once; `_advance` ends when the last one is dead."""
    model.leaving, model.is_killed, model.waiting = Killed(), True, None
    model.to_start.clear()
    model.to_stop.clear()
    for child in reversed(model.children):
        if child.state in _ALIVE:
            child.state = State.STOPPING
            effects.append(Kill(child.id))
