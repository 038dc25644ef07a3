"""A port: the actor that owns one OS process, and lives exactly as long as it.

To its supervisor it is an actor like any other: its start is acknowledged when the worker
has said HELLO and fits, its end has a reason that names the worker's exit code or signal,
and its stop is a DRAIN, then SIGTERM, then SIGKILL. To its callers it is an actor that
serves the messages of its spec.

Messages are taken from the mailbox only while the worker gives credit. Their handlers are
plain functions then; without credit these are taken out of the table, so the next message
goes to the coroutine that waits for credit, and the rest wait behind it in the mailbox,
which is bounded.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Self

import anyio
import msgspec

from keygrove_actors import port_wire as wire
from keygrove_actors.actor import Actor
from keygrove_actors.backend import Parker
from keygrove_actors.cell import Cell
from keygrove_actors.ctx import Ctx
from keygrove_actors.failures import Poisoned
from keygrove_actors.hub import type_name
from keygrove_actors.lines import LINE_BYTES_MAX, cut_fields
from keygrove_actors.messages import (
    IGNORE,
    ActorError,
    Crash,
    Defer,
    Ignore,
    InitTimeout,
    Killed,
    Normal,
    Reason,
    WireError,
)
from keygrove_actors.poison import Poison
from keygrove_actors.port_link import Link, close_files
from keygrove_actors.port_offers import Offers, by_op
from keygrove_actors.port_process import Exit, Launch
from keygrove_actors.port_session import Answered, Effect, Failed, Result, Terms, Unfit, Welcomed
from keygrove_actors.port_spawn import cold
from keygrove_actors.port_spec import TERM_GRACE_S, PortSpec
from keygrove_actors.reports import StartError, WorkerLogged, WorkPoisoned
from keygrove_actors.specs import ChildSpec, MailboxSpec, Restart
from keygrove_actors.tickets import CallTicket, Items, Open, Source, Ticket
from keygrove_actors.wheel import Alarm
from keygrove_actors.work import Note, Work, codec_of
from keygrove_actors.zygote_api import forked


class PortError(ActorError):
    """What ended a worker, in words; the reason's `exc` is its kind."""


class Port(Actor[Any]):
    """Serves the messages of `spec` with one worker process.

    Callers of `Ref.call` see what they see of any actor, and `DeclaredError` with a
    `WorkFailure` for an ERROR of the worker's.
    """

    def __init__(
        self, spec: PortSpec, *, launch: Launch | None = None, poison: Poison | None = None
    ) -> None:
        self.spec = spec
        self._launch = launch or (forked if spec.zygote else cold)
        self._poison = poison or Poison()
        self._codecs = {kind: codec_of(kind) for kind in spec.works}
        self._spoilt: Ticket | None = None
        self._news: Parker[None] | None = None
        self._verdict: Parker[Unfit | None] | None = None
        self._cell: Cell
        self._link: Link
        self._offers: Offers
        self._retable(has_credit=True)

    def _retable(self, *, has_credit: bool) -> None:
        """Make the table of this port's own messages."""
        self._is_shut = not has_credit
        self._free: dict[type[Any], Callable[[Any, Any], Any]] = {
            kind: Port._note if issubclass(kind, Note) else Port._work for kind in self._codecs
        }
        self._free[Open] = Port._open
        table = type(self).__traits__
        self.__dict__["__traits__"] = table._replace(
            plain=table.plain | self._free if has_credit else dict(table.plain),
            slow=table.slow | dict.fromkeys(self._free, Port._take_when_free),
            direct={},  # a direct turn has no deadline to send along
            serves=self.spec.api,
        )

    @classmethod
    def upgrade(cls, state: Any, version: int, extra: Any) -> Self:
        """A port of this class with the same worker, whose words go to it from now on."""
        port = super().upgrade(state, version, extra)
        port.taken_over()
        return port

    def taken_over(self) -> None:
        """This has the state of an older port now, and its worker."""
        self._link.serve(self)
        self._retable(has_credit=self._link.is_free)

    @classmethod
    def child(  # noqa: PLR0913 - the options of a child, as ChildSpec has them
        cls,
        id: str,  # noqa: A002 - as in ChildSpec
        spec: PortSpec,
        *,
        name: str | None = None,
        restart: Restart = Restart.PERMANENT,
        mailbox: MailboxSpec = MailboxSpec(),  # noqa: B008 - frozen
        launch: Launch | None = None,
    ) -> ChildSpec:
        """A child of a supervisor that is a port, with the time its stop needs.

        Its incarnations share what they know of poisoned requests.
        """
        poison = Poison()
        return ChildSpec(
            id,
            lambda: cls(spec, launch=launch, poison=poison),
            name=name,
            restart=restart,
            shutdown=spec.shutdown_s,
            mailbox=mailbox,
        )

    @property
    def pid(self) -> int:
        """The worker's number."""
        return self._link.process.pid

    @property
    def load(self) -> int:
        """Calls it has in its hands: at the worker, or in the mailbox."""
        return self._link.session.load + len(self._cell.box)

    @property
    def calls(self) -> int:
        """Calls its worker was sent."""
        return self._link.session.calls

    def memory_bytes(self) -> int:
        """What its worker holds in memory."""
        return self._link.process.memory_bytes()

    def gone(self) -> None:
        """The worker takes no more: for those who derive from this."""

    # ---- life

    async def init(self, ctx: Ctx) -> Ignore | None:
        """Start the worker, and wait until it has said HELLO and fits."""
        cell = ctx.self_ref.resolve()
        assert cell is not None, "init belongs to a living actor"
        self._ctx, self._cell, hub = ctx, cell, cell.hub
        self._verdict = hub.backend.parker()
        due = hub.backend.now() + self.spec.init_timeout_s
        late = Alarm(hub.wheel, due, lambda: cell.stop(InitTimeout()))
        try:
            await ctx.enter(self._worker())
            unfit = await self._verdict
        finally:
            late.cancel()
        if unfit is not None:
            return self._refuse(unfit)
        self._shut_without_credit()  # a worker may begin with none at all
        self._link.watch()
        return None

    @asynccontextmanager
    async def _worker(self) -> AsyncGenerator[None, None]:
        terms = Terms(
            ops=tuple(codec.op for codec in self._codecs.values()),
            offers=tuple(by_op(self.spec.offers)),
            settings=self.spec.settings,
            frame_bytes_max=self.spec.frame_bytes_max,
            event_credit=self.spec.event_credit,
            ping_s=self.spec.ping_s,
            hang_s=self.spec.hang_s,
        )
        self._link = link = Link(self._cell, self, terms)
        self._offers = Offers(self._ctx, link, self.spec.offers)
        try:
            async with self._launch(self._ctx, self.spec, link) as link.process:
                yield
        finally:
            self.gone()
            link.close()
            spoilt = (self._spoilt,) if self._spoilt is not None else ()
            for ticket in (*link.session.suspects(), *spoilt):
                ticket.port_ended(self._cell.reason or Killed())

    def _refuse(self, unfit: Unfit) -> Ignore:
        """Start no worker that cannot fit: a first start fails, a restart is not tried again."""
        crash = self._crash(unfit.kind, unfit.text)
        if self._ctx.incarnation == 1:
            self._cell.stop(crash)
            raise PortError(unfit.text)
        self._cell.hub.report(StartError(self._cell.spec.id, self._cell.path, crash))
        return IGNORE

    async def terminate(self, reason: Reason) -> None:
        """Let the worker finish what it has, unless this is a crash; then insist.

        What is left of it when this returns is killed, with its process group.
        """
        self.gone()
        if self._link.exit is not None or isinstance(reason, Crash):
            return
        self._link.session.drain(self.spec.drain_s)
        self._link.flush()
        if not await self._exits_within(self.spec.drain_s):
            self._link.process.signal(signal.SIGTERM)
            await self._exits_within(TERM_GRACE_S)

    async def _exits_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            while self._link.exit is None:
                self._news = self._cell.hub.backend.parker()
                await self._news
        return self._link.exit is not None

    # ---- what callers ask

    def _work(self, message: Work[Any, Any]) -> Defer:
        cell, codec = self._cell, self._codecs[type(message)]
        request, now = cell.current, cell.hub.backend.now()
        if request is None:
            return Defer.KEPT
        payload = codec.encode(message)
        if self._poison.is_refused(codec.op, payload, now):
            request.fail(Poisoned(cell.label, type_name(message)))
            return Defer.KEPT
        if cell.deferred is None:
            cell.deferred = {}
        cell.deferred[request] = now
        self._send(CallTicket(cell, request, codec, payload), request.deadline, now)
        return Defer.KEPT

    def _open(self, message: Open[Any, Any, Any]) -> Items[Any, Any]:
        codec = self._codecs[type(message.message)]
        now = self._cell.hub.backend.now()
        source = Source(
            self._cell, message.message, codec, codec.encode(message.message), self._taken
        )
        items: Items[Any, Any] = Items(source, now + (message.timeout or inf))
        self._send(items, now + (message.timeout or inf), now)
        return items

    def _note(self, message: Note[Any]) -> None:
        codec, now = self._codecs[type(message)], self._cell.hub.backend.now()
        try:
            self._link.session.cast(codec.op, codec.encode(message))
        except WireError as error:
            self._cell.report_unclean(error)
            return
        self._sent(now)

    def _send(self, ticket: Ticket, due: float, now: float) -> None:
        op, payload = ticket.request
        try:
            self._link.session.call(ticket, op, payload, due, now)
        except WireError as error:
            ticket.failed(wire.Error(1, "bad_request", str(error), retryable=False))
            return
        self._sent(now)

    def _sent(self, now: float) -> None:
        link = self._link
        if not link.is_flushing:
            link.sent(now)
        self._shut_without_credit()

    def _shut_without_credit(self) -> None:
        """While the worker takes no more, requests wait in the mailbox: by slow handlers."""
        if not self._link.is_free:
            self._is_shut = True
            for kind in self._free:
                del self._cell.traits.plain[kind]

    async def _take_when_free(self, message: Any) -> Any:
        while not self._link.is_free:
            self._news = self._cell.hub.backend.parker()
            await self._news
        return self._free[type(message)](self, message)

    def _taken(self) -> None:
        self._link.session.event_taken()
        self._link.flush()

    # ---- what the worker says

    def act(self, effect: Effect[Ticket]) -> None:
        """Do what the worker's frame asks for."""
        if type(effect) is not Answered and type(effect) is not Result:
            self._act(effect)
            return
        try:
            if type(effect) is Answered:
                effect.ticket.answered(effect.payload)
            else:
                effect.ticket.result(effect.payload)
        except msgspec.MsgspecError as error:
            self._spoilt = ticket = effect.ticket
            op = ticket.request[0]
            self.broke("bad_reply", f"the payload for {op} is not of its type: {error}")

    def _act(self, effect: Effect[Ticket]) -> None:
        match effect:
            case Failed(ticket, error):
                ticket.failed(error)
            case wire.Log():
                self._log(effect)
            case wire.Event(topic, payload):
                if self.spec.on_event is not None:
                    self.spec.on_event(topic, payload)
                self._link.session.event_taken()
            case wire.Call():
                self._offers.begin(effect)
            case _:
                self._greet(effect)

    def _log(self, frame: wire.Log) -> None:
        if self._link.may_log():
            cell, pid, text = self._cell, self._link.process.pid, frame.text[:LINE_BYTES_MAX]
            fields = cut_fields(frame.fields)
            cell.hub.report(WorkerLogged(cell.spec.id, cell.path, pid, frame.level, text, fields))

    def _greet(self, effect: Effect[Ticket]) -> None:
        if isinstance(effect, Welcomed | Unfit) and self._verdict and not self._verdict.done():
            self._verdict.set_result(effect if isinstance(effect, Unfit) else None)

    def handed(self, fds: tuple[int, ...]) -> None:
        """Open files came with the bytes: nobody asked for them here."""
        close_files(fds)

    def freed(self) -> None:
        """The worker takes more: back to plain handlers."""
        if self._is_shut and self._link.is_free:
            self._is_shut = False
            self._cell.traits.plain.update(self._free)
            self._wake()

    def broke(self, kind: str, text: str) -> None:
        """The worker broke the rules, or hangs: the port crashes, which kills it."""
        self._fail(self._crash(kind, text))

    def exited(self, how: Exit) -> None:
        """The worker is dead, and so will be the port."""
        reason = self._reason_of(how)
        if isinstance(reason, Crash):
            self._fail(reason)
        self.gone()
        self._cell.stop(reason)
        self._wake()

    def _reason_of(self, how: Exit) -> Normal | Crash:
        if how.signal:
            known = {s.value: s.name for s in signal.Signals}
            name = known.get(how.signal, f"SIG{how.signal}")
            return self._crash(f"signal_{name}", f"{name} ended the worker")
        if how.code:
            return self._crash(f"exit_{how.code}", f"the worker exited with code {how.code}")
        if self._link.session.has_left:
            return Normal()
        return self._crash("port_eof", "the worker exited with code 0 and without BYE")

    def _crash(self, kind: str, text: str) -> Crash:
        crash = self._cell.hub.crash(PortError(text), self._cell.path)
        return msgspec.structs.replace(crash, exc=kind, trace=self._link.last_errors())

    def _fail(self, crash: Crash) -> None:
        cell = self._cell
        self.gone()
        if cell.reason is None:
            requests = (ticket.request for ticket in self._link.session.suspects())
            for op in self._poison.crashed(requests, cell.hub.backend.now()):
                cell.hub.report(WorkPoisoned(cell.spec.id, cell.path, op))
            cell.stop(crash)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
