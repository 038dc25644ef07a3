"""The beginning of a connection: configs, and verdicts on them.

Each side sends its config, reads that of the other, sends what it thinks of it, and reads what the
other thinks. SKS and Hockeypuck refuse whoever does not present their own filters, and send
their config without waiting for ours: so the partner's is read first, and its filters are sent
back to it octet by octet. Two that do so would wait for each other, wherefore one waits for a
bounded time only, and then presents what it last saw of this partner. Who knows that the partner
is such a one begins at once.

This has no clock: whoever drives it says when the time is over, and when the connection is.
Source: sks-keyserver, reconComm.ml; Hockeypuck, conflux/recon/peer.go.
"""

from enum import Enum
from typing import Final

import msgspec

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.recon.frames import Decoder, Verdict, encode_verdict
from keygrove_protocols.recon.messages import Config, encode, printable
from keygrove_protocols.recon.terms import (
    DEFAULT_FILTERS,
    PLAIN,
    Objection,
    Refusal,
    Terms,
    agreed_way,
    config_of,
    filters_of,
    object_to,
    read_terms,
    refusal_of,
)

INITIATOR_WAITS_S: Final = 1
ACCEPTOR_WAITS_S: Final = 5
"""For the partner's config, before ours is sent. They differ, so that one of two who wait begins;
a partner that has not sent its own by then may still do so."""


class Role(Enum):
    """Who connected answers, and who accepted the connection asks."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What we say to this partner.

    Args:
        http_port: where we answer /pks/hashquery.
        identity: octets that no other server has, to know ourselves by.
        pinned: filters that are sent at once, and the partner's are not waited for: the operator
            wants it to see them, or it waits for ours, and presented them last.
        known: the filters that are presented to it if it waits for ours: what it presented last.
        ways: of recon, beside the plain one, the best first.
    """

    http_port: int
    identity: bytes
    pinned: bytes | None = None
    known: bytes = DEFAULT_FILTERS
    ways: tuple[str, ...] = ()


class Agreed(msgspec.Struct, frozen=True):
    """Recon goes on.

    Args:
        partner: what it said of itself. Its filters are to be `known` the next time.
        filters: those that it saw of us.
        way: that both know.
    """

    partner: Terms
    filters: bytes
    way: str


class Refused(msgspec.Struct, frozen=True):
    """There is no recon.

    Args:
        text: the reason in words, fit for a log.
        is_theirs: it is the partner that does not want.
        known: the filters that it presented, None if it did not get so far.
    """

    refusal: Refusal
    text: str
    is_theirs: bool
    known: bytes | None


class Handshake:
    """One handshake. Give it what was read, write what it has to `take`, until it has an `outcome`.

    What came behind the handshake is in `decoder`, which is the session's from then on.
    """

    def __init__(self, role: Role, own: Own) -> None:
        self.decoder = Decoder()
        self.outcome: Agreed | Refused | None = None
        self._role = role
        self._own = own
        self._outgoing = bytearray()
        self._sent: bytes | None = None
        self._presented: bytes | None = None
        self._terms: Terms | None = None
        if own.pinned is not None:
            self._send_config(own.pinned)

    @property
    def awaits_config(self) -> bool:
        """Whether our config waits for the partner's: not for longer than `…_WAITS_S`."""
        return self._sent is None

    def take(self) -> bytes:
        """What is to be written now."""
        octets = bytes(self._outgoing)
        self._outgoing.clear()
        return octets

    def receive(self, octets: bytes) -> None:
        """Something was read."""
        self.decoder.feed(octets)
        try:
            if self.outcome is None and self._terms is None:
                self._read_config()
            if self.outcome is None and self._terms is not None:
                self._read_verdict(self._terms)
        except ProtocolError as error:
            self._refuse(Refusal.MALFORMED, str(error))

    def closed(self) -> None:
        """The partner closed the connection."""
        if self.outcome is not None:
            return
        if self._terms is not None and self.decoder.has_refusal:
            self._refuse(Refusal.OTHER, "it refused, and closed before it said why", is_theirs=True)
        elif self._presented is None and not self.decoder.held:
            text = "it closed before it sent a config, as who is busy does: try again later"
            self._refuse(Refusal.BUSY, text, is_theirs=True)
        else:
            self._refuse(Refusal.CLOSED, "it closed in the middle of the handshake", is_theirs=True)

    def timed_out(self) -> None:
        """The time is over: for the partner's config before ours is sent, or for all of it."""
        if self.outcome is not None:
            return
        if self._sent is None:
            self._send_config(self._own.known)
        else:
            self._refuse(Refusal.TIMED_OUT, "it did not end the handshake in time")

    def _send_config(self, filters: bytes) -> None:
        own = self._own
        self._sent = filters
        config = config_of(
            http_port=own.http_port, filters=filters, identity=own.identity, ways=own.ways
        )
        self._outgoing += encode(config)

    def _read_config(self) -> None:
        message = self.decoder.message()
        if message is None:
            return
        if not isinstance(message, Config):
            self._refuse(Refusal.MALFORMED, "its first message is no config")
            return
        self._presented = filters_of(message)
        if self._sent is None:
            self._send_config(self._own.known if self._presented is None else self._presented)
        assert self._sent is not None
        terms = read_terms(message)
        judged = terms
        if isinstance(terms, Terms):
            judged = object_to(terms, filters=self._sent, identity=self._own.identity) or terms
        if isinstance(judged, Objection):
            self._outgoing += encode_verdict(Verdict(judged.reason))
            self._refuse(judged.refusal, printable(judged.reason))
        else:
            self._outgoing += encode_verdict(Verdict())
            self._terms = judged

    def _read_verdict(self, terms: Terms) -> None:
        verdict = self.decoder.verdict()
        if verdict is None:
            return
        if verdict.reason is not None:
            reason = verdict.reason
            self._refuse(refusal_of(reason), printable(reason), is_theirs=True)
            return
        assert self._sent is not None
        mine = (*self._own.ways, PLAIN)
        both = (mine, terms.ways) if self._role is Role.INITIATOR else (terms.ways, mine)
        self.decoder.admit_all()
        self.outcome = Agreed(terms, self._sent, agreed_way(*both))

    def _refuse(self, refusal: Refusal, text: str, *, is_theirs: bool = False) -> None:
        self.outcome = Refused(refusal, text, is_theirs, self._presented)
