"""The supervision tree, as data: read this file to know what runs.

Children start in this order, each when the one before is ready, and stop in reverse: first
nobody new is let in, then what was taken is stored, then the stores close.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from keygrove.cluster.router import shard_name
from keygrove.errors import KeygroveError
from keygrove.ingest.messages import INGEST
from keygrove.ingest.pipeline import Ingest
from keygrove.ports import Ports
from keygrove.settings import Settings
from keygrove.storage.shard import OnFault, OpenStore, Shard
from keygrove_actors import ChildSpec, SupSpec

INTENSITY = 20
PERIOD_S = 10.0
"""A shard that cannot open its files gives up within seconds; chaos may be livelier."""
SHARD_STOP_S = 5.0
"""To commit what is queued, and a second for the index."""
LISTENER_STOP_S = 3.0
"""A second more than the HTTP server gives to requests that have begun."""


class Doors(msgspec.Struct, frozen=True):
    """The listeners: those for monitoring, first up and last down, and those for clients."""

    monitoring: tuple[ChildSpec, ...] = ()
    clients: tuple[ChildSpec, ...] = ()


def tree(
    settings: Settings,
    ports: Ports,
    stores: Sequence[OpenStore],
    on_fault: OnFault,
    doors: Doors,
) -> SupSpec:
    """The root supervisor: monitoring, storage, ingest, doors for clients.

    Args:
        stores: how to open each shard's store, in order.
    """
    if len(stores) != settings.storage.shards:
        raise KeygroveError(f"{len(stores)} stores for {settings.storage.shards} shards")
    cache_bytes = settings.storage.cache_bytes // settings.storage.shards
    shards = tuple(
        ChildSpec(
            shard_name(number),
            partial(
                Shard,
                store,
                ports.clock,
                ports.compute,
                cache_bytes=cache_bytes,
                on_fault=on_fault,
            ),
            name=shard_name(number),
            shutdown=SHARD_STOP_S,
        )
        for number, store in enumerate(stores)
    )
    ingest = ChildSpec(
        INGEST,
        partial(Ingest, settings.storage.shards, ports.compute, on_fault=on_fault),
        name=INGEST,
    )
    storage = SupSpec(children=shards, intensity=INTENSITY, period=PERIOD_S)
    return SupSpec(
        children=(*doors.monitoring, ChildSpec("storage", storage), ingest, *doors.clients),
        intensity=INTENSITY,
        period=PERIOD_S,
    )
