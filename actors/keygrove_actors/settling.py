"""What becomes of a handler's outcome: an answer, a later one, a put-off message, an end."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from keygrove_actors.failures import StashFull, WrongMoment
from keygrove_actors.hooks import not_awaited
from keygrove_actors.hub import Hub, type_name
from keygrove_actors.mail import Mailbox, Request
from keygrove_actors.messages import (
    CallFailure,
    DeclaredError,
    Defer,
    Reason,
    Stop,
    StopReply,
)
from keygrove_actors.outcomes import Continue, ContinueReply, Hibernate
from keygrove_actors.specs import ChildSpec
from keygrove_actors.traits import Traits

if TYPE_CHECKING:
    from keygrove_actors.watch import Watch

_NONE: Final = object()
NOT_VALUES: Final = frozenset(
    {Defer, Stop, StopReply, Continue, ContinueReply, Hibernate, CoroutineType}
)
"""The types of outcomes that ask for something, or are wrong; all others are answers."""


class Settling(Mailbox):
    """A mailbox whose messages come to something. `halted`: no message may be begun."""

    __slots__ = (
        "current",
        "deferred",
        "halted",
        "reason",
        "stashed",
        "traits",
        "watch",
    )

    def __init__(self, hub: Hub, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, spec, path)
        self.traits: Traits
        self.reason: Reason | None = None
        self.halted = False
        self.current: Request | None = None
        self.deferred: dict[Request, float] | None = None  # and since when
        self.stashed: deque[Any] | None = None
        self.watch: Watch | None = None

    @abstractmethod
    def hibernate(self) -> None:
        """Give back memory, once the mailbox is empty."""

    def settle(self, item: Any, outcome: Any) -> None:
        """Do with a handler's outcome what it asks for: mostly, answer the call."""
        if self.watch is not None:
            self.watch.settled(item, outcome)
        if type(outcome) in NOT_VALUES:
            self._settle_special(item if type(item) is Request else None, outcome)
        elif type(item) is Request:
            self.answer(item, outcome)

    def answer(self, request: Request, value: Any) -> None:
        """Hand `value` to the caller; a caller that has gone costs a count."""
        parker = request.parker
        if parker.done():
            self.hub.counters.late_replies += 1
        else:
            parker.set_result(value)

    def answer_failure(self, request: Request, failure: CallFailure) -> None:
        """Let the caller raise a declared failure."""
        request.fail(DeclaredError(failure, self.label, type_name(request.message)))

    def at_hand(self) -> Request | None:
        """The call that the running handler answers, if it is one."""
        return self.current

    def stash(self, message: object) -> None:
        """Put the message at hand aside (A-116)."""
        if len(self.stashed or ()) >= self.traits.stash_limit:
            raise StashFull(self.label, self.traits.stash_limit)
        self.put_aside(message)

    def put_aside(self, message: object) -> None:
        """Take the call or cast at hand out of the turn, to be queued again later."""
        if self.stashed is None:
            self.stashed = deque()
        self.stashed.append(self.at_hand() or message)

    def unstash_all(self) -> None:
        """Queue all that is put aside, before newer mail."""
        stashed, self.stashed = self.stashed, None
        self.post_first(list(stashed or ()))

    def _settle_special(self, request: Request | None, outcome: Any) -> None:
        reply: object = getattr(outcome, "reply", _NONE)
        if request is not None and reply is not _NONE:
            self.answer(request, reply)
        match outcome:
            case CoroutineType() | Defer.POSTPONE:
                raise self._wrong(outcome)
            case Defer.KEPT:
                pass
            case Defer.DEFER:
                self._answer_later(request)
            case Continue() | ContinueReply():
                self.post_first([Continue(outcome.value)])
            case Hibernate.HIBERNATE:
                self.hibernate()
            case _:
                if request is not None and reply is _NONE:
                    self._defer(request)
                self.ends(outcome.reason)

    def _wrong(self, outcome: Any) -> Exception:
        """The handler's crash, for an outcome that nothing can be done with."""
        if outcome is Defer.POSTPONE:
            return WrongMoment(f"{self.label} has no states to POSTPONE to", "use ctx.stash there")
        return not_awaited(self.label, outcome)

    def _answer_later(self, request: Request | None) -> None:
        if request is not None and not request.parker.done():
            self._defer(request)
            self.check_handles(request)

    def ends(self, reason: Reason) -> None:
        """Begin no further message; the first reason stays."""
        if self.reason is None:
            self.reason = reason
        self.halted = True

    def check_handles(self, request: Request) -> None:
        """Fail a deferred call that nobody can answer any more (A-098)."""

    def _defer(self, request: Request) -> None:
        if self.deferred is None:
            self.deferred = {}
        self.deferred[request] = self.hub.backend.now()

    def declared(self, request: Request, error: DeclaredError) -> None:
        """Answer with a failure, if the message class lists it; if not, it is a crash."""
        listed: tuple[type[Any], ...] = getattr(type(request.message), "errors", ())
        if type(error.failure) not in listed:
            raise error
        self.answer_failure(request, error.failure)
