"""What single faults are drawn as: how hard each strikes, by the feature that brings it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal

import msgspec

from keygrove_chaos import disk_faults as disk
from keygrove_chaos import net_faults as net
from keygrove_chaos.clock import EDGES_S, ClockFault, Drift, Freeze, Jump
from keygrove_chaos.disk_faults import DiskFault
from keygrove_chaos.plan import Kill, Pause, PowerCut, Stop, What
from keygrove_chaos.traffic import between

HKP: Final = 11371


def moved(what: What, at: float) -> What:
    """A fault whose times are moments, moved to when it begins."""
    if isinstance(what, net.Flap | net.Swizzle):
        return msgspec.structs.replace(what, since_s=at)
    if isinstance(what, net.Clog):
        return msgspec.structs.replace(what, since_s=at, until_s=at + what.until_s)
    return what


def _slow_disk(random: Random) -> DiskFault:
    if random.random() < 0.3:
        return disk.Stall(delay_s=between(random, 1.0, 20.0))
    return disk.Slow(delay_s=between(random, 0.001, 1.0))


def _full_disk(random: Random) -> DiskFault:
    if random.random() < 0.3:
        return disk.Enospc(capacity_bytes=int(between(random, 20_000, 400_000)))
    return disk.Enospc(chance=between(random, 0.05, 1.0))


def _failing_disk(random: Random) -> DiskFault:
    operation = random.choice((disk.Operation.WRITE, disk.Operation.READ, disk.Operation.SYNC))
    return disk.Eio(operation=operation, times=random.choice((1, 3, None)))


def _slow_network(random: Random) -> What:
    match random.randrange(3):
        case 0:
            return net.Rate(bytes_per_s=between(random, 300, 100_000))
        case 1:
            until_s = between(random, 0.1, 8.0)
            return net.Clog(until_s=until_s)
        case _:
            law = net.LogNormal(between(random, 0.005, 2.0), random.uniform(0.2, 1.5))
            return net.Latency(law=law, jitter_s=random.choice((0.0, between(random, 0.001, 1.0))))


def _bad_network(random: Random) -> What:
    chance = between(random, 0.01, 0.5)
    return random.choice(
        (
            net.Loss(probability=chance),
            net.Burst(to_bad=chance / 2, to_good=between(random, 0.05, 0.9)),
            net.Dup(probability=chance, spread_s=between(random, 0.001, 1.0)),
            net.Reorder(probability=chance, window_s=between(random, 0.001, 1.0)),
            # HKP has no digest of its own that would show what TCP's checksum misses.
            net.Corrupt(probability=chance, missed=0.0),
        )
    )


def partition(random: Random) -> net.Partition:
    """A cut: of all, of what goes to the HKP port, or of large packets."""
    mode: net.Mode = random.choice(("drop", "reject"))
    flows: Literal["all", "new"] = random.choice(("all", "all", "new"))
    match random.randrange(4):
        case 0:
            return net.Partition(mode=mode, flows=flows, ports=(HKP,))
        case 1:
            return net.Partition(mode="drop", flows=flows, size_min=random.randint(60, 1_400))
        case _:
            return net.Partition(mode=mode, flows=flows)


def _cut(random: Random) -> What:
    if random.random() < 0.3:
        mode: net.Mode = random.choice(("drop", "reject"))
        return net.Flap(
            period_s=between(random, 0.1, 10.0), down=random.uniform(0.2, 0.8), mode=mode
        )
    return partition(random)


def odd_network(random: Random, nodes: tuple[str, ...]) -> What:
    """What middleboxes do, or links that clog one by one."""
    hosts = tuple(random.sample(nodes, random.randint(min(2, len(nodes)), len(nodes))))
    return random.choice(
        (
            net.HalfOpen(),
            net.Mtu(bytes_max=random.choice((576, 1_280))),
            net.Refuse(probability=random.uniform(0.3, 1.0)),
            net.Reset(after_bytes=int(between(random, 1, 5_000))),
            net.Slice(bytes_max=random.choice((1, 7, 100))),
            net.Swizzle(hosts=hosts, spread_s=between(random, 0.5, 4.0)),
        )
    )


def _clock(random: Random) -> ClockFault:
    match random.randrange(4):
        case 0:
            return Freeze()
        case 1:
            return Drift(wall=random.uniform(-0.1, 0.1), elapsed=random.uniform(-5e-4, 5e-4))
        case 2:
            return Jump(to_s=EDGES_S[random.choice(sorted(EDGES_S))] + random.uniform(-30, 30))
        case _:
            return Jump(by_s=random.choice((-1, 1)) * between(random, 0.1, 3e8))


DRAWN: Final[Mapping[str, Callable[[Random], What]]] = {
    "kill": lambda random: Kill(is_silent=random.random() < 0.3),
    "power": lambda _: PowerCut(),
    "stop": lambda _: Stop(),
    "pause": lambda _: Pause(),
    "disk.slow": _slow_disk,
    "disk.full": _full_disk,
    "disk.frozen": lambda _: disk.Erofs(),
    "disk.eio": _failing_disk,
    "disk.sync": lambda random: disk.FsyncFail(is_evicted=random.random() < 0.5),
    "net.slow": _slow_network,
    "net.bad": _bad_network,
    "net.cut": _cut,
    "clock": _clock,
}
"""What a feature brings, but for those that depend on the plan."""
