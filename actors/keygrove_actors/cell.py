"""One incarnation of an actor, as the runtime sees it: its start, its turns, its death.

An idle actor is this record and nothing else: no task, no queue before its first
message. The first message asks the loop for one *turn* (`is_idle` keeps it at one), and a
turn handles what is waiting, up to a bound. Plain functions are handled right there, in
a callback; the first coroutine function makes a task (see `host`), which then shares the
work: `is_idle` says that neither callback nor task is going to look at the mailbox.

Death is announced in one place, once (`announce`, and `death`). That it may be
called while the task still runs is what fencing an actor that survives its kill needs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from keygrove_actors.death import bury
from keygrove_actors.failures import NoReply
from keygrove_actors.hooks import not_awaited
from keygrove_actors.host import Host, TaskSet, Work
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import DIRECT, EMPTY, Command, Request
from keygrove_actors.messages import BadSpec, DeclaredError, GoneReason, Ignore, MonitorId
from keygrove_actors.outcomes import Continue, TaskDone, Trace
from keygrove_actors.reentrant import REENTRANT_TASKS_MAX, interleave
from keygrove_actors.reports import Cause
from keygrove_actors.rest import Rest, fall_asleep
from keygrove_actors.signals import Signals
from keygrove_actors.specs import ChildSpec
from keygrove_actors.traits import Traits, checked

if TYPE_CHECKING:
    from keygrove_actors.ctx import Ctx
    from keygrove_actors.links import Monitor
    from keygrove_actors.receive import Receiver
    from keygrove_actors.ref import Ref
    from keygrove_actors.timers import MessageTimer


class Parent(Protocol):
    """Whoever started a cell, and must know what becomes of it."""

    def child_started(self, cell: Cell) -> None:
        """Its `init` returned."""
        ...

    def child_ended(self, cell: Cell) -> None:
        """It is dead, for `cell.reason`; its start failed unless `cell.is_started`."""
        ...


class Cell(Signals):
    """The record of one incarnation."""

    __slots__ = (
        "about",
        "aliases",
        "context",
        "ctx",
        "currents",
        "groups",
        "id",
        "incarnation",
        "monitors",
        "parent",
        "receiver",
        "started_at",
        "timers",
        "waiting_for",
        "watchers",
    )

    def __init__(self, hub: Hub, parent: Parent, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, spec, path)
        self.parent = parent
        self.id = hub.actor_id()
        self.incarnation = 1
        self.started_at = hub.backend.now()
        self.ctx: Ctx | None = None
        self.waiting_for: Cell | None = None
        self.monitors: dict[MonitorId, Monitor] | None = None
        self.watchers: dict[MonitorId, Cell] | None = None
        self.timers: dict[MessageTimer, None] | None = None
        self.currents: dict[object, Request] | None = None
        self.receiver: Receiver | None = None
        self.aliases: list[str] | None = None
        self.groups: dict[str, int] | None = None
        self.about: str | None = None
        self.context: Context | None = None

    @property
    def may_terminate(self) -> bool:
        """Whether `terminate` is to run: after a start that succeeded, save for a kill."""
        return self.is_started and not self.is_killed

    def own_context(self) -> Context:
        """The context variables of its handlers, made at first need."""
        if self.context is None:
            self.context = self.hub.context.copy()
        return self.context

    @property
    def label(self) -> str:
        """What people call it: what it says of itself, its name, else the way to it."""
        label = self.spec.name or self.path
        return f"{label} ({self.about})" if self.about else label

    def ref_of(self, cell: Any) -> Ref[Any]:
        """An address of `cell`, which never reaches a successor."""
        return self.traits.ctx(cell).self_ref

    # ---- life

    def start(self, args: tuple[Any, ...] = ()) -> None:
        """Make the actor, name it and run its `init`; the parent hears of the outcome."""
        try:
            assert callable(self.spec.start), "subtrees have a cell of their own"
            self.become(self.spec.start(*args))
            if self.spec.name is not None:
                self.hub.register(self.spec.name, self)
            if self.traits.needs_task_for_init:
                self.host = Host(self)
            else:
                self.started(self._init())
        except BaseException as error:
            self.crashed(error)
            if isinstance(error, KeyboardInterrupt):
                self.end()
                raise
        if self.reason is not None and self.host is None:
            self.end()

    def become(self, actor: Any) -> None:
        """Let `actor` do the work from now on."""
        try:
            traits: Traits = actor.__traits__
        except AttributeError as error:
            raise BadSpec(
                f"{self.path} is started with something that makes {type(actor).__name__}, no "
                "actor: give a class derived from Actor, or a function that makes one"
            ) from error
        self.actor = actor
        self.traits = checked(traits) if self.hub.check_replies else traits
        self.traps = traits.traps
        self.retable()

    async def init_in_task(self) -> Ignore | Continue | None:
        """Run an `init` that awaits."""
        pending = self._init()
        if pending is None or isinstance(pending, Ignore | Continue):
            return pending
        return await pending

    def _init(self) -> Awaitable[Ignore | Continue | None] | Ignore | Continue | None:
        if not self.traits.has_init:
            return None
        self.ctx = self.traits.ctx(self)
        return self.actor.init(self.ctx)

    def started(self, outcome: Any) -> None:
        """Acknowledge the start, and turn to the mail that came in the meantime."""
        if isinstance(outcome, CoroutineType):
            raise not_awaited(f"init of {self.label}", outcome)
        if outcome is not None and not isinstance(outcome, Ignore | Continue):
            raise TypeError(
                f"init of {self.label} returned {outcome!r:.80}: return nothing, IGNORE or "
                "CONTINUE(value)"
            )
        if outcome is Ignore.IGNORE:
            self.ends(GoneReason())
            return
        self.actor.__begun__(self)
        self.is_started = True
        self.started_at = self.hub.backend.now()
        self.parent.child_started(self)
        if isinstance(outcome, Continue):
            self.post_first([outcome])
        if self.traits.idle_after is not None or self.traits.hibernate_after is not None:
            self.rest = Rest(self)
            self.retable()
        if self.host is None:
            self.settle_down()

    def schedule(self) -> None:
        """Ask the loop for a turn."""
        self.is_idle = False
        self.hub.backend.call_soon(self.tick, self.context or self.own_context())

    def awaits(self, caller: Cell) -> Cell | None:
        """Of a supervisor, the child it waits for, if that is `caller` or waits for it."""
        return None

    # ---- mail

    def wake(self, item: Any) -> None:
        """See to it that `item`, the first in an idle mailbox, is handled."""
        host = self.host
        if host is None:  # `schedule`, without the call
            self.is_idle = False
            self.hub.backend.call_soon(self.tick, self.context or self.own_context())
        elif self.receiver is not None:
            self.receiver.offer(item)
        elif (
            type(item.message if type(item) is Request else item) not in self.plain
            and host.is_parked()
        ):
            self.is_idle = False
            host.wake()
        else:
            self.schedule()

    def command(self, command: Command) -> None:
        """Run a request of the runtime's before any message, full mailbox or not (A-117)."""
        if (self.is_idle and self.receiver is None) or self.is_suspended:
            command.run(self)
            return
        if self.box is EMPTY:
            self.box = self.new_box()
        position = 0
        while position < len(self.box) and type(self.box[position]) is Command:
            position += 1
        self.box.insert(position, command)

    def at_hand(self) -> Request | None:
        """The call the running handler answers; a real one, also in a direct turn."""
        if self.currents and self.hub.turning is not self:
            return self.currents.get(self.hub.backend.current_task())
        if self.current is DIRECT:
            self.current = Request(None, self.hub.backend.parker(), self)
        return self.current

    def trace_at_hand(self) -> Trace | None:
        """The trace that came with the message being handled."""
        request = self.at_hand() if self.current is not DIRECT else None
        return self.trace if request is None else request.trace

    def check_handles(self, request: Request) -> None:
        """Fail a deferred call that nobody can answer any more (A-098).

        While the actor dies it waits on: its answer is why the actor died, which explains more.
        """
        if self.reason is not None:
            return
        if request.handles == 0 and self.deferred and request in self.deferred:
            del self.deferred[request]
            request.fail(NoReply(self.label, type_name(request.message)))

    # ---- turns

    def finish(self, request: Request, answer: Any, error: BaseException | None) -> None:
        """End a direct turn that did not simply answer, as a queued one would end."""
        self.current = request
        try:
            if isinstance(error, DeclaredError):
                self.declared(request, error)
            elif error is None:
                self.settle(request, answer)
            else:
                self.crashed(error)
        except (Exception, SystemExit) as crash:  # noqa: BLE001 - let it crash: the reason is made of it
            self.crashed(crash)
        if self.reason is None:
            self.current = None
        self.handled += 1
        self.settle_down()

    def tick(self) -> None:
        """One turn, as a callback of the loop."""
        if self.is_dead:
            return
        work = None
        if self.reason is None:
            self.hub.turning = self
            try:
                work = self.turn()
            except BaseException as error:  # the handler's own: callbacks are not cancelled
                self.crashed(error)
                if isinstance(error, KeyboardInterrupt):
                    self.end()
                    raise
            finally:
                self.hub.turning = None
        if self.reason is not None:
            self.end()
        elif work is not None:
            if self.host is None:
                self.host = Host(self)
            self.host.give(work)

    def settle_down(self) -> None:
        """Between two turns: look at the mail, or be idle."""
        if self.box or self.halted:
            self.schedule()
        else:
            self.is_idle = True

    def entrust(self, work: Work) -> Work | None:
        """Let the task do `work` before anything else; a reentrant actor takes it at once."""
        if not self.traits.reentrant or len(self.tasks or ()) >= REENTRANT_TASKS_MAX:
            return work
        self.current = None
        self.start_task(interleave, (self, work))
        return None

    def start_task(
        self, function: Callable[..., Awaitable[Any]], args: Any, *, is_isolated: bool = False
    ) -> None:
        """Run `function` in a task that ends with the actor; for a dead one, not at all."""
        self.hub.check_thread(self, "a task")
        if self.is_dead:
            return
        if self.tasks is None:
            self.tasks = TaskSet(self)
        self.tasks.start(function, args, is_isolated=is_isolated)

    def task_done(self, task: str, result: Any, error: BaseException | None) -> None:
        """An isolated task is over: tell the actor, if it still listens."""
        if self.reason is None:
            crash = None if error is None else self.hub.crash(error, self.path)
            self.post_signal(TaskDone(task, result, crash))

    def hibernate(self) -> None:
        """Give back memory soon, if the mailbox is empty then (A-115)."""
        self.hub.backend.call_soon(partial(fall_asleep, self), context=self.own_context())

    def host_left(self) -> None:
        """The task ended, and the actor lives on."""
        self.host = self.context = None
        self.settle_down()

    # ---- death

    def end(self) -> None:
        """Begin to die. With a host, the host does it: what it opened only it can close."""
        if self.host is not None:
            self.host.interrupt()
        elif self.tasks or (self.may_terminate and self.traits.needs_task_to_end):
            self.host = Host(self)
        else:
            self._end_at_once()

    def _end_at_once(self) -> None:
        if self.may_terminate:
            try:
                assert self.reason is not None
                pending = self.actor.terminate(self.reason)
                if isinstance(pending, CoroutineType):
                    self.report_unclean(not_awaited(f"terminate of {self.label}", pending))
            except BaseException as error:
                self.report_unclean(error)  # the reason stays
                if isinstance(error, KeyboardInterrupt):
                    self.announce()
                    raise
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

    def lose(self, work: Work) -> None:
        """Account for a message that was taken from the mailbox and never begun (A-175)."""
        if work.request is None:
            self.hub.dead_letter(self.label, work.message, Cause.DIED)

    def announce(self) -> None:
        """Be dead, and let everyone concerned know."""
        if not self.is_dead:
            self.is_dead, self.halted, self.is_idle = True, True, False
            self.waiting_for, self.room = None, 0
            bury(self)
