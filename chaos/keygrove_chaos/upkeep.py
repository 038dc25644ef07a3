"""Invariants about the runtime of a node: restarts by the rules, the tree whole, mail bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from keygrove_actors.specs import SupSpec
from keygrove_chaos.history import HARNESS, Event, Function
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import (
    Finding,
    MailboxGauge,
    NodeReport,
    NodeView,
    Occurrence,
    View,
    Violation,
    at,
    listed,
)
from keygrove_chaos.supervision import SLACK_S, SupervisionModel, expected_paths

BAD_REQUEST: Final = 400


class _Trees(Passive):
    """The supervision model of each node, for as long as its process lives."""

    def __init__(self, tree: SupSpec, slack_s: float = SLACK_S) -> None:
        self._tree = tree
        self._slack_s = slack_s
        self._models: dict[str, SupervisionModel] = {}

    def _hear(self, event: Occurrence) -> str | None:
        if isinstance(event, NodeReport):
            model = self._models.get(event.node)
            if model is None:
                model = self._models[event.node] = SupervisionModel(self._tree, self._slack_s)
            return model.hear(event.time_ns, event.report)
        if isinstance(event, Event) and event.client == HARNESS:
            if event.function in {Function.START, Function.EXIT}:
                self._models.pop(event.node, None)
            elif event.function is Function.DRAIN and event.node in self._models:
                self._models[event.node].stop()
        return None


class RestartsByTheRules(_Trees):
    """I-08: supervisors do what their specs say, not more, not less, and in order."""

    id: ClassVar[str] = "I-08"

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        says = self._hear(event)
        if says is None:
            return None
        assert isinstance(event, NodeReport)
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"on {event.node}, at {at(event.time_ns)}: {says}",
            node=event.node,
            states=(str(event.report),),
        )


class TreeIsWhole(_Trees):
    """I-10: every actor that should be up is, within `recovery_s` of its fall; no other is."""

    id: ClassVar[str] = "I-10"

    def __init__(self, tree: SupSpec, recovery_s: float, slack_s: float = SLACK_S) -> None:
        super().__init__(tree, slack_s)
        self._recovery_s = recovery_s
        self._due = tuple(expected_paths(tree))
        self._known = frozenset(_all_paths(tree))
        self._dynamic = tuple(f"{path}/" if path else "" for path in _dynamic_paths(tree))

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        self._hear(event)
        return None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            model = self._models.get(node.node)
            late = [] if model is None else model.late(view.time_ns, self._recovery_s)
            if late:
                says = f"{listed(late)} should have been up again within {self._recovery_s:g} s"
                return self._wrong(view, node, says)
            if node.paths is None:
                continue
            there = frozenset(node.paths)
            strange = [p for p in node.paths if p not in self._known and not self._is_dynamic(p)]
            if missing := [path for path in self._due if path not in there]:
                return self._wrong(view, node, f"{', '.join(missing)} is not up")
            if strange:
                return self._wrong(view, node, f"{', '.join(strange)} is up, and in no spec")
        return None

    def _is_dynamic(self, path: str) -> bool:
        return path.startswith(self._dynamic) if self._dynamic else False

    def _wrong(self, view: View, node: NodeView, says: str) -> Violation:
        return Violation(
            invariant=self.id,
            at_ns=view.time_ns,
            says=f"on {node.node}, at {at(view.time_ns)}: {says}",
            node=node.node,
            states=node.paths or (),
        )


class BoundedMailboxes(Passive):
    """I-11: no mailbox holds more than its spec allows, nor is its limit another."""

    id: ClassVar[str] = "I-11"

    def __init__(self, tree: SupSpec) -> None:
        self._limits = dict(_limits(tree))

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, MailboxGauge):
            return None
        limit = self._limits.get(event.path, event.limit)
        if limit is None:
            return None
        if event.limit != limit:
            says = f"has a mailbox limit of {event.limit}, where its spec says {limit}"
        elif event.length > limit:
            says = f"has {event.length} messages waiting, of {limit} allowed"
        else:
            return None
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"{event.path} on {event.node} {says}, at {at(event.time_ns)}",
            node=event.node,
        )


class NothingIsLeft(Passive):
    """I-09: a node that was stopped leaves nothing of its runtime behind."""

    id: ClassVar[str] = "I-09"

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event) or not event.detail.leftovers:
            return None
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"{event.node} ended at {at(event.time_ns)} and left {event.detail.leftovers} "
            "names, tasks, deadlines or waiters behind",
            node=event.node,
        )


class Serves(Passive):
    """I-30: a node whose faults are healed answers."""

    id: ClassVar[str] = "I-30"

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            for asked, status in (node.probes or {}).items():
                if status >= BAD_REQUEST:
                    return Violation(
                        invariant=self.id,
                        at_ns=view.time_ns,
                        says=f"{node.node} answered {asked} with {status} at {at(view.time_ns)}, "
                        "when nothing was wrong any more",
                        node=node.node,
                    )
        return None


def _below(tree: SupSpec, above: str = "") -> Iterator[tuple[str, SupSpec | None, int | None]]:
    """All paths with the subtree there, if it is one, and the mailbox limit."""
    for child in tree.children:
        path = f"{above}/{child.id}" if above else child.id
        if isinstance(child.start, SupSpec):
            yield path, child.start, child.mailbox.limit
            yield from _below(child.start, path)
        else:
            yield path, None, child.mailbox.limit


def _all_paths(tree: SupSpec) -> Iterator[str]:
    return (path for path, _, _ in _below(tree))


def _limits(tree: SupSpec) -> Iterator[tuple[str, int | None]]:
    return ((path, limit) for path, _, limit in _below(tree))


def _dynamic_paths(tree: SupSpec) -> Iterator[str]:
    if tree.template is not None:
        yield ""
    for path, below, _ in _below(tree):
        if below is not None and below.template is not None:
            yield path
