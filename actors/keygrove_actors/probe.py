"""A scripted actor: a test stands in for it, sees what it gets, and answers by hand."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

import anyio

from keygrove_actors.actor import Actor
from keygrove_actors.cell import Cell
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import WITHDRAWN, Request, message_of
from keygrove_actors.messages import CallFailure, Cast, Reason, Shutdown
from keygrove_actors.ref import Ref
from keygrove_actors.runtime import Runtime
from keygrove_actors.specs import ChildSpec

P = TypeVar("P")
M = TypeVar("M")
Q = TypeVar("Q")


class UnexpectedError(AssertionError):
    """A probe got something else than its script says, or nothing."""


class _Stand(Actor[Any]):
    """What stands behind a probe's address."""


class _ProbeCell(Cell):
    """A cell that hands its mail to a test instead of to handlers."""

    __slots__ = ("inbox", "news")

    def __init__(self, hub: Hub, parent: Any, name: str) -> None:
        super().__init__(hub, parent, ChildSpec(name, _Stand, name=name), name)
        self.inbox: deque[Any] = deque()
        self.news = anyio.Event()

    def post(self, item: Any, *, strict: bool = False) -> None:
        """Show it to the test, unless the gate is against it."""
        gate = self.hub.gate
        if gate is None or gate.admits(self, item):
            self.post_signal(item)

    def post_signal(self, item: Any) -> None:
        """Show it to the test."""
        message = message_of(item)
        if message is not WITHDRAWN and not self.is_dead:
            self.inbox.append(message)
            self.news.set()

    def retable(self) -> None:
        """No handlers, so none that run directly."""

    def drop_mail(self) -> list[Any]:
        """What the test did not look at."""
        left, self.inbox = list(self.inbox), deque()
        return left


class Probe(Generic[P]):
    """Stands where an actor of protocol `P` would. Made by `Sim.probe`."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._cell = _ProbeCell(runtime.hub, self, name)
        self._cell.start()
        self._request: Request | None = None

    @property
    def ref(self) -> Ref[P]:
        """Its address."""
        return Ref(self._cell.hub, self._cell)

    def child_started(self, cell: Cell) -> None:
        """It needs no supervisor."""

    def child_ended(self, cell: Cell) -> None:
        """It needs no supervisor."""

    async def expect(self, kind: type[M], *, within: float = 1.0) -> M:
        """The next message, which must be of `kind` and come in time.

        Raises:
            UnexpectedError: another came, or none.
        """
        item = await self._next(within)
        if item is None:
            raise UnexpectedError(f"no {kind.__name__} came within {within:g} s")
        self._request = item if isinstance(item, Request) else None
        message = item.message if isinstance(item, Request) else item
        if not isinstance(message, kind):
            raise UnexpectedError(f"{type_name(message)} came where {kind.__name__} was expected")
        return message

    async def expect_none(self, within: float) -> None:
        """See that nothing comes for so long.

        Raises:
            UnexpectedError: something came.
        """
        item = await self._next(within)
        if item is not None:
            came = type_name(item.message if isinstance(item, Request) else item)
            raise UnexpectedError(f"{came} came where nothing was expected")

    def reply(self, value: Any) -> None:
        """Answer the call expected last."""
        self._cell.answer(self._take(), value)

    def fail(self, failure: CallFailure) -> None:
        """Answer the call expected last with a declared failure."""
        self._cell.answer_failure(self._take(), failure)

    def cast(self, ref: Ref[Q], message: Cast[Q]) -> None:
        """Send as this probe."""
        hub = self._cell.hub
        outer, hub.turning = hub.turning, self._cell
        try:
            ref.cast(message)
        finally:
            hub.turning = outer

    def monitor(self, ref: Ref[Any]) -> None:
        """Expect a `Down` when the actor at `ref` ends."""
        self._cell.traits.ctx(self._cell).monitor(ref)

    def link(self, ref: Ref[Any]) -> None:
        """Link with the actor at `ref`; a probe traps exits."""
        self._cell.traps = True
        self._cell.link(ref.resolve())

    def end(self, reason: Reason = Shutdown()) -> None:  # noqa: B008 - frozen
        """Die, as an actor would."""
        if not self._cell.is_dead:
            self._cell.ends(reason)
            self._cell.announce()

    def _take(self) -> Request:
        if self._request is None:
            raise UnexpectedError("there is no call to answer: expect one first")
        request, self._request = self._request, None
        return request

    async def _next(self, within: float) -> Any:
        cell = self._cell
        with anyio.move_on_after(within):
            while not cell.inbox:
                cell.news = anyio.Event()
                await cell.news.wait()
        return cell.inbox.popleft() if cell.inbox else None
