"""What is asked of a supervisor as events for its decisions, and refusals as callers see them."""

from __future__ import annotations

from typing import Any, Final

from keygrove_actors.decisions import (
    AddAsked,
    DeleteAsked,
    ReconcileAsked,
    Refusal,
    Refused,
    ReplaceAsked,
    Request,
    RestartAsked,
    TerminateAsked,
)
from keygrove_actors.failures import (
    AlreadyPresent,
    AlreadyStarted,
    NotFound,
    Restarting,
    Running,
    ShuttingDown,
    TooManyChildren,
)
from keygrove_actors.messages import BadSpec, Shutdown, SpecError, StartFailed
from keygrove_actors.ref import Ref
from keygrove_actors.specs import ChildSpec, SupSpec, check_pair
from keygrove_actors.staff import Post, Staff
from keygrove_actors.supref import (
    DeleteChild,
    Reconcile,
    ReplaceSpec,
    RestartChild,
    Spawn,
    StartChild,
    TerminateChild,
)

_OF_CHILD: Final = {
    Refusal.ALREADY_PRESENT: AlreadyPresent,
    Refusal.NOT_FOUND: NotFound,
    Refusal.RUNNING: Running,
    Refusal.RESTARTING: Restarting,
}


def event_of(staff: Staff, message: Any) -> Request:
    """The event that a message of `SupApi` is.

    Raises:
        SpecError: it cannot be asked of this supervisor.
    """
    _check_kind(message)
    model = staff.model
    match message:
        case Spawn(args):
            return _spawn(staff, args)
        case TerminateChild(child):
            return TerminateAsked(_id_of(staff, child))
        case ReplaceSpec(spec):
            if model.spec.is_partitioned:
                raise BadSpec(f"{staff.label} is partitioned: its children are fixed")
            return ReplaceAsked(spec)
        case Reconcile():
            return ReconcileAsked()
        case _:
            return _static_event_of(staff, message)


def _check_kind(message: Any) -> None:
    """See that it is about what it should be, so that a caller's mistake costs no supervisor."""
    match message:
        case StartChild(ChildSpec()) | ReplaceSpec(SupSpec()) | TerminateChild(str() | Ref()):
            return
        case RestartChild(str()) | DeleteChild(str()) | Spawn() | Reconcile():
            return
        case StartChild(what):
            wanted = "write ChildSpec(id, start)"
        case ReplaceSpec(what):
            wanted = "write SupSpec(children=…)"
        case TerminateChild(what):
            wanted = "give its id, or the ref of a dynamic one"
        case _:
            what, wanted = message.id, "give its id"
    raise BadSpec(f"{type(message).__name__} is given {type(what).__name__}: {wanted}")


def _static_event_of(staff: Staff, message: Any) -> Request:
    model = staff.model
    if model.is_dynamic:
        raise BadSpec(f"{staff.label} is dynamic: its children have refs, no ids or own specs")
    match message:
        case RestartChild(id):
            return RestartAsked(id, staff.hub.backend.now())
        case StartChild() | DeleteChild() if model.spec.is_partitioned:
            raise BadSpec(f"{staff.label} is partitioned: its children are fixed")
        case StartChild(spec):
            check_pair(model.spec, spec)
            return AddAsked(spec.id, spec)
        case _:
            return DeleteAsked(message.id)


def _spawn(staff: Staff, args: tuple[Any, ...]) -> Request:
    template = staff.model.spec.template
    if template is None:
        raise BadSpec(f"{staff.label} is not dynamic: give start_child a spec")
    if args and isinstance(template.start, SupSpec):
        raise BadSpec(f"{staff.label} has subtrees as children: they take no arguments")
    return AddAsked(staff.new_post(template.id, args), template)


def _id_of(staff: Staff, child: str | Ref[Any]) -> str:
    if isinstance(child, str):
        if staff.model.is_dynamic:
            raise BadSpec(f"{staff.label} is dynamic: terminate its children by ref")
        return child
    if not staff.model.is_dynamic:
        raise BadSpec(f"{staff.label} is not dynamic: terminate its children by id")
    cell = child.resolve() or child.last
    post = None if cell is None else cell.parent
    if cell is None or not isinstance(post, Post) or post.owner is not staff:
        raise NotFound(child.label)
    if cell.incarnation < post.lived:  # until then it means the child, whose restarts may fail
        raise NotFound(child.label)
    return post.id


def error_of(staff: Staff, refused: Refused) -> SpecError:
    """The error that tells the caller of a refusal."""
    match refused.why:
        case Refusal.ALREADY_STARTED:
            return AlreadyStarted(refused.id, Ref(staff.hub, staff.cell_of(refused.id)))
        case Refusal.START_FAILED:
            return StartFailed(refused.id, refused.reason or Shutdown())
        case Refusal.TOO_MANY_CHILDREN:
            return TooManyChildren(staff.label, staff.model.spec.max_children or 0)
        case Refusal.SHUTTING_DOWN:
            return ShuttingDown(staff.label)
        case Refusal.BAD_SPEC:
            return BadSpec(f"{staff.label} cannot turn dynamic, or cease to be: replace it")
        case _:
            return _OF_CHILD[refused.why](refused.id)
