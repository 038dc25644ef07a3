"""The running tree in full: who lives, what waits, what it did; and the same as metrics.

`Runtime.tree` is the short form, made at once. This one yields to the loop between a
thousand actors, so that a large tree can be read while it works (A-148).
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from keygrove_actors.cell import Cell
from keygrove_actors.hub import Counters, kind_of, type_name
from keygrove_actors.mail import EMPTY
from keygrove_actors.messages import ActorId, Crash
from keygrove_actors.model import Child, State
from keygrove_actors.reports import (
    ChildGivenUp,
    ChildRestarting,
    ChildTerminated,
    Report,
    SlowTurn,
    StartError,
)
from keygrove_actors.runtime import Runtime, shown
from keygrove_actors.specs import Overflow, SupSpec
from keygrove_actors.staff import ROOT
from keygrove_actors.supervisor import SupervisorCell

YIELD_EVERY: Final = 1000
"""Actors between two looks at the loop."""

PULSE_S: Final = 0.5
"""Between two looks at how late the loop is."""

LAGS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

ENDS_MAX: Final = 1000
"""Actors of which it is remembered why they ended, until it shows whether they come back."""

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


class Metric(NamedTuple):
    """One sample, named as Prometheus names it; a registry of any make can take it.

    `kind` is gauge, counter, summary or histogram.
    """

    name: str
    kind: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Meter:
    """Counts what no actor's record keeps: why children were restarted, how the loop fares.

    `observe` is given every report of the runtime; `attach` begins to look at its loop, once
    in `PULSE_S`, at the cost of one timer.
    """

    def __init__(self) -> None:
        self._ended: dict[str, str] = {}
        self._restarts: dict[tuple[str, str], int] = {}
        self._given_up: dict[str, int] = {}
        self._lags = [0] * (len(LAGS_S) + 1)
        self._lags_s = 0.0
        self._stalls = 0
        self._due = 0.0
        self._runtime: Runtime

    def observe(self, report: Report) -> None:
        """Take note of an end and of what followed."""
        match report:
            case ChildTerminated(path=path, reason=reason) | StartError(path=path, reason=reason):
                self._ended[path] = type(reason).__name__
                if len(self._ended) > ENDS_MAX:
                    del self._ended[next(iter(self._ended))]
            case ChildRestarting(child=child, path=path):
                key = child, self._ended.pop(path, Crash.__name__)
                self._restarts[key] = self._restarts.get(key, 0) + 1
            case ChildGivenUp(child=child):
                self._given_up[child] = self._given_up.get(child, 0) + 1
            case SlowTurn():
                self._stalls += 1
            case _:
                pass

    def attach(self, runtime: Runtime) -> None:
        """Look at the loop of `runtime` from now on, until it ends."""
        self._runtime = runtime
        self._arm()

    def expire(self) -> None:
        """Note how late this is; the wheel calls it."""
        late = max(0.0, self._runtime.hub.backend.now() - self._due)
        self._lags[bisect_left(LAGS_S, late)] += 1
        self._lags_s += late
        self._arm()

    def _arm(self) -> None:
        hub = self._runtime.hub
        self._due = hub.backend.now() + PULSE_S
        hub.wheel.add_exact(self._due, self)

    async def collect(self) -> list[Metric]:
        """All figures of the runtime, its actors and its loop.

        Labels are class and child id, never an `ActorId`, and what has the same labels is added
        up: dynamic children under their template's id. So their number does not grow.
        """
        nodes = list(_walk(await tree_snapshot(self._runtime)))
        return [
            *_of_actors(nodes, self._runtime.counters),
            *self._of_restarts(nodes),
            *_of_runtime(self._runtime),
            *self._of_loop(),
        ]

    def _of_restarts(self, nodes: list[Snapshot]) -> Iterator[Metric]:
        """Zero for what has not happened yet: an alarm on a rise would miss the first."""
        present = {node.spec: node.kind for node in nodes if node.path != ROOT}
        kinds = {child: kind for kind, child in self._runtime.counters.handled} | present
        restarts = {(child, Crash.__name__): 0 for child in present} | self._restarts
        for (child, reason), count in restarts.items():
            labels = {"class": kinds.get(child, ""), "child": child, "reason": reason}
            yield _counter("actor_restarts_total", count, **labels)
        for child, count in (dict.fromkeys(present, 0) | self._given_up).items():
            labels = {"class": kinds.get(child, ""), "child": child}
            yield _counter("actor_given_up_total", count, **labels)

    def _of_loop(self) -> Iterator[Metric]:
        name, total = "keygrove_loop_lag_seconds", 0
        for limit, count in zip([*map(str, LAGS_S), "+Inf"], self._lags, strict=True):
            total += count
            yield Metric(f"{name}_bucket", "histogram", (("le", limit),), total)
        yield _counter("loop_stalls_total", self._stalls)
        yield Metric(f"{name}_sum", "histogram", (), self._lags_s)
        yield Metric(f"{name}_count", "histogram", (), total)


def _of_runtime(runtime: Runtime) -> Iterator[Metric]:
    counters = runtime.counters
    for cause, count in runtime.hub.letters.counts.items():
        yield _counter("actor_dead_letters_total", count, cause=cause.value)
    for policy in Overflow:
        dropped = counters.dropped.get(policy.value, 0)
        yield _counter("actor_mailbox_dropped_total", dropped, policy=policy.value)
    for kind, count in counters.call_errors.items():
        yield _counter("actor_call_errors_total", count, kind=kind)
    yield _counter("actor_late_replies_total", counters.late_replies)
    yield _counter("actor_expired_total", counters.expired)
    yield _counter("actor_abandoned_total", counters.abandoned)
    yield _counter("actor_unhandled_total", counters.unhandled)
    yield _counter("actor_timers_dropped_total", counters.timers_dropped)
    yield _counter("actor_zombies_total", counters.zombies)


def _of_actors(nodes: list[Snapshot], counters: Counters) -> Iterator[Metric]:
    kin: defaultdict[tuple[str, str], list[Snapshot]] = defaultdict(list)
    for node in nodes:
        kin[node.kind, node.spec].append(node)
    # who ended and was forgotten counts on, or a counter would fall
    handled = counters.handled | {key: counters.handled.get(key, 0) for key in kin}
    for key, count in handled.items():
        some = kin.get(key, [])
        labels = (("class", key[0]), ("child", key[1]))
        total = count + sum(node.messages for node in some)
        yield Metric("keygrove_actor_messages_total", "counter", labels, total)
        some = [node for node in some if node.state is not State.VACANT]
        if not some:
            continue  # nobody is missed: an alarm on actors that are not up must not ring
        for name, value in (
            ("actor_up", sum(node.state is State.UP for node in some)),
            ("actor_mailbox_length", sum(node.mailbox for node in some)),
            ("actor_mailbox_high_water", max(node.high_water for node in some)),
            ("actor_memory_bytes", sum(node.memory for node in some)),
        ):
            yield Metric(f"keygrove_{name}", "gauge", labels, value)
        timed = [node for node in some if node.turns is not None]
        if timed:
            turns, turns_s = sum(n.turns or 0 for n in timed), sum(n.turns_s for n in timed)
            yield Metric("keygrove_actor_turn_seconds_count", "summary", labels, turns)
            yield Metric("keygrove_actor_turn_seconds_sum", "summary", labels, turns_s)


def _counter(name: str, value: float, **labels: str) -> Metric:
    return Metric(f"keygrove_{name}", "counter", tuple(labels.items()), value)


def _walk(node: Snapshot) -> Iterator[Snapshot]:
    yield node
    for child in node.children:
        yield from _walk(child)
