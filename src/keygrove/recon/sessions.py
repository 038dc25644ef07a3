"""Sessions with partners, which run where the tree is.

Whoever has the connection feeds what it read, and writes what it is given. Each session sees the
tree of the moment that it began at. Between two messages of a partner others have their turn: to
answer one takes some milliseconds, and a partner may send a thousand at once. A session ends with
the actor that has the connection, whatever ends that: else its place would be taken until nobody
has fed it for long.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from copy import copy
from itertools import count
from typing import Final, Protocol

import anyio
import anyio.lowlevel
import msgspec

from keygrove.points import buggify, sometimes
from keygrove.ports import Entropy
from keygrove.recon.members import Members
from keygrove.recon.messages import Ended, NoSession, NotReady, Opened, OpenSession, Stepped
from keygrove.recon.slices import slices
from keygrove.recon.views import Shows
from keygrove_actors import Ctx, Down, MonitorId
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.acceptor import Acceptor
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.handshake import Role
from keygrove_protocols.recon.rateless import session_of
from keygrove_protocols.recon.session import Session
from keygrove_protocols.recon.terms import PLAIN

SESSIONS_MAX: Final = 64
IDLE_S: Final = 300.0
"""As Hockeypuck's deadline for a read: nobody feeds a session that was forgotten."""
SALT_OCTETS: Final = 16
SLICE: Final = 1_000
"""Digests at once: some milliseconds."""


class Forgets(Protocol):
    """Told what a partner has no more."""

    def __call__(self, partner: str, digests: AbstractSet[Digest]) -> None:
        """At once."""
        ...


class _Hosted:
    def __init__(self, session: Session, opening: OpenSession, shows: Shows, now: float) -> None:
        self.session = session
        self.partner = opening.partner
        self.learned_max = opening.limits.learned_max
        self.shows = shows
        self.fed = now
        self.turn = anyio.Lock()
        self.holder: MonitorId | None = None


class Sessions:
    """Those under way."""

    def __init__(
        self,
        ctx: Ctx,
        entropy: Entropy,
        current: Callable[[], Members],
        forget: Forgets,
    ) -> None:
        self._ctx = ctx
        self._entropy = entropy
        self._current = current
        self._forget = forget
        self._hosted: dict[int, _Hosted] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._hosted)

    def open(self, opening: OpenSession, shows: Shows) -> Opened:
        """Begin one.

        Raises:
            DeclaredError: there are as many as there may be.
        """
        if len(self._hosted) >= SESSIONS_MAX:
            raise NotReady(f"{SESSIONS_MAX} sessions are under way").error()
        decoder = Decoder()
        decoder.admit_all()
        salt = self._entropy.token(SALT_OCTETS)
        limits = msgspec.structs.replace(opening.limits, salt=salt)
        role = Role(opening.role)
        if role is Role.ACCEPTOR and opening.way == PLAIN and buggify("recon.samples"):
            session: Session = Acceptor(shows.shown.view, decoder, limits, full_below=0)
        else:
            session = session_of(role, opening.way, shows.shown, decoder, limits)
        number = next(self._numbers)
        hosted = self._hosted[number] = _Hosted(session, opening, shows, self._ctx.now())
        if opening.holder is not None:
            hosted.holder = self._ctx.monitor(opening.holder)
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
            hosted.fed = self._ctx.now()
            if session.end is None:
                return Stepped(session.take(), None)
            self._drop(number)
            return Stepped(session.take(), await self._ended(hosted))

    async def close(self, number: int) -> Ended:
        """End one.

        Raises:
            DeclaredError: there is no such session.
        """
        hosted = self._of(number)
        self._drop(number)
        async with hosted.turn:
            return await self._ended(hosted)

    def lost(self, down: Down) -> None:
        """Forget what was fed by somebody who is no more."""
        for number, one in list(self._hosted.items()):
            if one.holder == down.id:
                self._drop(number)

    def expire(self) -> None:
        """Forget those that nobody feeds. How long one may take is for whoever does."""
        now = self._ctx.now()
        for number, one in list(self._hosted.items()):
            if now - one.fed > IDLE_S:
                self._drop(number)

    def _drop(self, number: int) -> None:
        hosted = self._hosted.pop(number, None)
        if hosted is not None and hosted.holder is not None:
            self._ctx.demonitor(hosted.holder)

    def _of(self, number: int) -> _Hosted:
        hosted = self._hosted.get(number)
        if hosted is None:
            raise NoSession().error()
        return hosted

    async def _ended(self, hosted: _Hosted) -> Ended:
        session = hosted.session
        if session.statistics.rounds > 1:
            sometimes("recon.descended")
        gone = hosted.shows.gone(session)
        if gone:
            self._forget(hosted.partner, gone)
        return Ended(
            end=session.end,
            learned=await self._lacking(session),
            is_enough=len(session.learned) >= hosted.learned_max,
            statistics=copy(session.statistics),
        )

    async def _lacking(self, session: Session) -> tuple[Digest, ...]:
        """What it learned, less what came in meanwhile."""
        lacking: list[Digest] = []
        for some in slices(session.learned, SLICE):
            await anyio.lowlevel.checkpoint()
            lacking += sorted(self._current().tree.lacks(set(some)))
        return tuple(lacking)
