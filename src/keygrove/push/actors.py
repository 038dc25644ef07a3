"""The actors that send to other servers, in the order of their start."""

from functools import partial

from keygrove.ports import Ports
from keygrove.push.around import Around, Watcher
from keygrove.push.messages import PLACES, TARGETS
from keygrove.push.places import Places
from keygrove.push.targets import SENDING, Targets
from keygrove.settings import Settings
from keygrove_actors import ChildSpec, SupSpec


def push_actors(settings: Settings, ports: Ports, watcher: Watcher) -> tuple[ChildSpec, ...]:
    """Who remembers how far each target is, the targets' own, and who has them."""
    if not settings.push:
        return ()
    around = Around(
        ports=ports,
        watcher=watcher,
        shards=settings.storage.shards,
        sender=settings.admin.server,
    )
    keeper = partial(Targets, settings.push, settings.recon.partner, around)
    return (
        ChildSpec("places", partial(Places, ports.databases, ports.clock, watcher), name=PLACES),
        ChildSpec(SENDING, SupSpec()),
        ChildSpec("keeper", keeper, name=TARGETS),
    )
