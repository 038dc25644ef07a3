"""The points of the product, armed in a simulation; see `keygrove.points`.

Each point has a stream of its own and is active in a quarter of the runs, so that one more of
them changes nothing about the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from keygrove.points import BUGGIFIED
from keygrove_chaos.fence import NodeDeadError
from keygrove_chaos.plan import CrashAt
from keygrove_chaos.world import HOST, World

ACTIVE: Final = 0.25
"""The share of runs in which a point may fire,"""
FIRES: Final = 0.2
"""and of its visits in these at which it does."""


class Arming:
    """See `points.Points`: for all nodes of a world. `kill` ends the process of a node."""

    def __init__(self, world: World, kill: Callable[[str], object], *, is_buggified: bool) -> None:
        self._world = world
        self._kill = kill
        self._active = [
            name
            for name in BUGGIFIED
            if is_buggified and world.stream(f"point:{name}").random() < ACTIVE
        ]
        self._armed: dict[str, tuple[str, str]] = {}
        """By fault: at which node, and point."""
        self._left: dict[str, int] = {}
        """By fault: visits until it strikes; 0 when it did."""

    def arm(self, fault_id: str, node: str, fault: CrashAt) -> None:
        """Kill the node at that visit from here."""
        self._armed[fault_id] = (node, fault.point)
        self._left[fault_id] = fault.visit

    def disarm(self, fault_id: str) -> int:
        """Do not, any more; whether it has struck, as 0 or 1."""
        del self._armed[fault_id]
        return int(self._left.pop(fault_id) == 0)

    def fires(self, name: str) -> bool:
        """See `points.Points`."""
        assert name in BUGGIFIED, f"{name} is not described in keygrove.points"
        if name not in self._active or self._world.stream(f"point:{name}").random() >= FIRES:
            return False
        self._world.note("buggify", HOST.get(), name)
        self._world.count(f"buggify:{name}")
        return True

    def crash(self, name: str) -> None:
        """See `points.Points`."""
        host = HOST.get()
        self._world.count(f"visit:{name}")
        for fault_id, place in self._armed.items():
            if place != (host, name) or not self._left[fault_id]:
                continue
            self._left[fault_id] -= 1
            if self._left[fault_id]:
                continue
            self._world.note("crash point", host, name)
            self._world.count(f"crash:{name}")
            self._kill(host)
            raise NodeDeadError

    def reached(self, name: str) -> None:
        """See `points.Points`."""
        self._world.count(f"sometimes:{name}")
