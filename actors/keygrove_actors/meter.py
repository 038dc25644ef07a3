"""The figures of a runtime as metrics: its tree's, and those that no actor's record keeps."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from keygrove_actors.census import Reading, Snapshot, read_tree
from keygrove_actors.hub import Counters
from keygrove_actors.messages import Crash
from keygrove_actors.model import State
from keygrove_actors.reports import (
    ChildGivenUp,
    ChildRestarting,
    ChildTerminated,
    Report,
    SlowTurn,
    StartError,
)
from keygrove_actors.runtime import Runtime
from keygrove_actors.specs import Overflow
from keygrove_actors.staff import ROOT

PULSE_S: Final = 0.5
"""Between two looks at how late the loop is."""

LAGS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

ENDS_MAX: Final = 1000
"""Actors of which it is remembered why they ended, until it shows whether they come back."""


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
        up: dynamic children under their template's id. What no spec of the tree has any more is
        forgotten. So their number does not grow.
        """
        reading = Reading()
        nodes = list(_walk(await read_tree(self._runtime, reading)))
        self._forget_but(reading.specs)
        return [
            *_of_actors(nodes, self._runtime.counters),
            *self._of_restarts(nodes),
            *_of_runtime(self._runtime),
            *self._of_loop(),
        ]

    def _forget_but(self, specs: set[str]) -> None:
        handled = self._runtime.counters.handled
        for key in [key for key in handled if key[1] not in specs]:
            del handled[key]
        self._restarts = {key: n for key, n in self._restarts.items() if key[0] in specs}
        self._given_up = {one: n for one, n in self._given_up.items() if one in specs}

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
