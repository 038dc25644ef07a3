"""The address of a supervisor: what it can be asked while the tree runs.

A supervisor is an actor, and what is asked of it is a call: it waits its turn behind a start
or stop that is under way, carries a deadline, and is refused where it could only deadlock.
`SupRef` is that call with the checks and types around it, one class for all strategies:
`start_child` takes a spec, `spawn` the arguments of a dynamic supervisor's template, and each
refuses the other kind. An address is a path, so it outlives restarts.

Rejected: a handle typed by the template's parameters. It would have to repeat the template
to the type checker at each look-up, and be wrong as soon as the template uses `partial`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final, Generic, TypeVar
from zlib import crc32

import msgspec

from keygrove_actors.cell import Cell
from keygrove_actors.hub import Hub
from keygrove_actors.messages import BadSpec, Call, NoProc, WrongProtocol
from keygrove_actors.model import State
from keygrove_actors.ref import Ref, check_protocol
from keygrove_actors.specs import ChildSpec, SupSpec

P = TypeVar("P")
R = TypeVar("R")


class SupApi:
    """The protocol a supervisor serves. Ask through `SupRef`."""


class StartChild(Call[SupApi, Ref[Any]], frozen=True, tag=True):
    """Start `spec` as the last child."""

    spec: ChildSpec


class Spawn(Call[SupApi, Ref[Any]], frozen=True, tag=True):
    """Start a dynamic child with `args`."""

    args: tuple[Any, ...]


class TerminateChild(Call[SupApi, None], frozen=True, tag=True):
    """Stop a child, by its id or, if it is dynamic, its ref."""

    child: str | Ref[Any]


class RestartChild(Call[SupApi, Ref[Any]], frozen=True, tag=True):
    """Start a child that is down."""

    id: str


class DeleteChild(Call[SupApi, None], frozen=True, tag=True):
    """Forget a child that is down."""

    id: str


class ReplaceSpec(Call[SupApi, None], frozen=True, tag=True):
    """Go by `spec` from now on."""

    spec: SupSpec


class Reconcile(Call[SupApi, None], frozen=True, tag=True):
    """Start and stop what the last `ReplaceSpec` added and left out."""


REQUESTS: Final = (
    StartChild,
    Spawn,
    TerminateChild,
    RestartChild,
    DeleteChild,
    ReplaceSpec,
    Reconcile,
)


class ChildInfo(msgspec.Struct, frozen=True):
    """A child at one moment. `ref` is None while nothing of it runs."""

    id: str
    ref: Ref[Any] | None
    state: State
    is_supervisor: bool


class ChildCounts(msgspec.Struct, frozen=True):
    """How many children a supervisor has; the active ones have a running actor."""

    specs: int
    active: int
    supervisors: int
    workers: int


class SupervisorView(Cell):
    """What a `SupRef` reads of a supervisor's cell without asking."""

    __slots__ = ()

    @abstractmethod
    def sup_spec(self) -> SupSpec:
        """The present spec."""

    @abstractmethod
    def cell_of(self, child_id: str) -> Cell | None:
        """The actor of a child, None if nothing of it runs."""

    @abstractmethod
    def child_infos(self) -> tuple[ChildInfo, ...]:
        """All children, in start order."""


class SupRef(Generic[P]):
    """Reaches whichever supervisor is at `path`, below the root, when it is asked.

    Its children's refs are given out for protocol `P`. Requests wait as long as starts and
    stops take unless `timeout` is given: these have limits of their own (`init_timeout`,
    `shutdown`). They raise `CallError` as any call, `ShuttingDown` once the supervisor has
    begun to stop, and `WrongProtocol` where an actor of another kind is at `path`. Never ask
    a supervisor from `init` or `terminate` of its own child: it waits for that child
    (`WouldDeadlock`).
    """

    __slots__ = ("_hub", "_proto", "path")

    def __init__(self, hub: Hub, path: str, proto: type[P]) -> None:
        self.path = path
        self._hub = hub
        self._proto = proto

    async def start_child(self, spec: ChildSpec, *, timeout: float | None = None) -> Ref[P]:  # noqa: ASYNC109 - the call's deadline
        """Start one more child, the last in start order and so the first to stop.

        The ref of a child whose `init` returned `IGNORE` reaches nobody.

        Raises:
            AlreadyStarted: a child of that id is running.
            AlreadyPresent: a child of that id is down, or waits for its restart.
            StartFailed: the start failed; the child is not kept.
            BadSpec: the supervisor is dynamic or partitioned.
        """
        return self._typed(await self._ask(StartChild(spec), timeout))

    async def spawn(self, *args: Any, timeout: float | None = None) -> Ref[P]:  # noqa: ASYNC109 - the call's deadline
        """Start one more child of a dynamic supervisor: the template's `start`, given `args`.

        They are kept for its restarts.

        Raises:
            TooManyChildren: it has as many as it may, those waiting for a restart included.
            StartFailed: the start failed.
            BadSpec: the supervisor is not dynamic.
        """
        return self._typed(await self._ask(Spawn(args), timeout))

    async def terminate_child(
        self,
        child: str | Ref[Any],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the call's deadline
    ) -> None:
        """Stop a child, and return when it is down. It is not restarted.

        Its spec stays, save a temporary or dynamic child's. Dynamic children go by ref, which is
        good while a restart is due, or fails, and no longer once one has succeeded (A-083).

        Raises:
            NotFound: there is no such child, or `child` is the ref of a former incarnation.
            BadSpec: an id for a dynamic supervisor, or a ref for another.
        """
        await self._ask(TerminateChild(child), timeout)

    async def restart_child(self, child_id: str, *, timeout: float | None = None) -> Ref[P]:  # noqa: ASYNC109 - the call's deadline
        """Start a child that is down, or waits for its backoff to be over.

        Raises:
            NotFound: there is no such child.
            Running: it is up.
            Restarting: it is being restarted anyway.
            StartFailed: the start failed; the child is down, or waits, as before.
            BadSpec: the supervisor is dynamic.
        """
        return self._typed(await self._ask(RestartChild(child_id), timeout))

    async def delete_child(self, child_id: str, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the call's deadline
        """Forget a child that is down; one that waits for its restart is not restarted.

        Raises:
            NotFound: there is no such child.
            Running: it is up.
            BadSpec: the supervisor is dynamic or partitioned.
        """
        await self._ask(DeleteChild(child_id), timeout)

    async def replace_spec(self, spec: SupSpec, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the call's deadline
        """Go by another spec from now on, merged by child id; nothing is started or stopped.

        A child goes by its new spec from its next start on. Children the new spec leaves out
        keep running by the old one.

        Raises:
            BadSpec: one of the two is dynamic, the other not.
        """
        await self._ask(ReplaceSpec(spec), timeout)

    async def reconcile(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the call's deadline
        """Stop what `replace_spec` left out, in reverse order; then start what it added.

        Raises:
            StartFailed: an added child's start failed; ask again to go on from there.
        """
        await self._ask(Reconcile(), timeout)

    def which_children(self) -> tuple[ChildInfo, ...]:
        """All children in start order, as they are now: also in the midst of a start.

        Raises:
            NoProc: nobody is there.
            WrongProtocol: an actor of another kind is.
        """
        return self._cell("which_children").child_infos()

    def count_children(self) -> ChildCounts:
        """How many children there are.

        Raises:
            NoProc: nobody is there.
            WrongProtocol: an actor of another kind is.
        """
        children = self.which_children()
        supervisors = sum(c.is_supervisor for c in children)
        active = sum(c.ref is not None for c in children)
        return ChildCounts(len(children), active, supervisors, len(children) - supervisors)

    def ref_for(self, key: str | bytes) -> Ref[P]:
        """The child of a partitioned supervisor that `key` belongs to, at every time and place.

        A key and its UTF-8 are the same key.

        Raises:
            BadSpec: the supervisor is not partitioned.
            NoProc: that partition is being restarted, and has no name to be addressed by.
        """
        cell = self._cell("ref_for")
        spec = cell.sup_spec()
        if not spec.is_partitioned:
            raise BadSpec(f"{cell.label} has no partitions: make it by partitioned()")
        data = key.encode() if isinstance(key, str) else key
        share = spec.children[crc32(data) % len(spec.children)]
        if share.name is not None:
            return Ref[P].named(self._hub, share.name, self._proto)
        running = cell.cell_of(share.id)
        if running is None:
            raise NoProc(share.id, "ref_for")
        return self._typed(Ref(self._hub, running))

    def __repr__(self) -> str:
        return f"<SupRef {self.path or 'root'}>"

    async def _ask(self, message: Call[SupApi, R], timeout: float | None) -> R:  # noqa: ASYNC109 - the call's deadline
        ref: Ref[SupApi] = Ref(self._hub, self._cell(type(message).__name__))
        return await ref.call(message, timeout=timeout)

    def _typed(self, ref: Ref[Any]) -> Ref[P]:
        if (cell := ref.last) is not None:
            check_protocol(cell, self._proto)
        return ref

    def _cell(self, message: str) -> SupervisorView:
        cell = self._hub.root
        for step in self.path.split("/") if self.path else ():
            cell = cell.cell_of(step) if isinstance(cell, SupervisorView) else None
        if cell is not None and not cell.is_dead and not isinstance(cell, SupervisorView):
            raise WrongProtocol(cell.label, SupApi.__name__, cell.traits.served)
        if not isinstance(cell, SupervisorView) or cell.is_dead:
            raise NoProc(self.path or "root", message)
        return cell
