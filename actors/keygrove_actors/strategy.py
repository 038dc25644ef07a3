"""What a supervisor decides: a pure function from its model and an event to effects.

No I/O, no clock, no awaiting: the shell (`supervisor`) carries out the effects and feeds
back what came of them. One child is started or stopped at a time; while the model waits
for that (`waiting`), other news is put off (`pending`), as OTP's supervisor leaves it in
its mailbox. A restart whose start fails is tried again by an event sent to itself
(`Retry`), so that whatever arrived meanwhile, a stop above all, has its turn first.

A backoff is a retry that comes later. In group strategies the group is stopped at once,
since its members need each other, and started when the wait is over; there is one such
wait at a time, of the first child in start order that failed, until the latest due time.

Source: OTP 25, `supervisor.erl` (`restart/2`, `terminate_children/2`, `add_restart/1`).
Deviations: stamps are fractions of a second; a stop is honoured between two starts of a
round, and has a clock put on a start that it finds under way, where OTP's supervisor hears of
it only when the child is up; a stale retry is told by its number, so it never counts twice.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from keygrove_actors.child_requests import take
from keygrove_actors.decisions import (
    ArmRetry,
    Boot,
    Broken,
    CutShort,
    Effect,
    EndedBadly,
    Event,
    Exited,
    ExitSelf,
    Granted,
    KillAll,
    KillAsked,
    LeftDown,
    Ready,
    Refusal,
    Refused,
    RestartDecided,
    Retry,
    Start,
    Started,
    StartFailure,
    Stop,
    StopAll,
    StopAsked,
)
from keygrove_actors.messages import Killed, Reason, Shutdown
from keygrove_actors.model import (
    Child,
    Goal,
    Model,
    Origin,
    Pending,
    State,
    forget,
    grant,
    group_of,
    is_expected,
    is_kept,
    is_restarted,
    is_spent,
    is_there,
    pace_of,
    refuse,
    whom_all_await,
)
from keygrove_actors.pace import next_delay, spend
from keygrove_actors.specs import AutoShutdown, Restart

_ALIVE: Final = frozenset({State.STARTING, State.UP, State.STOPPING})
_STARTS: Final = (Goal.ADD, Goal.RESTART, Goal.HURRY)
_STOPS: Final = (Goal.TERMINATE,)


def step(model: Model, event: Event) -> list[Effect]:
    """Take note of `event`; what is to be done next, in order. Changes the model."""
    effects: list[Effect] = []
    match event:
        case Started(now=now):
            model.now = now
            _started(model, event, effects)
        case Exited(now=now) | StartFailure(now=now):
            model.now = now
            _fell(model, event, effects)
        case Retry(now=now):
            model.now = now
            model.pending.append(event)
        case Boot():
            model.to_start.extend(model.children)
        case StopAsked(reason):
            _cut_short(model, effects)
            _leave(model, reason)
        case KillAsked():
            _kill(model, effects)
        case _:
            take(model, event, effects)
    _advance(model, effects)
    return effects


def _advance(model: Model, effects: list[Effect]) -> None:
    """Do what can be done until a child must be waited for, or nothing is left to do."""
    while model.waiting is None and not model.dying and not model.is_gone:
        if model.to_stop:
            _stop_next(model, effects)
        elif model.leaving is not None:
            _go(model, model.leaving, effects)
        elif model.to_start:
            _start_next(model, effects)
        elif not model.is_up:
            model.is_up = True
            effects.append(Ready())
        elif model.pending:
            _deal_with(model, model.pending.popleft(), effects)
        else:
            _rest(model, effects)
            return


def _rest(model: Model, effects: list[Effect]) -> None:
    """Nothing is left to do: answer the request that waited for just that, or in vain."""
    if model.asked is not None:
        if model.asked.goal is Goal.RECONCILE:
            model.asked = None
            effects.append(Granted())
        else:
            refuse(model, Refusal.RESTARTING, effects)


def _start_next(model: Model, effects: list[Effect]) -> None:
    child = model.children[model.to_start.popleft()]
    child.state, model.waiting = State.STARTING, child.id
    if child.origin is Origin.NEW:
        child.origin = Origin.LISTED
    effects.append(Start(child.id))


# ---- stopping


def _stop_next(model: Model, effects: list[Effect]) -> None:
    child = model.children.get(model.to_stop.popleft())
    if child is None:
        return  # its start failed, or it ignored it, when all were already to be stopped
    if child.ended is not None:
        _stopped(model, child, child.ended, effects)
    elif child.state is State.UP:
        child.state, model.waiting = State.STOPPING, child.id
        effects.append(Stop(child.id))
    else:
        _stopped(model, child, None, effects)


def _stopped(model: Model, child: Child, reason: Reason | None, effects: list[Effect]) -> None:
    """A child that was to be down is; `reason` is None if it was so before."""
    if reason is not None and not is_expected(child, reason):
        effects.append(EndedBadly(child.id, reason))
    if child.ended is not None:
        model.pending = deque(n for n in model.pending if not _is_end_of(n, child.id))
    child.state, child.ended, child.due = State.DOWN, None, None
    kept = is_kept(model, child)
    grant(model, _STOPS, child.id, effects)
    if not kept:
        forget(model, child, effects)


def _is_end_of(news: Pending, child_id: str) -> bool:
    return isinstance(news, Exited) and news.id == child_id


def _cut_short(model: Model, effects: list[Effect]) -> None:
    """A child that is just starting must not hold up the stop for longer than one that is up."""
    if model.leaving is None and model.waiting is not None:
        child = model.children[model.waiting]
        if child.state is State.STARTING:
            effects.append(CutShort(child.id))


def _leave(model: Model, reason: Reason) -> None:
    """Stop all children and end; the first reason stays.

    In reverse order, or all at once if they are dynamic. A child that is just starting is
    stopped in its turn, once it is up (A-038).
    """
    if model.leaving is None:
        model.leaving = reason
        model.to_start.clear()
        model.to_stop.clear()
        if not model.is_dynamic:
            model.to_stop.extend(
                c.id for c in reversed(model.children.values()) if c.state is not State.STOPPING
            )


def _go(model: Model, reason: Reason, effects: list[Effect]) -> None:
    """End, if all children are down; the dynamic ones are told to stop only now."""
    if model.is_dynamic and model.dying is None:
        model.dying = 0
        for child in model.children.values():
            if child.ended is not None:
                _mourn(child, child.ended, effects)
            elif child.state is State.UP:
                child.state = State.STOPPING
                model.dying += 1
        model.pending.clear()
        if model.dying:
            effects.append(StopAll())
            return
    model.is_gone = True
    if not model.is_killed:
        refuse(model, Refusal.SHUTTING_DOWN, effects)
    effects.append(ExitSelf(reason))


def _mourn(child: Child, reason: Reason, effects: list[Effect]) -> None:
    """One of those told to stop all at once is dead."""
    if not is_expected(child, reason):
        effects.append(EndedBadly(child.id, reason))
    child.state, child.ended = State.DOWN, None


def _kill(model: Model, effects: list[Effect]) -> None:
    """Kill all children at once; `_advance` ends when the last one is dead."""
    model.leaving, model.is_killed, model.waiting = Killed(), True, None
    model.to_start.clear()
    model.to_stop.clear()
    model.dying = 0
    for child in model.children.values():
        if child.state in _ALIVE:
            child.state = State.STOPPING
            model.dying += 1
    effects.append(KillAll())


# ---- what became of a child


def _started(model: Model, event: Started, effects: list[Effect]) -> None:
    child = model.children[event.id]
    if model.is_killed:
        if event.ignored:
            _died(model, child)
        return
    model.waiting = None
    child.state = State.DOWN if event.ignored else State.UP
    if child.spec.backoff is not None and not event.ignored:
        pace_of(child).up_since = event.now
    if event.ignored and not is_kept(model, child):
        forget(model, child, effects)
    grant(model, _STARTS, child.id, effects)


def _fell(model: Model, event: StartFailure | Exited, effects: list[Effect]) -> None:
    """A child is dead: the one waited for, or another."""
    child = model.children.get(event.id)
    if child is None:
        return
    if model.dying is not None:
        if not model.is_killed:
            _mourn(child, event.reason, effects)
        _died(model, child)
    elif model.waiting != event.id:
        child.state = State.DOWN
        child.ended = event.reason
        if isinstance(event, Exited):
            model.pending.append(event)
    else:
        model.waiting = None
        if isinstance(event, StartFailure):
            _start_failed(model, child, event, effects)
        else:
            _stopped(model, child, event.reason, effects)


def _died(model: Model, child: Child) -> None:
    assert model.dying
    child.state = State.DOWN
    model.dying -= 1


def _start_failed(model: Model, child: Child, event: StartFailure, effects: list[Effect]) -> None:
    child.state = State.DOWN
    asked, is_asked = model.asked, model.asked is not None and model.asked.id == child.id
    is_manual = asked is not None and asked.goal is not Goal.HURRY
    if is_asked or is_manual:
        model.asked = None
        effects.append(Refused(Refusal.START_FAILED, child.id, event.reason))
    if is_manual:
        model.to_start.clear()
        if asked is not None and asked.goal is Goal.RECONCILE:
            child.origin = Origin.NEW
        elif asked is not None and asked.goal is Goal.ADD:
            forget(model, child, effects)
    elif model.leaving is None and not model.is_up:
        _leave(model, Shutdown(f"failed_to_start_child:{child.id}"))
    elif model.leaving is None:
        _again(model, child, effects, is_retry=True)


def _deal_with(model: Model, news: Pending, effects: list[Effect]) -> None:
    child = model.children.get(news.id)
    if child is None:
        return
    if isinstance(news, Retry):
        if child.state is State.RESTARTING and child.attempt == news.attempt:
            _restart(model, child, effects)
        return
    child.state, child.ended = State.DOWN, None
    if is_restarted(child, news.reason):
        _again(model, child, effects, is_retry=False)
    else:
        _ended(model, child, effects)


def _ended(model: Model, child: Child, effects: list[Effect]) -> None:
    """The child ended by itself, for good."""
    if child.state is not State.FAILED and not is_kept(model, child):
        forget(model, child, effects)
    if not child.spec.significant:
        return
    match model.spec.auto_shutdown:
        case AutoShutdown.NEVER:
            pass
        case AutoShutdown.ANY_SIGNIFICANT:
            _leave(model, Shutdown())
        case AutoShutdown.ALL_SIGNIFICANT:
            if not any(c.spec.significant and is_there(c) for c in model.children.values()):
                _leave(model, Shutdown())


# ---- restarting


def _again(model: Model, child: Child, effects: list[Effect], *, is_retry: bool) -> None:
    """Restart the child at once or when its backoff is over, unless its budget is spent."""
    now, backoff = model.now, child.spec.backoff
    due = now
    if backoff is not None:
        due += next_delay(pace_of(child), backoff, now, model.chance)
    if is_spent(child, due):
        _give_up(model, child, effects)
        return
    if is_retry:
        model.to_start.clear()
    waiting = whom_all_await(model, child)
    if waiting is not None:
        due = max(due, waiting.due or now)
        first = min(child.id, waiting.id, key=list(model.children).index)
        child = model.children[first]
    if due > now:
        _wait(model, child, due, effects)
    elif is_retry:
        child.state, child.due = State.RESTARTING, None
        child.attempt += 1
        effects.append(ArmRetry(child.id, child.attempt))
    else:
        _restart(model, child, effects)


def _give_up(model: Model, child: Child, effects: list[Effect]) -> None:
    budget = child.spec.budget
    assert budget is not None
    child.state, child.due = State.FAILED, None
    effects.append(LeftDown(child.id, budget.restarts, budget.period))
    _ended(model, child, effects)


def _wait(model: Model, child: Child, due: float, effects: list[Effect]) -> None:
    group = group_of(model, child)
    model.to_stop.extend(c.id for c in reversed(group) if c is not child)
    child.state, child.due = State.RESTARTING, due
    child.attempt += 1
    effects.append(ArmRetry(child.id, child.attempt, due - model.now))


def _restart(model: Model, child: Child, effects: list[Effect]) -> None:
    """Count the restart, then give up or bring the child's group down and up again."""
    budget = child.spec.budget
    if budget is None:
        stamps, limit, period = model.stamps, model.intensity, model.period
    else:
        stamps, limit, period = pace_of(child).stamps, budget.restarts, budget.period
    used = spend(stamps, model.now, period)
    if used > limit:
        effects.append(Broken(child.id, limit, period))
        _leave(model, Shutdown("reached_max_restart_intensity"))
        return
    effects.append(RestartDecided(child.id, used, limit))
    child.due = None
    group = group_of(model, child)
    model.to_stop.extend(c.id for c in reversed(group) if c is not child)
    model.to_start.extend(c.id for c in group if c.spec.restart is not Restart.TEMPORARY)
