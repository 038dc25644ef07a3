"""The shapes in which hosts lose sight of each other, each as one `Partition`.

What is by port, by size or for new streams only is any of them with `ports`, `size_min` or
`flows` (`msgspec.structs.replace`); a flapping link has a fault of its own, `Flap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from keygrove_chaos.errors import ChaosError, known
from keygrove_chaos.net_faults import Clog, NetFault, Pair, Partition, Swizzle


def split(groups: Sequence[Sequence[str]]) -> Partition:
    """Hosts of different groups do not see each other."""
    return Partition(groups=tuple(tuple(group) for group in groups))


def one_way(senders: Sequence[str], receivers: Sequence[str]) -> Partition:
    """What the senders send does not reach the receivers; the other way round it does."""
    return Partition(groups=(tuple(senders), tuple(receivers)), direction="forward")


def partial(one: str, other: str) -> Partition:
    """Two hosts do not see each other; everybody else sees both."""
    return split([[one], [other]])


def isolated(name: str, names: Sequence[str]) -> Partition:
    """One host sees nobody."""
    return split([[name], [other for other in names if other != name]])


def ring(names: Sequence[str]) -> Partition:
    """Each host sees the one before it and the one behind it, in this order, in a circle."""
    count = len(names)
    return Partition(
        links=tuple(
            (one, other)
            for place, one in enumerate(names)
            for away, other in enumerate(names)
            if (place - away) % count not in (0, 1, count - 1)
        )
    )


def bridge(left: Sequence[str], right: Sequence[str]) -> Partition:
    """Two halves that see each other only by way of hosts in neither."""
    return split([left, right])


def majority(names: Sequence[str], random: Random) -> Partition:
    """A majority, drawn, and the others: the smallest majority there is."""
    order = random.sample(names, len(names))
    large = len(names) // 2 + 1
    return split([order[:large], order[large:]])


def halves(names: Sequence[str], count: int, random: Random) -> Partition:
    """A total split into `count` groups of about equal size, drawn."""
    order = random.sample(names, len(names))
    return split([order[start::count] for start in range(count)])


def clogs(fault: Swizzle, hosts: Sequence[str], random: Random) -> dict[Pair, Clog]:
    """When the links of each swizzled host are clogged, among all hosts.

    A link between two swizzled hosts is clogged while either of them is.
    """
    count = max(len(fault.hosts) - 1, 1)
    step_s = fault.spread_s / count
    back = random.sample(fault.hosts, len(fault.hosts))
    window: dict[str, tuple[float, float]] = {}
    for place, name in enumerate(random.sample(fault.hosts, len(fault.hosts))):
        clogged_s = fault.since_s + place * step_s
        unclogged_s = fault.since_s + fault.spread_s + fault.hold_s + back.index(name) * step_s
        window[name] = (clogged_s, unclogged_s)
    found: dict[Pair, Clog] = {}
    for pair in ((one, other) for one in hosts for other in hosts if one != other):
        spans = [window[name] for name in pair if name in window]
        if spans:
            # The spans overlap: every host is clogged by the time the first is released.
            since_s, until_s = min(low for low, _ in spans), max(high for _, high in spans)
            found[pair] = Clog(
                since_s=since_s,
                until_s=until_s,
                ports=fault.ports,
                size_min=fault.size_min,
                flows=fault.flows,
            )
    return found


def struck(
    fault: NetFault, links: Iterable[Pair] | None, hosts: Sequence[str], random: Random
) -> dict[Pair, NetFault]:
    """The directed links that a fault is put on, each with what it is given.

    Raises:
        ChaosError: a link is none.
    """
    on: dict[Pair, NetFault]
    if isinstance(fault, Swizzle):
        on = dict(clogs(fault, hosts, random).items())
    elif links is not None:
        on = {_pair(link): fault for link in links}
    elif isinstance(fault, Partition):
        on = dict.fromkeys(fault.cuts(), fault)
    else:
        on = dict.fromkeys(((a, b) for a in hosts for b in hosts if a != b), fault)
    there = dict.fromkeys(hosts)
    for pair in on:
        for name in pair:
            known(there, name, "host")
    return on


def _pair(link: object) -> Pair:
    """The link, if it is one: callers may be untyped."""
    match link:
        case (str(one), str(other)):
            return one, other
        case _:
            raise ChaosError(f"{link!r:.80} is no link: name two hosts, as in ('a', 'b')")
