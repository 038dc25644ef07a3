"""Messages on their way: calls in flight, the runtime's own mail, the bounded mailbox."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from keygrove_actors.hub import Hub, type_name
from keygrove_actors.messages import CallTimeout, MailboxFull
from keygrove_actors.reports import Cause
from keygrove_actors.specs import ChildSpec, Overflow

if TYPE_CHECKING:
    from keygrove_actors.backend import Parker

EMPTY: Final[deque[Any]] = deque(maxlen=0)
"""Every mailbox before its first message: a deque of its own takes 760 bytes."""


class Request:
    """A call on its way: the message, and the parker its caller waits at."""

    __slots__ = ("deadline", "label", "message", "parker", "timeout", "was_late")

    def __init__(
        self, message: object, parker: Parker[Any], label: str, timeout: float, deadline: float
    ) -> None:
        self.message = message
        self.parker = parker
        self.label = label
        self.timeout = timeout
        self.deadline = deadline
        self.was_late = False

    def expire(self) -> None:
        """The deadline passed; the wheel calls this."""
        if not self.parker.done():
            self.was_late = True
            self.fail(CallTimeout(self.label, type_name(self.message), self.timeout))

    def fail(self, error: Exception) -> None:
        """Let the caller raise `error`, if it still waits."""
        if not self.parker.done():
            self.parker.set_exception(error)


class Notice:
    """Mail from the runtime itself: a monitor that fired, a timer that is due."""

    __slots__ = ()

    def unwrap(self) -> object:
        """The message for the handler, or None if it was withdrawn while it waited."""
        raise NotImplementedError


class Mailbox(ABC):
    """What waits for one actor. Deriving classes say how it gets to look."""

    __slots__ = ("box", "hub", "is_busy", "is_dead", "limit", "path", "spec")

    def __init__(self, hub: Hub, spec: ChildSpec, path: str) -> None:
        self.hub = hub
        self.spec = spec
        self.path = path
        self.box: deque[Any] = EMPTY
        self.limit = sys.maxsize if spec.mailbox.limit is None else spec.mailbox.limit
        self.is_busy = True
        self.is_dead = False

    @property
    def label(self) -> str:
        """What people call it: its name, else the way to it."""
        return self.spec.name or self.path

    @abstractmethod
    def wake(self, item: Any) -> None:
        """See to it that `item`, the first in an idle mailbox, is handled."""

    def post(self, item: Any, *, strict: bool = False) -> None:
        """Queue a message or a request, within the mailbox's limit."""
        box = self.box
        if len(box) >= self.limit and not self._make_room(item, strict=strict):
            return
        if box is EMPTY:
            box = self.box = deque()
        box.append(item)
        if not self.is_busy:
            self.wake(item)

    def post_signal(self, item: Any) -> None:
        """Queue what the runtime owes the actor, whatever the limit."""
        if self.is_dead:
            return
        if self.box is EMPTY:
            self.box = deque()
        self.box.append(item)
        if not self.is_busy:
            self.wake(item)

    def _make_room(self, item: Any, *, strict: bool) -> bool:
        policy = self.spec.mailbox.overflow
        if policy is Overflow.DROP_OLDEST:
            for position, oldest in enumerate(self.box):
                if not isinstance(oldest, Notice):
                    del self.box[position]
                    self._refuse(oldest)
                    return True
        full = MailboxFull(self.label, self.limit)
        if type(item) is Request or (strict and policy is Overflow.REJECT):
            raise full
        self._refuse(item)
        return False

    def _refuse(self, item: Any) -> None:
        if type(item) is Request:
            item.fail(MailboxFull(self.label, self.limit))
        else:
            self.hub.dead_letter(self.label, item, Cause.OVERFLOW)
