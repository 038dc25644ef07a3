"""What an actor may ask of the runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from threading import get_ident
from typing import Any, Final, TypeVar, overload

from keygrove_actors import groups
from keygrove_actors.calls import ReplyTo
from keygrove_actors.cell import Cell
from keygrove_actors.hooks import check_task
from keygrove_actors.links import Monitor
from keygrove_actors.messages import (
    ActorId,
    Cast,
    Defer,
    MonitorId,
    Reason,
    WrongTask,
    check_reason,
    in_a_line,
)
from keygrove_actors.outcomes import Trace
from keygrove_actors.receive import receive
from keygrove_actors.ref import Ref
from keygrove_actors.supref import SupRef
from keygrove_actors.tasks import Tasks
from keygrove_actors.timers import MessageTimer

P = TypeVar("P")
T = TypeVar("T")
M = TypeVar("M", bound=Cast[Any])

LABEL_CHARS: Final = 200
"""The most of a label that is kept."""


class Ctx:
    """What an actor may ask of the runtime. Given to `init`; good for this actor only."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def id(self) -> ActorId:
        """This incarnation."""
        return self._cell.id

    @property
    def name(self) -> str | None:
        """The name from the spec."""
        return self._cell.spec.name

    @property
    def incarnation(self) -> int:
        """1 at the first start of the child, one more at each restart."""
        return self._cell.incarnation

    @property
    def self_ref(self) -> Ref[Any]:
        """The address of this incarnation; it never reaches a successor."""
        return Ref(self._cell.hub, self._cell)

    @property
    def reply_to(self) -> ReplyTo[Any]:
        """The way back to the caller of the call at hand: keep it, and return `DEFER`."""
        request = self._cell.at_hand()
        if request is None:
            raise WrongTask(self._cell.label, "ctx.reply_to")
        return ReplyTo(self._cell, request)

    @property
    def trace(self) -> Trace | None:
        """What came along with the message at hand, if its sender gave it any."""
        return self._cell.trace_at_hand()

    @property
    def caller_gone(self) -> bool:
        """Whether nobody waits any more for the answer to the call at hand."""
        request = self._cell.at_hand()
        return request is not None and request.parker.done()

    @property
    def deadline(self) -> float | None:
        """When the call at hand has to be answered, on the clock of `now`; None if never."""
        request = self._cell.at_hand()
        return None if request is None or request.deadline == inf else request.deadline

    def now(self) -> float:
        """Monotonic seconds of the event loop, which tests may run faster."""
        return self._cell.hub.backend.now()

    def whereis(self, name: str, proto: type[P]) -> Ref[P]:
        """The address of whoever has `name` when a message is sent there.

        Raises:
            WrongProtocol: an actor has the name now, and serves another protocol.
        """
        return Ref[P].named(self._cell.hub, name, proto)

    @overload
    def supervisor(self, path: str) -> SupRef[Any]: ...

    @overload
    def supervisor(self, path: str, proto: type[P]) -> SupRef[P]: ...

    def supervisor(self, path: str, proto: type[Any] = object) -> SupRef[Any]:
        """The supervisor at `path`, the ids from the root down; "" is the root itself.

        Its children's refs are given out for protocol `proto`.
        """
        return SupRef(self._cell.hub, path, proto)

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Open `resource`; the actor's own task closes it at its end, in reverse order.

        Raises:
            WrongTask: not called from an async `init` or handler.
        """
        host = self._cell.host
        if host is None:
            raise WrongTask(self._cell.label, "ctx.enter")
        return await host.enter(resource)

    def start_soon(
        self, function: Callable[..., Awaitable[Any]], *args: Any, isolated: bool = False
    ) -> None:
        """Run `function(*args)` in a task of this actor: its failure is the actor's crash.

        With `isolated`, result or failure comes to `on_info` as `TaskDone` instead. The
        actor's end cancels it, and is announced only when the task is gone. `tasks.run` gives
        a result that can be awaited.

        Raises:
            TypeError: `function` is none. One that is not async is the actor's crash.
        """
        check_task(function)
        self._cell.start_task(function, args, is_isolated=isolated)

    @property
    def tasks(self) -> Tasks:
        """Where tasks are started whose result is wanted."""
        return Tasks(self._cell)

    async def receive(
        self,
        kind: type[M],
        *,
        where: Callable[[M], bool] | None = None,
        timeout: float | None = 5.0,  # noqa: ASYNC109 - it is the runtime's wheel that keeps it
    ) -> M:
        """The next cast of `kind`, among the queued first; all others stay in order.

        Raises:
            ReceiveTimeout: none came in time.
            WrongTask: not called from an async handler of a class that is not reentrant.
        """
        found: M = await receive(self._cell, kind, where, timeout)
        return found

    def stash(self, message: object) -> Defer:
        """Put the message at hand aside, its call unanswered: return what this returns.

        Raises:
            StashFull: there are as many as the class's `stash_limit` allows.
        """
        self._changing("stash").stash(message)
        return Defer.KEPT

    def unstash_all(self) -> None:
        """Handle all that is put aside next, in its old order, before newer mail."""
        self._changing("unstash_all").unstash_all()

    def trap_exit(self, *, on: bool) -> None:
        """From now on get exit signals as `on_exit`, or die of them."""
        self._cell.traps = on

    def link(self, ref: Ref[Any]) -> None:
        """Die together: whichever of the two ends abnormally ends the other."""
        self._changing("link").link(ref.resolve())

    def unlink(self, ref: Ref[Any]) -> None:
        """Undo all `link`s with the actor at `ref`; no `Exit` of it comes after this."""
        own = self._changing("unlink")
        if (cell := ref.last) is not None:
            own.unlink(cell)

    def exit(self, reason: Reason) -> None:
        """End this actor with `reason`, whether or not it traps exits.

        Raises:
            TypeError: `reason` is none.
        """
        check_reason(reason)
        self._changing("exit").stop(reason)

    def alias(self, name: str) -> None:
        """Take one more name, which goes with the actor.

        Raises:
            NameTaken: a live actor has it.
        """
        cell = self._changing("alias")
        cell.hub.register(name, cell)
        cell.aliases = [*(cell.aliases or ()), name]

    def join(self, group: str) -> None:
        """Be listed once more in a group."""
        groups.join(self._changing("join"), group)

    def leave(self, group: str) -> bool:
        """Be listed once less in a group; whether it was listed."""
        return groups.leave(self._changing("leave"), group)

    def members(self, group: str) -> list[Ref[Any]]:
        """Who is in the group on any node; as yet, there is one."""
        return self.local_members(group)

    def local_members(self, group: str) -> list[Ref[Any]]:
        """Who is in the group here, each as often as it joined."""
        return groups.members(self._cell.hub, group)

    def monitor_group(self, group: str) -> list[Ref[Any]]:
        """The members now; every change from now on comes to `on_info` as `Joined` or `Left`."""
        return groups.watch(self._changing("monitor_group"), group)

    def demonitor_group(self, group: str) -> None:
        """Hear no more of a group."""
        groups.unwatch(self._changing("demonitor_group"), group)

    def set_label(self, about: str) -> None:
        """Say what this actor is about, for people who read the tree. No secrets.

        What would break a line, or move a terminal's cursor, is shown escaped.
        """
        self._cell.about = in_a_line(str(about)[:LABEL_CHARS])[:LABEL_CHARS]

    def monitor(self, ref: Ref[Any]) -> MonitorId:
        """Have `on_down` called once when the actor now at `ref` ends, or if none is there."""
        return Monitor.set(self._changing("monitor"), ref)

    def demonitor(self, monitor_id: MonitorId, *, flush: bool = True) -> None:
        """Take a monitor back. With `flush`, a `Down` already in the mailbox goes with it."""
        monitor = (self._changing("demonitor").monitors or {}).get(monitor_id)
        if monitor is not None:
            monitor.withdraw(flush=flush)

    def send_after(
        self, delay: float, message: Cast[Any], *, name: str | None = None
    ) -> MessageTimer:
        """Have `message` handled in `delay` seconds; a timer of the same `name` is replaced."""
        return MessageTimer(self._cell, message, delay, every=None, name=name)

    def at(self, when: float, message: Cast[Any], *, name: str | None = None) -> MessageTimer:
        """Have `message` handled when `now()` has reached `when`."""
        return self.send_after(when - self.now(), message, name=name)

    def send_every(
        self, period: float, message: Cast[Any], *, name: str | None = None
    ) -> MessageTimer:
        """Have `message` handled each `period` seconds, without bursts after a stall."""
        return MessageTimer(self._cell, message, period, every=period, name=name)

    def _changing(self, what: str) -> Cell:
        """The actor, to change what it shares with others, in its loop's own thread.

        Raises:
            WrongThread: this is another one.
        """
        cell = self._cell
        if get_ident() != cell.hub.thread:
            way = f"anyio.from_thread.run_sync(ctx.{what}, ...)"
            cell.hub.check_thread(cell, f"ctx.{what}()", way)
        return cell
