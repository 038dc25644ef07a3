"""I-31 of whole nodes: what a snapshot shows is what was held when it was taken, for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, TypeAlias

import msgspec

from keygrove_chaos.control import CONFLICT
from keygrove_chaos.history import REMOVALS, RETRACTIONS, SUBMISSIONS, Event, Function, Phase
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import Finding, Occurrence, View, Violation, at, listed, short
from keygrove_chaos.operations import NEVER, retracted

Place: TypeAlias = tuple[str, str]
"""A node, and a key on it or the name of a snapshot."""


class _Put(msgspec.Struct):
    start: int
    end: int
    packets: tuple[str, ...]


class _Taken(msgspec.Struct):
    """A snapshot: within which events it was taken, and since when it is known to be there."""

    start: int
    end: int = NEVER
    there: int = NEVER
    shown: dict[str, frozenset[str]] = msgspec.field(default_factory=dict[str, frozenset[str]])


class PastStays(Passive):
    """I-31: a snapshot shows what was held within its making, and the same each time."""

    id: ClassVar[str] = "I-31"
    hears: ClassVar[frozenset[Function]] = (
        SUBMISSIONS | REMOVALS | RETRACTIONS | {Function.SNAPSHOT, Function.PAST}
    )

    def __init__(self) -> None:
        self._puts: dict[Place, list[_Put]] = {}
        self._open: dict[str, _Put] = {}
        """By session: submissions that wait for their answers."""
        self._removed: dict[str, None] = {}
        """Keys of which something may have been gone."""
        self._taken: dict[Place, _Taken] = {}
        self._asked: dict[str, Event] = {}
        """By session: reads of the past under way."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if event.function in REMOVALS:
            self._removed[event.key] = None
        elif event.phase is Phase.INVOKE:
            if event.function in RETRACTIONS:
                self._removed |= dict.fromkeys(retracted(event))
            self._begin(event)
        elif event.function in SUBMISSIONS:
            put = self._open.pop(event.session)
            put.end = event.index if event.phase is Phase.OK else NEVER
        elif event.function is Function.SNAPSHOT and event.phase is Phase.OK:
            taken = self._taken[event.node, event.key]
            taken.end = taken.there = event.index
        elif event.function is Function.PAST:
            return self._answer(self._asked.pop(event.session), event)
        return None

    def _begin(self, event: Event) -> None:
        place = (event.node, event.key)
        if event.function in SUBMISSIONS:
            put = self._open[event.session] = _Put(event.index, NEVER, event.values)
            self._puts.setdefault(place, []).append(put)
        elif event.function is Function.SNAPSHOT:
            self._taken[place] = _Taken(event.index)
        elif event.function is Function.PAST:
            self._asked[event.session] = event

    def _answer(self, asked: Event, event: Event) -> Finding | None:
        (name,) = asked.values
        taken = self._taken.get((event.node, name))
        if event.phase is Phase.OK and taken is not None:
            taken.there = min(taken.there, event.index)
            return self._look(event.node, name, event.key, frozenset(event.values), event.time_ns)
        is_gone = event.detail.status == CONFLICT
        if is_gone and taken is not None and taken.there < asked.index:
            says = f"snapshot {name} of {event.node} is not there any more at {at(event.time_ns)}"
            return self._wrong(event.node, event.key, says, event.time_ns)
        return None

    def _look(
        self, node: str, name: str, key: str, found: frozenset[str], at_ns: int
    ) -> Finding | None:
        taken = self._taken[node, name]
        first = taken.shown.setdefault(key, found)
        begins = f"snapshot {name} of {node} shows"
        if found != first:
            says = f"{begins} {listed(found)} of key {short(key)} at {at(at_ns)}, and showed "
            return self._wrong(node, key, says + f"{listed(first)} before", at_ns)
        puts = self._puts.get((node, key), [])
        due = _packets(one for one in puts if one.end < taken.start)
        if key not in self._removed and (missing := due - found):
            says = f"{begins} nothing of {listed(missing)} of key {short(key)}, which was "
            return self._wrong(node, key, says + "acknowledged before it was asked for", at_ns)
        if more := found - _packets(one for one in puts if one.start < taken.end):
            says = f"{begins} {listed(more)} of key {short(key)}, which nobody had put by then"
            return self._wrong(node, key, says, at_ns)
        return None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            if node.past is None:
                continue
            for (where, name), taken in self._taken.items():
                if where != node.node:
                    continue
                if name not in node.past and taken.there != NEVER:
                    says = f"snapshot {name} of {where} is not there at {at(view.time_ns)}"
                    return self._wrong(where, "", says, view.time_ns)
                if found := self._look_at_all(view, where, name, node.past.get(name, {})):
                    return found
        return None

    def _look_at_all(
        self, view: View, node: str, name: str, past: Mapping[str, frozenset[str]]
    ) -> Finding | None:
        looks = (self._look(node, name, key, shown, view.time_ns) for key, shown in past.items())
        return next((found for found in looks if found is not None), None)

    def _wrong(self, node: str, key: str, says: str, at_ns: int) -> Violation:
        keys = (key,) if key else ()
        return Violation(invariant=self.id, at_ns=at_ns, says=says, node=node, keys=keys)


def _packets(puts: Iterable[_Put]) -> frozenset[str]:
    return frozenset[str]().union(*(one.packets for one in puts))
