"""Sessions with partners, which run where the tree is.

Whoever has the connection feeds what it read, and writes what it is given. Each session sees the
tree of the moment that it began at. Between two messages of a partner others have their turn: to
answer one takes some milliseconds, and a partner may send a thousand at once.
"""

from collections.abc import Callable
from copy import copy
from itertools import count
from typing import Final, Literal

import anyio
import anyio.lowlevel

from keygrove.points import buggify, sometimes
from keygrove.recon.messages import Ended, NoSession, NotReady, Opened, Stepped
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.acceptor import FULL_BELOW, Acceptor
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.messages import in_order
from keygrove_protocols.recon.session import Session, SessionLimits
from keygrove_protocols.recon.tree import Tree

SESSIONS_MAX: Final = 64
IDLE_S: Final = 300.0
"""As Hockeypuck's deadline for a read: nobody feeds a session that was forgotten."""
SESSION_S: Final = 3600.0
"""As SKS's alarm."""


class _Hosted:
    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.begun = self.fed = now
        self.turn = anyio.Lock()


class Sessions:
    """Those under way."""

    def __init__(self, now: Callable[[], float], current: Callable[[], Tree]) -> None:
        self._now = now
        self._current = current
        self._hosted: dict[int, _Hosted] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._hosted)

    def open(self, role: Literal["initiator", "acceptor"], limits: SessionLimits) -> Opened:
        """Begin one.

        Raises:
            DeclaredError: there are as many as there may be.
        """
        if len(self._hosted) >= SESSIONS_MAX:
            raise NotReady(f"{SESSIONS_MAX} sessions are under way").error()
        view, decoder = self._current().snapshot(), Decoder()
        decoder.admit_all()
        session: Session
        if role == "initiator":
            session = Initiator(view, decoder, limits)
        else:
            full_below = 0 if buggify("recon.samples") else FULL_BELOW
            session = Acceptor(view, decoder, limits, full_below)
        number = next(self._numbers)
        self._hosted[number] = _Hosted(session, self._now())
        return Opened(number, session.take())

    async def feed(self, number: int, octets: bytes) -> Stepped:
        """Act on what was read.

        Raises:
            DeclaredError: there is no such session.
        """
        hosted = self._of(number)
        async with hosted.turn:
            session = hosted.session
            session.receive(octets)
            while session.advance():
                await anyio.lowlevel.checkpoint()
            if not octets and session.end is None:
                session.closed()
            hosted.fed = self._now()
            ended = self._ended(session)
            if ended is not None:
                self._hosted.pop(number, None)
            return Stepped(session.take(), ended)

    def close(self, number: int) -> Ended:
        """End one.

        Raises:
            DeclaredError: there is no such session.
        """
        session = self._of(number).session
        del self._hosted[number]
        return Ended(None, self._learned(session), copy(session.statistics))

    def expire(self) -> None:
        """Forget those that nobody feeds, or that take too long."""
        now = self._now()
        for number, one in list(self._hosted.items()):
            if now - one.fed > IDLE_S or now - one.begun > SESSION_S:
                del self._hosted[number]

    def _of(self, number: int) -> _Hosted:
        hosted = self._hosted.get(number)
        if hosted is None:
            raise NoSession().error()
        return hosted

    def _ended(self, session: Session) -> Ended | None:
        if session.end is None:
            return None
        if session.statistics.rounds > 1:
            sometimes("recon.descended")
        return Ended(session.end, self._learned(session), copy(session.statistics))

    def _learned(self, session: Session) -> tuple[Digest, ...]:
        """Less what came in meanwhile."""
        return in_order(self._current().lacks(session.learned))
