"""What the actors that deal with partners need of their node."""

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from keygrove.ports import Ports
from keygrove.ratelimit.admission import Admit
from keygrove.recon.hosts import divided, source_for
from keygrove.settings import ReconPartner, ReconSettings
from keygrove.telemetry.partners import Recovery, Round, Unwelcome
from keygrove_protocols.recon.terms import Terms


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

    def closing(self, partner: str, why: str) -> None:
        """A partner closes each connection at once, again and again."""
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
        self._terms: dict[str, Terms] = {}
        """What said who was connected to, by its address."""

    def become(self, partners: tuple[ReconPartner, ...]) -> None:
        """Have these from now on."""
        self.partners = partners
        there = {one.recon for one in partners}
        self._terms = {recon: terms for recon, terms in self._terms.items() if recon in there}

    def note(self, partner: ReconPartner, terms: Terms) -> None:
        """We connected to it, and this is what it said of itself."""
        self._terms[partner.recon] = terms

    def told_by(self, terms: Terms, partners: Sequence[ReconPartner]) -> ReconPartner:
        """Which of these, who have one address, says that: the first, where it does not show."""
        known = [(one, self._terms.get(one.recon)) for one in partners]
        is_named = bool(terms.identity)
        same = (one for one, said in known if is_named and said and said.identity == terms.identity)
        serving = (one for one, said in known if terms.http_port in _http_ports(one, said))
        unsaid = (one for one, said in known if not _http_ports(one, said))
        return next(same, next(serving, next(unsaid, partners[0])))


def _http_ports(partner: ReconPartner, said: Terms | None) -> set[int]:
    """Where it serves: as the settings have it, and as it said itself."""
    given = set[int]() if partner.http is None else {divided(partner.http)[1]}
    return given if said is None or said.http_port is None else {*given, said.http_port}


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
