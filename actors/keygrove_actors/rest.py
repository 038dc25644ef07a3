"""What happens when nothing happens: `idle_after` and `hibernate_after`.

Both count from the last message of a user; timers, signals and the runtime's own
questions do not reset them (A-112). A class that uses neither pays nothing.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from keygrove_actors.mail import EMPTY, Command, Notice
from keygrove_actors.outcomes import Continue, Idle
from keygrove_actors.wheel import Alarm

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell

_NO_USERS = (Notice, Command, Continue, Idle)


class Rest:
    """One actor's quiet time."""

    __slots__ = ("_alarm", "_cell", "_has_told", "_is_asleep", "_last")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._has_told = self._is_asleep = False
        self._alarm: Alarm | None = None
        self._last = cell.hub.backend.now()
        self._arm()

    def touch(self, item: Any) -> None:
        """A message is about to be handled."""
        if isinstance(item, _NO_USERS):
            return
        self._has_told = self._is_asleep = False
        self._last = self._cell.hub.backend.now()
        if self._alarm is None:
            self._arm()

    def cancel(self) -> None:
        """The actor is dead."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _due(self) -> float:
        traits = self._cell.traits
        idle = inf if traits.idle_after is None or self._has_told else traits.idle_after
        sleep = inf if traits.hibernate_after is None or self._is_asleep else traits.hibernate_after
        return self._last + min(idle, sleep)

    def _arm(self) -> None:
        due = self._due()
        self._alarm = Alarm(self._cell.hub.wheel, due, self._ring) if due < inf else None

    def _ring(self) -> None:
        cell = self._cell
        now = cell.hub.backend.now()
        if not cell.is_idle:
            self._last = now
        elif now >= self._due():
            quiet = now - self._last
            traits = cell.traits
            if traits.idle_after is not None and not self._has_told and quiet >= traits.idle_after:
                self._has_told = True
                cell.post_signal(Idle())
            else:
                self._is_asleep = True
                cell.hibernate()
        self._arm()


def fall_asleep(cell: Cell) -> None:
    """Give back what an idle actor can do without: task, queue, context, its own caches."""
    if not cell.is_idle:
        return
    try:
        cell.actor.on_hibernate()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - let it crash: the reason is made of it
        cell.crashed(error)
        cell.signalled()
        return
    cell.box, cell.room = EMPTY, 0
    if cell.host is None:
        cell.context = None
    elif cell.host.leave():
        cell.is_idle = False
