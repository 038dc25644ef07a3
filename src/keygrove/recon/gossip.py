"""When sessions are begun with which partner, and who the partners are.

Each has its own time, see `pace`; a few sessions at most are under way at once. The partners'
actors are made here: when the node starts, when the settings are read again, and for those who may
connect without being partners, of whom there are a few at once.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import ClassVar, Final

import anyio
import msgspec

from keygrove.recon.around import Around
from keygrove.recon.hosts import bracketed, joined
from keygrove.recon.messages import RECON
from keygrove.recon.pace import Pace, chance, jittered, share
from keygrove.recon.peer import (
    TAKES_S,
    UNDER_WAY,
    GetPeer,
    Initiate,
    IsMeeting,
    Peer,
    PeerApi,
    PeerStatus,
    peer_name,
)
from keygrove.recon.recovery import Recovery, recovery_name
from keygrove.recon.restarts import tenacious
from keygrove.settings import ReconPartner
from keygrove.telemetry.partners import GUEST, Round
from keygrove_actors import (
    DEFER,
    Actor,
    ActorError,
    Call,
    Cast,
    ChildSpec,
    Ctx,
    Defer,
    Ref,
    ReplyTo,
    SupSpec,
    on,
    on_cast,
)

GOSSIP: Final = "recon.gossip"
"""The name of the actor."""
PARTNERS: Final = "partners"
"""The supervisor of the partners' actors, below that of recon."""
ASK_S: Final = 10.0
"""For a partner's actor to say how it stands, with its recovery."""
ANSWER_S: Final = ASK_S + 2.0
"""For all of them: `GetPartners` tells of the others though one hangs."""
GUESTS_MAX: Final = 16
GUEST_S: Final = 1.0
"""For a guest's actor to say whether it is in a session."""


class GossipApi:
    """The protocol of whoever keeps the time."""


class SetPartners(Call[GossipApi, None], frozen=True, tag=True):
    """From now on the partners are these."""

    errors: ClassVar = ()
    partners: tuple[ReconPartner, ...]


class NoPartner(msgspec.Struct, frozen=True, tag=True):
    """There is none of that name; these are there."""

    names: tuple[str, ...]


class Begin(Call[GossipApi, Round | NoPartner], frozen=True, tag=True):
    """Begin a session with a partner now, and say how it ended."""

    errors: ClassVar = ()
    partner: str


class Welcome(Call[GossipApi, str | None], frozen=True, tag=True):
    """Have an actor for somebody who may connect and is no partner; what it is called.

    None: there are as many as there may be, and all are in a session.
    """

    errors: ClassVar = ()
    address: str


class WasReached(Cast[GossipApi], frozen=True, tag=True):
    """A session that a partner began ended well: it is there."""

    partner: str


class PartnerStatus(msgspec.Struct, frozen=True, tag=True):
    """How recon with a partner stands."""

    name: str
    recon: str
    weight: int
    circuit: str
    """Whether it is counted on: closed, open, half-open."""
    failures: int
    """Of sessions that we began, in a row, since one that either began ended well."""
    next_in_s: float | None
    """None: it is under way, or has to be begun by the partner."""
    peer: PeerStatus | None
    """None while its actor is down."""


class GetPartners(Call[GossipApi, tuple[PartnerStatus, ...]], frozen=True, tag=True):
    """How recon with each partner stands."""

    errors: ClassVar = ()


class _Turn:
    """A partner, and when it is its turn."""

    def __init__(self, settings: ReconPartner, due: float) -> None:
        self.settings = settings
        self.pace = Pace()
        self.due = due


class Gossip(Actor[GossipApi]):
    """Keeps the time."""

    _ctx: Ctx
    _changed: anyio.Event

    def __init__(self, around: Around) -> None:
        self._around = around
        self._turns: dict[str, _Turn] = {}
        self._guests: dict[str, ReconPartner] = {}
        """By address; the one that came last is the last."""

    async def init(self, ctx: Ctx) -> None:
        """Have the partners' actors started."""
        self._ctx = ctx
        self._changed = anyio.Event()
        self._partners = ctx.supervisor(f"{RECON}/{PARTNERS}")
        await self._have(self._around.roster.partners)
        ctx.start_soon(self._keep_time)

    @on(SetPartners)
    async def set_partners(self, message: SetPartners) -> None:
        """Those that stay as they are go on, with what is known of them."""
        self._around.roster.become(message.partners)
        await self._have(message.partners)

    @on(Begin)
    def begin(self, message: Begin) -> Round | NoPartner | Defer:
        """At once, however long the partner is to be left alone."""
        turn = self._turns.get(message.partner)
        if turn is None or message.partner.startswith(GUEST):  # who has no port to connect to
            return NoPartner(tuple(one.name for one in self._around.roster.partners))
        if turn.pace.is_trying:
            return Round(partner=message.partner, began="we", result="busy", why=UNDER_WAY)
        self._ctx.start_soon(self._answer, turn, self._ctx.reply_to)
        return DEFER

    @on_cast(WasReached)
    def was_reached(self, message: WasReached) -> None:
        """Who was left alone because it failed is tried again within its interval."""
        turn = self._turns.get(message.partner)
        if turn is not None and turn.pace.failures:
            turn.pace.note("done")
            turn.due = min(turn.due, self._next(turn))
            self._changed.set()

    @on(Welcome)
    async def welcome(self, message: Welcome) -> str | None:
        """Of those in no session the one that was here the longest ago makes room."""
        address = message.address
        known = self._guests.pop(address, None)
        if known is not None:
            self._guests[address] = known
            return known.name
        if len(self._guests) >= GUESTS_MAX:
            leaving = await self._idle_guest()
            if leaving is None:
                return None
            del self._guests[leaving]
        name = f"{GUEST}{bracketed(address)}"
        self._guests[address] = ReconPartner(name, joined(address, 0), weight=0)
        await self._have(self._around.roster.partners)
        return name

    async def _idle_guest(self) -> str | None:
        """Not the last, whose session may be about to begin."""
        for address, guest in tuple(self._guests.items())[:-1]:
            try:
                is_meeting = await self._peer(guest.name).call(IsMeeting(), timeout=GUEST_S)
            except ActorError:
                is_meeting = False  # it is being restarted
            if not is_meeting:
                return address
        return None

    @on(GetPartners)
    async def get_partners(self, _: GetPartners) -> tuple[PartnerStatus, ...]:
        """Each is asked; one that does not answer costs nothing but what it would say."""
        found: dict[str, PeerStatus] = {}

        async def ask(name: str) -> None:
            with suppress(ActorError):
                found[name] = await self._peer(name).call(GetPeer(), timeout=ASK_S)

        async with anyio.create_task_group() as tasks:
            for name in self._turns:
                tasks.start_soon(ask, name)
        return tuple(self._status(turn, found.get(name)) for name, turn in self._turns.items())

    def _status(self, turn: _Turn, peer: PeerStatus | None) -> PartnerStatus:
        settings, pace = turn.settings, turn.pace
        waits = not pace.is_trying and settings.weight > 0
        return PartnerStatus(
            name=settings.name,
            recon=settings.recon,
            weight=settings.weight,
            circuit=pace.circuit.value,
            failures=pace.failures,
            next_in_s=max(turn.due - self._ctx.now(), 0.0) if waits else None,
            peer=peer,
        )

    async def _have(self, partners: Sequence[ReconPartner]) -> None:
        """Have actors of these partners, and of the guests, and of no others."""
        wanted = {one.name: one for one in (*partners, *self._guests.values())}
        there = {child.id for child in self._partners.which_children()}
        changed = [
            name
            for name, turn in self._turns.items()
            if name in wanted and not _is_as_before(turn.settings, wanted[name])
        ]
        children = tuple(_child(one, self._around) for one in wanted.values())
        await self._partners.replace_spec(SupSpec(children=children))
        for name in changed:
            if name in there:
                await self._partners.terminate_child(name)
                await self._partners.restart_child(name)
        await self._partners.reconcile()
        self._around.watcher.partners(wanted.keys())
        self._turns = {name: self._turn(one) for name, one in wanted.items()}
        self._changed.set()

    def _turn(self, settings: ReconPartner) -> _Turn:
        """The one it has, or its first: at any time within its interval, which may be another."""
        turn = self._turns.get(settings.name)
        if turn is not None and turn.settings == settings:
            return turn
        due = self._ctx.now() + self._interval_s(settings) * chance(self._around.ports.entropy)
        if turn is None or not _is_as_before(turn.settings, settings):
            return _Turn(settings, due)
        turn.settings, turn.due = settings, due
        return turn

    def _interval_s(self, settings: ReconPartner) -> float:
        heaviest = max((one.weight for one in self._around.roster.partners), default=0)
        of_all = self._around.settings.gossip_interval
        return of_all * share(settings.weight, heaviest) if settings.weight else of_all

    async def _keep_time(self) -> None:
        while True:
            self._changed = anyio.Event()
            due = self._due()
            now = self._ctx.now()
            under_way = sum(turn.pace.is_trying for turn in self._turns.values())
            if (
                due is not None
                and due.due <= now
                and under_way < self._around.settings.max_outbound
            ):
                self._ctx.start_soon(self._take, due)
                due.pace.is_trying = True
                continue
            with anyio.move_on_after(due.due - now if due is not None and due.due > now else inf):
                await self._changed.wait()

    def _due(self) -> _Turn | None:
        """Whose turn is next."""
        waiting = [
            turn
            for turn in self._turns.values()
            if turn.settings.weight > 0 and not turn.pace.is_trying
        ]
        return min(waiting, key=lambda turn: turn.due, default=None)

    async def _answer(self, turn: _Turn, reply_to: ReplyTo[Round | NoPartner]) -> None:
        reply_to.send(await self._take(turn))

    async def _take(self, turn: _Turn) -> Round:
        """Begin a session, and see when the next one is due."""
        name, pace = turn.settings.name, turn.pace
        pace.is_trying = True
        try:
            told = await self._peer(name).call(Initiate(), timeout=TAKES_S)
        except ActorError as error:
            told = Round(partner=name, began="we", result="failed", why=str(error))
        finally:
            pace.is_trying = False
        pace.note(told.result)
        turn.due = self._next(turn)
        self._changed.set()
        return told

    def _next(self, turn: _Turn) -> float:
        """When to begin with it, from now on."""
        pause_s = turn.pace.pause_s(self._interval_s(turn.settings))
        return self._ctx.now() + jittered(pause_s, self._around.ports.entropy)

    def _peer(self, name: str) -> Ref[PeerApi]:
        return self._ctx.whereis(peer_name(name), PeerApi)


def _is_as_before(before: ReconPartner, now: ReconPartner) -> bool:
    """Whether its actors can go on: how often it is begun with is no matter of theirs."""
    return msgspec.structs.replace(before, weight=now.weight) == now


def _child(partner: ReconPartner, around: Around) -> ChildSpec:
    """A partner's actors: fetching goes on when the other one crashes."""
    name = partner.name
    recovery = ChildSpec("recovery", partial(Recovery, name, around), name=recovery_name(name))
    peer = ChildSpec("peer", partial(Peer, partner, around), name=peer_name(name))
    return ChildSpec(name, SupSpec(children=(tenacious(recovery), tenacious(peer))))
