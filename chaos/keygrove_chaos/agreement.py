"""Invariants of nodes that are partners: all come to hold the same, and nobody fetches for ever."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final

from keygrove_actors.messages import Crash
from keygrove_actors.reports import ChildTerminated
from keygrove_chaos.history import Event, Function
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import (
    Fetch,
    Finding,
    NodeReport,
    NodeView,
    Occurrence,
    View,
    Violation,
    at,
    listed,
    short,
)

FETCHES_MAX: Final = 6
"""Of one digest, from one partner. It has that still when what came of it was merged with more; the
next fetch shows that it brings nothing; what was found meanwhile waits; and what could not be taken
in is fetched again."""


class Converged(Passive):
    """I-04: nodes of one policy that tell each other everything hold the same in the end."""

    id: ClassVar[str] = "I-04"

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        first: dict[str, tuple[NodeView, frozenset[str]]] = {}
        for node in view.nodes:
            if node.tree is None:
                continue
            other, due = first.setdefault(node.policy, (node, node.tree))
            if node.tree != due:
                return Violation(
                    invariant=self.id,
                    at_ns=view.time_ns,
                    says=f"at {at(view.time_ns)} only {other.node} has {listed(due - node.tree)}, "
                    f"and only {node.node} has {listed(node.tree - due)}",
                    node=node.node,
                )
        return None


class FetchedOnce(Passive):
    """I-22: what a partner has given is not asked of it again and again."""

    id: ClassVar[str] = "I-22"
    hears: ClassVar[frozenset[Function]] = frozenset({Function.START})

    def __init__(self) -> None:
        self._fetched: dict[str, Counter[tuple[str, str]]] = {}
        """By node: how often which digest came from which partner."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`. Whoever falls may have to ask again for what was under way."""
        match event:
            case Fetch():
                return self._count(event)
            case NodeReport(report=ChildTerminated(reason=Crash())) | Event():
                self._fetched.pop(event.node, None)
            case _:
                pass
        return None

    def _count(self, event: Fetch) -> Finding | None:
        fetched = self._fetched.setdefault(event.node, Counter())
        for digest in event.digests:
            fetched[event.partner, digest] += 1
            if fetched[event.partner, digest] > FETCHES_MAX:
                return Violation(
                    invariant=self.id,
                    at_ns=event.time_ns,
                    says=f"{event.node} asked {event.partner} for {short(digest)} more than "
                    f"{FETCHES_MAX} times, and was answered each time, at {at(event.time_ns)}",
                    node=event.node,
                )
        return None
