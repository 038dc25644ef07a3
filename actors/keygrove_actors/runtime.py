"""A running tree: `run` starts it in the current event loop, and stops it in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

import anyio
import msgspec

from keygrove_actors import groups
from keygrove_actors.backend import Parker, current_backend
from keygrove_actors.cell import Cell
from keygrove_actors.failures import StopOverrun, TreeEnded, Unkillable
from keygrove_actors.hub import Counters, Gate, Hub, Options
from keygrove_actors.messages import (
    ActorId,
    BadSpec,
    Shutdown,
    StartFailed,
)
from keygrove_actors.model import Child, State
from keygrove_actors.ref import Ref
from keygrove_actors.reports import Report, StopLate
from keygrove_actors.specs import ChildSpec, SupSpec
from keygrove_actors.staff import ROOT
from keygrove_actors.supervisor import SupervisorCell
from keygrove_actors.supref import SupRef
from keygrove_actors.wheel import Alarm

P = TypeVar("P")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the tree, or its root. `actor` is None while nothing of it runs."""

    id: str
    path: str
    name: str | None
    state: State
    actor: ActorId | None
    incarnation: int
    mailbox: int
    children: tuple[Node, ...] = ()

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.incarnation - 1)

    def text(self, depth: int = 0) -> str:
        """The subtree, one indented line for each child."""
        name = f" ({self.name})" if self.name and self.name != self.id else ""
        line = f"{'  ' * depth}{self.id}{name}: {self.state.value}"
        line += f", restarts {self.restarts}, mailbox {self.mailbox}"
        return "\n".join([line, *(child.text(depth + 1) for child in self.children)])


class Runtime:
    """The tree that `run` started."""

    def __init__(self, hub: Hub, spec: SupSpec) -> None:
        self._hub = hub
        self._spec = spec
        self._root = SupervisorCell(hub, self, ChildSpec(ROOT, spec), ROOT)
        hub.root = self._root
        self._waiters: list[Parker[None]] = []
        self._is_stopping = False
        self._is_told = False
        self._is_over = False
        self._late: tuple[str, ...] = ()

    @property
    def hub(self) -> Hub:
        """What its actors share. For the runtime's own use."""
        return self._hub

    @property
    def root(self) -> SupervisorCell:
        """The root supervisor. For the runtime's own use."""
        return self._root

    @property
    def spec(self) -> SupSpec:
        """What it runs."""
        return self._spec

    @property
    def counters(self) -> Counters:
        """What happened too often to be reported each time."""
        return self._hub.counters

    def whereis(self, name: str, proto: type[P]) -> Ref[P]:
        """The address of whoever has `name` when a message is sent there.

        Raises:
            WrongProtocol: an actor has the name now, and serves another protocol.
        """
        return Ref[P].named(self._hub, name, proto)

    def members(self, group: str) -> list[Ref[Any]]:
        """Who is in the group, each as often as it joined."""
        return groups.members(self._hub, group)

    @overload
    def supervisor(self, path: str) -> SupRef[Any]: ...

    @overload
    def supervisor(self, path: str, proto: type[P]) -> SupRef[P]: ...

    def supervisor(self, path: str, proto: type[Any] = object) -> SupRef[Any]:
        """The supervisor at `path`, the ids from the root down; "" is the root itself.

        Its children's refs are given out for protocol `proto`.
        """
        return SupRef(self._hub, path, proto)

    def tree(self) -> Node:
        """The tree at this moment, as data; linear in the number of actors."""
        root = self._root
        up = State.UP if root.is_started else State.STARTING
        return _node(root, ROOT, State.DOWN if root.is_dead else up)

    def failed(self) -> tuple[str, ...]:
        """The paths of children that spent their budget of restarts and are down for that.

        A tree is ready to serve when it is up and there is none.
        """
        failed = self._hub.failed
        for path, owner in list(failed.items()):
            assert isinstance(owner, SupervisorCell)
            if not owner.is_failed(path.rpartition("/")[2]):
                del failed[path]
        return tuple(failed)

    def leftovers(self) -> dict[str, int]:
        """Names, tasks, deadlines and waiters in use; all zero once the tree is down."""
        return self._hub.entries()

    async def stop(self, deadline: float | None = None) -> tuple[str, ...]:
        """Stop the tree in order; again and again does no harm.

        Whoever still runs after `deadline` seconds is killed. Returns their paths.

        Raises:
            WrongThread: the tree's loop runs in another thread.
        """
        hub = self._hub
        hub.check_thread(self._root, "stop()", "anyio.from_thread.run(runtime.stop)")
        hub.due(deadline, "deadline")  # before anything is stopped
        self._is_stopping = True
        self._root.stop(Shutdown())
        alarm = None
        if deadline is not None and not self._root.is_dead:
            alarm = Alarm(hub.wheel, hub.due(deadline, "deadline"), self._overrun)
        try:
            await self._root_death()
        finally:
            if alarm is not None:
                alarm.cancel()
        return self._late

    def kill(self) -> None:
        """Kill the tree at once: nobody's `terminate` runs. Leaving the block waits for its end.

        Raises:
            WrongThread: the tree's loop runs in another thread.
        """
        way = "anyio.from_thread.run_sync(runtime.kill)"
        self._hub.check_thread(self._root, "kill()", way)
        self._is_stopping = True
        self._root.kill()

    async def wait(self) -> None:
        """Return when the tree was stopped.

        Raises:
            TreeEnded: it ended by itself, which means that it gave up.
            WrongThread: the tree's loop runs in another thread.
        """
        self._hub.check_thread(self._root, "wait()", "anyio.from_thread.run(runtime.wait)")
        await self._root_death()
        self._raise_if_ended()

    # ---- for `run` and the root cell

    def child_started(self, cell: Cell) -> None:
        """The whole tree is up."""
        self._wake()

    def child_ended(self, cell: Cell) -> None:
        """The whole tree is down."""
        self._wake()

    async def started(self) -> None:
        """Start the tree, and wait until it is up.

        Raises:
            StartFailed: a child's start failed; those before it are stopped again.
        """
        self._root.start()
        while not self._root.is_started and not self._root.is_dead:
            await self._news()
        if not self._root.is_started and not self._is_stopping:
            self._is_told = True
            child_id, reason = self._root.start_failure or (ROOT, Shutdown())
            first = self._root.first_failure
            is_deeper = first is not None and first[0] != child_id
            raise StartFailed(child_id, reason, first if is_deeper else None)

    async def stopped(self, deadline: float | None) -> None:
        """Stop, and wait until everything is down, whatever cancels the waiter; once is enough."""
        if self._is_over:
            return
        was_stopping = self._is_stopping or self._root.is_dead
        interrupted: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not self._root.is_dead:
                try:
                    await self.stop(deadline)
                except anyio.get_cancelled_exc_class() as error:
                    interrupted = error
            self._hub.letters.flush()
            self._hub.wheel.close()
            # An actor that no kill ends would hold the block for ever: it gets its grace again.
            within = self._hub.kill_grace if self._hub.undead() else None
            await self._hub.backend.drained(within)
            self._is_over = True
        if interrupted is not None:
            raise interrupted
        if was_stopping:
            self._late = ()

    def verdict(self, deadline: float | None) -> None:
        """Raise what the block's owner has not been told yet."""
        if not self._is_told:
            self._raise_if_ended()
        self.raise_if_late(deadline)
        if self._hub.observer_error is not None:
            raise self._hub.observer_error

    def raise_if_late(self, deadline: float | None) -> None:
        """Raise StopOverrun if actors had to be killed for lateness."""
        if self._late:
            raise StopOverrun(self._late, deadline or 0.0)

    def raise_if_undead(self) -> None:
        """Raise Unkillable if actors still run."""
        if undead := self._hub.undead():
            raise Unkillable(undead)

    def _raise_if_ended(self) -> None:
        reason = self._root.reason
        if reason is not None and not self._is_stopping:
            self._is_told = True
            raise TreeEnded(reason)

    async def _root_death(self) -> None:
        while not self._root.is_dead:
            await self._news()

    async def _news(self) -> None:
        parker: Parker[None] = self._hub.backend.parker()
        self._waiters.append(parker)
        try:
            await parker
        finally:
            if parker in self._waiters:
                self._waiters.remove(parker)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for parker in waiters:
            if not parker.done():
                parker.set_result(None)

    def _overrun(self) -> None:
        late = tuple(cell.path for cell in _workers(self._root)) or (ROOT,)
        self._late += tuple(path for path in late if path not in self._late)
        self._hub.report(StopLate(late))
        self._root.kill()


@asynccontextmanager
async def run(  # noqa: PLR0913 - settings of the whole runtime, by name
    spec: SupSpec,
    *,
    observe: Callable[[Report], None] | None = None,
    stop_deadline: float | None = None,
    direct: bool = True,
    check_replies: bool = False,
    kill_grace: float = 1.0,
    gate: Gate | None = None,
    seed: int = 0,
) -> AsyncGenerator[Runtime, None]:
    """Run the tree in the current event loop, asyncio or trio, while the block runs.

    The block begins when every child has acknowledged its start; leaving it stops the
    tree in order, within `stop_deadline` seconds if given. No task outlives the block, but
    those of an actor that no kill ends: it is left behind, by name, `kill_grace` after it was
    declared dead.
    `observe` is called with each report; it must be quick. With `direct`, a call to an
    idle actor with a plain handler runs on the caller's stack. `check_replies` compares
    each reply with its declaration: for tests. An actor that outlives its kill by
    `kill_grace` seconds is declared dead. `gate` is a test kit's: it sees every message.
    All that is left to chance, such as jitter, follows from `seed`: take it from the system
    where nodes must not fall in step.

    Raises:
        BadSpec: `spec` is no `SupSpec`.
        TypeError: `observe` is no function, or one that would have to be awaited.
        StartFailed: the tree did not come up.
        Unkillable: on leaving, if actors still run; also when the block raised or was cancelled.
        TreeEnded: on leaving, if the root gave up and `Runtime.wait` has not said so.
        StopOverrun: on leaving, if actors had to be killed for lateness; also when the block is
            cancelled, be it while the tree starts.
    """
    if not isinstance(spec, SupSpec):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        given = spec.__name__ if isinstance(spec, type) else type(spec).__name__
        raise BadSpec(f"a tree is a supervisor, not {given}: write SupSpec(children=(…,))")
    told: Any = observe  # by untyped callers, too
    if told is not None and (not callable(told) or iscoroutinefunction(told)):
        raise TypeError(f"observe is {told!r:.80}: give a plain function of one report")
    context = copy_context()
    options = Options(direct, check_replies, kill_grace, gate, seed)
    hub = Hub(current_backend(context), context, observe, options)
    hub.due(stop_deadline, "stop_deadline")
    hub.due(kill_grace, "kill_grace")
    runtime = Runtime(hub, spec)
    try:
        await runtime.started()
        yield runtime
    except anyio.get_cancelled_exc_class():
        # Whoever tells us to stop so has to learn of the late, too.
        await runtime.stopped(stop_deadline)
        runtime.raise_if_late(stop_deadline)
        raise
    finally:
        await runtime.stopped(stop_deadline)
        runtime.raise_if_undead()
    runtime.verdict(stop_deadline)


def _node(cell: SupervisorCell, child_id: str, state: State) -> Node:
    return Node(
        id=child_id,
        path=cell.path,
        name=cell.spec.name,
        state=state,
        actor=cell.id,
        incarnation=cell.incarnation,
        mailbox=len(cell.box),
        children=tuple(_child_node(cell, child) for child in cell.children),
    )


def _child_node(parent: SupervisorCell, child: Child) -> Node:
    post = parent.posts.get(child.id)
    cell = None if post is None else post.cell
    if isinstance(cell, SupervisorCell):
        return _node(cell, child.id, child.state)
    return Node(
        id=child.id,
        path=parent.path_of(child.id),
        name=child.spec.name,
        state=shown(child.state, cell),
        actor=None if cell is None else cell.id,
        incarnation=0 if post is None else post.incarnation,
        mailbox=0 if cell is None else len(cell.box),
    )


def shown(state: State, cell: Cell | None) -> State:
    """The state as people see it: a place that is only held is vacant."""
    actor = getattr(cell, "actor", None)
    is_vacant = state is State.UP and actor is not None and actor.__stands_for__ is not None
    return State.VACANT if is_vacant else state


def _workers(cell: SupervisorCell) -> Iterator[Cell]:
    for post in cell.posts.values():
        if isinstance(post.cell, SupervisorCell):
            yield from _workers(post.cell)
        elif post.cell is not None:
            yield post.cell
