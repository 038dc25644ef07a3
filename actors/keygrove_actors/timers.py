"""Messages an actor sends itself later, once or again and again."""

from __future__ import annotations

from math import inf
from typing import Any, Final

from keygrove_actors.cell import Cell
from keygrove_actors.mail import WITHDRAWN, Notice
from keygrove_actors.messages import Cast
from keygrove_actors.wheel import Slot

EXACT_S: Final = 0.05
"""Delays below this are kept to the clock's own precision; others to a tick of the wheel."""


class MessageTimer(Notice):
    """A message that is due at a time; what `Ctx.send_after` and `send_every` return.

    Cancelling is strong: afterwards the message is never handled, even if it was queued
    already. A repeated message never bursts: while one waits in the mailbox no other
    joins it, and `missed` counts the ones left out.
    """

    __slots__ = (
        "_cell",
        "_due",
        "_every",
        "_is_exact",
        "_is_queued",
        "_slot",
        "message",
        "missed",
        "name",
    )

    def __init__(
        self, cell: Cell, message: Cast[Any], delay: float, *, every: float | None, name: str | None
    ) -> None:
        cell.hub.check_thread(cell, message)
        due = cell.hub.due(delay, "a timer's delay")
        if every is not None and not 0 < every < inf:
            raise ValueError(f"a timer cannot repeat each {every} seconds: use more than 0")
        self.message = message
        self.missed = 0
        self.name = name
        self._cell = cell
        self._every = every
        self._is_queued = False
        self._due = due
        self._is_exact = (delay if every is None else every) < EXACT_S
        self._slot: Slot | None = None
        if cell.is_dead:
            return
        if cell.timers is None:
            cell.timers = {}
        for other in [t for t in cell.timers if name is not None and t.name == name]:
            other.cancel()
        cell.timers[self] = None
        self._arm()

    def _arm(self) -> None:
        wheel = self._cell.hub.wheel
        self._slot = (wheel.add_exact if self._is_exact else wheel.add)(self._due, self)

    def cancel(self) -> float | None:
        """Withdraw the message; the seconds that were left, None if it was due already."""
        if self._cell.timers is not None:
            self._cell.timers.pop(self, None)
        slot, self._slot = self._slot, None
        if slot is None or self not in slot:
            return None
        del slot[self]
        return max(0.0, self._due - self._cell.hub.backend.now())

    def at_once(self) -> MessageTimer:
        """Be mail now, to be queued by whoever asks; it can still be cancelled."""
        if self._slot is not None:
            self._slot.pop(self, None)
            self._slot = None
        self._is_queued = True
        return self

    def expire(self) -> None:
        """The time has come; the wheel calls this."""
        cell = self._cell
        if self._is_queued:
            self.missed += 1
        else:
            self._is_queued = True
            if cell.watch is not None:
                cell.watch.timer(type(self.message).__name__)
            cell.post(self)
        if self._every is None:
            self._slot = None
            return
        now = cell.hub.backend.now()
        late = int((now - self._due) / self._every)
        self.missed += late
        self._due += self._every * (late + 1)
        self._arm()

    def unwrap(self) -> object:
        """The message, unless it was cancelled while it waited."""
        self._is_queued = False
        cell = self._cell
        if cell.timers is None or self not in cell.timers:
            return WITHDRAWN
        if self._every is None:
            del cell.timers[self]
        return self.message
