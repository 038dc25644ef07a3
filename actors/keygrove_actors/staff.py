"""The children of one supervisor: their posts, and how they are started, stopped and shown.

What is to be done is decided elsewhere (`strategy`), and asked for by `supervisor`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, Final

from keygrove_actors.cell import Cell, Parent
from keygrove_actors.decisions import ArmRetry, Event, Retry
from keygrove_actors.host import TURN_MESSAGES
from keygrove_actors.hub import Hub
from keygrove_actors.messages import InitTimeout, Shutdown
from keygrove_actors.model import Child, State, model_of
from keygrove_actors.ref import Ref
from keygrove_actors.specs import ChildSpec, Restart, SupSpec
from keygrove_actors.supref import ChildInfo, SupervisorView
from keygrove_actors.wheel import Alarm

ROOT: Final = "root"
"""The path of the root supervisor, which its children's paths leave out."""

_AWAITED: Final = frozenset({State.STARTING, State.STOPPING})


class Post:
    """The place of one child, and what its incarnations know as their parent."""

    __slots__ = ("alarm", "args", "cell", "id", "incarnation", "lived", "owner")

    def __init__(self, owner: Staff, child_id: str, args: tuple[Any, ...] = ()) -> None:
        self.owner = owner
        self.id = child_id
        self.args = args
        self.cell: Cell | None = None
        self.incarnation = 0
        self.lived = 0  # the last incarnation that was up: failed starts count in `incarnation`
        self.alarm: Alarm | None = None

    def arm(self, alarm: Alarm | None) -> None:
        """Put the clock on the child's start, stop or wait, in place of the one before."""
        if self.alarm is not None:
            self.alarm.cancel()
        self.alarm = alarm

    def child_started(self, cell: Cell) -> None:
        """Its `init` returned."""
        self.lived = cell.incarnation
        self.owner.child_up(self, cell)

    def child_ended(self, cell: Cell) -> None:
        """It is dead."""
        self.owner.child_down(self, cell)


class Staff(SupervisorView):
    """A cell with children."""

    __slots__ = ("_spawned", "_stop_alarm", "model", "posts")

    def __init__(self, hub: Hub, parent: Parent, spec: ChildSpec, path: str) -> None:
        super().__init__(hub, parent, spec, path)
        assert isinstance(spec.start, SupSpec)
        self.posts: dict[str, Post] = {}
        self.model = model_of(spec.start, hub.chance)
        self._spawned = 0
        self._stop_alarm: Alarm | None = None

    @abstractmethod
    def note(self, event: Event) -> None:
        """Put `event` behind the others."""

    @abstractmethod
    def child_up(self, post: Post, cell: Cell) -> None:
        """A child acknowledged its start."""

    @abstractmethod
    def child_down(self, post: Post, cell: Cell) -> None:
        """A child is dead."""

    def announce(self) -> None:
        """Be dead; no clock runs for it any more."""
        for post in self.posts.values():
            post.arm(None)
        if self._stop_alarm is not None:
            self._stop_alarm.cancel()
        super().announce()

    # ---- what it shows

    @property
    def children(self) -> list[Child]:
        """The children as the decisions see them, in start order."""
        return list(self.model.children.values())

    def sup_spec(self) -> SupSpec:
        """The present spec."""
        return self.model.spec

    def cell_of(self, child_id: str) -> Cell | None:
        """The actor of a child, None if nothing of it runs."""
        post = self.posts.get(child_id)
        return None if post is None else post.cell

    def child_ref(self, child_id: str) -> Ref[Any] | None:
        """The address of the present incarnation of a child, if there is one."""
        cell = self.cell_of(child_id)
        return None if cell is None else Ref(self.hub, cell)

    def child_infos(self) -> tuple[ChildInfo, ...]:
        """All children, in start order."""
        return tuple(
            ChildInfo(c.id, self.child_ref(c.id), c.state, isinstance(c.spec.start, SupSpec))
            for c in self.model.children.values()
        )

    def awaits(self, caller: Cell) -> Cell | None:
        """The child that is starting or stopping, if that is `caller` or waits for it (A-015)."""
        if self._is_held_up_by(caller):
            return caller
        if self.model.leaving is not None:
            return None  # whoever asks now is refused at once
        child: Cell | None = self
        while isinstance(child, Staff):
            waiting = child.model.waiting
            child = None if waiting is None else child.cell_of(waiting)
        link = None if child is None else child.waiting_for
        while link is not None and link is not caller:
            link = link.waiting_for
        return None if link is None else child

    def _is_held_up_by(self, child: Cell) -> bool:
        """Whether `child` is starting or stopping, here or in a subtree that therefore is."""
        cell: Cell = child
        while isinstance(post := cell.parent, Post):
            known = post.owner.model_child(post.id)
            if known is None or known.state not in _AWAITED:
                return False
            if post.owner is self:
                return True
            cell = post.owner
        return False

    def model_child(self, child_id: str) -> Child | None:
        """What the decisions know of a child."""
        return self.model.children.get(child_id)

    def is_failed(self, child_id: str) -> bool:
        """Whether a child stays down because it spent its budget."""
        child = self.model_child(child_id)
        return not self.is_dead and child is not None and child.state is State.FAILED

    def path_of(self, child_id: str) -> str:
        """The way to a child, from the root."""
        return child_id if self.path == ROOT else f"{self.path}/{child_id}"

    # ---- what is done to children

    def start_child(self, child_id: str) -> None:
        """Start a fresh incarnation, and the clock on its `init`."""
        spec = self.model.children[child_id].spec
        post = self.posts.get(child_id)
        if post is None:
            post = self.posts[child_id] = Post(self, child_id)
        make = type(self) if isinstance(spec.start, SupSpec) else Cell
        post.incarnation += 1
        post.cell = cell = make(self.hub, post, spec, self.path_of(child_id))
        cell.incarnation = post.incarnation
        if spec.init_timeout is None:
            post.arm(None)
        else:
            due = self.hub.backend.now() + spec.init_timeout
            post.arm(Alarm(self.hub.wheel, due, partial(cell.kill, InitTimeout())))
        args = post.args
        if spec.restart is Restart.TEMPORARY:
            post.args = ()  # it never starts again, so what it was made with need not stay
        cell.start(args)

    def new_post(self, kind: str, args: tuple[Any, ...]) -> str:
        """Make a post for one more dynamic child, which will be made with `args`; its id."""
        self._spawned += 1
        child_id = f"{kind}-{self._spawned}"
        self.posts[child_id] = Post(self, child_id, args)
        return child_id

    def stop_child(self, child_id: str) -> None:
        """Tell the child to stop by its spec, and start the clock on that."""
        post, limit = self.posts[child_id], self.model.children[child_id].spec.shutdown_limit
        cell = post.cell
        if cell is None:
            return
        if limit == "brutal_kill":
            cell.kill()
            return
        if not isinstance(limit, str):
            post.arm(Alarm(self.hub.wheel, self.hub.backend.now() + limit, cell.kill))
        cell.stop(Shutdown())

    def cut_short(self, child_id: str) -> None:
        """Have a start end soon: a subtree stops what it has started, an `init` gets a clock."""
        post, spec = self.posts[child_id], self.model.children[child_id].spec
        cell, limit = post.cell, spec.shutdown_limit
        if cell is None:
            return
        if isinstance(cell, Staff):
            cell.stop(Shutdown())
        elif limit == "brutal_kill":
            cell.kill()
        elif not isinstance(limit, str):
            due = self.hub.backend.now() + limit
            if spec.init_timeout is None or cell.started_at + spec.init_timeout > due:
                post.arm(Alarm(self.hub.wheel, due, cell.kill))

    def stop_all(self) -> None:
        """Stop dynamic children, with one deadline for all (A-029)."""
        assert self.model.spec.template is not None
        limit = self.model.spec.template.shutdown_limit
        if not isinstance(limit, str):
            due = self.hub.backend.now() + limit
            self._stop_alarm = Alarm(self.hub.wheel, due, self.kill_all)
        self._stop_some(iter(list(self.posts.values())), kill=limit == "brutal_kill")

    def _stop_some(self, posts: Iterator[Post], *, kill: bool) -> None:
        """Tell so many, and let others have the loop before the next."""
        some = list(islice(posts, TURN_MESSAGES))
        for cell in (post.cell for post in some):
            if cell is None:
                continue
            if kill:
                cell.kill()
            else:
                cell.stop(Shutdown())
        if some:
            more = partial(self._stop_some, posts, kill=kill)
            self.hub.backend.call_soon(more, context=self.own_context())

    def kill_all(self) -> None:
        """Kill all children at once."""
        for post in list(self.posts.values()):
            if post.cell is not None:
                post.cell.kill()

    def forget_child(self, child_id: str) -> None:
        """Have no post for the child any more."""
        post = self.posts.pop(child_id, None)
        if post is not None:
            post.arm(None)

    def arm_retry(self, effect: ArmRetry) -> None:
        """Send a `Retry` when its time has come: as mail, behind what was asked before (A-045)."""
        backend = self.hub.backend
        retry = partial(self._retry, effect)
        if effect.delay > 0:
            self.posts[effect.id].arm(Alarm(self.hub.wheel, backend.now() + effect.delay, retry))
        else:
            backend.call_soon(retry, context=self.own_context())

    def _retry(self, effect: ArmRetry) -> None:
        self.post_signal(Retry(effect.id, effect.attempt, self.hub.backend.now()))
