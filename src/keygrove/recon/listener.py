"""Connections that partners open.

Whoever is no partner by address, and not allowed otherwise, is closed without an octet. The others
come to terms here, since partners may share an address: which of them it is shows in what it says
of itself. Then its own actor goes on.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import anyio

from keygrove.errors import UnreachableError
from keygrove.ports import ByteStream, Endpoint
from keygrove.ratelimit.admission import Allowed, Facts
from keygrove.recon.around import Around
from keygrove.recon.conversation import shake_hands
from keygrove.recon.gossip import GOSSIP, GossipApi, WasReached, Welcome
from keygrove.recon.hosts import divided, is_within
from keygrove.recon.messages import WAYS
from keygrove.recon.peer import TAKES_S, Heard, Meet, PeerApi, peer_name
from keygrove.settings import ReconPartner
from keygrove.telemetry.partners import Result, Round
from keygrove_actors import Actor, ActorError, Ctx
from keygrove_protocols.recon.handshake import (
    ACCEPTOR_WAITS_S,
    Agreed,
    Handshake,
    Own,
    Refused,
    Role,
)
from keygrove_protocols.recon.terms import TRANSIENT, Refusal

CONNECTIONS_MAX: Final = 64
"""Under way, of all partners;"""
GUEST_CONNECTIONS_MAX: Final = 32
"""and beside them of all guests, who so take no partner's place."""
OF_ONE_MAX: Final = 4
"""Of one address: several partners may have it."""
RESOLVE_S: Final = 300.0
"""Between two times that names are looked up; the last that was found counts."""
RESOLVE_AGAIN_S: Final = 30.0
"""Sooner, where somebody connects whom nobody knows."""
ANSWER_S: Final = 10.0
"""For one name."""
STRANGERS_MAX: Final = 16
"""Who wait for names to be looked up; more are closed at once."""


class Directory:
    """The addresses of partners."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._found: dict[str, frozenset[str]] = {}
        self._of: tuple[ReconPartner, ...] = ()
        self._looked_at = float("-inf")
        self._turn = anyio.Lock()

    def at(self, address: str) -> tuple[ReconPartner, ...]:
        """The partners that are known to have that address."""
        partners = self._around.roster.partners
        return tuple(one for one in partners if address in self._found.get(one.recon, ()))

    async def search(self, address: str) -> tuple[ReconPartner, ...]:
        """The same, after a look at their names, unless that was a moment ago."""
        if self._turn.statistics().tasks_waiting < STRANGERS_MAX:
            await self._look(RESOLVE_AGAIN_S)
        return self.at(address)

    async def keep(self) -> None:
        """Look again and again."""
        while True:
            await self._look(RESOLVE_S)
            await anyio.sleep(RESOLVE_S)

    async def _look(self, age_s: float) -> None:
        async with self._turn:
            now, partners = anyio.current_time(), self._around.roster.partners
            if now - self._looked_at < age_s and partners == self._of:
                return
            self._of, self._looked_at = partners, now
            async with anyio.create_task_group() as tasks:
                for partner in partners:
                    tasks.start_soon(self._resolve, partner.recon)

    async def _resolve(self, recon: str) -> None:
        host, _ = divided(recon)
        # What was found before is good enough where there is no answer now.
        with suppress(UnreachableError), anyio.move_on_after(ANSWER_S):
            self._found[recon] = frozenset(await self._around.ports.streams.resolve(host))


class ReconListenerApi:
    """The protocol of the listener: it takes no messages, only connections."""


class ReconListener(Actor[ReconListenerApi]):
    """Lets partners in."""

    _ctx: Ctx

    def __init__(self, around: Around, endpoints: Sequence[Endpoint]) -> None:
        self._around = around
        self._endpoints = endpoints
        self._inside: Counter[str] = Counter()
        self._guests: Counter[str] = Counter()

    async def init(self, ctx: Ctx) -> None:
        """Take connections."""
        self._ctx = ctx
        self._directory = Directory(self._around)
        self._gossip = ctx.whereis(GOSSIP, GossipApi)
        ctx.start_soon(self._directory.keep)
        for endpoint in self._endpoints:
            await ctx.enter(self._around.ports.streams.listening(self._converse, endpoint))

    async def _converse(self, stream: ByteStream, address: str) -> None:
        is_allowed = is_within(address, self._around.settings.allow)
        partners = self._directory.at(address)
        if not partners and not is_allowed:
            partners = await self._directory.search(address)
        if not partners and not is_allowed:
            self._around.watcher.turned_away(address, "stranger")
            return
        with self._counted(address, is_guest=not partners) as has_room:
            if not has_room:
                self._around.watcher.turned_away(address, "full")
            elif not isinstance(await self._around.admit(Facts(address, "recon")), Allowed):
                self._around.watcher.turned_away(address, "limited")
            else:
                await self._meet(stream, address, partners)

    @contextmanager
    def _counted(self, address: str, *, is_guest: bool) -> Generator[bool, None, None]:
        """Whether one more is taken, and counted meanwhile. Strangers take nobody's place."""
        inside = self._guests if is_guest else self._inside
        all_max = GUEST_CONNECTIONS_MAX if is_guest else CONNECTIONS_MAX
        if inside.total() >= all_max or inside[address] >= OF_ONE_MAX:
            yield False
            return
        inside[address] += 1
        try:
            yield True
        finally:
            inside[address] -= 1
            if not inside[address]:
                del inside[address]

    async def _meet(
        self, stream: ByteStream, address: str, partners: Sequence[ReconPartner]
    ) -> None:
        pinned = {one.filters for one in partners}
        filters = pinned.pop() if len(pinned) == 1 else None
        own = Own(
            http_port=self._around.http_port,
            identity=self._around.identity,
            pinned=filters.encode() if filters is not None else None,
            ways=WAYS,
        )
        handshake = Handshake(Role.ACCEPTOR, own)
        found = await shake_hands(stream, handshake, ACCEPTOR_WAITS_S)
        try:
            name = await self._name_of(found, address, partners)
            if name is None:
                self._around.watcher.turned_away(address, "full")
                return
            peer = self._ctx.whereis(peer_name(name), PeerApi)
            if isinstance(found, Refused):
                peer.cast(Heard(_not_held(name, found)))
                return
            message = Meet(stream, found, handshake.decoder.rest())
            told = await peer.call(message, timeout=TAKES_S)
            if told.result == "done":
                self._gossip.cast(WasReached(name))
        except ActorError:
            return  # its actor is being restarted, or was: it comes again

    async def _name_of(
        self, found: Agreed | Refused, address: str, partners: Sequence[ReconPartner]
    ) -> str | None:
        """Which of the partners with that address it is: by what it says of itself.

        None: a guest for whom there is no room.
        """
        if not partners:
            return await self._gossip.call(Welcome(address))
        if isinstance(found, Refused):
            return partners[0].name
        return self._around.roster.told_by(found.partner, partners).name


def _not_held(name: str, found: Refused) -> Round:
    result: Result = "refused"
    if found.refusal is Refusal.BUSY:
        result = "busy"
    elif found.refusal in TRANSIENT:
        result = "failed"
    return Round(partner=name, began="partner", result=result, why=found.text)
