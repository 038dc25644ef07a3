"""What a supervisor does when asked to start, stop, restart or forget a child: pure.

Source: OTP 25, `supervisor.erl` (`handle_call/3`, `update_childspec/2`). Deviations: deleting
a child that waits for its restart is allowed, and cancels that (A-045); a restart asked for
while a backoff runs happens at once (A-052).
"""

from __future__ import annotations

from keygrove_actors.decisions import (
    AddAsked,
    DeleteAsked,
    Effect,
    Granted,
    ReconcileAsked,
    Refusal,
    Refused,
    ReplaceAsked,
    Request,
    RestartAsked,
    Retry,
    TerminateAsked,
)
from keygrove_actors.model import Asked, Child, Goal, Model, Origin, State, forget
from keygrove_actors.specs import Strategy, SupSpec


def take(model: Model, request: Request, effects: list[Effect]) -> None:
    """Refuse `request`, or note what is to be done for it. Only while the model is idle."""
    child = "" if isinstance(request, ReplaceAsked | ReconcileAsked) else request.id
    why = _why_not(model, request, effects) if model.leaving is None else Refusal.SHUTTING_DOWN
    if why is not None:
        effects.append(Refused(why, child))


def _why_not(model: Model, request: Request, effects: list[Effect]) -> Refusal | None:
    match request:
        case AddAsked():
            return _add(model, request)
        case TerminateAsked(id):
            return _terminate(model, id)
        case RestartAsked():
            return _restart(model, request)
        case DeleteAsked(id):
            return _delete(model, id, effects)
        case ReplaceAsked(spec):
            return _replace(model, spec, effects)
        case ReconcileAsked():
            return _reconcile(model)


def _add(model: Model, request: AddAsked) -> Refusal | None:
    present = model.children.get(request.id)
    if present is not None:
        is_up = present.state is State.UP
        return Refusal.ALREADY_STARTED if is_up else Refusal.ALREADY_PRESENT
    most = model.spec.max_children
    if most is not None and len(model.children) >= most:
        return Refusal.TOO_MANY_CHILDREN
    model.children[request.id] = Child(request.id, request.spec)
    model.to_start.append(request.id)
    model.asked = Asked(Goal.ADD, request.id)
    return None


def _terminate(model: Model, child_id: str) -> Refusal | None:
    child = model.children.get(child_id)
    if child is None:
        return Refusal.NOT_FOUND
    model.to_stop.append(child_id)
    model.asked = Asked(Goal.TERMINATE, child_id)
    return None


def _restart(model: Model, request: RestartAsked) -> Refusal | None:
    child = model.children.get(request.id)
    if child is None:
        return Refusal.NOT_FOUND
    if child.state is State.UP:
        return Refusal.RUNNING
    if child.state is not State.RESTARTING:
        model.to_start.append(child.id)
        model.asked = Asked(Goal.RESTART, child.id)
    elif child.due is None:
        return Refusal.RESTARTING
    else:
        model.now = request.now
        model.pending.append(Retry(child.id, child.attempt, request.now))
        model.asked = Asked(Goal.HURRY, child.id)
    if child.pace is not None:
        child.pace.stamps.clear()
    return None


def _delete(model: Model, child_id: str, effects: list[Effect]) -> Refusal | None:
    child = model.children.get(child_id)
    if child is None:
        return Refusal.NOT_FOUND
    if child.state is State.UP:
        return Refusal.RUNNING
    forget(model, child, effects)
    effects.append(Granted(child_id))
    return None


def _replace(model: Model, spec: SupSpec, effects: list[Effect]) -> Refusal | None:
    """Merge by id: running children keep running, whatever the new spec says (A-144)."""
    if (spec.strategy is Strategy.DYNAMIC) is not model.is_dynamic:
        return Refusal.BAD_SPEC
    model.spec = spec
    model.strategy, model.intensity, model.period = spec.strategy, spec.intensity, spec.period
    if spec.template is not None:
        for child in model.children.values():
            child.spec = spec.template
    else:
        model.children = _merged(model.children, spec)
    effects.append(Granted())
    return None


def _merged(old: dict[str, Child], spec: SupSpec) -> dict[str, Child]:
    merged: dict[str, Child] = {}
    for listed in spec.children:
        child = old.get(listed.id)
        if child is None:
            child = Child(listed.id, listed, origin=Origin.NEW)
        elif child.origin is Origin.DROPPED:
            child.origin = Origin.LISTED
        child.spec = listed
        merged[listed.id] = child
    for child in old.values():
        if child.id not in merged:
            child.origin = Origin.DROPPED
            merged[child.id] = child
    return merged


def _reconcile(model: Model) -> Refusal | None:
    children = model.children.values()
    model.to_stop.extend(c.id for c in reversed(children) if c.origin is Origin.DROPPED)
    model.to_start.extend(c.id for c in children if c.origin is Origin.NEW)
    model.asked = Asked(Goal.RECONCILE, "")
    return None
