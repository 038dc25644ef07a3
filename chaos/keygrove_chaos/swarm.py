"""The plan of a seed: which features it has, what clients ask, which faults strike.

Not every fault is in every run: a mailbox never fills while crashes keep emptying it. Each
feature is on or off by a coin of its own, strengths are drawn on a logarithmic scale, and each
feature draws from a stream of its own, so that one more of them changes no other.

Source: Groce et al., "Swarm testing" (2012).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

import msgspec

from keygrove.points import CRASHES
from keygrove_chaos import disk_faults as disk
from keygrove_chaos import net_faults as net
from keygrove_chaos.draws import DRAWN, moved, odd_network, partition
from keygrove_chaos.net_faults import Pair
from keygrove_chaos.plan import (
    Ask,
    CrashActor,
    CrashAt,
    Fault,
    Feature,
    Kill,
    Mode,
    Plan,
    PowerCut,
    Verb,
    What,
)
from keygrove_chaos.traffic import between, presets, program

MODES: Final[dict[Mode, float]] = {"safety": 0.7, "drain": 0.15, "liveness": 0.15}
"""The share of runs that each is of."""

FEATURES: Final[Mapping[Feature, float]] = {
    "kill": 0.5,
    "power": 0.5,
    "pause": 0.3,
    "point": 0.4,
    "actor": 0.5,
    "disk.slow": 0.4,
    "disk.full": 0.3,
    "disk.frozen": 0.2,
    "disk.eio": 0.3,
    "disk.sync": 0.3,
    "disk.then_power": 0.5,
    "net.slow": 0.4,
    "net.bad": 0.4,
    "net.cut": 0.4,
    "net.odd": 0.3,
    "clock": 0.3,
    "crowd": 0.3,
    "buggify": 0.5,
    "presets": 0.5,
    "recon": 0.4,
    "ask.load": 0.4,
    "ask.signatures": 0.4,
    "ask.attack": 0.4,
    "ask.admin": 0.5,
    "ask.past": 0.4,
    "ask.rollback": 0.4,
    "rollback.then_crash": 0.5,
}
"""What may be part of a run, and in which share of runs it is."""

ASKED: Final[frozenset[Feature]] = frozenset(
    {
        "presets",
        "recon",
        "ask.load",
        "ask.signatures",
        "ask.attack",
        "ask.admin",
        "ask.past",
        "ask.rollback",
    }
)
"""Features of what clients ask, and of nodes' settings."""
LATER: Final[frozenset[Feature]] = frozenset({*ASKED, "disk.frozen", "rollback.then_crash"})
"""Features that have nothing to do with how the others of a seed are drawn."""
SETTINGS: Final = frozenset({"crowd", "buggify", "disk.then_power", "rollback.then_crash"}) | ASKED
"""Features that are no faults of their own."""
ORDERLY: Final = ASKED | {
    "kill",
    "power",
    "point",
    "actor",
    "clock",
    "crowd",
    "buggify",
    "rollback.then_crash",
}
"""What may be part of a run in which nodes are stopped in order."""
MANY: Final = (1, 5)
"""Of each feature so many faults, at least and at most."""
CALM: Final = 0.8
"""After this share of the run no fault begins any more."""
PERMANENT: Final = 0.5
"""From this share of a run about liveness on, what is not of the core fails for good."""


def plan_for(seed: int, *, nodes: int = 3, lasts_s: float = 40.0) -> Plan:
    """The plan of a seed: the same in every process and on both engines."""
    random = Random(f"{seed}:plan")  # noqa: S311 - to be repeatable is its purpose
    mode = random.choices(list(MODES), list(MODES.values()))[0]
    drawn = _features(seed, random)
    features: dict[Feature, bool] = {
        name: is_on and (mode != "drain" or name in ORDERLY) for name, is_on in drawn.items()
    }
    names = tuple(f"n{number}" for number in range(nodes))
    count = random.randint(5, 9) if features["crowd"] else random.randint(2, 4)
    clients = {f"c{number}": random.choice(names) for number in range(count)}
    shards = random.randint(1, 4)
    core = (random.choice(names),) if mode == "liveness" else names
    faults = _Faults(seed, names, clients, shards, lasts_s)
    for name, is_on in features.items():
        if is_on and name not in SETTINGS:
            faults.add(name)
    if features["disk.then_power"]:
        faults.follow_with_power()
    asks = program(seed, clients, lasts_s, features)
    if features["rollback.then_crash"]:
        faults.follow_rollbacks(asks)
    if mode == "drain":
        faults.add("stop")
    if mode == "liveness":
        faults.make_permanent(core)
    return Plan(
        seed=seed,
        mode=mode,
        features=features,
        nodes=names,
        core=core,
        clients=clients,
        shards=shards,
        cache_bytes=random.choice((0, 2_000, 1 << 20)),
        lasts_s=lasts_s,
        program=asks,
        faults=tuple(sorted(faults.found, key=lambda fault: (fault.at, fault.id))),
        presets=presets(seed, names) if features["presets"] else {},
    )


def _features(seed: int, random: Random) -> dict[Feature, bool]:
    """Which are on. Those that came later draw from streams of their own."""
    return {
        name: (Random(f"{seed}:feature:{name}") if name in LATER else random).random() < share  # noqa: S311
        for name, share in FEATURES.items()
    }


class _Faults:
    """Draws the faults of one feature after the other."""

    def __init__(
        self,
        seed: int,
        nodes: tuple[str, ...],
        clients: Mapping[str, str],
        shards: int,
        lasts_s: float,
    ) -> None:
        self.found: list[Fault] = []
        self._seed = seed
        self._nodes = nodes
        self._clients = clients
        self._actors = (*(f"shard-{number}" for number in range(shards)), "ingest", "http", "space")
        self._lasts_s = lasts_s

    def add(self, feature: str) -> None:
        """Draw when and where it strikes, and how hard."""
        random = self._random(feature)
        for number in range(random.randint(*MANY)):
            node = random.choice(self._nodes)
            at = random.uniform(1.0, self._lasts_s * CALM)
            what = self._draw(feature, random)
            fault = Fault(
                id=f"{feature}-{number}",
                at=at,
                lasts_s=between(random, 0.1, 15.0),
                node=node,
                what=moved(what, at),
                links=self._links(random, node, what),
            )
            self.found.append(fault)

    def follow_with_power(self) -> None:
        """Let the power fail after half of the disks' faults: then it shows what they cost."""
        random = self._random("disk.then_power")
        for fault in [one for one in self.found if one.id.startswith("disk.")]:
            at = fault.ends_s + random.uniform(0.2, 5.0)
            if random.random() < 0.5 and at < self._lasts_s * CALM:
                self.found.append(
                    Fault(
                        id=f"{fault.id}-power",
                        at=at,
                        lasts_s=between(random, 0.1, 3.0),
                        node=fault.node,
                        what=PowerCut(),
                    )
                )

    def follow_rollbacks(self, asks: Iterable[Ask]) -> None:
        """Let processes die while they take something back, or restore it."""
        random = self._random("rollback.then_crash")
        first: dict[tuple[str, str, Verb], Ask] = {}
        for ask in asks:
            if ask.verb in {"rollback", "undo"}:
                first.setdefault((ask.node, ask.origin, ask.verb), ask)
        for number, ask in enumerate(first.values()):
            point = random.choice(("rollback.begun", "rollback.chunk"))
            fault = Fault(
                id=f"rollback-{number}",
                at=ask.at,
                lasts_s=between(random, 1.0, 10.0),
                node=ask.node,
                what=CrashAt(point=point, visit=random.randint(1, 4)),
            )
            if ask.at < self._lasts_s * CALM:
                self.found.append(fault)

    def make_permanent(self, core: tuple[str, ...]) -> None:
        """Let all that there is be over half-way, and then break what is not of the core."""
        since = self._lasts_s * PERMANENT
        random = self._random("permanent")
        self.found = [
            msgspec.structs.replace(fault, lasts_s=min(fault.lasts_s or 0.0, since - fault.at))
            for fault in self.found
            if fault.at < since
        ]
        for node in self._nodes:
            if node in core:
                continue
            what = random.choice((partition(random), disk.Erofs(), Kill(is_silent=True)))
            self.found.append(
                Fault(
                    id=f"permanent-{node}",
                    at=since,
                    lasts_s=None,
                    node=node,
                    what=what,
                    links=self._links(random, node, what),
                )
            )

    def _random(self, feature: str) -> Random:
        return Random(f"{self._seed}:faults:{feature}")  # noqa: S311

    def _draw(self, feature: str, random: Random) -> What:
        match feature:
            case "point":
                return CrashAt(point=random.choice(sorted(CRASHES)), visit=random.randint(1, 6))
            case "actor":
                return CrashActor(name=random.choice(self._actors))
            case "net.odd":
                return odd_network(random, self._nodes)
            case _:
                return DRAWN[feature](random)

    def _links(self, random: Random, node: str, what: What) -> tuple[Pair, ...]:
        """Those between the node and all, some, or one of its clients; here, there, or both."""
        if not isinstance(what, net.LinkFault) or isinstance(what, net.Swizzle):
            return ()
        clients = [client for client, asked in self._clients.items() if asked == node]
        if clients:
            reach = random.choice(("all", "some", "one"))
            sizes = {"all": len(clients), "some": random.randint(1, len(clients)), "one": 1}
            clients = random.sample(clients, sizes[reach])
        here = tuple((client, node) for client in clients)
        there = tuple((node, client) for client in clients)
        return random.choice((here, there, here + there, here + there))
