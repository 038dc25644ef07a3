"""What a port keeps of each call it has sent to its worker, until the answer comes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from keygrove_actors import port_wire as wire
from keygrove_actors.backend import Parker
from keygrove_actors.cell import Cell
from keygrove_actors.hub import type_name
from keygrove_actors.mail import Request
from keygrove_actors.messages import Call, CalleeExit, CallTimeout, DeclaredError, Reason
from keygrove_actors.ref import Ref
from keygrove_actors.work import Codec, Stream, WorkFailure

P = TypeVar("P")
E = TypeVar("E")
R = TypeVar("R")
P_co = TypeVar("P_co", covariant=True)


class Ticket(Protocol):
    """One call in flight."""

    @property
    def request(self) -> tuple[str, bytes]:
        """Operation and payload."""
        ...

    def answered(self, payload: bytes) -> None:
        """The reply came. Raises `msgspec.MsgspecError` if it is none of the declared type."""
        ...

    def failed(self, error: wire.Error) -> None:
        """An error came in its place."""
        ...

    def result(self, payload: bytes) -> None:
        """One result of a stream came. Raises as `answered` does."""
        ...

    def is_abandoned(self, now: float) -> bool:
        """Whether nobody waits any more."""
        ...

    def port_ended(self, reason: Reason) -> None:
        """The port ended first."""
        ...


class CallTicket(msgspec.Struct):
    """A call whose caller waits in the runtime's own way.

    It is among the actor's deferred calls, so the actor's end answers it. The port keeps the
    ticket until then: no `ReplyTo` has to watch that the way back is not lost.
    """

    cell: Cell
    call: Request
    codec: Codec
    payload: bytes

    @property
    def request(self) -> tuple[str, bytes]:
        """Operation and payload."""
        return self.codec.op, self.payload

    def answered(self, payload: bytes) -> None:
        """Answer the caller."""
        cell, call = self.cell, self.call
        reply = self.codec.decode_reply(payload)
        if cell.deferred is not None:
            cell.deferred.pop(call, None)
        cell.answer(call, reply)

    def failed(self, error: wire.Error) -> None:
        """Answer the caller with the failure."""
        if self.cell.deferred is not None:
            self.cell.deferred.pop(self.call, None)
        self.cell.answer_failure(self.call, failure_of(error))

    def result(self, payload: bytes) -> None:
        """A call without results has nowhere to put one: dropped."""

    def is_abandoned(self, now: float) -> bool:
        """Whether the caller has its answer, a timeout, or was cancelled."""
        return self.call.parker.done()

    def port_ended(self, reason: Reason) -> None:
        """The runtime answers those who wait for a dead actor."""


class Source(NamedTuple):
    """Where the results of a stream come from."""

    cell: Cell
    message: Stream[Any, Any, Any]
    codec: Codec
    payload: bytes
    taken: Callable[[], None]


class Items(Generic[E, R]):
    """The results of a streaming call, as they come: iterate once, then read `end`.

    A reader who is slow makes the worker wait: it has credit for so many results only.
    """

    __slots__ = ("_due", "_error", "_is_over", "_parker", "_queue", "_source", "end", "request")

    end: R

    def __init__(self, source: Source, due: float) -> None:
        self.request = (source.codec.op, source.payload)
        self._source = source
        self._due = due
        self._queue: deque[E] = deque()
        self._parker: Parker[None] | None = None
        self._error: Exception | None = None
        self._is_over = False

    def __aiter__(self) -> Items[E, R]:
        return self

    async def __anext__(self) -> E:
        while not self._queue and not self._is_over:
            self._parker = self._source.cell.hub.backend.parker()
            await self._parker
        if self._queue:
            self._source.taken()
            return self._queue.popleft()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    @property
    def queued(self) -> int:
        """How many results wait to be read."""
        return len(self._queue)

    def close(self) -> None:
        """Want no more: the port tells the worker, and what came already is dropped."""
        self._finish()
        while self._queue:
            self._queue.popleft()
            self._source.taken()

    # ---- for the port

    def answered(self, payload: bytes) -> None:
        """The end came."""
        self.end = self._source.codec.decode_reply(payload)
        self._finish()

    def failed(self, error: wire.Error) -> None:
        """A failure came in its place."""
        label, message = self._source.cell.label, type_name(self._source.message)
        self._finish(DeclaredError(failure_of(error), label, message))

    def result(self, payload: bytes) -> None:
        """One more for the reader, if there still is one."""
        if self._is_over:
            self._source.taken()
            return
        self._queue.append(self._source.codec.decode_item(payload))
        self._wake()

    def is_abandoned(self, now: float) -> bool:
        """Whether its time is over; the reader is told."""
        if now >= self._due:
            label, message = self._source.cell.label, type_name(self._source.message)
            self._finish(CallTimeout(label, message, 0.0))
        return self._is_over

    def port_ended(self, reason: Reason) -> None:
        """Tell the reader."""
        label, message = self._source.cell.label, type_name(self._source.message)
        self._finish(CalleeExit(label, message, reason))

    def _finish(self, error: Exception | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._parker is not None and not self._parker.done():
            self._parker.set_result(None)


class Open(Call[P_co, Items[E, R]], Generic[P_co, E, R], frozen=True, tag=True):
    """Ask a port in this process for the results of `message`; sent by `stream`."""

    message: Stream[P_co, E, R]
    timeout: float | None


@asynccontextmanager
async def stream(
    ref: Ref[P],
    message: Stream[P, E, R],
    *,
    timeout: float | None = 5.0,  # noqa: ASYNC109 - the deadline belongs to the call: it travels with it
    wait_up: float | None = None,
) -> AsyncGenerator[Items[E, R], None]:
    """The results of `message`, for an `async for`; all of them within `timeout` seconds.

    `wait_up` is that of `Ref.call`. Leaving the block early tells the worker to stop. Raises
    what `Ref.call` raises, here or from the loop.
    """
    items = await ref.call(Open[P, E, R](message, timeout), timeout=timeout, wait_up=wait_up)
    try:
        yield items
    finally:
        items.close()


def failure_of(error: wire.Error) -> WorkFailure:
    """An ERROR frame as the failure that a caller is told."""
    return WorkFailure(error.code, error.text, error.retryable)
