"""What a seed decides before anything runs: the nodes, what clients ask, which faults strike when.

All of it is data. A run consumes it, so a fault can be taken away and the rest stays what it
was; only what happens to single packets and writes is drawn while they are under way.

Not every fault is in every run (swarm testing: Groce et al., 2012): a mailbox never fills while
crashes keep emptying it. Each feature is on or off by a coin of its own, and its strength is
drawn on a logarithmic scale.
"""

from __future__ import annotations

from math import exp, log
from random import Random
from typing import Final, Literal, TypeAlias

import msgspec

from keygrove_chaos import disk_faults as disk
from keygrove_chaos import net_faults as net
from keygrove_chaos.clock import ClockFault, Jump
from keygrove_chaos.disk_faults import DiskFault
from keygrove_chaos.net_faults import NetFault

HKP: Final = 11371
FEATURES: Final[dict[str, float]] = {
    "kill": 0.5,
    "power": 0.5,
    "pause": 0.3,
    "actors": 0.5,
    "disk.slow": 0.4,
    "disk.full": 0.3,
    "disk.eio": 0.3,
    "disk.sync": 0.2,
    "net.slow": 0.4,
    "net.loss": 0.4,
    "net.partition": 0.4,
    "net.half_open": 0.2,
    "clock": 0.3,
    "crowd": 0.3,
}
"""What may be part of a run, and in which share of runs it is."""


class Kill(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="proc.kill"):
    """The process is killed, or the power fails; the node is started again when it is over."""

    how: Literal["process", "power"] = "process"
    is_silent: bool = False
    """Peers are not told that their connections are gone."""


class Pause(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="proc.pause"):
    """The machine stands still, its disk and clients go on."""


class CrashActor(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="actor.kill"):
    """An actor crashes, by its name."""

    name: str


Struck: TypeAlias = Kill | Pause | CrashActor | DiskFault | NetFault | ClockFault


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: on which host, from when, for how long, in virtual seconds."""

    id: str
    at: float
    lasts_s: float
    host: str
    what: Struck


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request of one client: put user ID `text` on key `key`, or look for it."""

    at: float
    client: str
    node: str
    verb: Literal["put", "get", "search"]
    key: int
    text: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    seed: int
    features: dict[str, bool]
    nodes: tuple[str, ...]
    shards: int
    cache_bytes: int
    lasts_s: float
    program: tuple[Ask, ...]
    faults: tuple[Fault, ...]


def plan_for(seed: int, *, nodes: int = 3, lasts_s: float = 60.0) -> Plan:
    """The plan of a seed: the same in every process and on both engines."""
    random = Random(f"{seed}:plan")  # noqa: S311 - to be repeatable is its purpose
    features = {name: random.random() < share for name, share in FEATURES.items()}
    names = tuple(f"n{number}" for number in range(nodes))
    shards = random.randint(1, 4)
    faults = _Faults(seed, names, shards, lasts_s)
    for name, is_on in features.items():
        if is_on:
            faults.add(name)
    return Plan(
        seed=seed,
        features=features,
        nodes=names,
        shards=shards,
        cache_bytes=random.choice((0, 2_000, 1 << 20)),
        lasts_s=lasts_s,
        program=_program(seed, names, lasts_s, is_crowded=features["crowd"]),
        faults=tuple(sorted(faults.found, key=lambda fault: (fault.at, fault.id))),
    )


def between(random: Random, low: float, high: float) -> float:
    """A number between two, any order of magnitude as likely as any other."""
    return exp(random.uniform(log(low), log(high)))


def _program(
    seed: int, nodes: tuple[str, ...], lasts_s: float, *, is_crowded: bool
) -> tuple[Ask, ...]:
    random = Random(f"{seed}:program")  # noqa: S311
    keys, rate = random.randint(3, 20), between(random, 0.3, 4.0)
    asks: list[Ask] = []
    for number in range(random.randint(6, 12) if is_crowded else random.randint(2, 4)):
        client, node, at, count = f"c{number}", random.choice(nodes), 0.5, 0
        while (at := at + random.expovariate(rate)) < lasts_s:
            count += 1
            verb: Literal["put", "get", "search"] = random.choices(
                ("put", "get", "search"), (0.45, 0.45, 0.1)
            )[0]
            key = min(int(random.paretovariate(1.1)) - 1, keys - 1)
            text = f"{client}x{count}" if verb == "put" else ""
            asks.append(Ask(at=at, client=client, node=node, verb=verb, key=key, text=text))
    return tuple(sorted(asks, key=lambda ask: (ask.at, ask.client)))


class _Faults:
    """Draws the faults of one feature after the other, each from a stream of its own."""

    def __init__(self, seed: int, nodes: tuple[str, ...], shards: int, lasts_s: float) -> None:
        self.found: list[Fault] = []
        self._seed = seed
        self._nodes = nodes
        self._shards = shards
        self._lasts_s = lasts_s

    def add(self, feature: str) -> None:
        """Draw when and where it strikes, and how hard."""
        random = Random(f"{self._seed}:faults:{feature}")  # noqa: S311
        if feature == "crowd":
            return
        for number in range(random.randint(1, 5)):
            lasts_s = between(random, 0.1, 15.0)
            fault = Fault(
                id=f"{feature}-{number}",
                at=random.uniform(1.0, self._lasts_s * 0.8),
                lasts_s=lasts_s,
                host=random.choice(self._nodes),
                what=self._draw(feature, random),
            )
            self.found.append(fault)

    def _draw(self, feature: str, random: Random) -> Struck:
        match feature:
            case "kill":
                return Kill(is_silent=random.random() < 0.3)
            case "power":
                return Kill(how="power", is_silent=True)
            case "pause":
                return Pause()
            case "actors":
                shards = [f"shard-{number}" for number in range(self._shards)]
                return CrashActor(name=random.choice([*shards, "ingest", "http"]))
            case "clock":
                return Jump(by_s=random.choice((-1, 1)) * between(random, 0.1, 3e8))
            case _:
                return self._draw_resource(feature, random)

    def _draw_resource(self, feature: str, random: Random) -> Struck:
        match feature:
            case "disk.slow":
                return disk.Slow(delay_s=between(random, 0.001, 1.0))
            case "disk.full":
                return disk.Enospc(chance=between(random, 0.05, 1.0))
            case "disk.eio":
                operation = random.choice((disk.Operation.WRITE, disk.Operation.READ))
                return disk.Eio(operation=operation, times=random.choice((1, 3, None)))
            case "disk.sync":
                return disk.FsyncFail(is_evicted=random.random() < 0.5)
            case "net.slow":
                law = net.LogNormal(between(random, 0.005, 2.0), random.uniform(0.2, 1.5))
                return net.Latency(law=law)
            case "net.loss":
                return net.Loss(probability=between(random, 0.01, 0.5))
            case "net.half_open":
                return net.HalfOpen()
            case _:
                return self._draw_partition(random)

    def _draw_partition(self, random: Random) -> Struck:
        mode: net.Mode = random.choice(("drop", "reject"))
        direction: Literal["both", "forward"] = random.choice(("both", "forward"))
        if random.random() < 0.3:
            return net.Flap(period_s=between(random, 0.1, 10.0), mode=mode)
        return net.Partition(mode=mode, direction=direction)
