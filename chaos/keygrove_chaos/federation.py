"""Many nodes that are partners of each other: the plan of a seed.

A seed decides who is whose partner, what each node begins with and is asked to take meanwhile, and
which faults strike. One node may be an odd one: it keeps less than the others, or blocks keys. Then
it is an end: what others tell each other does not have to pass it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Annotated, Final, Literal

import msgspec

from keygrove.points import RECON_CRASHES
from keygrove_chaos.checked import Checked
from keygrove_chaos.draws import DRAWN, moved, odd_network
from keygrove_chaos.net_faults import LinkFault, Pair, Partition, Swizzle
from keygrove_chaos.partition import split
from keygrove_chaos.plan import Ask, CrashActor, CrashAt, Fault, Feature, Plan, Stop, What
from keygrove_chaos.submissions import ADMIN
from keygrove_chaos.topology import (
    SHAPES,
    Shape,
    diameter,
    halves,
    neighbours,
    partnerships,
)
from keygrove_chaos.traffic import FIRST_S, NONCE_BITS, between

FEATURES: Final[Mapping[Feature, float]] = {
    "kill": 0.4,
    "power": 0.4,
    "pause": 0.2,
    "point": 0.5,
    "actor": 0.4,
    "net.slow": 0.3,
    "net.bad": 0.4,
    "net.cut": 0.5,
    "net.odd": 0.4,
    "clock": 0.2,
    "buggify": 0.5,
    "presets": 0.3,
    "ask.admin": 0.3,
}
"""What may be part of a run, and in which share of runs it is."""
SETTINGS: Final = frozenset({"buggify", "presets", "ask.admin"})
"""Features that are no faults of their own."""
IN_ORDER: Final = 0.3
"""The share of ends of processes that are orderly."""
LASTS_S: Final = 60.0
CALM: Final = 0.8
"""After this share of the run no fault begins any more."""
LOADED_S: Final = (0.7, 6.0)
"""When nodes are given what they begin with."""
SPREAD: Final = 5_000_000
"""From here on are keys that nodes begin with, so many at least and at most:"""
SPREAD_MANY: Final = (5, 120)
SHARED: Final = 6
"""keys below this are asked for everywhere, and have user IDs from everywhere;"""
OWN: Final = 6_000_000
"""from here on are those that one node alone is asked for."""
ASKED_MAX: Final = 10
"""Nodes that clients ask for anything besides what they begin with."""
ACTORS: Final = (
    *("shard-0", "ingest", "http", "recon.prefix", "recon.gossip", "recon.known"),
    *("recon.partner", "recon.recovery"),
)
"""Of the last two there is one for each partner."""


class Federation(Checked, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run."""

    shape: Shape
    partners: tuple[Pair, ...]
    interval_s: Annotated[float, msgspec.Meta(gt=0)]
    """Between two sessions that one begins with the other."""
    durability: Literal["full", "relaxed"]
    odd: tuple[str, ...]
    """The node that does not hold what the others do; perhaps none."""
    plan: Plan

    @property
    def diameter(self) -> int:
        """The most steps from one node to another, none of them past the odd one."""
        found = diameter(self.partners, self.odd)
        assert found is not None, "else nobody could demand that it converges"
        return found


def federation_for(seed: int, nodes: int) -> Federation:
    """The plan of a seed: the same in every process and on both engines."""
    random = _random(seed, "plan")
    names = tuple(f"n{number}" for number in range(nodes))
    shape = random.choice(tuple(SHAPES))
    partners = partnerships(shape, names, random)
    features: dict[Feature, bool] = {
        name: _random(seed, f"feature:{name}").random() < share for name, share in FEATURES.items()
    }
    odd = _odd(seed, partners) if features["presets"] or features["ask.admin"] else ()
    clients = {f"c{number}": name for number, name in enumerate(names)}
    plan = Plan(
        seed=seed,
        mode="safety",
        features=features,
        nodes=names,
        core=names,
        clients=clients,
        shards=random.randint(1, 2),
        cache_bytes=1 << 20,
        lasts_s=LASTS_S,
        program=tuple(sorted(_program(seed, clients, odd, features), key=lambda ask: ask.at)),
        faults=_faults(seed, shape, partners, features),
        presets=dict.fromkeys(odd, "minimal") if features["presets"] else {},
    )
    return Federation(
        shape=shape,
        partners=partners,
        interval_s=random.choice((5.0, 10.0, 20.0)),
        durability=random.choice(("full", "relaxed")),
        odd=odd,
        plan=plan,
    )


def _random(seed: int, what: str) -> Random:
    return Random(f"{seed}:federation:{what}")  # noqa: S311 - to be repeatable is its purpose


def _odd(seed: int, partners: tuple[Pair, ...]) -> tuple[str, ...]:
    """One without which all others still reach each other."""
    names = sorted(neighbours(partners))
    may = [name for name in names if diameter(partners, (name,)) is not None]
    return (_random(seed, "odd").choice(may),) if may else ()


# ---- what clients ask


def _program(
    seed: int, clients: Mapping[str, str], odd: Sequence[str], features: Mapping[Feature, bool]
) -> Iterator[Ask]:
    random = _random(seed, "program")
    of = {node: client for client, node in clients.items()}
    nodes = list(of)
    for key in range(SPREAD, SPREAD + int(between(random, *SPREAD_MANY))):
        for node in random.sample(nodes, random.choice((1, 1, 1, 2, min(3, len(nodes))))):
            at, text = random.uniform(*LOADED_S), f"s{key} <s{key}@x.example>"
            yield Ask(at=at, client=of[node], node=node, verb="load", key=key, text=text)
    for node in random.sample(nodes, min(len(nodes), ASKED_MAX)):
        for count in range(random.randint(1, 4)):
            text = f"{node}w{count} <{node}w{count}@x.example>"
            is_own = node in odd or random.random() < 0.3
            yield Ask(
                at=random.uniform(LOADED_S[1], LASTS_S),
                client=of[node],
                node=node,
                verb="put" if random.random() < 0.7 else "certify",
                key=OWN + nodes.index(node) if is_own else random.randrange(SHARED),
                text=text,
            )
    if features["ask.admin"]:
        for node in odd:
            yield from _blocks(_random(seed, "blocks"), of[node], node)


def _blocks(random: Random, client: str, node: str) -> Iterator[Ask]:
    """What one node does not want, and all others have."""
    yield Ask(at=FIRST_S, client=client, node=node, verb="put", key=ADMIN, text="Admin")
    for key in random.sample(range(SHARED), 2):
        nonce = f"{random.getrandbits(NONCE_BITS):032x}"
        at = random.uniform(1.0, LASTS_S)
        yield Ask(at=at, client=client, node=node, verb="block", key=key, text=nonce)


# ---- faults


def _faults(
    seed: int, shape: Shape, partners: tuple[Pair, ...], features: Mapping[Feature, bool]
) -> tuple[Fault, ...]:
    near = neighbours(partners)
    names = sorted(near, key=lambda name: int(name[1:]))
    found = [_between_halves(names)] if shape == "halves" else []
    for feature, is_on in features.items():
        if is_on and feature not in SETTINGS:
            random = _random(seed, f"faults:{feature}")
            many = random.randint(1, 5) * max(1, len(names) // 10)
            found += (_fault(random, feature, number, near) for number in range(many))
    return tuple(sorted(found, key=lambda fault: (fault.at, fault.id)))


def _between_halves(names: Sequence[str]) -> Fault:
    left, right = halves(names)
    cut = split([left, right])
    at = LOADED_S[0]
    return Fault(
        id="halves",
        at=at,
        lasts_s=LASTS_S * CALM - at,
        node=names[0],
        what=Partition(),
        links=cut.cuts(),
    )


def _fault(
    random: Random, feature: Feature, number: int, near: Mapping[str, Sequence[str]]
) -> Fault:
    node = random.choice(sorted(near))
    what = _drawn(random, feature, node, near)
    links: tuple[Pair, ...] = ()
    if isinstance(what, LinkFault) and not isinstance(what, Swizzle):
        others = random.sample(near[node], random.randint(1, len(near[node])))
        here = tuple((other, node) for other in others)
        there = tuple((node, other) for other in others)
        links = random.choice((here, there, here + there, here + there))
    at = random.uniform(1.0, LASTS_S * CALM)
    lasts_s = min(between(random, 0.1, 20.0), LASTS_S - at)
    return Fault(
        id=f"{feature}-{number}",
        at=at,
        lasts_s=lasts_s,
        node=node,
        what=moved(what, at),
        links=links,
    )


def _drawn(random: Random, feature: Feature, node: str, near: Mapping[str, Sequence[str]]) -> What:
    match feature:
        case "kill" if random.random() < IN_ORDER:
            return Stop()
        case "point":
            point = random.choice(sorted(RECON_CRASHES))
            return CrashAt(point=point, visit=random.randint(1, 4))
        case "actor":
            name = random.choice(ACTORS)
            is_partners = name in {"recon.partner", "recon.recovery"}
            return CrashActor(name=f"{name}.{random.choice(near[node])}" if is_partners else name)
        case "net.odd":
            return odd_network(random, tuple(sorted(near)))
        case _:
            return DRAWN[feature](random)
