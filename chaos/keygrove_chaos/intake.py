"""Invariants about what is let in: nothing forged, nothing denied, and each order once."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final

from keygrove_chaos.history import Event, Function, Phase
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import Finding, Occurrence, View, Violation, at, listed, short


class NothingForged(Passive):
    """I-02: what bears the name of a key that did not sign it is never shown."""

    id: ClassVar[str] = "I-02"
    hears: ClassVar[frozenset[Function]] = frozenset({Function.PUT, Function.GET})

    def __init__(self) -> None:
        self._forged: dict[str, frozenset[str]] = {}
        """By key."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if event.detail.forged:
            known = self._forged.get(event.key, frozenset())
            self._forged[event.key] = known.union(event.detail.forged)
        elif event.function is Function.GET and event.phase is Phase.OK:
            return self._look(event.node, event.key, frozenset(event.values), event.time_ns)
        return None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            for key, held in (node.keys or {}).items():
                if found := self._look(node.node, key, held, view.time_ns):
                    return found
        return None

    def _look(self, node: str, key: str, held: frozenset[str], at_ns: int) -> Finding | None:
        forged = self._forged.get(key)
        if not forged or forged.isdisjoint(held):
            return None
        says = f"{node} shows {listed(forged & held)} of key {short(key)} at {at(at_ns)}, which "
        says += "somebody else signed in its name"
        return Violation(invariant=self.id, at_ns=at_ns, says=says, node=node, keys=(key,))


_HARMLESS: Final = frozenset({Function.PUT, Function.GET})
"""What shows nothing where nothing is denied."""


class DeniedStaysAway(Passive):
    """I-06: what was denied is not taken, shown or found, until somebody begins to allow it."""

    id: ClassVar[str] = "I-06"
    hears: ClassVar[frozenset[Function]] = frozenset(
        {Function.PUT, Function.GET, Function.DENY, Function.ALLOW}
    )

    def __init__(self) -> None:
        self._denied: dict[tuple[str, str], int] = {}
        """By node and key: the event that said so."""
        self._begun: dict[str, tuple[int, int | None]] = {}
        """By session: the event that began what it waits for, and the denial in force then."""
        self._allowing: Counter[tuple[str, str]] = Counter()
        """By node and key: who waits for the answer to an `allow`, or never had one."""
        self._allowed: dict[tuple[str, str], int] = {}
        """By node and key: the event that ended the last of these."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if not self._denied and not self._begun and event.function in _HARMLESS:
            return None
        place = (event.node, event.key)
        if event.function is Function.ALLOW:
            self._allow(event, place)
        elif event.phase is Phase.INVOKE:
            denial = self._denied.get(place)
            if denial is not None or event.function is Function.DENY:
                self._begun[event.session] = (event.index, denial)
        elif event.session in self._begun:
            return self._answer(event, place, *self._begun.pop(event.session))
        return None

    def _allow(self, event: Event, place: tuple[str, str]) -> None:
        if event.phase is Phase.INVOKE:
            self._allowing[place] += 1
            self._denied.pop(place, None)
        elif event.phase is not Phase.INFO:
            self._allowing[place] -= 1
            self._allowed[place] = event.index

    def _answer(
        self, event: Event, place: tuple[str, str], begun: int, denial: int | None
    ) -> Finding | None:
        if event.phase is not Phase.OK:
            return None
        if event.function is Function.DENY:
            if not self._allowing[place] and self._allowed.get(place, -1) < begun:
                self._denied[place] = event.index
            return None
        if denial is None or self._denied.get(place) is None:
            return None
        if event.function is Function.PUT:
            return self._wrong(*place, "took", event.time_ns)
        return self._wrong(*place, "shows", event.time_ns) if event.values else None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            for name, key in self._denied:
                if name != node.node:
                    continue
                if key in (node.keys or {}):
                    return self._wrong(name, key, "holds", view.time_ns)
                if any(key in found for found in (node.index or {}).values()):
                    return self._wrong(name, key, "finds", view.time_ns)
        return None

    def _wrong(self, node: str, key: str, does: str, at_ns: int) -> Violation:
        says = f"{node} {does} key {short(key)} at {at(at_ns)}, which it was told to deny"
        return Violation(invariant=self.id, at_ns=at_ns, says=says, node=node, keys=(key,))


class CarriedOutOnce(Passive):
    """I-15: a request that was carried out is not carried out again, whoever sends it."""

    id: ClassVar[str] = "I-15"
    hears: ClassVar[frozenset[Function]] = frozenset({Function.DENY, Function.ALLOW})

    def __init__(self) -> None:
        self._asked: dict[str, tuple[str, ...]] = {}
        """By session: the nonce of what it waits for."""
        self._done: dict[tuple[str, str, tuple[str, ...]], None] = {}

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if event.phase is Phase.INVOKE:
            self._asked[event.session] = event.values
            return None
        nonce = self._asked.pop(event.session)
        if event.phase is not Phase.OK or not nonce:
            return None
        request = (event.node, event.key, nonce)
        if request not in self._done:
            self._done[request] = None
            return None
        says = f"{event.node} carried out the {event.function.value} of key {short(event.key)} "
        says += f"again at {at(event.time_ns)}: its nonce was spent"
        return Violation(
            invariant=self.id, at_ns=event.time_ns, says=says, node=event.node, keys=(event.key,)
        )
