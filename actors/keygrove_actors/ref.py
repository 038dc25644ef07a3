"""The address of an actor: what one holds instead of the actor."""

from __future__ import annotations

from math import inf
from typing import Any, Generic, TypeVar

from keygrove_actors.cell import Cell
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Request
from keygrove_actors.messages import (
    AlreadyReplied,
    Call,
    CallCycle,
    CallFailure,
    CallingSelf,
    CallTimeout,
    Cast,
    NoProc,
    Reason,
    WouldDeadlock,
    WrongProtocol,
)
from keygrove_actors.reports import Cause

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
        ref = cls(hub, None, name, proto)
        ref.resolve()
        return ref

    def cast(self, message: Cast[P], *, strict: bool = False) -> None:
        """Send a notice and go on, whatever becomes of it.

        Raises:
            MailboxFull: only with `strict`, and only if the receiver's policy is to reject.
            WrongProtocol: the name belongs to an actor of another protocol.
        """
        cell = self._cell
        if cell is None or cell.is_dead:
            cell = self.resolve()
            if cell is None:
                self._hub.dead_letter(self.label, message, Cause.NO_PROC)
                return
        cell.post(message, strict=strict)

    async def call(
        self,
        message: Call[P, R],
        *,
        timeout: float | None = 5.0,  # noqa: ASYNC109 - the deadline belongs to the call: it travels with it
        wait_up: float | None = None,
    ) -> R:
        """Send a request and wait for its reply, at most `timeout` seconds.

        Inside a handler, what is left of that handler's own deadline limits it further.
        `wait_up` waits that long for a name that nobody has at the moment.

        Raises:
            CallTimeout: no reply in time; the work may still be done.
            NoProc: nobody is at this address.
            CalleeExit: the actor ended before it replied.
            DeclaredError: the reply was a failure the message class declares.
            CallingSelf: the caller is the callee.
            CallCycle: the callee waits, perhaps through others, for the caller.
            MailboxFull: nothing was sent.
            WrongProtocol: the actor has no handler for this message.
        """
        cell = self._cell
        if cell is None or cell.is_dead:
            cell = self.resolve()
            if cell is None:
                cell = await self._wait_up(message, wait_up)
        hub = self._hub
        backend = hub.backend
        caller = hub.calling_cell()
        deadline = inf if timeout is None else backend.now() + timeout
        if caller is not None:
            deadline = _nested(caller, cell, message, deadline, timeout)
        request = Request(message, backend.parker(), cell.label, timeout or 0.0, deadline)
        slot = hub.wheel.add(deadline, request) if deadline < inf else None
        try:
            cell.post(request)
            answer: R = await request.parker
            return answer
        finally:
            if slot is not None:
                slot.pop(request, None)
            if caller is not None:
                caller.waiting_for = None

    def exit(self, reason: Reason) -> None:
        """Send an exit signal: the actor ends with `reason` before its next message.

        `Normal` from another actor is ignored (A-060); from the actor itself it is not.
        """
        cell = self.resolve()
        if cell is not None:
            cell.exit_signal(reason, by=self._hub.calling_cell())

    def kill(self) -> None:
        """Send a kill signal: the actor ends without `terminate`, with `Killed`."""
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

    @property
    def latest(self) -> Cell | None:
        """The cell last reached, dead or alive. For supervisors, whose children have no ids."""
        return self._cell if self.name is None else self.resolve()

    async def _wait_up(self, message: object, within: float | None) -> Cell:
        if within is not None and self.name is not None:
            await self._hub.name_appears(self.name, within)
            if (cell := self.resolve()) is not None:
                return cell
        raise NoProc(self.label, type_name(message))

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


class ReplyTo(Generic[R]):
    """The way back to the caller of a deferred call, kept from the handler that deferred."""

    __slots__ = ("_cell", "_is_spent", "_request")

    def __init__(self, cell: Cell, request: Request) -> None:
        self._cell = cell
        self._request = request
        self._is_spent = False

    def send(self, reply: R) -> None:
        """Answer; a caller that has gone meanwhile is no error.

        Raises:
            AlreadyReplied: this call was answered before.
        """
        self._spend()
        self._cell.answer(self._request, reply)

    def fail(self, failure: CallFailure) -> None:
        """Answer with a declared failure. Raises as `send` does."""
        self._spend()
        self._cell.answer_failure(self._request, failure.error())

    @property
    def caller_gone(self) -> bool:
        """Whether nobody waits for the reply any more."""
        return self._request.parker.done()

    def _spend(self) -> None:
        if self._is_spent:
            raise AlreadyReplied(self._cell.label, type_name(self._request.message))
        self._is_spent = True
        if self._cell.deferred is not None:
            self._cell.deferred.pop(self._request, None)


def check_protocol(cell: Cell, proto: type[Any]) -> None:
    """Raise `WrongProtocol` unless the actor serves `proto`."""
    serves = cell.traits.serves
    if serves is not None and not issubclass(serves, proto):
        raise WrongProtocol(cell.label, proto.__name__, serves.__name__)


def _nested(
    caller: Cell, callee: Cell, message: object, deadline: float, timeout: float | None
) -> float:
    """The deadline of a call from within a handler, whose own deadline bounds it."""
    if caller is callee:
        raise CallingSelf(callee.label, type_name(message))
    if callee.awaits(caller):
        raise WouldDeadlock(callee.label, type_name(message), caller.label)
    chain, link = [caller.label, callee.label], callee.waiting_for
    while link is not None:
        chain.append(link.label)
        if link is caller:
            raise CallCycle(callee.label, type_name(message), tuple(chain))
        link = link.waiting_for
    if caller.current is not None and caller.current.deadline < deadline:
        deadline = caller.current.deadline
        if deadline <= caller.hub.backend.now():
            raise CallTimeout(callee.label, type_name(message), timeout or 0.0)
    caller.waiting_for = callee
    return deadline
