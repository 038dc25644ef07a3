"""Messages on their way: calls in flight, the runtime's own mail, the bounded mailbox."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Final

import msgspec

from keygrove_actors.hub import Hub, type_name
from keygrove_actors.messages import CallTimeout, MailboxFull, NoProc
from keygrove_actors.outcomes import Continue
from keygrove_actors.reports import Cause
from keygrove_actors.specs import ChildSpec, Overflow

if TYPE_CHECKING:
    from keygrove_actors.backend import Parker
    from keygrove_actors.lanes import Lanes
    from keygrove_actors.outcomes import Trace

EMPTY: Final[deque[Any]] = deque(maxlen=0)
"""Every mailbox before its first message: a deque of its own takes 760 bytes."""


class Request(msgspec.Struct, eq=False):
    """A call on its way: the message, and the parker its caller waits at.

    `up_by` is until when it waits for somebody to be there. `handles` counts the `ReplyTo`s
    that live: when the last one of a deferred call is gone, nobody can answer it any more.
    A struct, since its `__init__` is not Python's.
    """

    message: object
    parker: Parker[Any]
    to: Mailbox | None
    timeout: float = 0.0
    deadline: float = inf
    trace: Trace | None = None
    was_late: bool = False
    up_by: float = -inf
    handles: int = 0

    def expire(self) -> None:
        """The deadline passed; the wheel calls this."""
        if not self.parker.done():
            self.was_late = True
            assert self.to is not None
            self.fail(CallTimeout(self.to.label, type_name(self.message), self.timeout))

    def fail(self, error: Exception) -> None:
        """Let the caller raise `error`, if it still waits."""
        if not self.parker.done():
            if self.to is not None:
                self.to.hub.counters.call_failed(error)
            self.parker.set_exception(error)


DIRECT: Final[Any] = Request(None, None, None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - stands for a request, is none
"""The call at hand in a direct turn, until somebody needs a real one (`Cell.at_hand`)."""


class Command(Request, eq=False):
    """A request of the runtime's own: a function of the cell, run between two messages."""

    def run(self, cell: Any) -> None:
        """Do it, and answer."""
        if self.parker.done():
            return
        try:
            answer: Any = self.message(cell)  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - it goes to whoever asked
            self.fail(error)
        else:
            self.parker.set_result(answer)


class Notice:
    """Mail from the runtime itself: a monitor that fired, a timer that is due."""

    __slots__ = ()

    def unwrap(self) -> object:
        """The message for the handler, or `WITHDRAWN`, if that came while it waited."""
        raise NotImplementedError


WITHDRAWN: Final = object()
"""Stands for the message of a notice that was taken back; None is a message like any other."""


def message_of(item: object) -> Any:
    """What an item of mail brings: itself, unless it is a notice."""
    return item.unwrap() if isinstance(item, Notice) else item


class Envelope(Notice):
    """A cast with a trace around it."""

    __slots__ = ("message", "trace")

    def __init__(self, message: object, trace: Trace) -> None:
        self.message = message
        self.trace = trace

    def unwrap(self) -> object:
        """The cast."""
        return self.message


_RUNTIMES_OWN: Final = (Notice, Command, Continue)
"""What no policy may drop: it is not a message."""


class Waiting:
    """A sender that waits for room in a full mailbox."""

    __slots__ = ("item", "parker")

    def __init__(self, item: Any, parker: Parker[None] | None) -> None:
        self.item = item
        self.parker = parker

    def is_gone(self) -> bool:
        """Whether the sender was cancelled, or its call has its outcome already."""
        parker: Parker[Any] = self.item.parker if self.parker is None else self.parker
        return parker.done()


class Mailbox(ABC):
    """What waits for one actor. Deriving classes say how it gets to look.

    `is_idle` is the one flag of the fast paths: alive, started, nothing in the mailbox,
    nobody going to look at it, not suspended. `room` is the limit, or 0 where a message
    must take the slow way in (`_admit`): dead, no queue yet, or a gate to pass.
    """

    __slots__ = (
        "box",
        "high_water",
        "hub",
        "is_dead",
        "is_idle",
        "limit",
        "line",
        "path",
        "room",
        "spec",
    )

    def __init__(self, hub: Hub, spec: ChildSpec, path: str) -> None:
        self.hub = hub
        self.spec = spec
        self.path = path
        self.box: deque[Any] | Lanes = EMPTY
        self.limit = sys.maxsize if spec.mailbox.limit is None else spec.mailbox.limit
        self.room = 0
        self.line: deque[Waiting] | None = None
        self.high_water = 0
        self.is_idle = False
        self.is_dead = False

    @property
    def label(self) -> str:
        """What people call it: its name, else the way to it."""
        return self.spec.name or self.path

    @abstractmethod
    def wake(self, item: Any) -> None:
        """See to it that `item`, the first in an idle mailbox, is handled."""

    def new_box(self) -> deque[Any] | Lanes:
        """The mailbox itself, made for the first message."""
        return deque()

    def post(self, item: Any, *, strict: bool = False) -> None:
        """Queue a message or a request, within the mailbox's limit."""
        if len(self.box) >= self.room and not self._admit(item, strict=strict):
            return
        self.box.append(item)
        if self.is_idle:
            self.wake(item)

    def post_signal(self, item: Any) -> None:
        """Queue what the runtime owes the actor, whatever the limit."""
        if self.is_dead:
            return
        if self.box is EMPTY:
            self.box = self.new_box()
        self.box.append(item)
        if self.is_idle:
            self.wake(item)

    def post_first(self, items: list[Any]) -> None:
        """Queue `items` before all other mail, in their order, whatever the limit."""
        if self.is_dead or not items:
            return
        if self.box is EMPTY:
            self.box = self.new_box()
        self.box.extendleft(reversed(items))
        if self.is_idle:
            self.wake(self.box[0])

    def is_full(self) -> bool:
        """Whether a sender has to wait, where the policy is to wait."""
        return len(self.box) >= self.limit or bool(self.line)

    def stand_in_line(self, item: Any, parker: Parker[None] | None) -> Waiting:
        """Let `item` wait for room, behind those that wait already."""
        if self.line is None:
            self.line = deque()
        waiting = Waiting(item, parker)
        self.line.append(waiting)
        return waiting

    def refill(self) -> bool:
        """Let in those who wait for room, first come first served; whether there is mail."""
        line, box = self.line, self.box
        assert line is not None
        while line and len(box) < self.limit:
            waiting = line.popleft()
            if waiting.is_gone():
                continue
            box.append(waiting.item)
            if waiting.parker is not None:
                waiting.parker.set_result(None)
        if not line:
            self.line = None
        return bool(box)

    def dismiss_line(self) -> None:
        """The actor is dead: tell all who wait."""
        line, self.line = self.line, None
        for waiting in line or ():
            if waiting.is_gone():
                continue
            error = NoProc(self.label, type_name(getattr(waiting.item, "message", waiting.item)))
            if waiting.parker is None:
                waiting.item.fail(error)
            else:
                self.hub.dead_letter(self.label, waiting.item, Cause.DIED)
                waiting.parker.set_exception(error)

    def _admit(self, item: Any, *, strict: bool) -> bool:
        """Whether `item` may be queued now; the slow way of `post`."""
        if self.is_dead:
            self._turn_away(item)
            return False
        gate = self.hub.gate
        if gate is not None and not gate.admits(self, item):
            return False
        if self.box is EMPTY:
            self.box = self.new_box()
        if gate is None:
            self.room = self.limit
        return len(self.box) < self.limit or self._make_room(item, strict=strict)

    def _make_room(self, item: Any, *, strict: bool) -> bool:
        policy = self.spec.mailbox.overflow
        self.high_water = max(self.high_water, len(self.box))
        if policy is Overflow.DROP_OLDEST:
            for position, oldest in enumerate(self.box):
                if type(oldest) is Envelope or not isinstance(oldest, _RUNTIMES_OWN):
                    del self.box[position]
                    self._refuse(oldest)
                    return True
        if policy is Overflow.BLOCK and isinstance(item, Request):
            self.stand_in_line(item, None)
            return False
        full = MailboxFull(self.label, self.limit)
        may_tell = policy in {Overflow.REJECT, Overflow.BLOCK}
        if isinstance(item, Request) or (strict and may_tell):
            raise full
        self._refuse(item)
        return False

    def _refuse(self, item: Any) -> None:
        dropped = self.hub.counters.dropped
        policy = self.spec.mailbox.overflow.value
        dropped[policy] = dropped.get(policy, 0) + 1
        if isinstance(item, Request):
            item.fail(MailboxFull(self.label, self.limit))
            return
        self.hub.counters.timers_dropped += isinstance(item, Notice) and type(item) is not Envelope
        self.hub.dead_letter(self.label, message_of(item), Cause.OVERFLOW)

    def _turn_away(self, item: Any) -> None:
        if isinstance(item, Request):
            item.fail(NoProc(self.label, type_name(item.message)))
        elif not isinstance(item, Notice) or type(item) is Envelope:
            self.hub.dead_letter(self.label, getattr(item, "message", item), Cause.NO_PROC)
