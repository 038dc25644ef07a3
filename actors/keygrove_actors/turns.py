"""Handling messages: which handler, and in which order.

Plain functions run in the turn itself; a message for a coroutine function is handed back
as `Work`, to be done by the actor's task before the next message is looked at.

Two tables make the fast paths: `plain`, looked up for each message of a turn, and
`direct`, looked up by callers that would run the handler themselves. An actor under
observation (`watch`) has both empty, so that all its mail takes the slow way, and an
unobserved one pays nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final

from keygrove_actors.host import TURN_MESSAGES, TURN_S, Work
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.lanes import Lanes
from keygrove_actors.mail import (
    EMPTY,
    WITHDRAWN,
    Command,
    Envelope,
    Notice,
    Request,
    message_of,
)
from keygrove_actors.messages import DeclaredError, WrongProtocol
from keygrove_actors.outcomes import Continue
from keygrove_actors.reports import Cause
from keygrove_actors.settling import NOT_VALUES, Settling
from keygrove_actors.specs import ChildSpec
from keygrove_actors.traits import Plain, is_slow

if TYPE_CHECKING:
    from keygrove_actors.actor import Actor
    from keygrove_actors.outcomes import Trace
    from keygrove_actors.rest import Rest

NO_HANDLERS: Final[dict[type[Any], Plain]] = {}


class Turns(Settling):
    """A mailbox with an actor behind it."""

    __slots__ = (
        "actor",
        "direct",
        "handled",
        "is_suspended",
        "plain",
        "rest",
        "trace",
    )

    def __init__(self, hub: Hub, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, spec, path)
        self.actor: Actor[Any]
        self.plain = self.direct = NO_HANDLERS
        self.is_suspended = False
        self.handled: int = 0
        self.trace: Trace | None = None
        self.rest: Rest | None = None

    @abstractmethod
    def schedule(self) -> None:
        """Ask the loop for a turn."""

    @abstractmethod
    def crashed(self, error: BaseException) -> None:
        """A handler raised."""

    def new_box(self) -> deque[Any] | Lanes:
        """The mailbox itself, with lanes if the class has any."""
        return Lanes() if self.traits.has_lanes else deque()

    def retable(self) -> None:
        """Fill the tables of the fast paths anew, after anything they depend on changed."""
        traits, hub = self.traits, self.hub
        if self.watch is not None or self.rest is not None:
            self.plain = self.direct = NO_HANDLERS
            return
        self.plain = traits.plain
        self.direct = traits.direct if hub.direct and not self.is_suspended else NO_HANDLERS
        if hub.gate is not None:
            self.direct = hub.gate.direct(self, self.direct)

    def turn(self) -> Work | None:  # noqa: C901, PLR0912 - the hottest loop of all stays in one frame
        """Handle plain messages in order; stop at one that needs the task and return it."""
        box, plain, actor = self.box, self.plain, self.actor
        depth = len(box)
        if depth > self.high_water:  # noqa: PLR1730 - `max` takes longer than a message
            self.high_water = depth
        until = self.hub.backend.clock() + TURN_S if depth > 1 else inf
        done, look = 0, 1
        kind: Any
        try:
            while True:
                while done < look and box and not self.halted:
                    item: Any = box.popleft()
                    kind = type(item)  # pyright: ignore[reportUnknownVariableType] - anything can be in the mail
                    function = plain.get(kind)
                    if function is not None:
                        outcome = function(actor, item)
                        if outcome is not None:
                            self.settle(item, outcome)
                    elif (
                        kind is Request
                        and not item.parker.done()
                        and (function := plain.get(type(item.message))) is not None  # pyright: ignore[reportUnknownArgumentType] - the same
                    ):
                        self.current = item
                        try:
                            answer = function(actor, item.message)
                        except DeclaredError as error:
                            self.declared(item, error)
                        else:
                            if type(answer) in NOT_VALUES:
                                self._settle_special(item, answer)
                            else:
                                self.answer(item, answer)
                        self.current = None
                    elif (work := self._handle(item)) is not None:
                        return work
                    done += 1
                if self.halted:
                    return self._halt()
                if not box and not (self.line and self.refill()):
                    self.is_idle = True
                    return None
                if done == look:
                    if done >= TURN_MESSAGES or self.hub.backend.clock() >= until:
                        break
                    look += done  # so it overruns its time by no more than it took
        except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
            self.crashed(error)
            return None
        finally:
            self.handled += done
            if self.line:
                self.refill()
        self.schedule()
        return None

    def _halt(self) -> Work | None:
        """Nothing may be begun; what the runtime asks while suspended is answered, though."""
        box = self.box
        while self.reason is None and box and type(box[0]) is Command:
            box.popleft().run(self)
        if not self.halted:
            self.schedule()
        return None

    def _handle(self, item: Any) -> Work | None:
        kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType] - see `turn`
        if self.plain is NO_HANDLERS and not self._is_let_in(item, kind):
            return None
        if kind is Request:
            return self._handle_call(item)
        if kind is Command:
            item.run(self)
            return None
        if kind is Continue:
            return self._run_either(type(self.actor).on_continue, item.value)
        message = message_of(item)
        if isinstance(item, Envelope):
            self.trace = item.trace
        return None if message is WITHDRAWN else self._dispatch(message, None)

    def _is_let_in(self, item: Any, kind: type[Any]) -> bool:
        """Tell the observers that there is a message; whether it is to be handled."""
        if self.rest is not None:
            self.rest.touch(item)
        if self.watch is None or kind is Command or self.watch.lets_in(item):
            return True
        if isinstance(item, Request):
            self._forget_answered()
            self._defer(item)
            self.hub.dead_letter(self.label, item.message, Cause.FILTERED)
        elif not isinstance(item, Notice):
            self.hub.dead_letter(self.label, item, Cause.FILTERED)
        return False

    def _forget_answered(self) -> None:
        """Keep no calls that a filter took away and that nobody waits for any more."""
        deferred = self.deferred or {}
        self.deferred = {one: at for one, at in deferred.items() if not one.parker.done()}

    def _handle_call(self, request: Request) -> Work | None:
        if request.parker.done():
            self._skip(request)
            return None
        self.current = request
        return self._dispatch(request.message, request)

    def _dispatch(self, message: object, request: Request | None) -> Work | None:
        kind: type[Any] = type(message)
        traits = self.traits
        slow = traits.slow.get(kind)
        if slow is not None:
            return self.entrust(Work(slow, message, request))
        plain = traits.plain.get(kind)
        if plain is not None:
            self._run(plain, message, request)
        elif request is not None:
            takes = (*traits.plain, *traits.slow)
            request.fail(WrongProtocol(self.label, type_name(message), traits.served, takes))
            self.current = None
        elif traits.info is not None:
            return self._run_either(traits.info, message)
        else:
            self.hub.unhandled(self, message)
        return None

    def _run_either(self, handler: Any, message: object) -> Work | None:
        if is_slow(handler):
            return self.entrust(Work(handler, message, None))
        self._run(handler, message, None)
        return None

    def _run(self, handler: Plain, message: object, request: Request | None) -> None:
        try:
            outcome = handler(self.actor, message)
        except DeclaredError as error:
            if request is None:
                raise
            self.declared(request, error)
        else:
            self.settle(message if request is None else request, outcome)
        self.current = self.trace = None

    def entrust(self, work: Work) -> Work | None:
        """Let the task do `work` before anything else; a reentrant actor takes it at once."""
        return work

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
            self.declared(request, error)
        else:
            self.settle(message if request is None else request, answer)
        self.current = self.trace = None
        self.handled += 1

    def drop_mail(self) -> list[Any]:
        """All that waits, in the order it would have been handled; nothing waits then."""
        queued, self.box = list(self.box), EMPTY
        stashed, self.stashed = self.stashed, None
        return [*(stashed or ()), *queued]

    def rebox(self) -> None:
        """Move what waits into a mailbox of the kind the present class asks for."""
        if self.box is not EMPTY:
            queued, self.box = self.box, self.new_box()
            for item in queued:
                self.box.append(item)
