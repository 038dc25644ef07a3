"""The actor around the decisions of `strategy`: starts, stops and reports what they say.

It never awaits. A child's acknowledgement or death is an event in its queue, which its
next turn feeds to `step`; so a kill is heard at any time, and a restart of plain actors
needs no task at all.

A supervisor that is killed kills its children and is announced dead when they are, not
before: so no orphan is possible, and a successor finds every name free.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final, assert_never

from keygrove_actors.actor import Actor
from keygrove_actors.cell import Cell, Parent
from keygrove_actors.hub import Hub
from keygrove_actors.messages import GoneReason, InitTimeout, Killed, Reason, Shutdown
from keygrove_actors.reports import (
    Breach,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    ShutdownError,
    StartError,
)
from keygrove_actors.signals import Signals
from keygrove_actors.specs import ChildSpec, SupSpec
from keygrove_actors.strategy import (
    ArmRetry,
    Boot,
    Child,
    Effect,
    EndedBadly,
    Event,
    Exited,
    ExitSelf,
    GaveUp,
    Kill,
    KillAsked,
    Ready,
    Restarting,
    Retry,
    Start,
    Started,
    StartFailure,
    Stop,
    StopAsked,
    model_of,
    step,
)
from keygrove_actors.wheel import Alarm

ROOT: Final = "root"
"""The path of the root supervisor, which its children's paths leave out."""


class SupApi:
    """The protocol a supervisor serves."""


class Supervisor(Actor[SupApi]):
    """What stands behind a supervisor's address."""


class Post:
    """The place of one child: its spec, and its present incarnation if it has one."""

    __slots__ = ("alarm", "cell", "incarnation", "spec")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.cell: Cell | None = None
        self.incarnation = 0
        self.alarm: Alarm | None = None

    def arm(self, alarm: Alarm | None) -> None:
        """Put the clock on the child's start or stop, in place of the one before."""
        if self.alarm is not None:
            self.alarm.cancel()
        self.alarm = alarm


class SupervisorCell(Cell):
    """A cell whose life is decided by its children's."""

    __slots__ = ("_events", "_model", "posts", "start_failure")

    def __init__(self, hub: Hub, parent: Parent, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, parent, spec, path)
        assert isinstance(spec.start, SupSpec)
        self.actor = Supervisor()
        self.traits = self.actor.__traits__
        self.retable()
        self.posts = {c.id: Post(c) for c in spec.start.children}
        self._model = model_of(spec.start)
        self._events: deque[Event] = deque()
        self.is_idle = True
        self.start_failure: tuple[str, Reason] | None = None

    @property
    def children(self) -> list[Child]:
        """The children as the decisions see them, in start order."""
        return self._model.children

    # ---- what the parent asks

    def start(self) -> None:
        """Take the name and start the children, one after the other."""
        if self.spec.name is not None:
            try:
                self.hub.register(self.spec.name, self)
            except Exception as error:  # noqa: BLE001 - a failed start, like any other
                self.crashed(error)
                self.announce()
                return
        self._note(Boot())

    def exit_signal(self, reason: Reason, *, by: Signals | None) -> None:
        """Ignored: a supervisor traps exits, and only its own parent can stop it."""

    def stop(self, reason: Reason) -> None:
        """Stop the children in reverse order, then end."""
        self._note(StopAsked(reason))

    def kill(self, reason: Reason = Killed()) -> None:  # noqa: B008 - frozen
        """Kill all children at once, then end."""
        if not self.is_killed:
            self.is_killed = True
            self._note(KillAsked())

    # ---- what children tell

    def child_started(self, cell: Cell) -> None:
        """Report it, and go on with the next."""
        child = cell.spec.id
        self.posts[child].arm(None)
        self.hub.report(ChildStarted(child, cell.path, cell.incarnation))
        self._note(Started(child))

    def child_ended(self, cell: Cell) -> None:
        """Report it, and decide."""
        child, reason, now = cell.spec.id, cell.reason, self.hub.backend.now()
        assert reason is not None
        self.posts[child].arm(None)
        self.posts[child].cell = None
        if cell.is_started:
            self.hub.report(ChildTerminated(child, cell.path, cell.incarnation, reason))
            self._note(Exited(child, reason, now))
        elif isinstance(reason, GoneReason):
            self._note(Started(child, ignored=True))
        else:
            self.start_failure = self.start_failure or (child, reason)
            self.hub.report(StartError(child, cell.path, reason))
            self._note(StartFailure(child, reason, now))

    # ---- turns

    def tick(self) -> None:
        """Deal with the events, then with mail."""
        while self._events and not self.is_dead:
            for effect in step(self._model, self._events.popleft()):
                self._perform(effect)
        if self.is_dead:
            return
        self.is_idle = True
        if self.is_started:
            self.is_idle = False
            self.turn()
        if self._events and self.is_idle:
            self.schedule()

    def _note(self, event: Event) -> None:
        if not self.is_dead:
            self._events.append(event)
            if self.is_idle:
                self.schedule()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Start(id):
                self._start_child(self.posts[id])
            case Stop(id):
                self._stop_child(self.posts[id])
            case Kill(id):
                self._kill_child(self.posts[id])
            case ArmRetry():
                self._arm_retry(effect)
            case Ready():
                self.is_started = True
                self.parent.child_started(self)
            case ExitSelf(reason):
                self.reason = reason
                self.announce()
            case Restarting() | GaveUp() | EndedBadly():
                self._report(effect)
            case _:
                assert_never(effect)

    def _report(self, effect: Restarting | GaveUp | EndedBadly) -> None:
        child, path, model = effect.id, self.path_of(effect.id), self._model
        match effect:
            case Restarting():
                self.hub.report(ChildRestarting(child, path, effect.used, model.intensity))
            case GaveUp():
                self.hub.report(Breach(child, path, model.intensity, model.period))
            case EndedBadly():
                self.hub.report(ShutdownError(child, path, effect.reason))

    def path_of(self, child: str) -> str:
        """The way to a child, from the root."""
        return child if self.path == ROOT else f"{self.path}/{child}"

    def _start_child(self, post: Post) -> None:
        spec = post.spec
        make = SupervisorCell if isinstance(spec.start, SupSpec) else Cell
        post.incarnation += 1
        post.cell = cell = make(self.hub, self, spec, self.path_of(spec.id))
        cell.incarnation = post.incarnation
        if spec.init_timeout is not None:
            due = self.hub.backend.now() + spec.init_timeout
            post.arm(Alarm(self.hub.wheel, due, partial(cell.kill, InitTimeout())))
        cell.start()

    def _stop_child(self, post: Post) -> None:
        cell, limit = post.cell, post.spec.shutdown_limit
        if cell is None:
            return
        if limit == "brutal_kill":
            cell.kill()
            return
        if not isinstance(limit, str):
            post.arm(Alarm(self.hub.wheel, self.hub.backend.now() + limit, cell.kill))
        cell.stop(Shutdown())

    def _kill_child(self, post: Post) -> None:
        if post.cell is not None:
            post.cell.kill()

    def _arm_retry(self, effect: ArmRetry) -> None:
        backend = self.hub.backend
        if effect.delay > 0:
            Alarm(self.hub.wheel, backend.now() + effect.delay, partial(self._retry, effect))
        else:
            backend.call_soon(partial(self._retry, effect), context=self.own_context())

    def _retry(self, effect: ArmRetry) -> None:
        self._note(Retry(effect.id, effect.attempt, self.hub.backend.now()))
