"""One incarnation of an actor, as the runtime sees it: mailbox, turns, signals, death.

An idle actor is this record and nothing else: no task, no queue before its first
message. The first message asks the loop for one *turn* (a flag keeps it at one), and a
turn handles what is waiting, up to a bound. Plain functions are handled right there, in
a callback; the first coroutine function makes a task (see `host`), which then shares the
work: `is_busy` says that a callback or the task is going to look at the mailbox.

Exit signals do not queue: they set `reason`, which is looked at before each message, and
interrupt the task. The first reason stays; only a kill puts itself in its place.

Death is announced in one place, once (`announce`), in the order of A-072. That it may be
called while the task still runs is what fencing an actor that survives its kill needs.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from keygrove_actors.host import Host, TaskSet, Work
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import EMPTY, Notice, Request
from keygrove_actors.messages import (
    ORDERLY,
    CalleeExit,
    GoneReason,
    Ignore,
    Killed,
    MonitorId,
    Normal,
    Reason,
)
from keygrove_actors.reports import Cause, TerminateError
from keygrove_actors.specs import ChildSpec
from keygrove_actors.turns import Turns

if TYPE_CHECKING:
    from keygrove_actors.actor import Ctx
    from keygrove_actors.links import Monitor
    from keygrove_actors.timers import MessageTimer


class Parent(Protocol):
    """Whoever started a cell, and must know what becomes of it."""

    def child_started(self, cell: Cell) -> None:
        """Its `init` returned."""
        ...

    def child_ended(self, cell: Cell) -> None:
        """It is dead, for `cell.reason`; its start failed unless `cell.is_started`."""
        ...


class Cell(Turns):
    """The record of one incarnation."""

    __slots__ = (
        "_context",
        "ctx",
        "host",
        "id",
        "incarnation",
        "is_killed",
        "is_started",
        "monitors",
        "parent",
        "tasks",
        "timers",
        "waiting_for",
        "watchers",
    )

    def __init__(self, hub: Hub, parent: Parent, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, spec, path)
        self.parent = parent
        self.id = hub.actor_id()
        self.incarnation = 1
        self.is_started = self.is_killed = False
        self.host: Host | None = None
        self.ctx: Ctx | None = None
        self.waiting_for: Cell | None = None
        self.monitors: dict[MonitorId, Monitor] | None = None
        self.watchers: dict[MonitorId, Cell] | None = None
        self.timers: dict[MessageTimer, None] | None = None
        self.tasks: TaskSet | None = None
        self._context: Context | None = None

    def own_context(self) -> Context:
        """The context variables of its handlers, made at first need."""
        if self._context is None:
            self._context = self.hub.context.copy()
        return self._context

    # ---- life

    def start(self, args: tuple[Any, ...] = ()) -> None:
        """Make the actor, name it and run its `init`; the parent hears of the outcome."""
        make = self.spec.start
        try:
            assert callable(make), "subtrees have a cell of their own"
            self.actor = make(*args)
            self.traits = self.actor.__traits__
            self.plain = self.traits.plain
            if self.spec.name is not None:
                self.hub.register(self.spec.name, self)
            if self.traits.needs_task_for_init:
                self.host = Host(self)
            else:
                outcome = self._init()
                assert outcome is None or isinstance(outcome, Ignore), "checked by the traits"
                self.started(outcome)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
            self.crashed(error)
        if self.reason is not None and self.host is None:
            self.end()

    async def init_in_task(self) -> Ignore | None:
        """Run an `init` that awaits."""
        pending = self._init()
        return pending if pending is None or isinstance(pending, Ignore) else await pending

    def _init(self) -> Awaitable[Ignore | None] | Ignore | None:
        if not self.traits.has_init:
            return None
        self.ctx = self.traits.ctx(self)
        return self.actor.init(self.ctx)

    def started(self, outcome: Ignore | None) -> None:
        """Acknowledge the start, and turn to the mail that came in the meantime."""
        if outcome is Ignore.IGNORE:
            self.reason = GoneReason()
            return
        self.is_started = True
        self.parent.child_started(self)
        if self.host is None:
            self._rest()

    def exit_signal(self, reason: Reason, *, by: Cell | None) -> None:
        """An exit signal from anywhere but the supervisor: `Normal` of others is ignored."""
        if by is self or not isinstance(reason, Normal):
            self.stop(reason)

    def stop(self, reason: Reason) -> None:
        """End with `reason` before the next message (A-066)."""
        if self.reason is None:
            self.reason = reason
            self._signalled()

    def kill(self, reason: Reason = Killed()) -> None:  # noqa: B008 - frozen
        """Kill signal: end now, without `terminate`."""
        if not self.is_dead:
            self.is_killed = True
            self.reason = reason
            if self.host is not None:
                self.host.kill()
            self._signalled()

    def task_failed(self, error: BaseException) -> None:
        """A child task raised: crash, or report it if already ending."""
        if self.reason is None:
            self.crashed(error)
            self._signalled()
        else:
            self.report_unclean(error)

    def crashed(self, error: BaseException) -> None:
        """End with the crash that `error` is, unless already ending."""
        if self.reason is None:
            self.reason = self.hub.crash(error, self.path)

    def _signalled(self) -> None:
        if self.host is not None:
            self.host.interrupt()
        elif not self.is_busy:
            self.schedule()

    def schedule(self) -> None:
        """Ask the loop for a turn."""
        self.is_busy = True
        self.hub.backend.call_soon(self.tick, self._context or self.own_context())

    def awaits(self, child: Cell) -> bool:
        """Whether this is a supervisor that waits for `child` to start or stop."""
        return False

    # ---- mail

    def wake(self, item: Any) -> None:
        """See to it that `item`, the first in an idle mailbox, is handled."""
        host = self.host
        if (
            host is not None
            and type(item.message if type(item) is Request else item) not in self.plain
            and host.is_parked()
        ):
            self.is_busy = True
            host.wake()
        else:
            self.schedule()

    # ---- turns

    def tick(self) -> None:
        """One turn, as a callback of the loop."""
        work = None
        if self.reason is None:
            self.hub.turning = self
            try:
                work = self.turn()
            finally:
                self.hub.turning = None
        if self.reason is not None:
            self.end()
        elif work is not None:
            if self.host is None:
                self.host = Host(self)
            self.host.give(work)

    def _rest(self) -> None:
        if self.box:
            self.schedule()
        else:
            self.is_busy = False

    # ---- death

    def end(self) -> None:
        """Begin to die. With a host, the host does it: what it opened only it can close."""
        if self.host is not None:
            self.host.interrupt()
        elif self.tasks or (self.may_terminate and self.traits.needs_task_to_end):
            self.host = Host(self)
        else:
            self._end_at_once()

    @property
    def may_terminate(self) -> bool:
        """Whether `terminate` is to run: after a start that succeeded, save for a kill."""
        return self.is_started and not self.is_killed

    def _end_at_once(self) -> None:
        if self.may_terminate:
            try:
                assert self.reason is not None
                self.actor.terminate(self.reason)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - reported; the reason stays (A-114)
                self.report_unclean(error)
        self.announce()

    async def terminate(self) -> None:
        """Run the actor's `terminate`, in its task; an error in it is reported."""
        if not self.may_terminate:
            return
        assert self.reason is not None
        try:
            pending = self.actor.terminate(self.reason)
            if pending is not None:
                await pending
        except (Exception, SystemExit) as error:  # noqa: BLE001 - reported; the reason stays (A-114)
            self.report_unclean(error)

    def cleanup_deadline(self) -> float:
        """When cleaning up has to be over, on the loop's clock."""
        limit = self.spec.shutdown_limit
        return self.hub.backend.now() + limit if isinstance(limit, float | int) else float("inf")

    def overran(self) -> None:
        """Cleaning up took too long, and was cut off: no orderly end, then."""
        self.report_unclean(TimeoutError("cleaning up took longer than the shutdown time"))
        if isinstance(self.reason, ORDERLY):
            self.reason = Killed()

    def report_unclean(self, error: BaseException) -> None:
        """Report that cleaning up failed; the reason stays what it was."""
        crash = self.hub.crash(error, self.path)
        self.hub.report(TerminateError(self.spec.id, self.path, crash))

    def lose(self, work: Work) -> None:
        """Account for a message that was taken from the mailbox and never begun (A-175)."""
        if work.request is None:
            self.hub.dead_letter(self.label, work.message, Cause.DIED)

    def announce(self) -> None:
        """Be dead, and let everyone concerned know, in the order of A-072."""
        if self.is_dead:
            return
        self.is_dead = True
        self.waiting_for = None
        for timer in list(self.timers or ()):
            timer.cancel()
        if self.spec.name is not None:
            self.hub.unregister(self.spec.name, self)
        self._abandon_mail()
        self._signal_watchers()
        self.parent.child_ended(self)

    def _abandon_mail(self) -> None:
        assert self.reason is not None
        held = [self.current, *(self.deferred or ())]
        queued, self.box = self.box, EMPTY
        self.current = self.deferred = None
        for item in (*held, *queued):
            if type(item) is Request:
                item.fail(CalleeExit(self.label, type_name(item.message), self.reason))
            elif item is not None and not isinstance(item, Notice):
                self.hub.dead_letter(self.label, item, Cause.DIED)

    def _signal_watchers(self) -> None:
        for monitor in list((self.monitors or {}).values()):
            monitor.forget()
        watchers, self.watchers = self.watchers or {}, None
        for monitor_id, watcher in watchers.items():
            armed = (watcher.monitors or {}).get(monitor_id)
            if armed is not None:
                assert self.reason is not None
                armed.fire(self.reason)
