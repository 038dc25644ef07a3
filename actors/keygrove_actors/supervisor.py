"""The actor around the decisions of `strategy`: starts, stops and reports what they say.

It never awaits. A child's acknowledgement or death is an event in its queue, which its
next turn feeds to `step`; so a kill is heard at any time, and a restart of plain actors
needs no task at all. Requests are mail, taken one at a time while no child is waited for.

A supervisor that is killed kills its children and is announced dead when they are, not
before: so no orphan is possible, and a successor finds every name free.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from keygrove_actors.actor import Actor
from keygrove_actors.cell import Cell, Parent
from keygrove_actors.child_calls import error_of, event_of
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
    Forget,
    Granted,
    KillAll,
    KillAsked,
    LeftDown,
    Ready,
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
from keygrove_actors.failures import (
    ShuttingDown,
)
from keygrove_actors.host import TURN_MESSAGES
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import WITHDRAWN, Command, Request, message_of
from keygrove_actors.messages import (
    GoneReason,
    Killed,
    Reason,
    SpecError,
    WrongProtocol,
)
from keygrove_actors.ref import Ref
from keygrove_actors.reports import (
    Breach,
    Cause,
    ChildGivenUp,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    ShutdownError,
    StartError,
)
from keygrove_actors.signals import Signals
from keygrove_actors.specs import ChildSpec
from keygrove_actors.staff import Post, Staff
from keygrove_actors.strategy import step
from keygrove_actors.supref import (
    REQUESTS,
    RestartChild,
    Spawn,
    StartChild,
    SupApi,
)

_STARTS: Final = (StartChild, Spawn, RestartChild)


class Supervisor(Actor[SupApi]):
    """What stands behind a supervisor's address."""


class SupervisorCell(Staff):
    """A cell whose life is decided by its children's."""

    __slots__ = ("_events", "first_failure", "start_failure")

    def __init__(self, hub: Hub, parent: Parent, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, parent, spec, path)
        self.actor = Supervisor()
        self.traits = self.actor.__traits__
        self._events: deque[Event] = deque()
        self.retable()
        self.is_idle = True
        self.start_failure: tuple[str, Reason] | None = None
        self.first_failure: tuple[str, Reason] | None = None

    # ---- what the parent asks

    def start(self, args: tuple[Any, ...] = ()) -> None:
        """Take the name and start the children, one after the other."""
        try:
            if self.spec.name is not None:
                self.hub.register(self.spec.name, self)
        except Exception as error:  # noqa: BLE001 - a failed start, like any other
            self.crashed(error)
            self.announce()
            return
        self.note(Boot())

    def exit_signal(self, reason: Reason, *, by: Signals | None) -> None:
        """Ignored: a supervisor traps exits, and only its own parent can stop it."""

    def link_broken(self, peer: Signals, reason: Reason) -> None:
        """Ignored as well."""
        if self.links is not None:
            self.links.pop(peer, None)

    def stop(self, reason: Reason) -> None:
        """Stop the children in reverse order, then end."""
        self._be_roused()
        self.note(StopAsked(reason))

    def kill(self, reason: Reason = Killed()) -> None:  # noqa: B008 - frozen
        """Kill all children at once, then end."""
        if not self.is_killed:
            self.is_killed = True
            self._be_roused()
            self.note(KillAsked())

    # ---- what children tell

    def child_up(self, post: Post, cell: Cell) -> None:
        """Report it, and go on with the next."""
        post.arm(None)
        self.hub.report(ChildStarted(cell.spec.id, cell.path, cell.incarnation))
        self.note(Started(post.id, self.hub.backend.now()))

    def child_down(self, post: Post, cell: Cell) -> None:
        """Report it, and decide."""
        child, reason, now = cell.spec.id, cell.reason, self.hub.backend.now()
        assert reason is not None
        post.arm(None)
        post.cell = None
        self.hub.counters.ended(getattr(cell, "actor", None), child, cell.handled)
        if cell.is_started:
            self.hub.report(ChildTerminated(child, cell.path, cell.incarnation, reason))
            self.note(Exited(post.id, reason, now))
        elif isinstance(reason, GoneReason):
            self.note(Started(post.id, now, ignored=True))
        else:
            self.start_failure = self.start_failure or (child, reason)
            if isinstance(cell, SupervisorCell):
                self.first_failure = self.first_failure or cell.first_failure or (cell.path, reason)
            else:
                self.first_failure = self.first_failure or (cell.path, reason)
            self.hub.report(StartError(child, cell.path, reason))
            self.note(StartFailure(post.id, reason, now))

    # ---- turns

    def tick(self) -> None:
        """Deal with the events; with mail only while no child is waited for."""
        try:
            self._decide()
        except BaseException as error:
            self._broke(error)
            if isinstance(error, KeyboardInterrupt):
                raise

    def _decide(self) -> None:
        events, model, requests = self._events, self.model, TURN_MESSAGES
        self._serve_commands()
        while not self.is_dead and not self.halted:
            if events:
                for effect in step(model, events.popleft()):
                    self._perform(effect)
            elif self.box and requests and (model.is_idle or model.leaving is not None):
                requests -= 1
                self._take(self.box.popleft())
            else:
                break
        if self.is_dead or self.is_suspended:
            return
        self.is_idle = True
        if not requests:
            self.schedule()

    def _broke(self, error: BaseException) -> None:
        """Deciding itself failed: end, and nobody is left behind."""
        self.crashed(error)
        self.kill_all()
        self.announce()

    def note(self, event: Event) -> None:
        """Put `event` behind the others, and see to it that it is dealt with."""
        if not self.is_dead:
            self._events.append(event)
            if self.is_idle:
                self.schedule()

    def settle_down(self) -> None:
        """Go on after a suspension."""
        self.schedule()

    def _be_roused(self) -> None:
        """End a suspension: who stops it means it."""
        if self.is_suspended:
            self.is_suspended = self.halted = False
            self.schedule()

    def _serve_commands(self) -> None:
        """Do what the runtime asks, whatever else waits (A-117)."""
        while self.box and type(self.box[0]) is Command:
            self.box.popleft().run(self)

    # ---- requests

    def _take(self, item: Any) -> None:
        kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType] - see `turn`
        if kind is Command:
            item.run(self)
        elif kind is Retry:
            self._events.append(Retry(item.id, item.attempt, self.hub.backend.now()))
        elif self.watch is not None and not self._is_let_in(item, kind):
            pass
        elif kind is not Request:
            message = message_of(item)
            if message is not WITHDRAWN:
                self.hub.dead_letter(self.label, message, Cause.UNHANDLED)
        elif item.parker.done():
            self._skip(item)
        else:
            self._take_request(item)

    def _take_request(self, request: Request) -> None:
        if not isinstance(request.message, REQUESTS):
            request.fail(WrongProtocol(self.label, type_name(request.message), "SupApi", REQUESTS))
            return
        if self.model.leaving is not None:
            request.fail(ShuttingDown(self.label))
            return
        self.current = request
        try:
            event = event_of(self, request.message)
        except SpecError as error:
            self._finish(error)
        else:
            self._events.append(event)

    def _finish(self, outcome: object) -> None:
        request, self.current = self.current, None
        assert request is not None
        if isinstance(outcome, SpecError):
            request.fail(outcome)
        else:
            self.settle(request, outcome)

    def _grant(self, child_id: str | None) -> None:
        assert self.current is not None
        if isinstance(self.current.message, _STARTS) and child_id is not None:
            ref: Ref[Any] = Ref(self.hub, self.cell_of(child_id))
            self._finish(ref)
        else:
            self._finish(None)

    # ---- effects

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Start(id):
                self.start_child(id)
            case Granted(id):
                self._grant(id)
            case Stop(id):
                self.stop_child(id)
            case CutShort(id):
                self.cut_short(id)
            case Forget(id):
                self.forget_child(id)
            case ArmRetry():
                self.arm_retry(effect)
            case _:
                self._perform_for_all(effect)

    def _perform_for_all(self, effect: Effect) -> None:
        match effect:
            case Refused(id=id):
                if self.model.is_dynamic:
                    self.forget_child(id)
                self._finish(error_of(self, effect))
            case Ready():
                self.is_started = True
                self.parent.child_started(self)
            case StopAll():
                self.stop_all()
            case KillAll():
                self.kill_all()
            case ExitSelf(reason):
                self._leave(reason)
            case RestartDecided() | Broken() | LeftDown() | EndedBadly():
                self._report(effect)
            case _:
                raise AssertionError(effect)

    def _leave(self, reason: Reason) -> None:
        """End; who asked too late is told so."""
        while self.box:
            self._take(self.box.popleft())
        self.reason = reason
        self.announce()

    def _report(self, effect: RestartDecided | Broken | LeftDown | EndedBadly) -> None:
        path, known = self.path_of(effect.id), self.model_child(effect.id)
        child = effect.id if known is None else known.spec.id
        match effect:
            case RestartDecided(used=used, limit=limit):
                self.hub.report(ChildRestarting(child, path, used, limit))
            case Broken(limit=limit, period=period):
                self.hub.report(Breach(child, path, limit, period))
            case LeftDown(limit=limit, period=period):
                self.hub.failed[path] = self
                self.hub.report(ChildGivenUp(child, path, limit, period))
            case EndedBadly(reason=reason):
                self.hub.report(ShutdownError(child, path, reason))
