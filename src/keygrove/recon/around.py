"""What the actors that deal with partners need of their node."""

from collections.abc import Collection
from typing import Protocol

import msgspec

from keygrove.ports import Ports
from keygrove.ratelimit.admission import Admit
from keygrove.recon.hosts import source_for
from keygrove.settings import ReconPartner, ReconSettings
from keygrove.telemetry.partners import Recovery, Round, Unwelcome


class Watcher(Protocol):
    """Told what happens with partners."""

    def round(self, told: Round) -> None:
        """A session ended, or did not come about."""
        ...

    def recovery(self, told: Recovery) -> None:
        """A batch of certificates was asked for, or some were passed over."""
        ...

    def filters(self, partner: str, filters: str) -> None:
        """A partner presents other filters than before."""
        ...

    def memory_lost(self, why: str) -> None:
        """What partners have that brought nothing was remembered, and is not any more."""
        ...

    def partners(self, names: Collection[str]) -> None:
        """There are these now, with guests, and no others."""
        ...

    def turned_away(self, address: str, why: Unwelcome) -> None:
        """A connection was closed at once."""
        ...


class Roster:
    """The partners as the settings have them now: they can be read again while all goes on."""

    def __init__(self, partners: tuple[ReconPartner, ...]) -> None:
        self.partners = partners


class Around(msgspec.Struct, frozen=True):
    """One node's."""

    settings: ReconSettings
    roster: Roster
    ports: Ports
    admit: Admit
    watcher: Watcher
    shards: int
    http_port: int
    """Where we answer hashqueries."""
    identity: bytes
    """By which we know ourselves, should we meet."""

    def bind(self, host: str) -> str:
        """The address to connect to `host` from; empty: any."""
        return source_for(self.settings.listen, host)
