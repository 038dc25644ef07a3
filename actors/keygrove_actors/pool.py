"""Several ports behind one name: each request goes to the one with the least to do.

A pool of n is a supervisor of n + 1 *seats* and the dispatcher. The seat that is left over
holds an actor without a process. When a worker has served its time (calls, age, memory), the
empty seat is made to restart as a port; when that one is ready, the old worker gets no more
requests, finishes, and its seat restarts as the empty one. So there are never fewer than n
workers ready, nor more than n + 1, and an actor still lives as long as its process.

Which seat is what is in the roster, the one thing these actors share; it outlives them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from keygrove_actors.actor import Actor, on_cast
from keygrove_actors.cell import Cell
from keygrove_actors.ctx import Ctx
from keygrove_actors.hub import type_name
from keygrove_actors.mail import Request
from keygrove_actors.messages import (
    BadSpec,
    Cast,
    Defer,
    Ignore,
    MailboxFull,
    NoProc,
    Shutdown,
)
from keygrove_actors.poison import Poison
from keygrove_actors.port import Port
from keygrove_actors.port_process import Launch
from keygrove_actors.port_spec import PortSpec
from keygrove_actors.specs import ChildSpec, MailboxSpec, SupSpec
from keygrove_actors.tickets import Open
from keygrove_actors.wheel import Wheel
from keygrove_actors.work import Note

CHECK_S: Final = 0.5
"""How often workers are looked at; at most one is replaced in a period of the supervisor."""
PERIOD_S: Final = 10.0
RETIRE_S: Final = 60.0
"""How long a worker that gets no more requests may take for those it has."""


class Recycle(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker has served its time; None is never."""

    calls: int | None = 10_000
    age_s: float | None = None
    memory_bytes: int | None = None


class Roster:
    """Which seat of a pool holds what."""

    def __init__(self, size: int, spec: PortSpec, recycle: Recycle, launch: Launch | None) -> None:
        self.size = size
        self.spec = spec
        self.recycle = recycle
        self.launch = launch
        self.poison = Poison()
        self.is_replacing = False
        self.replaced_at = float("-inf")
        self.ready: dict[int, Seat] = {}
        self.retiring: dict[Seat, float] = {}
        self.vacancies: dict[int, Cell] = {}
        self.dispatcher: PortPool | None = None
        self._ports: set[int] = set()

    def occupant(self, number: int) -> Actor[Any]:
        """What is to be in a seat that starts now."""
        others = len(self._ports - {number})
        if others < self.size + self.is_replacing:
            self._ports.add(number)
            return Seat(self, number)
        self._ports.discard(number)
        return Vacancy(self, number)

    def least(self) -> Seat | None:
        """The worker with the least to do."""
        idle = [seat for seat in self.ready.values() if seat not in self.retiring]
        return min(idle, key=_load, default=None)

    def review(self, now: float) -> None:
        """Go one step on with replacing workers."""
        self.retiring = {s: at for s, at in self.retiring.items() if s in self.ready.values()}
        if len(self.ready) > self.size:
            self._retire(now)
        elif not self.is_replacing and now - self.replaced_at > PERIOD_S and self._is_due(now):
            self.is_replacing = True
            for cell in list(self.vacancies.values()):
                cell.stop(Shutdown("its seat is needed"))

    def _is_due(self, now: float) -> bool:
        return any(seat.is_spent(now) for seat in self.ready.values())

    def _retire(self, now: float) -> None:
        """There is one more than needed: let the one go that has served longest."""
        if not self.retiring:
            seats = self.ready.values()
            oldest = min(seats, key=lambda seat: (not seat.is_spent(now), seat.started_at))
            self.retiring[oldest] = now
        for seat, since in self.retiring.items():
            if not seat.load or now - since > RETIRE_S:
                self.is_replacing = False
                self.replaced_at = now
                seat.leave()


def _load(seat: Seat) -> int:
    return seat.load


class Seat(Port):
    """A port of a pool."""

    def __init__(self, roster: Roster, number: int) -> None:
        super().__init__(roster.spec, launch=roster.launch, poison=roster.poison)
        self.started_at = 0.0
        self._roster = roster
        self._number = number

    async def init(self, ctx: Ctx) -> Ignore | None:
        """Be listed once ready."""
        outcome = await super().init(ctx)
        if outcome is None and self._cell.reason is None:
            self.started_at = ctx.now()
            self._roster.ready[self._number] = self
            if self._roster.dispatcher is not None:
                self._roster.dispatcher.arrived()
        return outcome

    def gone(self) -> None:
        """Be listed no more."""
        if self._roster.ready.get(self._number) is self:
            del self._roster.ready[self._number]

    def is_spent(self, now: float) -> bool:
        """Whether it has served its time."""
        limits = self._roster.recycle
        return (
            (limits.calls is not None and self.calls >= limits.calls)
            or (limits.age_s is not None and now - self.started_at >= limits.age_s)
            or (limits.memory_bytes is not None and self.memory_bytes() > limits.memory_bytes)
        )

    def take(self, item: Any) -> None:
        """Put a request or a notice into its mailbox. Raises `MailboxFull`."""
        self._cell.post(item)

    def leave(self) -> None:
        """End in order."""
        self._cell.stop(Shutdown("recycled"))


class Vacancy(Actor[Any]):
    """The seat left over."""

    __stands_for__ = Seat

    def __init__(self, roster: Roster, number: int) -> None:
        self._roster = roster
        self._number = number

    def init(self, ctx: Ctx) -> None:
        """Be found when the seat is needed."""
        cell = ctx.self_ref.resolve()
        assert cell is not None, "init belongs to a living actor"
        self._roster.vacancies[self._number] = cell

    def terminate(self, reason: object) -> None:
        """Be found no more."""
        self._roster.vacancies.pop(self._number, None)


class Review(Cast[Any], frozen=True, tag=True):
    """Time to look at the workers."""


class _Waiting:
    """A call that waits for a worker, at most until its wheel entry expires."""

    __slots__ = ("_pool", "request", "slot")

    def __init__(self, pool: PortPool, request: Request, wheel: Wheel) -> None:
        self.request = request
        self._pool = pool
        self.slot = wheel.add(request.up_by, self)

    def expire(self) -> None:
        """Give up."""
        self._pool.gave_up(self)


class PortPool(Actor[Any]):
    """The dispatcher of a pool: serves what the workers of `spec` serve.

    A request goes to the worker with the fewest in hand, a notice to every worker. While no
    worker is up, calls are `NoProc`: at once, or when their `wait_up` is over. As many as the
    mailbox's limit may wait.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._cell: Cell
        self._waiting: dict[_Waiting, None] = {}
        route: dict[type[Any], Callable[[Any, Any], Any]] = {
            kind: PortPool._note if issubclass(kind, Note) else PortPool._route
            for kind in (*roster.spec.works, Open)
        }
        table = type(self).__traits__
        self.__dict__["__traits__"] = table._replace(
            plain=table.plain | route, direct={}, serves=roster.spec.api
        )

    @classmethod
    def child(  # noqa: PLR0913 - the options of a child, as ChildSpec has them
        cls,
        id: str,  # noqa: A002 - as in ChildSpec
        spec: PortSpec,
        size: int,
        *,
        name: str | None = None,
        recycle: Recycle = Recycle(),  # noqa: B008 - frozen
        intensity: int | None = None,
        mailbox: MailboxSpec = MailboxSpec(),  # noqa: B008 - frozen
        launch: Launch | None = None,
    ) -> ChildSpec:
        """A child of a supervisor that is a pool of `size` workers, known by `name`.

        It gives up after more than `intensity` restarts within 10 s: three for each worker
        unless given, beside those that recycling takes. With a zygote, put that before the
        pool, in a `rest_for_one` supervisor.
        """
        if size < 1:
            raise BadSpec(f"a pool of {size} workers does nothing: use at least 1")
        roster = Roster(size, spec, recycle, launch)
        seats = tuple(
            ChildSpec(
                f"worker-{number}",
                partial(roster.occupant, number),
                shutdown=spec.shutdown_s,
                mailbox=mailbox,
            )
            for number in range(size + 1)
        )
        dispatcher = ChildSpec("dispatcher", lambda: cls(roster), name=name, mailbox=mailbox)
        return ChildSpec(
            id,
            SupSpec(
                children=(*seats, dispatcher),
                intensity=3 * size + 3 if intensity is None else intensity,
                period=PERIOD_S,
            ),
        )

    def init(self, ctx: Ctx) -> None:
        """Look at the workers now and then."""
        cell = ctx.self_ref.resolve()
        assert cell is not None, "init belongs to a living actor"
        self._cell = cell
        self._roster.dispatcher = self
        ctx.send_every(CHECK_S, Review(), name="review")

    def terminate(self, reason: object) -> None:
        """Have nobody wait any more: who does is told why by the runtime."""
        if self._roster.dispatcher is self:
            self._roster.dispatcher = None
        for waiting in self._waiting:
            waiting.slot.pop(waiting, None)

    def _route(self, message: Any) -> Defer:
        cell, now = self._cell, self._cell.hub.backend.now()
        request = cell.current
        assert request is not None, "only calls are routed"
        seat = self._roster.least()
        if seat is not None:
            _hand(request, seat)
        elif request.up_by <= now:
            request.fail(NoProc(cell.label, type_name(message)))
        elif len(self._waiting) >= cell.limit:
            request.fail(MailboxFull(cell.label, cell.limit))
        else:
            self._waiting[_Waiting(self, request, cell.hub.wheel)] = None
            if cell.deferred is None:
                cell.deferred = {}
            cell.deferred[request] = now
        return Defer.KEPT

    def arrived(self) -> None:
        """A worker is ready: let those go on who waited for one."""
        while self._waiting and (seat := self._roster.least()) is not None:
            waiting = next(iter(self._waiting))
            self._dismiss(waiting)
            if not waiting.request.parker.done():
                _hand(waiting.request, seat)

    def gave_up(self, waiting: _Waiting) -> None:
        """None came in time."""
        self._dismiss(waiting)
        waiting.request.fail(NoProc(self._cell.label, type_name(waiting.request.message)))

    def _dismiss(self, waiting: _Waiting) -> None:
        del self._waiting[waiting]
        waiting.slot.pop(waiting, None)
        (self._cell.deferred or {}).pop(waiting.request, None)

    def _note(self, message: Note[Any]) -> None:
        for seat in list(self._roster.ready.values()):
            seat.take(message)

    @on_cast(Review)
    def review(self, message: Review) -> None:
        """Replace workers that have served their time."""
        self._roster.review(self._cell.hub.backend.now())


def _hand(request: Request, seat: Seat) -> None:
    try:
        seat.take(request)
    except MailboxFull as full:
        request.fail(full)
