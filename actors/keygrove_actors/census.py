"""The running tree in full: who lives, what waits, what it did.

`Runtime.tree` is the short form, made at once. This one yields to the loop between a
thousand actors, so that a large tree can be read while it works (A-148).
"""

from __future__ import annotations

import sys
from typing import Final

import msgspec

from keygrove_actors.cell import Cell
from keygrove_actors.hub import kind_of, type_name
from keygrove_actors.mail import EMPTY
from keygrove_actors.messages import ActorId
from keygrove_actors.model import Child, State
from keygrove_actors.runtime import Runtime, shown
from keygrove_actors.specs import ChildSpec, SupSpec
from keygrove_actors.staff import ROOT
from keygrove_actors.supervisor import SupervisorCell

YIELD_EVERY: Final = 1000
"""Actors between two looks at the loop."""

TASK_BYTES: Final = 3000
"""What a parked task with its scopes takes, by measurement."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the tree, or its root; times in seconds.

    `spec` is the id in its spec, which dynamic children of one template share. `messages`
    counts what it handled since its start, `rate` that per second. `doing` is the type of the
    message that its task works on, or of the call that it has put off for longest, `doing_s` for
    how long it has; `unanswered` counts the calls it has in hand. `turns` counts what it handled
    since its statistics are on, None while they are off; `turns_s` is how long that took, and
    `busy` which share of the time. `memory` estimates its own bytes, without what its state
    refers to.
    """

    id: str
    path: str
    spec: str
    name: str | None
    about: str | None
    kind: str
    is_supervisor: bool
    state: State
    actor: ActorId | None = None
    incarnation: int = 0
    restarts: int = 0
    uptime: float = 0.0
    mailbox: int = 0
    high_water: int = 0
    limit: int | None = None
    is_suspended: bool = False
    messages: int = 0
    rate: float = 0.0
    doing: str | None = None
    doing_s: float = 0.0
    unanswered: int = 0
    links: int = 0
    monitors: int = 0
    timers: int = 0
    memory: int = 0
    turns: int | None = None
    turns_s: float = 0.0
    busy: float | None = None
    children: tuple[Snapshot, ...] = ()

    def text(self, depth: int = 0) -> str:
        """The subtree, one indented line for each child."""
        name = f" ({self.name})" if self.name and self.name != self.id else ""
        about = f" [{self.about}]" if self.about else ""
        line = f"{'  ' * depth}{self.id}{name}{about}: {self.state.value}"
        line += f", restarts {self.restarts}, mailbox {self.mailbox}/{self.high_water}"
        line += f", messages {self.messages}, bytes {self.memory}"
        line += f", {self.work()}" if self.doing else ""
        return "\n".join([line, *(child.text(depth + 1) for child in self.children)])

    def work(self) -> str:
        """What it is doing, for people; nothing if that is nothing."""
        if self.doing is None:
            return ""
        oldest_of = f", of {self.unanswered}" if self.unanswered > 1 else ""
        return f"{self.doing} for {self.doing_s:.1f} s{oldest_of}"


async def tree_snapshot(runtime: Runtime) -> Snapshot:
    """The tree as data; `msgspec.json.encode` takes it as it is. Linear in the actors."""
    return await read_tree(runtime, Reading())


async def read_tree(runtime: Runtime, reading: Reading) -> Snapshot:
    """The same, and note in `reading` what there is."""
    root = runtime.root
    up = State.UP if root.is_started else State.STARTING
    return await _subtree(root, ROOT, State.DOWN if root.is_dead else up, root.incarnation, reading)


class Reading:
    """How many actors were visited, and the ids of all specs that there are, up or not."""

    __slots__ = ("seen", "specs")

    def __init__(self) -> None:
        self.seen = 0
        self.specs: set[str] = set()

    async def one(self, cell: Cell) -> None:
        """Let others have the loop now and then."""
        self.seen += 1
        if self.seen % YIELD_EVERY == 0:
            await cell.hub.backend.checkpoint()

    def note(self, spec: ChildSpec | None) -> None:
        """It is there, and what is below it."""
        if spec is not None:
            self.specs.add(spec.id)
            if isinstance(spec.start, SupSpec):
                for one in (*spec.start.children, spec.start.template):
                    self.note(one)


async def _subtree(
    cell: SupervisorCell, child_id: str, state: State, incarnation: int, reading: Reading
) -> Snapshot:
    children: list[Snapshot] = []
    reading.note(cell.sup_spec().template)
    for child in list(cell.children):
        reading.note(child.spec)
        await reading.one(cell)
        post = cell.posts.get(child.id)
        if post is None:
            continue
        own = post.cell
        if isinstance(own, SupervisorCell):
            found = await _subtree(own, child.id, child.state, post.incarnation, reading)
        elif own is not None:
            found = _leaf(own, child.id, child.state, post.incarnation)
        else:
            found = _gone(cell, child)
        children.append(found)
    return msgspec.structs.replace(
        _leaf(cell, child_id, state, incarnation), children=tuple(children)
    )


def _gone(parent: SupervisorCell, child: Child) -> Snapshot:
    """A child of which nothing runs. What it was is known from what was counted of it."""
    known = parent.hub.counters.handled
    return Snapshot(
        id=child.id,
        path=parent.path_of(child.id),
        spec=child.spec.id,
        name=child.spec.name,
        about=None,
        kind=next((kind for kind, spec in known if spec == child.spec.id), ""),
        is_supervisor=isinstance(child.spec.start, SupSpec),
        state=child.state,
        incarnation=parent.posts[child.id].incarnation,
        restarts=max(0, parent.posts[child.id].incarnation - 1),
    )


def _leaf(cell: Cell, child_id: str, state: State, incarnation: int) -> Snapshot:
    now = cell.hub.backend.now()
    uptime = now - cell.started_at
    doing, since = _doing(cell)
    figures = None if cell.watch is None else cell.watch.statistics()
    spent = None if figures is None else sum(f.total_s for f in figures.kinds.values())
    return Snapshot(
        id=child_id,
        path=cell.path,
        spec=cell.spec.id,
        name=cell.spec.name,
        about=cell.about,
        kind=_kind(cell),
        is_supervisor=isinstance(cell, SupervisorCell),
        state=shown(state, cell),
        actor=cell.id,
        incarnation=incarnation,
        restarts=max(0, incarnation - 1),
        uptime=uptime,
        mailbox=len(cell.box),
        high_water=max(cell.high_water, len(cell.box)),
        limit=cell.spec.mailbox.limit,
        is_suspended=cell.is_suspended,
        messages=cell.handled,
        rate=cell.handled / uptime if uptime > 0 else 0.0,
        doing=None if doing is None else type_name(doing),
        doing_s=now - since if doing is not None else 0.0,
        unanswered=len(cell.deferred or ()) + (cell.current is not None),
        links=len(cell.links or ()),
        monitors=len(cell.monitors or ()),
        timers=len(cell.timers or ()),
        memory=_memory(cell),
        turns=None if figures is None else sum(f.count for f in figures.kinds.values()),
        turns_s=spent or 0.0,
        busy=None
        if figures is None or spent is None or now <= figures.since
        else spent / (now - figures.since),
    )


def _doing(cell: Cell) -> tuple[object | None, float]:
    """The message it is at, and since when: the one its task handles, else the oldest call."""
    if cell.host is not None and cell.host.doing is not None:
        return cell.host.doing.message, cell.host.since
    for request, since in (cell.deferred or {}).items():
        return request.message, since
    return None, 0.0


def _kind(cell: Cell) -> str:
    actor = getattr(cell, "actor", None)
    return "" if actor is None else kind_of(actor)


def _memory(cell: Cell) -> int:
    """The bytes of the record and its own tables; constant time."""
    actor: object = getattr(cell, "actor", None)
    tables = (cell.links, cell.monitors, cell.watchers, cell.timers, cell.deferred, cell.groups)
    total = sys.getsizeof(cell) + sum(sys.getsizeof(t) for t in tables if t is not None)
    total += 0 if cell.box is EMPTY else sys.getsizeof(cell.box)
    if actor is not None:
        total += sys.getsizeof(actor) + sys.getsizeof(vars(actor))
        total += sum(map(sys.getsizeof, vars(actor).values()))
    return total + (TASK_BYTES if cell.host is not None else 0)
