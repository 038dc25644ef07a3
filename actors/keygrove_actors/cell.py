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

import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from keygrove_actors.host import ChildTask, Host, Work, report_of
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.messages import (
    CalleeExit,
    CallTimeout,
    DeclaredError,
    Defer,
    GoneReason,
    Ignore,
    Killed,
    MailboxFull,
    MonitorId,
    Normal,
    Reason,
    Stop,
    StopReply,
    WrongProtocol,
)
from keygrove_actors.reports import Cause
from keygrove_actors.specs import ChildSpec, Overflow

if TYPE_CHECKING:
    from keygrove_actors.actor import Actor, Ctx
    from keygrove_actors.backend import Parker
    from keygrove_actors.links import Monitor
    from keygrove_actors.timers import MessageTimer

TURN_MESSAGES: Final = 128
"""Messages handled before others get the loop; OTP's reductions serve the same end."""

_EMPTY: Final[deque[Any]] = deque(maxlen=0)
"""Every mailbox before its first message: a deque of its own takes 760 bytes."""

_NOT_VALUES: Final = frozenset({Defer, Stop, StopReply})


class Request:
    """A call on its way: the message, and the parker its caller waits at."""

    __slots__ = ("deadline", "label", "message", "parker", "timeout", "was_late")

    def __init__(
        self, message: object, parker: Parker[Any], label: str, timeout: float, deadline: float
    ) -> None:
        self.message = message
        self.parker = parker
        self.label = label
        self.timeout = timeout
        self.deadline = deadline
        self.was_late = False

    def expire(self) -> None:
        """The deadline passed; the wheel calls this."""
        if not self.parker.done():
            self.was_late = True
            self.fail(CallTimeout(self.label, type_name(self.message), self.timeout))

    def fail(self, error: Exception) -> None:
        """Let the caller raise `error`, if it still waits."""
        if not self.parker.done():
            self.parker.set_exception(error)


class Notice:
    """Mail from the runtime itself: a monitor that fired, a timer that is due."""

    __slots__ = ()

    def unwrap(self, cell: Cell) -> object:
        """The message for the handler, or None if it was withdrawn while it waited."""
        raise NotImplementedError


class Traits(NamedTuple):
    """What is known of an actor class once it is made: who handles what, and how.

    `plain` maps message types to plain functions, `slow` to coroutine functions. Exact
    types only: a lookup must not walk base classes.
    """

    plain: dict[type[Any], Callable[[Any, Any], Any]]
    slow: dict[type[Any], Callable[[Any, Any], Awaitable[Any]]]
    serves: type[Any] | None
    has_init: bool
    needs_task_for_init: bool
    needs_task_to_end: bool
    ctx: Callable[[Cell], Ctx]


class Parent(Protocol):
    """Whoever started a cell, and must know what becomes of it."""

    def child_started(self, cell: Cell) -> None:
        """Its `init` returned."""
        ...

    def child_ended(self, cell: Cell) -> None:
        """It is dead, for `cell.reason`; its start failed unless `cell.is_started`."""
        ...


class Cell:
    """The record of one incarnation."""

    __slots__ = (
        "_context",
        "_reaper",
        "_tasks",
        "actor",
        "box",
        "ctx",
        "current",
        "deferred",
        "host",
        "hub",
        "id",
        "incarnation",
        "is_busy",
        "is_dead",
        "is_killed",
        "is_started",
        "limit",
        "monitors",
        "parent",
        "path",
        "plain",
        "reason",
        "spec",
        "timers",
        "traits",
        "waiting_for",
        "watchers",
    )

    def __init__(self, hub: Hub, parent: Parent, spec: ChildSpec, path: str) -> None:
        self.hub = hub
        self.parent = parent
        self.spec = spec
        self.path = path
        self.id = hub.actor_id()
        self.incarnation = 1
        self.box: deque[Any] = _EMPTY
        self.limit = sys.maxsize if spec.mailbox.limit is None else spec.mailbox.limit
        self.is_busy = True
        self.is_started = self.is_dead = self.is_killed = False
        self.reason: Reason | None = None
        self.current: Request | None = None
        self.deferred: dict[Request, None] | None = None
        self.host: Host | None = None
        self.ctx: Ctx | None = None
        self.waiting_for: Cell | None = None
        self.monitors: dict[MonitorId, Monitor] | None = None
        self.watchers: dict[MonitorId, Cell] | None = None
        self.timers: dict[MessageTimer, None] | None = None
        self._tasks: dict[ChildTask, None] | None = None
        self._reaper: Parker[None] | None = None
        self._context: Context | None = None
        self.actor: Actor[Any]
        self.traits: Traits
        self.plain: dict[type[Any], Callable[[Any, Any], Any]] = {}

    @property
    def label(self) -> str:
        """What people call it: its name, else the way to it."""
        return self.spec.name or self.path

    def own_context(self) -> Context:
        """The context variables of its handlers, made at first need."""
        if self._context is None:
            self._context = self.hub.context.copy()
        return self._context

    # ---- life

    def start(self) -> None:
        """Make the actor, name it and run its `init`; the parent hears of the outcome."""
        from_factory = self.spec.start
        try:
            assert callable(from_factory)
            self.actor = from_factory()
            self.traits = self.actor.__traits__
            self.plain = self.traits.plain
            if self.spec.name is not None:
                self.hub.register(self.spec.name, self)
            if self.traits.needs_task_for_init:
                self.host = Host(self)
            else:
                self.started(cast("Ignore | None", self._init()))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
            self.crashed(error)
        if self.reason is not None and self.host is None:
            self.end()

    async def run_init(self) -> Ignore | None:
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
        self.is_started = True
        self.parent.child_started(self)
        if outcome is Ignore.IGNORE:
            self.is_killed = True  # nothing of it is to run, not even terminate
            self.reason = GoneReason()
        elif self.host is None:
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

    def crashed(self, error: BaseException) -> None:
        """End with the crash that `error` is, unless already ending."""
        if self.reason is None:
            self.reason = self.hub.crash(error, self.path)

    def _signalled(self) -> None:
        if self.host is not None:
            self.host.interrupt()
        elif not self.is_busy:
            self._schedule()

    def _schedule(self) -> None:
        self.is_busy = True
        self.hub.backend.call_soon(self.tick, self._context or self.own_context())

    # ---- mail

    def post(self, item: Any, *, strict: bool = False) -> None:
        """Queue a message or a request, within the mailbox's limit."""
        box = self.box
        if len(box) >= self.limit and not self._make_room(item, strict=strict):
            return
        if box is _EMPTY:
            box = self.box = deque()
        box.append(item)
        if not self.is_busy:
            self.wake(item)

    def post_signal(self, item: Any) -> None:
        """Queue what the runtime owes the actor, whatever the limit."""
        if self.is_dead:
            return
        if self.box is _EMPTY:
            self.box = deque()
        self.box.append(item)
        if not self.is_busy:
            self._schedule()

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
            self._schedule()

    def _make_room(self, item: Any, *, strict: bool) -> bool:
        policy = self.spec.mailbox.overflow
        if policy is Overflow.DROP_OLDEST:
            for position, oldest in enumerate(self.box):
                if not isinstance(oldest, Notice):
                    del self.box[position]
                    self._refuse(oldest)
                    return True
        full = MailboxFull(self.label, self.limit)
        if type(item) is Request or (strict and policy is Overflow.REJECT):
            raise full
        self._refuse(item)
        return False

    def _refuse(self, item: Any) -> None:
        if type(item) is Request:
            item.fail(MailboxFull(self.label, self.limit))
        else:
            self.hub.dead_letter(self.label, item, Cause.OVERFLOW)

    # ---- turns

    def tick(self) -> None:
        """One turn, as a callback of the loop."""
        work = self.turn() if self.reason is None else None
        if self.reason is not None:
            if work is not None:
                self.lose(work)
            self.end()
        elif work is not None:
            if self.host is None:
                self.host = Host(self)
            self.host.give(work)

    def turn(self) -> Work | None:
        """Handle plain messages in order; stop at one that needs the task and return it."""
        box, plain, actor = self.box, self.plain, self.actor
        try:
            for _ in range(TURN_MESSAGES):
                if self.reason is not None:
                    return None
                if not box:
                    self.is_busy = False
                    return None
                item = box.popleft()
                function = plain.get(type(item))
                if function is not None:
                    outcome = function(actor, item)
                    if outcome is not None:
                        self.settle(None, outcome)
                elif (work := self._handle(item)) is not None:
                    return work
        except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
            self.crashed(error)
            self._signalled()
            return None
        self._schedule()
        return None

    def _handle(self, item: Any) -> Work | None:
        if type(item) is Request:
            return self._handle_call(item)
        message = item
        if isinstance(item, Notice):
            message = item.unwrap(self)
            if message is None:
                return None
        return self._dispatch(message, None)

    def _handle_call(self, request: Request) -> Work | None:
        if request.parker.done():
            self._skip(request)
            return None
        message = request.message
        self.current = request
        function = self.plain.get(type(message))
        if function is None:
            return self._dispatch(message, request)
        try:
            answer = function(self.actor, message)
        except DeclaredError as error:
            self._declared(request, error)
        else:
            self.settle(request, answer)
        self.current = None
        return None

    def _dispatch(self, message: object, request: Request | None) -> Work | None:
        handler = self.traits.slow.get(type(message))
        if handler is not None:
            return Work(handler, message, request)
        plain = self.plain.get(type(message))
        if plain is not None:
            self.settle(None, plain(self.actor, message))
        elif request is None:
            self.hub.dead_letter(self.label, message, Cause.UNHANDLED)
        else:
            served, wanted = type_name(self.actor), type_name(message)
            request.fail(WrongProtocol(self.label, wanted, served))
            self.current = None
        return None

    def _skip(self, request: Request) -> None:
        if request.was_late:
            self.hub.counters.expired += 1
            self.hub.dead_letter(self.label, request.message, Cause.EXPIRED)
        else:
            self.hub.counters.abandoned += 1

    async def serve(self, work: Work) -> None:
        """Run an async handler to its end."""
        handler, message, request = work
        self.current = request
        try:
            answer = await handler(self.actor, message)
        except DeclaredError as error:
            if request is None:
                raise
            self._declared(request, error)
        else:
            self.settle(request, answer)
        self.current = None

    def settle(self, request: Request | None, outcome: Any) -> None:
        """Do with a handler's outcome what it asks for: mostly, answer the call."""
        if type(outcome) in _NOT_VALUES:
            self._settle_special(request, outcome)
        elif request is not None:
            self.answer(request, outcome)

    def answer(self, request: Request, value: Any) -> None:
        """Hand `value` to the caller; a caller that has gone costs a count."""
        parker = request.parker
        if parker.done():
            self.hub.counters.late_replies += 1
        else:
            parker.set_result(value)

    def answer_failure(self, request: Request, error: DeclaredError) -> None:
        """Let the caller raise a declared failure."""
        message = type_name(request.message)
        request.fail(DeclaredError(error.failure, self.label, message))

    def _settle_special(self, request: Request | None, outcome: Any) -> None:
        if outcome is Defer.DEFER:
            if request is not None and not request.parker.done():
                self.deferred = self.deferred or {}
                self.deferred[request] = None
            return
        if isinstance(outcome, StopReply) and request is not None:
            self.answer(request, outcome.reply)
        elif request is not None:
            self.deferred = self.deferred or {}
            self.deferred[request] = None
        self.reason = self.reason or outcome.reason

    def _declared(self, request: Request, error: DeclaredError) -> None:
        message = request.message
        listed: tuple[type[Any], ...] = getattr(type(message), "errors", ())
        if type(error.failure) not in listed:
            raise error
        self.answer_failure(request, error)

    def _rest(self) -> None:
        if self.box:
            self._schedule()
        else:
            self.is_busy = False

    # ---- death

    def end(self) -> None:
        """Begin to die. With a host, the host does it: what it opened only it can close."""
        if self.host is None:
            if self._tasks or (self.may_terminate and self.traits.needs_task_to_end):
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

    def report_unclean(self, error: BaseException) -> None:
        """Report that cleaning up failed; the reason stays what it was."""
        self.hub.report(report_of(self, error))

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
        queued, self.box = self.box, _EMPTY
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
        for id, watcher in watchers.items():
            monitor = (watcher.monitors or {}).get(id)
            if monitor is not None:
                assert self.reason is not None
                monitor.fire(self.reason)

    # ---- child tasks

    def start_task(self, function: Callable[..., Awaitable[Any]], args: Any) -> None:
        """Start a task that lives no longer than this actor."""
        if self._tasks is None:
            self._tasks = {}
        self._tasks[ChildTask(self, function, args)] = None

    def task_failed(self, error: BaseException) -> None:
        """A child task raised: crash, or report it if already ending."""
        if self.reason is None:
            self.crashed(error)
            self._signalled()
        else:
            self.report_unclean(error)

    def task_ended(self, task: ChildTask) -> None:
        """A child task is over."""
        assert self._tasks is not None
        self._tasks.pop(task, None)
        if not self._tasks and self._reaper is not None:
            self._reaper.set_result(None)

    async def reap(self) -> None:
        """Cancel the child tasks and wait until they are gone."""
        for task in list(self._tasks or ()):
            task.cancel()
        if self._tasks:
            self._reaper = self.hub.backend.parker()
            await self._reaper
