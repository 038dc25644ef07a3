"""Calls in flight: how they are queued, what limits them, how a deferred one is answered."""

from __future__ import annotations

from math import inf
from typing import Any, Generic, TypeVar

from keygrove_actors.cell import Cell
from keygrove_actors.failures import WouldDeadlock
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Request
from keygrove_actors.messages import (
    AlreadyReplied,
    CallCycle,
    CallFailure,
    CallingSelf,
    CallTimeout,
    NoProc,
)
from keygrove_actors.traits import check_reply

R = TypeVar("R")


async def after_direct(
    cell: Cell, message: Any, within: float | None, answer: Any, error: BaseException | None
) -> Any:
    """Go on where a direct turn did not simply answer: it deferred, stopped, or raised.

    From here on the call is a queued one that has been handled just now.
    """
    request = cell.at_hand()
    assert request is not None
    hub = cell.hub
    request.message, request.timeout = message, within or 0.0
    request.deadline = hub.due(within)
    cell.finish(request, answer, error)
    if isinstance(error, KeyboardInterrupt):
        raise error
    slot = hub.wheel.add(request.deadline, request) if request.deadline < inf else None
    try:
        return await request.parker
    finally:
        if slot is not None:
            slot.pop(request, None)


def is_late(hub: Hub) -> bool:
    """Whether the calling handler's own deadline has passed, so that nothing may be begun."""
    caller = hub.hosts.get(hub.backend.current_task())
    if caller is None:
        return False
    if caller in hub.taps or caller.trace_at_hand() is not None:
        return True
    at_hand = caller.at_hand()
    return at_hand is not None and at_hand.deadline <= hub.backend.now()


def check_cycle(caller: Cell, callee: Cell, message: object) -> None:
    """Raise `CallCycle` or `WouldDeadlock` if the callee waits, perhaps through others, for it."""
    chain: list[str] = [caller.label]
    link: Cell | None = callee
    while link is not None:
        chain.append(link.label)
        if link is caller:
            raise CallCycle(callee.label, type_name(message), tuple(chain))
        if (child := link.awaits(caller)) is not None:
            raise WouldDeadlock(link.label, type_name(message), child.label)
        link = link.waiting_for


def nested(caller: Cell, callee: Cell, message: Any, deadline: float, within: float) -> float:
    """The deadline of a call from within a handler, whose own deadline bounds it."""
    if caller is callee:
        raise CallingSelf(callee.label, type_name(message))
    if caller in caller.hub.taps and not caller.hub.sent(message, callee.label):
        raise NoProc(callee.label, type_name(message))
    check_cycle(caller, callee, message)
    at_hand = caller.at_hand()
    if at_hand is not None and at_hand.deadline < deadline:
        deadline = at_hand.deadline
        if deadline <= caller.hub.backend.now():
            raise CallTimeout(callee.label, type_name(message), within)
    if not caller.traits.reentrant:
        caller.waiting_for = callee
    return deadline


class ReplyTo(Generic[R]):
    """The way back to the caller of a deferred call, kept from the handler that deferred.

    When the last one for a call is collected unused, the caller gets `NoReply`.
    """

    __slots__ = ("_cell", "_is_spent", "_request")

    def __init__(self, cell: Cell, request: Request) -> None:
        self._cell = cell
        self._request = request
        self._is_spent = False
        request.handles += 1

    def send(self, reply: R) -> None:
        """Answer; a caller that has gone meanwhile is no error.

        Raises:
            AlreadyReplied: this call was answered before.
            WrongThread: the actor's loop runs in another thread.
        """
        self._spend()
        cell = self._cell
        if cell.hub.check_replies:
            check_reply(cell.label, type(self._request.message), reply)
        cell.answer(self._request, reply)

    def fail(self, failure: CallFailure) -> None:
        """Answer with a declared failure. Raises as `send` does."""
        self._spend()
        self._cell.answer_failure(self._request, failure)

    @property
    def caller_gone(self) -> bool:
        """Whether nobody waits for the reply any more."""
        return self._request.parker.done()

    def _spend(self) -> None:
        self._cell.hub.check_thread(self._cell, "a reply")
        if self._is_spent:
            raise AlreadyReplied(self._cell.label, type_name(self._request.message))
        self._is_spent = True
        if self._cell.deferred is not None:
            self._cell.deferred.pop(self._request, None)

    def __del__(self) -> None:
        request = self._request
        request.handles -= 1
        if request.handles or self._is_spent:
            return
        cell = self._cell  # the collector may run in any thread, and anywhere in this one
        cell.hub.backend.call_from_anywhere(lambda: cell.check_handles(request))
