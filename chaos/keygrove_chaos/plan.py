"""What a seed decides before anything runs: the nodes, what clients ask, which faults strike when.

All of it is data. A run consumes it, so a fault can be taken away and the rest stays what it
was; only what happens to single packets and writes is drawn while they are under way. `swarm`
draws plans.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec

from keygrove.points import CRASHES, RECON_CRASHES
from keygrove_chaos.checked import Checked
from keygrove_chaos.clock import ClockFault
from keygrove_chaos.disk_faults import DiskFault
from keygrove_chaos.net_faults import NetFault, Pair, Swizzle

Mode: TypeAlias = Literal["safety", "drain", "liveness"]
"""What a run is about.

`safety`: every fault is over in the end, and what was promised must be there. `drain`: nodes are
stopped in order as well, with nothing on disk or network that could be to blame. `liveness`:
half-way, what is not of the core fails for good, and the core must serve (TigerBeetle's finding:
faults that always heal never show what a permanent one does).
"""

Feature: TypeAlias = Literal[
    "kill",
    "power",
    "pause",
    "point",
    "actor",
    "disk.slow",
    "disk.full",
    "disk.frozen",
    "disk.eio",
    "disk.sync",
    "disk.then_power",
    "net.slow",
    "net.bad",
    "net.cut",
    "net.odd",
    "clock",
    "crowd",
    "buggify",
    "presets",
    "recon",
    "ask.load",
    "ask.signatures",
    "ask.attack",
    "ask.admin",
    "ask.past",
    "ask.rollback",
    "rollback.then_crash",
]
"""What may be part of a run."""

Preset: TypeAlias = Literal["verified", "minimal", "sks-compatible"]
"""What a node keeps; see `keygrove.settings.PolicySettings`."""

Put: TypeAlias = Literal[
    "put", "load", "offer", "certify", "flood", "tire", "overtax", "forge", "revoke", "condemn"
]
PUTS: Final = frozenset(get_args(Put))
"""Verbs that submit something; `submissions` says what."""

Roll: TypeAlias = Literal["rollback", "undo"]
Verb: TypeAlias = Literal["get", "search", "block", "unblock", "snapshot", "past"] | Roll | Put

Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class _Fault(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
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

    def __post_init__(self) -> None:
        """See `Checked`."""
        super().__post_init__()
        known = CRASHES | RECON_CRASHES
        if self.point not in known:
            raise ValueError(f"{self.point!r} is no crash point: there are {', '.join(known)}")


class CrashActor(_Fault, frozen=True, kw_only=True, tag="actor.kill"):
    """The actor of this name crashes."""

    name: str


ProcessFault: TypeAlias = Kill | PowerCut | Stop | Pause | CrashAt | CrashActor
What: TypeAlias = ProcessFault | DiskFault | NetFault | ClockFault


class Fault(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True):
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


_NONCE: Final = re.compile(r"[0-9a-f]{32}")


class Ask(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One request.

    `put`, `load`, `certify`, `forge`: user ID `text` on key `key`: alone, as a dump has it, with
    others' signatures, and with signatures in its name that it did not make. `flood`, `tire`,
    `overtax`: with many of others' signatures, with what takes long to verify, and too long.
    `revoke`: a revocation that comes alone. `offer`: as `put`, by the partner `origin`. `condemn`:
    the key revokes itself for good. `get` the key, or `search` for `text`. `block` and `unblock`:
    an administrator's signed request, whose nonce is `text`. `snapshot`: take one of name `text`.
    `past`: the key as that snapshot has it. `rollback` and `undo`: take back what the partner
    `origin` brought, and restore it.
    """

    at: Seconds
    client: str
    node: str
    verb: Verb
    key: Annotated[int, msgspec.Meta(ge=0)]
    text: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        """See `Checked`."""
        super().__post_init__()
        if self.verb in {"offer", "rollback", "undo"} and not self.origin:
            raise ValueError(f"origin: {self.verb} needs the name of a partner")
        if self.verb in {"block", "unblock"} and not _NONCE.fullmatch(self.text):
            raise ValueError(f"text: {self.text!r:.80} is no nonce: write 32 hexadecimal digits")


class Plan(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run, in virtual seconds. What it refers to is in it."""

    seed: int
    mode: Mode
    features: dict[Feature, bool]
    nodes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    core: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Nodes that no permanent fault strikes."""
    clients: dict[str, str]
    """The node that each asks."""
    shards: Annotated[int, msgspec.Meta(ge=1)]
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)]
    lasts_s: Seconds
    program: tuple[Ask, ...]
    faults: tuple[Fault, ...]
    presets: dict[str, Preset] = msgspec.field(default_factory=dict[str, Preset])
    """Of nodes that have another than `verified`."""

    def __post_init__(self) -> None:
        """See `Checked`."""
        super().__post_init__()
        nodes, hosts = set(self.nodes), {*self.nodes, *self.clients}
        if len(hosts) < len(self.nodes) + len(self.clients):
            raise ValueError("nodes and clients: a name is there twice")
        _known("core", self.core, nodes)
        _known("presets", self.presets, nodes)
        for client, node in self.clients.items():
            _known(f"clients.{client}", (node,), nodes)
        for place, ask in enumerate(self.program):
            _known(f"program[{place}].client", (ask.client,), set(self.clients))
            _known(f"program[{place}].node", (ask.node,), nodes)
        ids: set[str] = set()
        for place, fault in enumerate(self.faults):
            if fault.id in ids:
                raise ValueError(f"faults[{place}].id: {fault.id!r} is there twice")
            ids.add(fault.id)
            _known(f"faults[{place}].node", (fault.node,), nodes)
            _known(f"faults[{place}].links", (host for pair in fault.links for host in pair), hosts)
            if isinstance(fault.what, Swizzle):
                _known(f"faults[{place}].what.hosts", fault.what.hosts, nodes)


def _known(field: str, names: Iterable[str], known: Set[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field}: there is no {name!r}, only {', '.join(sorted(known))}")
