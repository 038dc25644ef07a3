"""The actors that deal with partners, in the order of their start."""

from collections.abc import Sequence
from functools import partial

from keygrove.ingest.policy import policy_of
from keygrove.ingest.steps import source_salt
from keygrove.ports import Endpoint, Ports
from keygrove.ratelimit.admission import Admit
from keygrove.recon.around import Around, Roster, Watcher
from keygrove.recon.gossip import GOSSIP, PARTNERS, Gossip
from keygrove.recon.hosts import divided
from keygrove.recon.known import KNOWN, Known
from keygrove.recon.listener import ReconListener
from keygrove.settings import Settings
from keygrove_actors import ChildSpec, SupSpec

IDENTITY_OCTETS = 16


def partner_actors(  # noqa: PLR0913, PLR0917 - each is a part of their surroundings
    settings: Settings,
    ports: Ports,
    admit: Admit,
    watcher: Watcher,
    http: Sequence[str],
    endpoints: Sequence[Endpoint],
) -> tuple[ChildSpec, ...]:
    """Who remembers, the partners' own, who keeps the time, and last who lets partners in.

    Args:
        http: the addresses at which clients reach us; the first is told to partners.
        endpoints: where partners do.
    """
    if not settings.recon.is_on:
        return ()
    policy = source_salt(policy_of(settings.policy))
    around = Around(
        settings=settings.recon,
        roster=Roster(settings.recon.partner),
        ports=ports,
        admit=admit,
        watcher=watcher,
        shards=settings.storage.shards,
        http_port=settings.recon.http_port or (divided(http[0])[1] if http else 0),
        identity=ports.entropy.token(IDENTITY_OCTETS),
    )
    known = partial(Known, ports.databases, ports.clock, policy, watcher)
    return (
        ChildSpec("known", known, name=KNOWN),
        ChildSpec(PARTNERS, SupSpec()),
        ChildSpec("gossip", partial(Gossip, around), name=GOSSIP),
        ChildSpec("listener", partial(ReconListener, around, endpoints)),
    )
