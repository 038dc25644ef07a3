"""Several calls at once: sent now, waited for later, in any order (A-102, A-103)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar, cast

from keygrove_actors.backend import Parker
from keygrove_actors.calls import nested
from keygrove_actors.hub import type_name
from keygrove_actors.mail import Request
from keygrove_actors.messages import ActorError, Call, Cast, NoProc
from keygrove_actors.outcomes import Trace
from keygrove_actors.ref import Ref
from keygrove_actors.wheel import Alarm, Slot

P = TypeVar("P")
R = TypeVar("R")


class Pending(Generic[R]):
    """A call that was sent: its outcome is, or will be, here. Not awaited itself."""

    __slots__ = ("_error", "_is_done", "_owner", "_result", "_slot", "ref")

    def __init__(self, owner: Requests[R], ref: Ref[Any]) -> None:
        self.ref = ref
        self._owner = owner
        self._is_done = False
        self._result: Any = None
        self._error: Exception | None = None
        self._slot: tuple[Slot, Request] | None = None

    def done(self) -> bool:
        """Whether it has its outcome, or nobody wants it any more."""
        return self._is_done

    def set_result(self, result: Any, /) -> None:
        """The reply came."""
        self._result = result
        self._settle()

    def set_exception(self, exception: Exception, /) -> None:
        """There will be no reply."""
        self._error = exception
        self._settle()

    def abandon(self) -> None:
        """Want the reply no more: it is dropped when it comes, or not handled at all."""
        self._is_done = True
        self._disarm()
        self._owner.forget(self)

    def result(self) -> R:
        """The reply, of a call that is done. Raises what `Ref.call` would."""
        assert self._is_done, "wait_any says which are done"
        if self._error is not None:
            raise self._error
        return cast("R", self._result)

    def arm(self, slot: Slot, request: Request) -> None:
        """Remember where its deadline is kept."""
        self._slot = (slot, request)

    def _settle(self) -> None:
        self._is_done = True
        self._disarm()
        self._owner.settled(self)

    def _disarm(self) -> None:
        if self._slot is not None:
            slot, request = self._slot
            slot.pop(request, None)
            self._slot = None


class Requests(Generic[R]):
    """A collection of calls under way. Each is given out once by `wait_any`."""

    __slots__ = ("_done", "_parker", "_under_way")

    def __init__(self) -> None:
        self._under_way: dict[Pending[R], None] = {}
        self._done: deque[Pending[R]] = deque()
        self._parker: Parker[None] | None = None

    def __len__(self) -> int:
        """How many are still to be given out."""
        return len(self._under_way) + len(self._done)

    def send(
        self,
        ref: Ref[P],
        message: Call[P, R],
        *,
        timeout: float | None = 5.0,
        trace: Trace | None = None,
    ) -> Pending[R]:
        """Send a request and go on. What prevents it is its outcome, too.

        Raises:
            TypeError: `timeout` is no number.
            WrongThread: the actor's loop runs in another thread.
        """
        ref.hub.check_thread(ref, message)
        ref.hub.due(timeout)
        pending: Pending[R] = Pending(self, ref)
        self._under_way[pending] = None
        try:
            self._submit(pending, message, timeout, trace)
        except ActorError as error:
            if not pending.done():
                pending.set_exception(error)
        return pending

    async def wait_any(self, timeout: float | None = None) -> Pending[R] | None:  # noqa: ASYNC109 - the wheel keeps it
        """One that is done and was not given out before; None if none is left, or in time."""
        if not self._done and self._under_way:
            await self._wait(timeout)
        return self._done.popleft() if self._done else None

    def abandon(self) -> None:
        """Want none of the replies any more."""
        for pending in list(self._under_way):
            pending.abandon()
        self._done.clear()

    def settled(self, pending: Pending[R]) -> None:
        """One has its outcome."""
        del self._under_way[pending]
        self._done.append(pending)
        self._wake()

    def forget(self, pending: Pending[R]) -> None:
        """One is abandoned."""
        self._under_way.pop(pending, None)
        if pending in self._done:
            self._done.remove(pending)
        if not self._under_way:
            self._wake()

    def _submit(
        self, pending: Pending[R], message: Any, within: float | None, trace: Trace | None
    ) -> None:
        cell = pending.ref.resolve()
        if cell is None:
            raise NoProc(pending.ref.label, type_name(message))
        hub = cell.hub
        deadline = hub.due(within)
        caller = hub.calling_cell()
        if caller is not None:
            deadline = nested(caller, cell, message, deadline, within or 0.0)
            caller.waiting_for = None
            trace = trace or caller.trace_at_hand()
        request = Request(message, cast("Parker[Any]", pending), cell, within or 0.0, deadline)
        request.trace = trace
        if deadline < inf:
            pending.arm(hub.wheel.add(deadline, request), request)
        cell.post(request)

    async def _wait(self, within: float | None) -> None:
        pending = next(iter(self._under_way))
        hub = pending.ref.hub
        parker: Parker[None] = hub.backend.parker()
        self._parker = parker
        alarm = None
        if within is not None:
            alarm = Alarm(hub.wheel, hub.due(within), self._wake)
        try:
            await parker
        finally:
            self._parker = None
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> None:
        if self._parker is not None and not self._parker.done():
            self._parker.set_result(None)


class Bad(NamedTuple):
    """An actor that did not answer, and why."""

    ref: Ref[Any]
    error: ActorError


class Answers(NamedTuple, Generic[R]):
    """What became of a `multi_call`, in the order of the refs."""

    replies: tuple[tuple[Ref[Any], R], ...]
    bad: tuple[Bad, ...]


async def multi_call(
    refs: Iterable[Ref[P]],
    message: Call[P, R],
    *,
    timeout: float | None = 5.0,  # noqa: ASYNC109 - as in Ref.call
    trace: Trace | None = None,
) -> Answers[R]:
    """Ask all of `refs` the same, under one deadline.

    What is asked of each is a step of its own of `trace`, or of the trace of the message that
    the caller is handling.
    """
    requests = Requests[R]()
    try:
        asked = [
            requests.send(ref, message, timeout=timeout, trace=_branch(ref, trace, number))
            for number, ref in enumerate(refs, 1)
        ]
        while await requests.wait_any() is not None:
            pass
    finally:
        requests.abandon()
    replies: list[tuple[Ref[Any], R]] = []
    bad: list[Bad] = []
    for pending in asked:
        try:
            replies.append((pending.ref, pending.result()))
        except ActorError as error:
            bad.append(Bad(pending.ref, error))
    return Answers(tuple(replies), tuple(bad))


def abcast(refs: Iterable[Ref[P]], message: Cast[P], *, trace: Trace | None = None) -> None:
    """Cast the same to all of `refs`; each cast is a step of its own of `trace`, if given."""
    for number, ref in enumerate(refs, 1):
        ref.cast(message, trace=None if trace is None else _step(trace, number))


def _branch(ref: Ref[Any], trace: Trace | None, number: int) -> Trace | None:
    """The trace of one branch of a fan-out: the id stays, the present span is its parent."""
    if trace is None:
        caller = ref.hub.calling_cell()
        trace = None if caller is None else caller.trace_at_hand()
    return None if trace is None else _step(trace, number)


def _step(trace: Trace, number: int) -> Trace:
    return trace.step(f"{trace.span}.{number}")
