"""Invariants about what is kept and shown: nothing lost, nothing torn, nothing contradictory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from keygrove_chaos.crdt import check_octets, check_receipts, check_states
from keygrove_chaos.history import REMOVALS, RETRACTIONS, Event, Function, Phase
from keygrove_chaos.invariant import Passive
from keygrove_chaos.linear import linearizable
from keygrove_chaos.observation import (
    Finding,
    NodeView,
    Occurrence,
    View,
    Violation,
    at,
    listed,
    short,
)
from keygrove_chaos.operations import NEVER, Operation, removed_until, retracted
from keygrove_chaos.set_full import set_full


class _Acked(msgspec.Struct, frozen=True, gc=False):
    """When the last put of a packet began, as an event, and when it was acknowledged."""

    start: int
    at_ns: int


class NothingLost(Passive):
    """I-01: what a node acknowledged is in its storage whenever nothing moves."""

    id: ClassVar[str] = "I-01"
    hears: ClassVar[frozenset[Function]] = REMOVALS | RETRACTIONS | {Function.PUT}

    def __init__(self) -> None:
        self._puts: dict[str, Event] = {}
        self._acked: dict[str, dict[str, dict[str, _Acked]]] = {}
        """By node, key and packet."""
        self._removing: dict[str, dict[str, None]] = {}
        """By key: sessions that wait for the answer to a removal."""
        self._removed: dict[str, int] = {}
        """By key: up to which event removals may have taken effect."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if isinstance(event, Event):
            if event.function is Function.PUT:
                self._put(event)
            elif event.function in REMOVALS:
                self._remove(event)
            elif event.phase is Phase.INVOKE:
                self._removed |= dict.fromkeys(retracted(event), NEVER)
        return None

    def _put(self, event: Event) -> None:
        if event.phase is Phase.INVOKE:
            self._puts[event.session] = event
            return
        begun = self._puts.pop(event.session)
        if event.phase is Phase.OK:
            acked = self._acked.setdefault(event.node, {}).setdefault(event.key, {})
            for packet in begun.values:
                acked[packet] = _Acked(begun.index, event.time_ns)

    def _remove(self, event: Event) -> None:
        waiting = self._removing.setdefault(event.key, {})
        if event.phase is Phase.INVOKE:
            waiting[event.session] = None
            return
        waiting.pop(event.session, None)
        if event.phase is not Phase.FAIL:
            is_over = event.phase is Phase.OK and event.function is Function.DELETE
            until = event.index if is_over else NEVER
            self._removed[event.key] = max(until, self._removed.get(event.key, -1))

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            if node.keys is None:
                continue
            for key, acked in self._acked.get(node.node, {}).items():
                held = node.keys.get(key, frozenset())
                removed = NEVER if self._removing.get(key) else self._removed.get(key, -1)
                missing = [p for p, one in acked.items() if p not in held and one.start > removed]
                if missing:
                    return _gone(view, node, key, missing, acked[missing[0]].at_ns)
        return None

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`."""
        lost = [one for one in set_full(ops).violations if one.invariant == self.id]
        return self.at_quiescence(view) or (lost[0] if lost else None)


def _gone(view: View, node: NodeView, key: str, missing: Sequence[str], acked_ns: int) -> Violation:
    return Violation(
        invariant="I-01",
        at_ns=view.time_ns,
        says=f"{listed(missing)} of key {short(key)} was acknowledged by {node.node} at "
        f"{at(acked_ns)} and is not in its storage at {at(view.time_ns)}",
        node=node.node,
        keys=(key,),
        states=(f"{node.node} holds {listed((node.keys or {}).get(key, ()))}",),
    )


class MergeIsAJoin(Passive):
    """I-03: what a node holds is the union of what it received, and all hold the same."""

    id: ClassVar[str] = "I-03"
    hears: ClassVar[frozenset[Function]] = REMOVALS | RETRACTIONS

    def __init__(self) -> None:
        self._removed: dict[str, None] = {}

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if isinstance(event, Event) and event.phase is Phase.INVOKE:
            is_removal = event.function in REMOVALS
            self._removed |= dict.fromkeys((event.key,) if is_removal else retracted(event))
        return None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        return next(iter(check_receipts(view, self._removed)), None)

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`."""
        wrong = check_receipts(view, removed_until(ops)) + check_states(ops, view)
        wrong += check_octets(view)
        return wrong[0] if wrong else None


class Linearizable(Passive):
    """I-13: an order explains all that was read of a key on a node."""

    id: ClassVar[str] = "I-13"

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`; what is surely wrong before what is not known."""
        del view
        found = linearizable(ops)
        wrong = [one for one in found if isinstance(one, Violation)]
        return next(iter(wrong or found), None)


class MonotonicReads(Passive):
    """I-14: a session on one node sees what it saw and what it put."""

    id: ClassVar[str] = "I-14"
    hears: ClassVar[frozenset[Function]] = REMOVALS | RETRACTIONS | {Function.PUT, Function.GET}

    def __init__(self) -> None:
        self._puts: dict[str, Event] = {}
        self._known: dict[tuple[str, str, str], frozenset[str]] = {}
        """What a session knows of a key on a node."""
        self._removed: set[str] = set()

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`. Keys that anyone tried to remove are not watched any more."""
        if not isinstance(event, Event):
            return None
        if event.function in REMOVALS:
            self._removed.add(event.key)
        elif event.function in RETRACTIONS and event.phase is Phase.INVOKE:
            self._removed.update(retracted(event))
        elif event.function is Function.PUT and event.phase is Phase.INVOKE:
            self._puts[event.session] = event
        elif event.function is Function.PUT:
            put = self._puts.pop(event.session).values
            if event.phase is Phase.OK:
                self._learn(event, frozenset(put))
        elif event.function is Function.GET and event.phase is Phase.OK:
            return self._read(event)
        return None

    def _learn(self, event: Event, packets: frozenset[str]) -> None:
        place = (event.session, event.node, event.key)
        self._known[place] = self._known.get(place, frozenset()) | packets

    def _read(self, event: Event) -> Finding | None:
        known = self._known.get((event.session, event.node, event.key), frozenset())
        found = frozenset(event.values)
        self._learn(event, found)
        missing = known - found
        if not missing or event.key in self._removed:
            return None
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"session {event.session} knew of {listed(missing)} of key {short(event.key)} on "
            f"{event.node}, and a read that ended at {at(event.time_ns)} does not show it",
            node=event.node,
            keys=(event.key,),
            states=(f"the read shows {listed(found)}",),
        )


class IndexAgrees(Passive):
    """I-24: searching finds what is stored, and nothing else."""

    id: ClassVar[str] = "I-24"

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            if node.terms is not None and node.index is not None:
                found = self._compare(view, node, node.terms, node.index)
                if found is not None:
                    return found
        return None

    def _compare(
        self,
        view: View,
        node: NodeView,
        stored: Mapping[str, frozenset[str]],
        index: Mapping[str, frozenset[str]],
    ) -> Finding | None:
        for term in sorted(stored.keys() | index.keys()):
            due, found = stored.get(term, frozenset()), index.get(term, frozenset())
            if due != found:
                return Violation(
                    invariant=self.id,
                    at_ns=view.time_ns,
                    says=f"on {node.node}, searching {term!r} misses {listed(due - found)} "
                    f"and finds {listed(found - due)} that is not stored so",
                    node=node.node,
                    keys=tuple(sorted(due ^ found)),
                )
        return None
