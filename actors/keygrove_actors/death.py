"""An actor's death, as others learn of it: in the order of A-072."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keygrove_actors.groups import leave_all
from keygrove_actors.hub import type_name
from keygrove_actors.mail import DIRECT, Envelope, Notice, Request
from keygrove_actors.messages import CalleeExit, Reason
from keygrove_actors.reports import Cause

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell


def bury(cell: Cell) -> None:
    """Strike a dead cell out of all tables; answer and tell everyone who waits for it."""
    reason = cell.reason
    assert reason is not None
    for timer in list(cell.timers or ()):
        timer.cancel()
    if cell.rest is not None:
        cell.rest.cancel()
    for name in (cell.spec.name, *(cell.aliases or ())):
        if name is not None:
            cell.hub.unregister(name, cell)
    leave_all(cell)
    _abandon_mail(cell, reason)
    cell.break_links(reason)
    _tell_watchers(cell, reason)
    cell.unfence()
    cell.parent.child_ended(cell)


def _abandon_mail(cell: Cell, reason: Reason) -> None:
    at_hand = () if cell.current is None else (cell.current,)
    held = [*at_hand, *(cell.deferred or ()), *(cell.currents or {}).values()]
    queued = cell.drop_mail()
    cell.current = cell.deferred = cell.currents = None
    for item in (*held, *queued):
        if isinstance(item, Request):
            if item is not DIRECT:
                item.fail(CalleeExit(cell.label, type_name(item.message), reason))
        elif type(item) is Envelope or not isinstance(item, Notice):
            cell.hub.dead_letter(cell.label, getattr(item, "message", item), Cause.DIED)
    cell.dismiss_line()


def _tell_watchers(cell: Cell, reason: Reason) -> None:
    for monitor in list((cell.monitors or {}).values()):
        monitor.forget()
    watchers, cell.watchers = cell.watchers or {}, None
    for monitor_id, watcher in watchers.items():
        armed = (watcher.monitors or {}).get(monitor_id)
        if armed is not None:
            armed.fire(reason)
