"""What a seed decides before anything runs: the nodes, what clients ask, which faults strike when.

All of it is data. A run consumes it, so a fault can be taken away and the rest stays what it
was; only what happens to single packets and writes is drawn while they are under way. `swarm`
draws plans.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from keygrove_chaos.clock import ClockFault
from keygrove_chaos.disk_faults import DiskFault
from keygrove_chaos.net_faults import NetFault, Pair

Mode: TypeAlias = Literal["safety", "drain", "liveness"]
"""What a run is about.

`safety`: every fault is over in the end, and what was promised must be there. `drain`: nodes are
stopped in order as well, with nothing on disk or network that could be to blame. `liveness`:
half-way, what is not of the core fails for good, and the core must serve (TigerBeetle's finding:
faults that always heal never show what a permanent one does).
"""

Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What befalls a process."""


class Kill(_Fault, frozen=True, kw_only=True, tag="proc.kill"):
    """The process is killed; it is started again when this is over."""

    is_silent: bool = False
    """Peers are not told that their connections are gone."""


class PowerCut(_Fault, frozen=True, kw_only=True, tag="proc.power"):
    """The power fails, which costs what was not synchronised; it is back when this is over."""


class Stop(_Fault, frozen=True, kw_only=True, tag="proc.stop"):
    """The node is asked to stop, and started again when this is over."""


class Pause(_Fault, frozen=True, kw_only=True, tag="proc.pause"):
    """The machine stands still; clients, and time, go on."""


class CrashAt(_Fault, frozen=True, kw_only=True, tag="proc.crash_at"):
    """The process is killed at the n-th visit of a crash point of `keygrove.points`."""

    point: str
    visit: Annotated[int, msgspec.Meta(ge=1)] = 1


class CrashActor(_Fault, frozen=True, kw_only=True, tag="actor.kill"):
    """The actor of this name crashes."""

    name: str


ProcessFault: TypeAlias = Kill | PowerCut | Stop | Pause | CrashAt | CrashActor
What: TypeAlias = ProcessFault | DiskFault | NetFault | ClockFault


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: on which node, from when, for how long. Of the network, on which links."""

    id: str
    at: Seconds
    lasts_s: Seconds | None
    """None: for good."""
    node: str
    what: What
    links: tuple[Pair, ...] = ()

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return float("inf") if self.lasts_s is None else self.at + self.lasts_s


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request: put user ID `text` on key `key`, get it, or search for `text`."""

    at: Seconds
    client: str
    node: str
    verb: Literal["put", "get", "search"]
    key: int
    text: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run, in virtual seconds."""

    seed: int
    mode: Mode
    features: dict[str, bool]
    nodes: tuple[str, ...]
    core: tuple[str, ...]
    """Nodes that no permanent fault strikes."""
    clients: dict[str, str]
    """The node that each asks."""
    shards: int
    cache_bytes: int
    lasts_s: Seconds
    program: tuple[Ask, ...]
    faults: tuple[Fault, ...]
