"""The address of an actor: what one holds instead of the actor."""

from __future__ import annotations

from math import ceil, inf
from threading import get_ident
from typing import Any, Generic, TypeVar

from keygrove_actors.calls import after_direct, check_cycle, is_late, nested
from keygrove_actors.cell import Cell
from keygrove_actors.failures import not_seconds
from keygrove_actors.hub import DIRECT_TURNS, Hub, type_name
from keygrove_actors.mail import DIRECT, Envelope, Request
from keygrove_actors.messages import (
    Call,
    Cast,
    MailboxFull,
    NoProc,
    Reason,
    WrongProtocol,
    check_reason,
)
from keygrove_actors.outcomes import Trace
from keygrove_actors.reports import Cause
from keygrove_actors.settling import NOT_VALUES
from keygrove_actors.specs import Overflow
from keygrove_actors.wheel import TICKS_PER_S

P = TypeVar("P")
R = TypeVar("R")


class Ref(Generic[P]):
    """Reaches one incarnation, or whichever actor has a name when a message is sent.

    Of the first kind are refs the runtime hands out for an actor itself; they never reach
    a successor. Of the second kind are those of `whereis`.
    """

    __slots__ = ("_cell", "_hub", "_proto", "name")

    def __init__(
        self, hub: Hub, cell: Cell | None, name: str | None = None, proto: type[Any] | None = None
    ) -> None:
        self.name = name
        self._hub = hub
        self._cell = cell
        self._proto = proto

    @classmethod
    def named(cls, hub: Hub, name: str, proto: type[P]) -> Ref[P]:
        """A ref that resolves `name` at each send.

        Raises:
            WrongProtocol: an actor has the name now, and serves another protocol.
        """
        if not isinstance(proto, type):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise TypeError(f"{proto!r:.80} is no protocol: give the class that its messages name")
        ref = cls(hub, None, name, proto)
        ref.resolve()
        return ref

    def cast(self, message: Cast[P], *, strict: bool = False, trace: Trace | None = None) -> None:
        """Send a notice and go on, whatever becomes of it.

        A handler that sends on what it got passes `trace=ctx.trace` along; calls do so
        by themselves.

        Raises:
            MailboxFull: only with `strict`, and only if the receiver's policy is to reject
                or, since a cast cannot wait, to block.
            WrongProtocol: the name belongs to an actor of another protocol.
            WrongThread: the actor's loop runs in another thread. Looked for where the actor
                is idle: at every message that would cost a cast a tenth.
        """
        cell, hub = self._cell, self._hub
        if cell is not None and trace is None and not hub.taps:
            box = cell.box
            if len(box) < cell.room:  # `Mailbox.post`, without the call
                if not cell.is_idle:
                    box.append(message)
                    return
                if get_ident() == hub.thread:
                    box.append(message)
                    cell.wake(message)
                    return
        hub.check_thread(self, message)
        cell = self.resolve()
        if cell is None:
            hub.dead_letter(self.label, message, Cause.NO_PROC)
            return
        if hub.taps and not hub.sent(message, cell.label):
            return
        cell.post(message if trace is None else Envelope(message, trace), strict=strict)

    async def send(self, message: Cast[P]) -> None:
        """Send a notice, waiting for room if the receiver's policy is to block.

        With any other policy it is a strict cast.

        Raises:
            MailboxFull: the receiver refuses it, or is the sender itself.
            NoProc: the receiver ended before there was room.
            CallCycle: the receiver waits, perhaps through others, for the sender.
            WrongProtocol: the name belongs to an actor of another protocol.
            WrongThread: the actor's loop runs in another thread.
        """
        self._hub.check_thread(self, message)
        cell = self.resolve()
        if cell is None or cell.spec.mailbox.overflow is not Overflow.BLOCK or not cell.is_full():
            self.cast(message, strict=True)
            return
        hub = self._hub
        if hub.taps and not hub.sent(message, cell.label):
            return
        caller = hub.calling_cell()
        if caller is cell:
            raise MailboxFull(cell.label, cell.limit)
        if caller is not None:
            check_cycle(caller, cell, message)
            caller.waiting_for = cell
        waiting = cell.stand_in_line(message, hub.backend.parker())
        assert waiting.parker is not None
        try:
            await waiting.parker
        finally:
            if caller is not None:
                caller.waiting_for = None

    async def call(  # noqa: C901, PLR0912, PLR0915 - one frame for each call is what makes it fast
        self,
        message: Call[P, R],
        *,
        timeout: float | None = 5.0,  # noqa: ASYNC109 - the deadline belongs to the call: it travels with it
        wait_up: float | None = None,
        trace: Trace | None = None,
    ) -> R:
        """Send a request and wait for its reply, at most `timeout` seconds.

        Inside a handler, what is left of that handler's own deadline limits it further.
        `wait_up` waits that long for a name that nobody has at the moment, or for a pool
        that has no worker then. If the callee has nothing else to do and its handler is a
        plain function, that runs right here.

        Raises:
            CallTimeout: no reply in time; the work may still be done.
            NoProc: nobody is at this address.
            CalleeExit: the actor ended before it replied.
            NoReply: the actor deferred the reply and lost the way back.
            DeclaredError: the reply was a failure the message class declares.
            CallingSelf: the caller is the callee.
            CallCycle: the callee waits, perhaps through others, for the caller.
            MailboxFull: nothing was sent.
            WrongProtocol: the actor has no handler for this message.
            WrongThread: the actor's loop runs in another thread. Looked for at each call that
                does not run here, and at one in 128 of those that do.
            TypeError: `timeout` or `wait_up` is no number; unless it runs here.
        """
        reply: R
        hub = self._hub
        hub.budget -= 1
        if not hub.budget:
            hub.check_thread(self, message)
            hub.budget = DIRECT_TURNS
            await hub.backend.checkpoint()
        cell = self._cell
        if cell is not None and cell.is_idle and trace is None:
            handler = cell.direct.get(type(message))
            if handler is not None and not (hub.hosts and is_late(hub)):
                # a direct turn: as `Cell.tick` would have it, on the caller's stack
                cell.is_idle = False
                cell.current = DIRECT
                hub.turning = cell
                try:
                    answer: R = (cell.context or cell.own_context()).run(
                        handler, cell.actor, message
                    )
                except BaseException as error:  # noqa: BLE001 - sorted by `after_direct`
                    hub.turning = None
                    reply = await after_direct(cell, message, timeout, None, error)
                    return reply
                hub.turning = None
                if type(answer) in NOT_VALUES or cell.current is not DIRECT:
                    reply = await after_direct(cell, message, timeout, answer, None)
                    return reply
                cell.current = None
                cell.handled += 1
                if cell.box or cell.halted:
                    cell.schedule()
                else:
                    cell.is_idle = True
                return answer
        if get_ident() != hub.thread:
            hub.check_thread(self, message)
        backend = hub.backend
        up_by = -inf if wait_up is None else hub.due(wait_up, "wait_up")
        if cell is None or cell.is_dead:
            cell = self.resolve() or await self._wait_up(message, wait_up)
        caller = hub.turning
        if caller is None and hub.hosts:
            caller = hub.calling_cell()
        try:
            deadline = inf if timeout is None else backend.now() + timeout
        except (TypeError, OverflowError) as error:
            raise not_seconds("timeout", timeout) from error
        if caller is not None:
            deadline = nested(caller, cell, message, deadline, timeout or 0.0)
            trace = trace or caller.trace_at_hand()
        parker = backend.parker()
        request = Request(message, parker, cell, timeout or 0.0, deadline, trace)
        if wait_up is not None:
            request.up_by = up_by
        slot = None
        if deadline < inf:  # `Wheel.add`, without the call
            tick = ceil(deadline * TICKS_PER_S)
            slot = hub.wheel.slots.get(tick)
            if slot is None:
                slot = hub.wheel.new_slot(tick)
            slot[request] = None
        elif deadline != inf:
            raise not_seconds("timeout", timeout)
        try:
            box = cell.box
            if len(box) < cell.room:  # `Mailbox.post`, without the call
                box.append(request)
                if cell.is_idle:
                    cell.wake(request)
                    reply = await backend.shortly(parker)
                    return reply
            else:
                cell.post(request)
            reply = await parker
            return reply
        finally:
            if slot is not None:
                slot.pop(request, None)
            if caller is not None:
                caller.waiting_for = None

    def exit(self, reason: Reason) -> None:
        """Send an exit signal: the actor ends with `reason` before its next message.

        `Normal` from another actor is ignored (A-060); from the actor itself it is not.

        Raises:
            TypeError: `reason` is none.
        """
        check_reason(reason)
        self._hub.check_thread(
            self, "an exit signal", "anyio.from_thread.run_sync(ref.exit, reason)"
        )
        cell = self.resolve()
        if cell is not None:
            cell.exit_signal(reason, by=self._hub.calling_cell())

    def kill(self) -> None:
        """Send a kill signal: the actor ends without `terminate`, with `Killed`."""
        self._hub.check_thread(self, "a kill", "anyio.from_thread.run_sync(ref.kill)")
        cell = self.resolve()
        if cell is not None:
            cell.kill()

    def alive(self) -> bool:
        """Whether an actor is at this address now."""
        cell = self._cell if self.name is None else self._hub.names.get(self.name)
        return cell is not None and not cell.is_dead

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or (self._cell.label if self._cell is not None else "nobody")

    @property
    def hub(self) -> Hub:
        """What it shares with all of its runtime. For the runtime's own use."""
        return self._hub

    @property
    def last(self) -> Cell | None:
        """The cell this ref reached last, dead or alive. For the runtime's own use."""
        return self._cell or self.resolve()

    def resolve(self) -> Cell | None:
        """The live cell at this address, None if there is none. For the runtime's own use.

        Raises:
            WrongProtocol: the name belongs to an actor of another protocol.
        """
        cell = self._cell
        if cell is not None and not cell.is_dead:
            return cell
        if self.name is None:
            return None
        cell = self._hub.names.get(self.name)
        if cell is not None and self._proto is not None:
            check_protocol(cell, self._proto)
        self._cell = cell
        return cell

    async def _wait_up(self, message: object, within: float | None) -> Cell:
        if within is not None and self.name is not None:
            await self._hub.name_appears(self.name, within)
            if (cell := self.resolve()) is not None:
                return cell
        error = NoProc(self.label, type_name(message))
        self._hub.counters.call_failed(error)
        raise error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ref):
            return NotImplemented
        mine, its = self._identity(), other._identity()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return mine == its

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"<Ref {self.label}>"

    def _identity(self) -> tuple[int, str | None, int]:
        cell = self._cell
        return (id(self._hub), self.name, 0 if self.name is not None or cell is None else cell.id)


def check_protocol(cell: Cell, proto: type[Any]) -> None:
    """Raise `WrongProtocol` unless the actor serves `proto`."""
    serves = cell.traits.serves
    if serves is not None and not issubclass(serves, proto):
        raise WrongProtocol(cell.label, proto.__name__, cell.traits.served)
