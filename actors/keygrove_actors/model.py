"""What a supervisor knows of its children, and the small steps all decisions are made of.

Children are found by id and kept in start order by one dict, so that starting and ending one
costs the same with a hundred thousand siblings as with none.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from keygrove_actors.chance import Chance
from keygrove_actors.decisions import (
    Effect,
    Exited,
    Forget,
    Granted,
    Refusal,
    Refused,
    Retry,
)
from keygrove_actors.messages import ORDERLY, Killed, Reason, Shutdown
from keygrove_actors.pace import Pace, would_spend
from keygrove_actors.specs import ChildSpec, OnBudget, Restart, Strategy, SupSpec


class State(enum.Enum):
    """Where a child is in its life."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    """It will be started again: at once, or when its backoff is over."""
    FAILED = "failed"
    """It spent its budget of restarts, and stays down until someone restarts it."""
    VACANT = "vacant"
    """Only shown, never decided: it is up, and does nothing but hold a place."""


class Origin(enum.Enum):
    """What a change of the spec means for a child until it is reconciled."""

    LISTED = "listed"
    NEW = "new"
    """To be started."""
    DROPPED = "dropped"
    """To be stopped and forgotten."""


class Child(msgspec.Struct):
    """One child. `ended` holds the reason of an end not yet dealt with."""

    id: str
    spec: ChildSpec
    state: State = State.DOWN
    origin: Origin = Origin.LISTED
    ended: Reason | None = None
    attempt: int = 0
    """Number of the latest retry asked for; an older one is stale."""
    due: float | None = None
    """When it is started again, if it waits for that."""
    pace: Pace | None = None


class Goal(enum.Enum):
    """What answers the request at hand."""

    ADD = "add"
    """The child's start; if that fails, the child is forgotten."""
    RESTART = "restart"
    """The child's start; if that fails, the child stays down."""
    HURRY = "hurry"
    """The child's start; if that fails, it is tried again in time."""
    TERMINATE = "terminate"
    """The child's end."""
    RECONCILE = "reconcile"
    """That nothing is left to be done."""


class Asked(msgspec.Struct, frozen=True):
    """The request at hand."""

    goal: Goal
    id: str


Pending: TypeAlias = Exited | Retry


class Model(msgspec.Struct):
    """All a supervisor knows. One child is started or stopped at a time: `waiting`."""

    strategy: Strategy
    intensity: int
    period: float
    spec: SupSpec
    chance: Chance
    children: dict[str, Child]
    stamps: deque[float] = msgspec.field(default_factory=deque[float])
    to_stop: deque[str] = msgspec.field(default_factory=deque[str])
    to_start: deque[str] = msgspec.field(default_factory=deque[str])
    waiting: str | None = None
    asked: Asked | None = None
    pending: deque[Pending] = msgspec.field(default_factory=deque[Pending])
    now: float = 0.0
    """When the latest event was: news put off is dealt with then, not when it came."""
    is_up: bool = False
    leaving: Reason | None = None
    dying: int | None = None
    """How many are still to die of those told to all at once."""
    is_killed: bool = False
    is_gone: bool = False

    @property
    def is_dynamic(self) -> bool:
        """Whether children come and go without ids of their own."""
        return self.strategy is Strategy.DYNAMIC

    @property
    def is_idle(self) -> bool:
        """Whether a request may be taken."""
        return self.is_up and self.waiting is None and self.leaving is None


def model_of(spec: SupSpec, chance: Chance | None = None) -> Model:
    """The model of a supervisor that has started nothing yet."""
    return Model(
        spec.strategy,
        spec.intensity,
        spec.period,
        spec,
        chance or Chance(0),
        {c.id: Child(c.id, c) for c in spec.children},
    )


def forget(model: Model, child: Child, effects: list[Effect]) -> None:
    """Have the child no more."""
    del model.children[child.id]
    effects.append(Forget(child.id))


def is_kept(model: Model, child: Child) -> bool:
    """Whether a child that was stopped, or ended for good, stays on the list."""
    if child.origin is Origin.DROPPED:
        return model.asked is None or model.asked.goal is not Goal.RECONCILE
    return not model.is_dynamic and child.spec.restart is not Restart.TEMPORARY


def is_expected(child: Child, reason: Reason) -> bool:
    """Whether a child that was told to stop may end so (A-012)."""
    if child.spec.shutdown == "brutal_kill" and isinstance(reason, Killed):
        return True
    if child.spec.restart is Restart.PERMANENT:
        return isinstance(reason, Shutdown)
    return isinstance(reason, ORDERLY)


def is_restarted(child: Child, reason: Reason) -> bool:
    """Whether such an end leads to a restart."""
    restart = child.spec.restart
    if restart is Restart.TRANSIENT:
        return not isinstance(reason, ORDERLY)
    return restart is Restart.PERMANENT


def is_there(child: Child) -> bool:
    """Whether the child runs, will run again, or is not known to be dead yet."""
    return child.state not in {State.DOWN, State.FAILED} or child.ended is not None


def is_spent(child: Child, due: float) -> bool:
    """Whether a restart at `due` is one too many for a child that is then given up."""
    budget = child.spec.budget
    if budget is None or child.spec.on_budget is not OnBudget.GIVE_UP:
        return False
    return would_spend(pace_of(child).stamps, due, budget.period) > budget.restarts


def grant(model: Model, goals: Sequence[Goal], child_id: str, effects: list[Effect]) -> None:
    """Answer the request at hand, if it is one of `goals` for that child."""
    asked = model.asked
    if asked is not None and asked.id == child_id and asked.goal in goals:
        model.asked = None
        effects.append(Granted(child_id))


def refuse(model: Model, why: Refusal, effects: list[Effect]) -> None:
    """Refuse the request at hand, if there is one."""
    if model.asked is not None:
        effects.append(Refused(why, model.asked.id))
        model.asked = None


def pace_of(child: Child) -> Pace:
    """The child's own record of restarts, made at first need."""
    if child.pace is None:
        child.pace = Pace()
    return child.pace


def group_of(model: Model, child: Child) -> list[Child]:
    """Who is restarted with `child`, itself included, in start order."""
    match model.strategy:
        case Strategy.ONE_FOR_ONE | Strategy.DYNAMIC:
            return [child]
        case Strategy.ONE_FOR_ALL:
            group = list(model.children.values())
        case Strategy.REST_FOR_ONE:
            after = list(model.children).index(child.id)
            group = list(model.children.values())[after:]
    # what failed for good, and what was never started, is no part of any round
    return [
        c
        for c in group
        if c is child or (c.state is not State.FAILED and c.origin is not Origin.NEW)
    ]


def whom_all_await(model: Model, child: Child) -> Child | None:
    """The other child whose backoff the whole group waits for, if the strategy has groups."""
    if model.strategy in {Strategy.ONE_FOR_ONE, Strategy.DYNAMIC}:
        return None
    return next((c for c in model.children.values() if c.due is not None and c is not child), None)
