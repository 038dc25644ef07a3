"""Both roles of a session of two Keygroves: one sends symbols of its set until the other is done.

    acceptor                                initiator
    Symbols, the first `FIRST`
                                            MoreSymbols, while they do not do
    Symbols, so many more
                                            Elements, what the acceptor lacks
    Done

So it takes one round trip for up to some fifty differences, and mostly two for thousands, whatever
the size of the sets. Where symbols do not tell it, because there are too many differences, or
digests were chosen that defy it, or someone lies, the initiator answers SyncFail, and the acceptor
begins anew in the plain way: rateless recon is never the reason why two do not converge.
"""

from typing import Final

import msgspec

from keygrove_protocols.recon.acceptor import Acceptor
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.handshake import Role
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.messages import (
    Elements,
    Message,
    MoreSymbols,
    Symbols,
    SyncFail,
    in_order,
)
from keygrove_protocols.recon.peeling import AT_ONCE, Peeling, least_wanted
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import Ending, Session, SessionLimits
from keygrove_protocols.recon.sketch import SYMBOL_BYTES, SYMBOLS, Sketch
from keygrove_protocols.recon.solve import Difference
from keygrove_protocols.recon.terms import RATELESS
from keygrove_protocols.recon.view import View

FIRST: Final = 96
"""Symbols that are sent without being asked for. They tell some fifty differences, and how many
there are, give or take a seventh."""

STEPS: Final = 100
"""Of peeling at once: a millisecond."""


class Shown(msgspec.Struct, frozen=True):
    """A set as sessions see it, in both forms, of the same moment."""

    view: View
    sketch: Sketch


class RatelessInitiator(Initiator):
    """Tells the difference from an acceptor's symbols, and answers as others do if it cannot."""

    def __init__(self, shown: Shown, decoder: Decoder, limits: SessionLimits | None = None) -> None:
        super().__init__(shown.view, decoder, limits)
        self._peeling: Peeling | None = Peeling(shown.sketch, shown.view)
        self._wanted = FIRST
        self._is_peeling = False

    def advance(self) -> bool:
        """Act on the next message, or do some of what the one before asks for."""
        if self.end is not None or not self._is_peeling:
            return super().advance()
        assert self._peeling is not None
        self._is_peeling = self._peeling.advance(STEPS)
        if not self._is_peeling:
            self._answer_symbols(self._peeling)
        return self.end is None

    def _on(self, message: Message) -> None:
        if self._peeling is None:
            super()._on(message)
        elif isinstance(message, Symbols):
            self._take_in(self._peeling, message)
        else:
            self._unexpected(message)

    def _take_in(self, peeling: Peeling, message: Symbols) -> None:
        count = len(message.octets) // SYMBOL_BYTES
        if message.start != peeling.received or message.start + count != self._wanted:
            right = f"those from {peeling.received} up to {self._wanted} are right"
            text = f"it sent {count} symbols from {message.start} on: {right}"
            self._break_off(Ending.VIOLATION, text)
            return
        self.statistics.rounds += 1
        self.statistics.symbols += count
        more = abs(message.size - self._view.node(ROOT).size)
        if more > SYMBOLS:
            self._give_up(f"one set has {more:,} digests more than the other")
            return
        peeling.extend(message.octets)
        self._is_peeling = True

    def _answer_symbols(self, peeling: Peeling) -> None:
        difference, fault = peeling.difference, peeling.fault
        if difference is not None:
            self._tell(difference)
        elif fault:
            self._give_up(fault)
        else:
            self._wanted = peeling.wanted
            self._say(MoreSymbols(self._wanted))

    def _tell(self, difference: Difference) -> None:
        self._peeling = None
        self._say(Elements(self._give(difference.local_only)))
        self._learn(in_order(difference.remote_only))

    def _give_up(self, why: str) -> None:
        self._peeling = None
        self.statistics.gave_up = why
        self._say(SyncFail())


class RatelessAcceptor(Acceptor):
    """Sends symbols of its set, and asks as others do if they cannot tell the difference.

    It has the first symbols to be taken from the beginning.
    """

    def __init__(self, shown: Shown, decoder: Decoder, limits: SessionLimits | None = None) -> None:
        self._sketch = shown.sketch
        self._is_plain = False
        """Symbols are over: what is still to be asked is asked as others do."""
        super().__init__(shown.view, decoder, limits)

    def _begin(self) -> None:
        self._send(FIRST)

    def _on(self, message: Message) -> None:
        if self._is_plain:
            super()._on(message)
            return
        match message:
            case Elements(digests):
                self._learn(digests)
                self._todo.clear()
                self._is_plain = True
            case SyncFail():
                self.statistics.gave_up = "the partner cannot tell what differs from symbols"
                self._is_plain = True
            case MoreSymbols(until):
                self._send_more(until)
            case _:
                self._unexpected(message)

    def _go_on(self) -> None:
        if self._is_plain:
            super()._go_on()

    def _send_more(self, until: int) -> None:
        sent = self.statistics.symbols
        least, most = least_wanted(sent), min(sent + AT_ONCE, SYMBOLS)
        if sent == SYMBOLS or not least <= until <= most:
            right = f"between {least} and {most} are right"
            text = f"after {sent} symbols it asked for {until}: {right}"
            self._break_off(Ending.VIOLATION, text)
        else:
            self._send(until)

    def _send(self, until: int) -> None:
        start = self.statistics.symbols
        octets = self._sketch.octets(start, until)
        self._say(Symbols(self._view.node(ROOT).size, start, octets))
        self.statistics.rounds += 1
        self.statistics.symbols = until


def session_of(
    role: Role, way: str, shown: Shown, decoder: Decoder, limits: SessionLimits | None = None
) -> Session:
    """The session of the way that a handshake agreed on."""
    match role, way == RATELESS:
        case Role.INITIATOR, True:
            return RatelessInitiator(shown, decoder, limits)
        case Role.INITIATOR, False:
            return Initiator(shown.view, decoder, limits)
        case Role.ACCEPTOR, True:
            return RatelessAcceptor(shown, decoder, limits)
        case _:
            return Acceptor(shown.view, decoder, limits)
