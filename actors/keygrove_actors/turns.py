"""Handling messages: which handler, and what becomes of its outcome.

Plain functions run in the turn itself; a message for a coroutine function is handed back
as `Work`, to be done by the actor's task before the next message is looked at.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keygrove_actors.host import TURN_MESSAGES, Work
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Mailbox, Notice, Request
from keygrove_actors.messages import DeclaredError, Defer, Reason, Stop, StopReply, WrongProtocol
from keygrove_actors.reports import Cause
from keygrove_actors.specs import ChildSpec

if TYPE_CHECKING:
    from keygrove_actors.actor import Actor, Ctx
    from keygrove_actors.cell import Cell

_NONE: Final = object()
_NOT_VALUES: Final = frozenset({Defer, Stop, StopReply})


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


class Turns(Mailbox):
    """A mailbox with an actor behind it."""

    __slots__ = ("actor", "current", "deferred", "plain", "reason", "traits")

    def __init__(self, hub: Hub, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, spec, path)
        self.actor: Actor[Any]
        self.traits: Traits
        self.plain: dict[type[Any], Callable[[Any, Any], Any]] = {}
        self.reason: Reason | None = None
        self.current: Request | None = None
        self.deferred: dict[Request, None] | None = None

    @abstractmethod
    def schedule(self) -> None:
        """Ask the loop for a turn."""

    @abstractmethod
    def crashed(self, error: BaseException) -> None:
        """A handler raised."""

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
                item: Any = box.popleft()
                function = plain.get(type(item))  # pyright: ignore[reportUnknownArgumentType] - anything can be in the mail
                if function is not None:
                    outcome = function(actor, item)
                    if outcome is not None:
                        self.settle(None, outcome)
                elif (work := self._handle(item)) is not None:
                    return work
        except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
            self.crashed(error)
            return None
        self.schedule()
        return None

    def _handle(self, item: Any) -> Work | None:
        if type(item) is Request:
            return self._handle_call(item)
        message = item
        if isinstance(item, Notice):
            message = item.unwrap()
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
        kind: type[Any] = type(message)
        handler = self.traits.slow.get(kind)
        if handler is not None:
            return Work(handler, message, request)
        plain = self.plain.get(kind)
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
                self._defer(request)
            return
        reply: object = getattr(outcome, "reply", _NONE)
        if request is not None and reply is not _NONE:
            self.answer(request, reply)
        elif request is not None:
            self._defer(request)
        self.reason = self.reason or outcome.reason

    def _defer(self, request: Request) -> None:
        if self.deferred is None:
            self.deferred = {}
        self.deferred[request] = None

    def _declared(self, request: Request, error: DeclaredError) -> None:
        message = request.message
        listed: tuple[type[Any], ...] = getattr(type(message), "errors", ())
        if type(error.failure) not in listed:
            raise error
        self.answer_failure(request, error)
