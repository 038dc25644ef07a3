"""Groups of actors by name, in the manner of OTP's `pg`, on this node.

An actor may join a group several times and is listed as often; its death takes it out of
all. A group without members does not exist. Whoever monitors a group gets its members at
that moment, and then each change as mail: no gap, no duplicate (A-085 to A-087).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keygrove_actors.outcomes import Joined, Left

if TYPE_CHECKING:
    from keygrove_actors.cell import Cell
    from keygrove_actors.hub import Hub
    from keygrove_actors.ref import Ref


def join(cell: Cell, group: str) -> None:
    """Be listed once more."""
    members = cell.hub.groups.setdefault(group, {})
    members[cell] = members.get(cell, 0) + 1
    if cell.groups is None:
        cell.groups = {}
    cell.groups[group] = members[cell]
    _tell(cell, group, Joined)


def leave(cell: Cell, group: str) -> bool:
    """Be listed once less; whether it was listed at all."""
    if cell.groups is None or group not in cell.groups:
        return False
    members = cell.hub.groups[group]
    members[cell] -= 1
    if members[cell]:
        cell.groups[group] = members[cell]
    else:
        del members[cell], cell.groups[group]
    if not members:
        del cell.hub.groups[group]
    _tell(cell, group, Left)
    return True


def leave_all(cell: Cell) -> None:
    """The actor is dead: take it out of all groups, and let it monitor none."""
    for group, times in list((cell.groups or {}).items()):
        for _ in range(times):
            leave(cell, group)
    if cell.hub.group_monitors:
        for group in list(cell.hub.group_monitors):
            unwatch(cell, group)


def members(hub: Hub, group: str) -> list[Ref[Any]]:
    """Who is in the group, each as often as it joined, in the order of first joining."""
    cells = hub.groups.get(group, {})
    return [cell.ref_of(cell) for cell, times in cells.items() for _ in range(times)]


def watch(cell: Cell, group: str) -> list[Ref[Any]]:
    """The members now; changes from now on come as mail."""
    cell.hub.group_monitors.setdefault(group, {})[cell] = None
    return members(cell.hub, group)


def unwatch(cell: Cell, group: str) -> None:
    """Hear no more of changes."""
    watching = cell.hub.group_monitors.get(group)
    if watching is not None:
        watching.pop(cell, None)
        if not watching:
            del cell.hub.group_monitors[group]


def _tell(cell: Cell, group: str, change: type[Joined | Left]) -> None:
    for watcher in list(cell.hub.group_monitors.get(group, ())):
        watcher.post_signal(change(group, cell.ref_of(cell)))
