"""The supervision tree, as data: read this file to know what runs.

Children start in this order, each when the one before is ready, and stop in reverse: first
nobody new is let in, then what was taken is stored, then the stores close. A shard is ready
when its files are open: what its store needs beyond that may take minutes, and keeps neither
the listeners from starting nor anybody from stopping.

A child that crashes is back at once. While what crashes it lasts, be it a full disk, it is
tried again and again after growing pauses, and never takes the others with it: the node
stays up, says that it is not ready, and refuses what only that child could have answered.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec

from keygrove.cluster.router import shard_name
from keygrove.errors import KeygroveError
from keygrove.ingest.bulk import PARSERS, pool_of
from keygrove.ingest.messages import INGEST
from keygrove.ingest.pipeline import Ingest
from keygrove.ingest.policy import policy_of
from keygrove.ports import Ports
from keygrove.push.messages import PUSH
from keygrove.recon import watcher as recon_watcher
from keygrove.recon.messages import PREFIX, RECON
from keygrove.recon.prefix import Prefix
from keygrove.settings import Settings
from keygrove.storage import space, watcher
from keygrove.storage.committer import Means
from keygrove.storage.shard import OpenStore, Shard
from keygrove.storage.space import SPACE, Space
from keygrove.telemetry.intake import Intake
from keygrove_actors import Backoff, Budget, ChildSpec, Jitter, OnBudget, SupSpec

BACKOFF = Backoff(base=0.1, cap=5.0, jitter=Jitter.EQUAL, reset_after=10.0)
"""At once, then in a tenth of a second, at last every few: shorter than operators wait to see
whether what they mended works, and no load even where each start reads a whole log."""
BUDGET = Budget(20, 10.0)
"""Of each child's own, so that the crashes of one do not count against all; and twice what the
backoff lets happen, so that it is tried for as long as the fault lasts. Only a fault of the
backoff itself could spend it: then the child stays down, and the node says so."""
STORAGE = "storage"
"""The supervisor of the shards."""
SHARD_STOP_S = 5.0
"""To commit what is queued, and a second for the index."""
PREFIX_STOP_S = 2.0
"""A second to write the prefix tree down."""
LISTENER_STOP_S = 3.0
"""A second more than the HTTP server gives to requests that have begun."""


class Watcher(watcher.Watcher, space.Watcher, recon_watcher.Watcher, Protocol):
    """Told what the runtime cannot know of the actors."""

    def intake(self, intake: Intake) -> None:
        """What a submission came to."""
        ...


class Doors(msgspec.Struct, frozen=True):
    """The listeners: those for monitoring, first up and last down, and those for clients.

    And the actors that deal with partners of recon, in either direction, and those that send to
    other servers.
    """

    monitoring: tuple[ChildSpec, ...] = ()
    clients: tuple[ChildSpec, ...] = ()
    partners: tuple[ChildSpec, ...] = ()
    push: tuple[ChildSpec, ...] = ()


def tree(
    settings: Settings,
    ports: Ports,
    stores: Sequence[OpenStore],
    watcher: Watcher,
    doors: Doors,
) -> SupSpec:
    """The root supervisor: monitoring, the disk's room, storage, ingest, recon, push, doors.

    Args:
        stores: how to open each shard's store, in order.
    """
    if len(stores) != settings.storage.shards:
        raise KeygroveError(f"{len(stores)} stores for {settings.storage.shards} shards")
    policy = policy_of(settings.policy)
    means = Means(ports.clock, ports.compute, ports.answers, policy)
    cache_bytes = settings.storage.cache_bytes // settings.storage.shards
    shards = tuple(
        ChildSpec(
            shard_name(number),
            partial(
                Shard,
                store,
                means,
                cache_bytes=cache_bytes,
                watcher=watcher,
            ),
            name=shard_name(number),
            shutdown=SHARD_STOP_S,
        )
        for number, store in enumerate(stores)
    )
    ingest = ChildSpec(
        INGEST,
        partial(
            Ingest,
            settings.storage.shards,
            ports.compute,
            policy,
            on_fault=watcher.fault,
            on_intake=watcher.intake,
            make_pool=pool_of(ports.workers, settings.load.processes),
        ),
        name=INGEST,
    )
    room = ChildSpec(SPACE, partial(Space, ports.volume, watcher), name=SPACE)
    storage = ChildSpec(STORAGE, SupSpec(children=tuple(map(_tenacious, shards))))
    parsers = ChildSpec(PARSERS, SupSpec())
    recon = _recon(settings, ports, watcher, doors.partners)
    push: tuple[ChildSpec, ...] = ()
    if doors.push:
        push = (ChildSpec(PUSH, SupSpec(children=tuple(map(_tenacious, doors.push)))),)
    children = (*doors.monitoring, room, storage, parsers, ingest, *push, *recon, *doors.clients)
    return SupSpec(children=tuple(map(_tenacious, children)))


def _recon(
    settings: Settings, ports: Ports, watcher: Watcher, partners: tuple[ChildSpec, ...]
) -> tuple[ChildSpec, ...]:
    """The supervisor of recon, where there is anybody to reconcile with."""
    if not settings.recon.is_on:
        return ()
    start = partial(Prefix, settings.storage.shards, ports.databases, ports.entropy, watcher)
    prefix = ChildSpec("prefix", start, name=PREFIX, shutdown=PREFIX_STOP_S)
    return (ChildSpec(RECON, SupSpec(children=tuple(map(_tenacious, (prefix, *partners))))),)


def _tenacious(child: ChildSpec) -> ChildSpec:
    """The child, restarted for as long as it takes, at a pace that harms nobody."""
    return msgspec.structs.replace(
        child, backoff=BACKOFF, budget=BUDGET, on_budget=OnBudget.GIVE_UP
    )
