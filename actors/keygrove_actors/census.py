"""The running tree in full: who lives, what waits, what it did; and the same as metrics.

`Runtime.tree` is the short form, made at once. This one yields to the loop between a
thousand actors, so that a large tree can be read while it works (A-148).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from keygrove_actors.cell import Cell
from keygrove_actors.mail import EMPTY
from keygrove_actors.messages import ActorId
from keygrove_actors.model import State
from keygrove_actors.runtime import Runtime
from keygrove_actors.staff import ROOT
from keygrove_actors.supervisor import SupervisorCell

YIELD_EVERY: Final = 1000
"""Actors between two looks at the loop."""

TASK_BYTES: Final = 3000
"""What a parked task with its scopes takes, by measurement."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the tree, or its root; times in seconds.

    `messages` counts what it handled since its start, `rate` that per second. `doing` is
    the message type its task works on, `doing_s` for how long. `busy` is the share of time spent
    in handlers, known while statistics are on. `memory` estimates its own bytes, without
    what its state refers to.
    """

    id: str
    path: str
    name: str | None
    about: str | None
    kind: str
    is_supervisor: bool
    state: State
    actor: ActorId | None = None
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
    links: int = 0
    monitors: int = 0
    timers: int = 0
    memory: int = 0
    busy: float | None = None
    children: tuple[Snapshot, ...] = ()

    def text(self, depth: int = 0) -> str:
        """The subtree, one indented line for each child."""
        name = f" ({self.name})" if self.name and self.name != self.id else ""
        about = f" [{self.about}]" if self.about else ""
        line = f"{'  ' * depth}{self.id}{name}{about}: {self.state.value}"
        line += f", restarts {self.restarts}, mailbox {self.mailbox}/{self.high_water}"
        line += f", messages {self.messages}, bytes {self.memory}"
        line += f", {self.doing} for {self.doing_s:.1f} s" if self.doing else ""
        return "\n".join([line, *(child.text(depth + 1) for child in self.children)])


async def tree_snapshot(runtime: Runtime) -> Snapshot:
    """The tree as data; `msgspec.json.encode` takes it as it is. Linear in the actors."""
    root = runtime.root
    up = State.UP if root.is_started else State.STARTING
    counted = _Count()
    return await _subtree(root, ROOT, State.DOWN if root.is_dead else up, root.incarnation, counted)


class _Count:
    """How many actors were visited since the loop last ran."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = 0

    async def one(self, cell: Cell) -> None:
        self.seen += 1
        if self.seen % YIELD_EVERY == 0:
            await cell.hub.backend.checkpoint()


async def _subtree(
    cell: SupervisorCell, child_id: str, state: State, incarnation: int, counted: _Count
) -> Snapshot:
    children: list[Snapshot] = []
    for child in list(cell.children):
        await counted.one(cell)
        post = cell.posts.get(child.id)
        if post is None:
            continue
        own = post.cell
        if isinstance(own, SupervisorCell):
            found = await _subtree(own, child.id, child.state, post.incarnation, counted)
        elif own is not None:
            found = _leaf(own, child.id, child.state, post.incarnation)
        else:
            found = _gone(cell.path_of(child.id), child.id, child.state, child.spec.name)
        children.append(found)
    return msgspec.structs.replace(
        _leaf(cell, child_id, state, incarnation), children=tuple(children)
    )


def _gone(path: str, child_id: str, state: State, name: str | None) -> Snapshot:
    return Snapshot(
        id=child_id, path=path, name=name, about=None, kind="", is_supervisor=False, state=state
    )


def _leaf(cell: Cell, child_id: str, state: State, incarnation: int) -> Snapshot:
    now = cell.hub.backend.now()
    uptime = now - cell.started_at
    doing = None if cell.host is None else cell.host.doing
    figures = None if cell.watch is None else cell.watch.statistics()
    spent = None if figures is None else sum(f.total_s for f in figures.kinds.values())
    return Snapshot(
        id=child_id,
        path=cell.path,
        name=cell.spec.name,
        about=cell.about,
        kind=_kind(cell),
        is_supervisor=isinstance(cell, SupervisorCell),
        state=state,
        actor=cell.id,
        restarts=max(0, incarnation - 1),
        uptime=uptime,
        mailbox=len(cell.box),
        high_water=max(cell.high_water, len(cell.box)),
        limit=cell.spec.mailbox.limit,
        is_suspended=cell.is_suspended,
        messages=cell.handled,
        rate=cell.handled / uptime if uptime > 0 else 0.0,
        doing=None if doing is None else type(doing.message).__name__,
        doing_s=0.0 if doing is None or cell.host is None else now - cell.host.since,
        links=len(cell.links or ()),
        monitors=len(cell.monitors or ()),
        timers=len(cell.timers or ()),
        memory=_memory(cell),
        busy=None
        if figures is None or spent is None or now <= figures.since
        else spent / (now - figures.since),
    )


def _kind(cell: Cell) -> str:
    return type(getattr(cell, "actor", None)).__name__


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


class Metric(NamedTuple):
    """One sample. `kind` is gauge or counter; a registry of any make can take it."""

    name: str
    kind: str
    labels: tuple[tuple[str, str], ...]
    value: float


async def collect(runtime: Runtime) -> list[Metric]:
    """The figures of every actor and of the runtime, read from plain integers.

    Labels are class and child id, never an `ActorId`: their number must not grow.
    """
    samples = [m for node in _walk(await tree_snapshot(runtime)) for m in _of_actor(node)]
    counters, counts = runtime.counters, runtime.hub.letters.counts
    samples += [_counter("actor_dead_letters_total", n, cause=c.value) for c, n in counts.items()]
    samples += [
        _counter("actor_mailbox_dropped_total", n, policy=policy)
        for policy, n in counters.dropped.items()
    ]
    samples += [
        _counter("actor_late_replies_total", counters.late_replies),
        _counter("actor_expired_total", counters.expired),
        _counter("actor_abandoned_total", counters.abandoned),
        _counter("actor_unhandled_total", counters.unhandled),
        _counter("actor_timers_dropped_total", counters.timers_dropped),
        _counter("actor_zombies_total", counters.zombies),
    ]
    return samples


def _of_actor(node: Snapshot) -> Iterator[Metric]:
    labels = (("class", node.kind), ("child", node.id))
    for name, kind, value in (
        ("actor_up", "gauge", float(node.state is State.UP)),
        ("actor_mailbox_length", "gauge", node.mailbox),
        ("actor_mailbox_high_water", "gauge", node.high_water),
        ("actor_memory_bytes", "gauge", node.memory),
        ("actor_messages_total", "counter", node.messages),
        ("actor_restarts_total", "counter", node.restarts),
    ):
        yield Metric(f"keygrove_{name}", kind, labels, value)


def _counter(name: str, value: float, **labels: Any) -> Metric:
    return Metric(f"keygrove_{name}", "counter", tuple(labels.items()), value)


def _walk(node: Snapshot) -> Iterator[Snapshot]:
    yield node
    for child in node.children:
        yield from _walk(child)
