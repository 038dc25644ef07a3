"""One partner: the sessions with it, whoever begins them, and what is known of it.

A session that we begin and one that it begins may be under way at once, and no more than that. What
either found goes to the partner's recovery. What comes from the partner can end a session, never
the actor: a crash of it is a bug of ours.
"""

from collections import Counter
from typing import ClassVar, Final

import anyio
import msgspec

from keygrove.errors import ExchangeError
from keygrove.ports import ByteStream
from keygrove.recon.advice import advice_on
from keygrove.recon.around import Around
from keygrove.recon.conversation import hold_session, shake_hands
from keygrove.recon.hosts import divided, joined
from keygrove.recon.messages import PREFIX, WAYS, Ended, NotReady, OpenSession, PrefixApi
from keygrove.recon.recovery import (
    WAITING_MAX,
    GetRecovery,
    Lacking,
    RecoveryApi,
    RecoveryStatus,
    recovery_name,
)
from keygrove.settings import ReconPartner
from keygrove.telemetry.partners import Began, Result, Round
from keygrove_actors import (
    DEFER,
    Actor,
    ActorError,
    Call,
    Cast,
    Ctx,
    DeclaredError,
    Defer,
    ReplyTo,
    on,
    on_cast,
)
from keygrove_protocols.recon.handshake import (
    INITIATOR_WAITS_S,
    Agreed,
    Handshake,
    Own,
    Refused,
    Role,
)
from keygrove_protocols.recon.messages import printable
from keygrove_protocols.recon.session import Ending, SessionLimits
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, TRANSIENT, Program, Refusal

CONNECT_S: Final = 30.0
"""As Hockeypuck has it."""
LIMITS: Final = SessionLimits(learned_max=100_000)
"""More than is fetched after one: what brought nothing before is among it, and must not hide what
is new."""
ASK_S: Final = 5.0
TAKES_S: Final = 4_000.0
"""Longer than a session can take, with all that is before it: for whoever waits for its end."""
UNDER_WAY: Final = "another session with it is under way"


UNKNOWN_AFTER: Final = 5
"""So often in a row who is busy, and nothing else, is hardly to be met."""


def peer_name(partner: str) -> str:
    """The name of a partner's actor."""
    return f"recon.partner.{partner}"


class PeerApi:
    """The protocol of a partner's actor."""


class Initiate(Call[PeerApi, Round], frozen=True, tag=True):
    """Begin a session, and say how it ended."""

    errors: ClassVar = ()


class Meet(Call[PeerApi, Round], frozen=True):
    """Go on with a connection that it opened, after the handshake. It is the caller's to close."""

    errors: ClassVar = ()
    stream: ByteStream
    agreed: Agreed
    octets: bytes
    """That came behind the handshake."""


class IsMeeting(Call[PeerApi, bool], frozen=True, tag=True):
    """Whether a session with it is under way: at once."""

    errors: ClassVar = ()


class PeerStatus(msgspec.Struct, frozen=True, tag=True):
    """What is known of a partner. Figures count from the actor's last start; times are UTC."""

    name: str
    recon: str
    http: str
    """Empty as long as it has not said so."""
    program: str
    """That runs there, as far as it shows."""
    filters: str
    """That it presents, as a log shows it; empty as long as it has not."""
    rounds: dict[str, int]
    """By who began, and how they ended: `we done`, `partner refused`, …"""
    lacking_here: int
    lacking_there: int
    last_ours: int | None
    """When the last session that we began ended well."""
    last_theirs: int | None
    error_ours: str
    """Of the last session that we began and that was not busy; empty if that went well."""
    error_theirs: str
    busy_ours: str
    """Why the last session that we began did not come about, if somebody was busy; else empty."""
    busy_theirs: str
    is_busy: bool
    is_failing: bool
    """The last session that was not busy, whoever began it, did not end well."""
    recovery: RecoveryStatus | None


class GetPeer(Call[PeerApi, PeerStatus], frozen=True, tag=True):
    """What is known of the partner."""

    errors: ClassVar = ()


class Heard(Cast[PeerApi], frozen=True, tag=True):
    """A session that it began did not come about."""

    told: Round


class Peer(Actor[PeerApi]):
    """One partner."""

    _ctx: Ctx

    def __init__(self, partner: ReconPartner, around: Around) -> None:
        self._partner = partner
        self._around = around
        self._busy: set[Began] = set()
        self._known: bytes | None = None
        self._speaks_first = False
        self._program = ""
        self._url = f"http://{partner.http}/pks/hashquery" if partner.http else ""
        self._rounds: Counter[str] = Counter()
        self._lacking_here = self._lacking_there = 0
        self._last: dict[Began, int] = {}
        self._errors: dict[Began, str] = {}
        self._waits: dict[Began, str] = {}
        self._is_failing = False
        self._closed_at_once = 0
        """In a row, since a session with it ended well."""

    def init(self, ctx: Ctx) -> None:
        """Find the others."""
        self._ctx = ctx
        self._prefix = ctx.whereis(PREFIX, PrefixApi)
        self._recovery = ctx.whereis(recovery_name(self._partner.name), RecoveryApi)

    @on(Initiate)
    def initiate(self, _: Initiate) -> Round | Defer:
        """Connect, unless such a session is under way."""
        if "we" in self._busy:
            return self._told("we", "busy", UNDER_WAY)
        self._busy.add("we")
        self._ctx.start_soon(self._begin, self._ctx.reply_to)
        return DEFER

    @on(Meet)
    def meet(self, message: Meet) -> Round | Defer:
        """Go on, unless such a session is under way."""
        if "partner" in self._busy:
            return self._told("partner", "busy", UNDER_WAY)
        self._busy.add("partner")
        self._ctx.start_soon(self._answer, message, self._ctx.reply_to)
        return DEFER

    @on(IsMeeting)
    def is_meeting(self, _: IsMeeting) -> bool:
        """At once."""
        return bool(self._busy)

    @on_cast(Heard)
    def heard(self, message: Heard) -> None:
        """Count it."""
        self._account_for(message.told)

    @on(GetPeer)
    async def status(self, _: GetPeer) -> PeerStatus:
        """With what its recovery says."""
        try:
            recovery = await self._recovery.call(GetRecovery(), timeout=ASK_S)
        except ActorError:
            recovery = None
        return PeerStatus(
            name=self._partner.name,
            recon=self._partner.recon,
            http=self._url.removeprefix("http://").partition("/")[0],
            program=self._program,
            filters=printable(self._known or b""),
            rounds=dict(self._rounds),
            lacking_here=self._lacking_here,
            lacking_there=self._lacking_there,
            last_ours=self._last.get("we"),
            last_theirs=self._last.get("partner"),
            error_ours=self._errors.get("we", ""),
            error_theirs=self._errors.get("partner", ""),
            busy_ours=self._waits.get("we", ""),
            busy_theirs=self._waits.get("partner", ""),
            is_busy=bool(self._busy),
            is_failing=self._is_failing,
            recovery=recovery,
        )

    async def _begin(self, reply_to: ReplyTo[Round]) -> None:
        host, port = divided(self._partner.recon)
        before = self._ctx.now()
        try:
            told = await self._fetching() or await self._reach(host, port)
        finally:
            self._busy.discard("we")
        self._tell(told, before, reply_to)

    async def _fetching(self) -> Round | None:
        """What is found is of no use while much of what was found before is still to be fetched."""
        try:
            waiting = (await self._recovery.call(GetRecovery(), timeout=ASK_S)).waiting
        except ActorError:
            waiting = 0
        if waiting <= WAITING_MAX // 2:
            return None
        why = f"{waiting:,} certificates from earlier sessions with it wait here to be fetched"
        return self._told("we", "busy", why)

    async def _reach(self, host: str, port: int) -> Round:
        """At what was a Keygrove there may be another server by now, with filters of its own."""
        spoke_first = self._speaks_first
        told = await self._connect(host, port)
        if spoke_first and told.result == "refused":
            return await self._connect(host, port)
        return told

    async def _connect(self, host: str, port: int) -> Round:
        try:
            with anyio.fail_after(CONNECT_S):
                streams = self._around.ports.streams
                stream = await streams.connect(host, port, bind=self._around.bind(host))
        except TimeoutError:
            return self._told("we", "failed", f"no connection within {CONNECT_S:g} s")
        except ExchangeError as error:
            return self._told("we", "failed", str(error))
        try:
            return await self._initiate(stream, host)
        finally:
            await stream.aclose()

    async def _initiate(self, stream: ByteStream, host: str) -> Round:
        filters = self._partner.filters
        pinned = self._known if self._speaks_first else None
        own = Own(
            http_port=self._around.http_port,
            identity=self._around.identity,
            pinned=pinned if filters is None else filters.encode(),
            known=DEFAULT_FILTERS if self._known is None else self._known,
            ways=WAYS,
        )
        handshake = Handshake(Role.INITIATOR, own)
        found = await shake_hands(stream, handshake, INITIATOR_WAITS_S)
        if isinstance(found, Refused):
            return self._refused("we", found)
        self._around.roster.note(self._partner, found.partner)
        self._note_terms(found, host)
        return await self._hold(stream, Role.INITIATOR, found, handshake.decoder.rest())

    async def _answer(self, message: Meet, reply_to: ReplyTo[Round]) -> None:
        before = self._ctx.now()
        host, _ = divided(self._partner.recon)
        try:
            self._note_terms(message.agreed, host)
            told = await self._hold(message.stream, Role.ACCEPTOR, message.agreed, message.octets)
        finally:
            self._busy.discard("partner")
        self._tell(told, before, reply_to)

    async def _hold(self, stream: ByteStream, role: Role, agreed: Agreed, octets: bytes) -> Round:
        began: Began = "we" if role is Role.INITIATOR else "partner"
        opening = OpenSession(
            role.value,
            LIMITS,
            agreed.way,
            partner=self._partner.name,
            is_keygrove=agreed.partner.program is Program.KEYGROVE,
            holder=self._ctx.self_ref,
        )
        try:
            ended = await hold_session(stream, self._prefix, opening, octets)
        except DeclaredError as error:
            busy = error.failure if isinstance(error.failure, NotReady) else None
            if busy is None:
                return self._told(began, "failed", "the session was given up here")
            return self._told(began, "busy", busy.reason)
        except ActorError as error:
            return self._told(began, "failed", f"the tree is being restarted: {error}")
        if ended.learned:
            self._recovery.cast(Lacking(ended.learned, self._url))
        return self._ended(began, agreed.way, ended)

    def _note_terms(self, agreed: Agreed, host: str) -> None:
        terms = agreed.partner
        self._program = terms.program.value
        # A Keygrove waits for our config, as we for its: whoever knows that need not wait.
        self._speaks_first = terms.program is Program.KEYGROVE
        if self._partner.http is None and terms.http_port:
            self._url = f"http://{joined(host, terms.http_port)}/pks/hashquery"
        self._note_filters(terms.filters)

    def _note_filters(self, filters: bytes) -> None:
        if filters != self._known:
            self._known = filters
            self._around.watcher.filters(self._partner.name, printable(filters))

    def _refused(self, began: Began, found: Refused) -> Round:
        self._speaks_first = False
        if found.known is not None:
            self._note_filters(found.known)
        result: Result = "refused"
        if found.refusal is Refusal.BUSY:
            result = "busy"
        elif found.refusal in TRANSIENT:
            result = "failed"
        closed_at_once = found.refusal is Refusal.BUSY and found.known is None
        self._closed_at_once = self._closed_at_once + 1 if closed_at_once else 0
        told = self._told(began, result, self._doubted(found.text))
        return msgspec.structs.replace(told, advice=advice_on(found.refusal))

    def _doubted(self, why: str) -> str:
        """Why there was no session; of who closes at once again and again, what else it may be."""
        if self._closed_at_once < UNKNOWN_AFTER:
            return why
        host, _ = divided(self._partner.recon)
        source = self._around.bind(host)
        ours = f"our address {source}" if source else "our address"
        why = f"it closes at once: busy, or it does not know {ours} as a partner's"
        if self._closed_at_once == UNKNOWN_AFTER:
            self._around.watcher.closing(self._partner.name, why)
        return why

    def _ended(self, began: Began, way: str, ended: Ended) -> Round:
        end, figures = ended.end, ended.statistics
        return Round(
            partner=self._partner.name,
            began=began,
            result=_result_of(ended),
            why=(end.text if end is not None else "") or figures.gave_up,
            way=way,
            lacking_here=len(ended.learned),
            lacking_there=figures.given,
            bytes_in=figures.octets_in,
            bytes_out=figures.octets_out,
            round_trips=figures.rounds,
        )

    def _told(self, began: Began, result: Result, why: str) -> Round:
        return Round(partner=self._partner.name, began=began, result=result, why=why)

    def _tell(self, told: Round, before: float, reply_to: ReplyTo[Round]) -> None:
        told = msgspec.structs.replace(told, duration_s=self._ctx.now() - before)
        self._account_for(told)
        reply_to.send(told)

    def _account_for(self, told: Round) -> None:
        self._rounds[f"{told.began} {told.result}"] += 1
        self._lacking_here += told.lacking_here
        self._lacking_there += told.lacking_there
        self._waits[told.began] = told.why if told.result == "busy" else ""
        if told.result != "busy":
            self._errors[told.began] = "" if told.result == "done" else told.why
            self._is_failing = told.result != "done"
        if told.result == "done":
            self._closed_at_once = 0
            self._last[told.began] = self._around.ports.clock.now()
        self._around.watcher.round(told)


def _result_of(ended: Ended) -> Result:
    """To have found as much as is looked for is an end as it should be."""
    ending = ended.end.ending if ended.end is not None else Ending.CLOSED
    return "done" if ended.is_enough or ending is Ending.DONE else "failed"
