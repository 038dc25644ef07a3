"""Monitors: one actor is told, once, when another ends.

Links, which let actors die together, are in `signals`; the link between a child and its
supervisor is `Cell.parent`.
"""

from __future__ import annotations

from typing import Any

from keygrove_actors.cell import Cell
from keygrove_actors.mail import WITHDRAWN, Notice
from keygrove_actors.messages import Down, GoneReason, MonitorId, Reason
from keygrove_actors.ref import Ref


class Monitor(Notice):
    """One monitor. When it fires it is itself the mail, so that it can be withdrawn."""

    __slots__ = ("_id", "_reason", "_ref", "_target", "_watcher")

    def __init__(self, watcher: Cell, ref: Ref[Any], monitor_id: MonitorId) -> None:
        self._watcher = watcher
        self._ref = ref
        self._id = monitor_id
        self._target = ref.resolve()
        self._reason: Reason | None = None

    @classmethod
    def set(cls, watcher: Cell, ref: Ref[Any]) -> MonitorId:
        """Watch whoever is at `ref`; if nobody is, fire at once, as mail."""
        monitor_id = watcher.hub.monitor_id()
        monitor = cls(watcher, ref, monitor_id)
        if watcher.monitors is None:
            watcher.monitors = {}
        watcher.monitors[monitor_id] = monitor
        target = monitor._target
        if target is None:
            monitor.fire(GoneReason())
        else:
            if target.watchers is None:
                target.watchers = {}
            target.watchers[monitor_id] = watcher
        return monitor_id

    def fire(self, reason: Reason) -> None:
        """The target ended: become mail, behind what it had sent (A-073)."""
        self._reason = reason
        self._target = None
        self._watcher.post_signal(self)

    def unwrap(self) -> Down | object:
        """The `Down`, unless the monitor was taken back meanwhile."""
        monitors = self._watcher.monitors
        if monitors is None or monitors.pop(self._id, None) is None:
            return WITHDRAWN
        assert self._reason is not None
        return Down(self._id, self._ref, self._reason)

    def withdraw(self, *, flush: bool) -> None:
        """Stop watching; with `flush`, a `Down` that waits already is not handled either."""
        self.forget()
        if (flush or self._reason is None) and self._watcher.monitors is not None:
            self._watcher.monitors.pop(self._id, None)

    def forget(self) -> None:
        """Take the monitor off its target."""
        if self._target is not None and self._target.watchers is not None:
            self._target.watchers.pop(self._id, None)
        self._target = None
