"""Faults of the network, as data: what a schedule lists, a bundle keeps and a link is given.

A fault says what is wrong, not where and when: `Network.inject` puts it on links, `heal`
takes it off. Only `Partition` and `Swizzle` name hosts themselves. Seconds are virtual.
"""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, TypeAlias, assert_never

import msgspec

from keygrove_chaos.checked import Checked

Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A probability."""
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
Octets: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Mode: TypeAlias = Literal["drop", "reject"]
"""How a cut shows: packets vanish, or their sender is told at once."""
Pair: TypeAlias = tuple[str, str]
"""A directed link: the sending host, the receiving host."""


class _Law(Checked, frozen=True, forbid_unknown_fields=True, tag_field="law"):
    """How long something takes."""


class Const(_Law, frozen=True, tag="const"):
    """Always the same."""

    seconds: Seconds


class Uniform(_Law, frozen=True, tag="uniform"):
    """Anything in between, equally likely."""

    low_s: Seconds
    high_s: Seconds


class LogNormal(_Law, frozen=True, tag="lognormal"):
    """Around the median, with a long tail; what the Internet's latency looks like."""

    median_s: Positive
    sigma: Seconds


class Pareto(_Law, frozen=True, tag="pareto"):
    """At least `scale_s`, with the heavier a tail the smaller the shape; cut at `max_s`."""

    scale_s: Positive
    shape: Positive
    max_s: Seconds = 60.0


class Bin(Checked, frozen=True, forbid_unknown_fields=True):
    """A column of a histogram."""

    low_s: Seconds
    high_s: Seconds
    weight: Positive


class Empirical(_Law, frozen=True, tag="empirical"):
    """As measured."""

    bins: Annotated[tuple[Bin, ...], msgspec.Meta(min_length=1)]


Law: TypeAlias = Const | Uniform | LogNormal | Pareto | Empirical


def draw(law: Law, random: Random) -> float:
    """Seconds by this law."""
    match law:
        case Const(seconds):
            return seconds
        case Uniform(low_s, high_s):
            return random.uniform(low_s, high_s)
        case LogNormal(median_s, sigma):
            # the median of exp(N(0, sigma)) is 1
            return median_s * random.lognormvariate(0, sigma)
        case Pareto(scale_s, shape, max_s):
            return min(scale_s * random.paretovariate(shape), max_s)
        case Empirical(bins):
            bar = random.choices(bins, [bar.weight for bar in bins])[0]
            return random.uniform(bar.low_s, bar.high_s)
    assert_never(law)


class LinkFault(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every fault can be narrowed by: the packets it is for.

    `ports`: only streams and datagrams to these TCP or UDP ports; none means all.
    `size_min`: only packets of at least as many octets.
    `flows`: "new" spares streams that were open before.
    """

    ports: tuple[int, ...] = ()
    size_min: Octets = 0
    flows: Literal["all", "new"] = "all"


class Latency(LinkFault, frozen=True, tag="net.latency"):
    """Packets take longer, by the law and up to `jitter_s` more."""

    law: Law = Const(0.0)
    jitter_s: Seconds = 0.0


class Loss(LinkFault, frozen=True, tag="net.loss"):
    """Packets are lost, each by itself."""

    probability: Share


class Burst(LinkFault, frozen=True, tag="net.burst"):
    """Packets are lost in bursts.

    Source: Gilbert, Elliott: a chain of a good and a bad state, a step for each packet.
    """

    to_bad: Share
    to_good: Share
    loss_good: Share = 0.0
    loss_bad: Share = 1.0


class Dup(LinkFault, frozen=True, tag="net.dup"):
    """Packets arrive twice, the second time up to `spread_s` later."""

    probability: Share
    spread_s: Seconds = 0.0


class Reorder(LinkFault, frozen=True, tag="net.reorder"):
    """Packets are overtaken: held back for up to `window_s`."""

    probability: Share
    window_s: Positive


class Corrupt(LinkFault, frozen=True, tag="net.corrupt"):
    """An octet of a packet changes.

    A checksum of 16 bits misses one in 65,536 such packets; the others are lost.
    """

    probability: Share
    missed: Share = 2**-16


class Rate(LinkFault, frozen=True, tag="net.rate"):
    """A bottleneck: a token bucket, before it a queue that drops what does not fit."""

    bytes_per_s: Positive
    burst_bytes: Octets = 3_000
    queue_bytes: Octets = 64_000


class Partition(LinkFault, frozen=True, tag="net.partition"):
    """Links are cut: those between the groups, and `links`.

    `direction` "forward" cuts only what earlier groups send to later ones. A link that is
    given this fault is cut, whatever the names.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    links: tuple[Pair, ...] = ()
    mode: Mode = "drop"
    direction: Literal["both", "forward"] = "both"

    def cuts(self) -> tuple[Pair, ...]:
        """The directed links it cuts, each once."""
        pairs = dict.fromkeys(self.links)
        for place, senders in enumerate(self.groups):
            for other, receivers in enumerate(self.groups):
                if place < other or (place > other and self.direction == "both"):
                    pairs.update(dict.fromkeys((a, b) for a in senders for b in receivers))
        return tuple(pairs)


class HalfOpen(LinkFault, frozen=True, tag="net.half_open"):
    """A middlebox forgets streams: nothing more of them passes; new streams do.

    `idle_s` 0: those that are open now. Otherwise those silent for longer than that.
    """

    idle_s: Seconds = 0.0


class Mtu(LinkFault, frozen=True, tag="net.mtu"):
    """A path-MTU black hole: larger packets vanish."""

    bytes_max: Octets


class Refuse(LinkFault, frozen=True, tag="net.refuse"):
    """New streams are refused at once; open ones go on."""

    probability: Share = 1.0


class Flap(LinkFault, frozen=True, tag="net.flap"):
    """A link that is down at the start of every period, for this share of it."""

    period_s: Positive
    down: Share = 0.5
    since_s: Seconds = 0.0
    mode: Mode = "drop"


class Clog(LinkFault, frozen=True, tag="net.clog"):
    """Packets sent between two moments wait for the second one. Nothing is lost."""

    until_s: Seconds
    since_s: Seconds = 0.0


class Swizzle(LinkFault, frozen=True, tag="net.swizzle"):
    """Hosts' links clog one by one from `since_s` on, and unclog in another order.

    All are clogged after `spread_s`, stay so for `hold_s`, and none is after another `spread_s`.
    Source: FoundationDB's swizzle-clogging.
    """

    hosts: tuple[str, ...]
    spread_s: Seconds
    hold_s: Seconds = 0.0
    since_s: Seconds = 0.0


class Reset(LinkFault, frozen=True, tag="net.reset"):
    """Streams are reset when they have carried so many octets, headers included."""

    after_bytes: Octets = 0


class Slice(LinkFault, frozen=True, tag="net.slice"):
    """Streams are cut into odd pieces, of 1 to `bytes_max` octets."""

    bytes_max: Annotated[int, msgspec.Meta(ge=1)] = 1


NetFault: TypeAlias = (
    Latency
    | Loss
    | Burst
    | Dup
    | Reorder
    | Corrupt
    | Rate
    | Partition
    | HalfOpen
    | Mtu
    | Refuse
    | Flap
    | Clog
    | Swizzle
    | Reset
    | Slice
)
