"""I-32: what a rollback takes, what it leaves, and what its undo restores.

A partner's packets are those that it offered, with a yes, before anybody asked to take them back.
Of a key that others may have had a part in, first or last, only what surely was the partner's
alone has to go: where what others brought hangs on it, a rollback leaves the key as it is. What
is not known to be asked for or undone at the time of a read is not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import msgspec

from keygrove_chaos.control import UNACCEPTABLE
from keygrove_chaos.history import HARNESS, SUBMISSIONS, Event, Function, Phase
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import Finding, Occurrence, View, Violation, at, listed, short
from keygrove_chaos.operations import NEVER, Operation

DUE: Final = frozenset({"running", "undoing"})
"""Stages of a rollback at which it is not done."""


class _Deed(msgspec.Struct):
    """A submission, a rollback or an undo: from which event to which it may have taken effect."""

    origin: str
    start: int
    packets: frozenset[str]
    is_retraction: bool = False
    """It is a rollback."""
    end: int = NEVER
    phase: Phase = Phase.INFO

    @property
    def is_done(self) -> bool:
        return self.phase is Phase.OK

    @property
    def may_apply(self) -> bool:
        return self.phase is not Phase.FAIL


class _Read(msgspec.Struct, frozen=True):
    """What was shown of a key from one event to another."""

    node: str
    key: str
    start: int
    end: int
    at_ns: int
    found: frozenset[str]


class TakenBack(Passive):
    """I-32: a rollback takes what only its partner brought, and keeps it away until its undo."""

    id: ClassVar[str] = "I-32"
    hears: ClassVar[frozenset[Function]] = SUBMISSIONS | {
        Function.GET,
        Function.ROLLBACK,
        Function.UNDO,
        Function.START,
        Function.EXIT,
    }

    def __init__(self) -> None:
        self._puts: dict[tuple[str, str], list[_Deed]] = {}
        """By node and key."""
        self._condemned: dict[tuple[str, str], list[_Deed]] = {}
        self._rolls: dict[str, dict[str, list[_Deed]]] = {}
        """Rollbacks and undos, by node and partner."""
        self._keys: dict[str, dict[str, None]] = {}
        """By node: those of which rollbacks may have taken something."""
        self._open: dict[str, _Deed] = {}
        self._begun: dict[str, Event] = {}
        """By session: reads under way."""
        self._reads: list[_Read] = []
        self._down: dict[str, None] = {}
        """Nodes without a process."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if event.function is Function.START:
            self._down.pop(event.node, None)
        elif event.client == HARNESS:
            self._exit(event)
        elif event.function is Function.GET:
            self._get(event)
        elif event.phase is Phase.INVOKE:
            self._begin(event)
        else:
            return self._end(event)
        return None

    def _exit(self, event: Event) -> None:
        """What was asked of a process that is gone, and not heard of, takes effect no more."""
        self._down[event.node] = None
        still = set(map(id, self._open.values()))
        for some in self._rolls.get(event.node, {}).values():
            for one in some:
                if one.phase is Phase.INFO and id(one) not in still:
                    one.end = min(one.end, event.index)

    def _get(self, event: Event) -> None:
        if event.phase is Phase.INVOKE:
            self._begun[event.session] = event
            return
        start, found = self._begun.pop(event.session).index, frozenset(event.values)
        if event.phase is Phase.OK:
            self._reads.append(
                _Read(event.node, event.key, start, event.index, event.time_ns, found)
            )

    def _begin(self, event: Event) -> None:
        deed = _Deed(event.detail.origin, event.index, frozenset(event.values))
        place = (event.node, event.key)
        match event.function:
            case Function.PUT:
                self._puts.setdefault(place, []).append(deed)
            case Function.CONDEMN:
                self._condemned.setdefault(place, []).append(deed)
            case _:
                deed.is_retraction = event.function is Function.ROLLBACK
                self._rolls.setdefault(event.node, {}).setdefault(event.key, []).append(deed)
                self._keys.setdefault(event.node, {}).update(dict.fromkeys(event.values))
        self._open[event.session] = deed

    def _end(self, event: Event) -> Finding | None:
        deed = self._open.pop(event.session)
        deed.phase = event.phase
        is_over = event.phase is not Phase.INFO or event.node in self._down
        deed.end = event.index if is_over else NEVER
        is_refused = event.phase is Phase.FAIL and event.detail.status == UNACCEPTABLE
        if event.function is Function.CONDEMN and is_refused:
            says = f"{event.node} refused at {at(event.time_ns)} what key {short(event.key)} says "
            return self._wrong(event.node, event.key, f"{says}against itself", event.time_ns)
        return None

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            for name, stage in (node.rollbacks or {}).items():
                if stage in DUE:
                    says = f"rollback {name} of {node.node} is {stage} still at {at(view.time_ns)}"
                    return self._wrong(node.node, "", says, view.time_ns)
        return None

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`."""
        del ops
        last = [
            _Read(node.node, key, NEVER - 1, NEVER, view.time_ns, node.keys.get(key, frozenset()))
            for node in view.nodes
            if node.keys is not None
            for key in self._keys.get(node.node, {})
        ]
        judged = (self._judge(read) for read in (*self._reads, *last))
        found = next((one for one in judged if one is not None), None)
        return found or self.at_quiescence(view)

    def _judge(self, read: _Read) -> Finding | None:
        place = (read.node, read.key)
        condemned = self._condemned.get(place, [])
        due = _packets(one for one in condemned if one.is_done and one.end < read.start)
        if missing := due - read.found:
            return self._told(read, "does not show", missing, "the key says against itself")
        if read.key not in self._keys.get(read.node, {}):
            return None
        if not any(one.start < read.end for one in condemned):
            if missing := self._of_others(read) - read.found:
                return self._told(read, "does not show", missing, "others brought")
            if missing := self._restored(read) - read.found:
                return self._told(read, "does not show", missing, "an undo restored")
        if back := (self._gone(read) & read.found) - _packets(condemned):
            return self._told(read, "shows", back, "was taken back")
        return None

    def _of_others(self, read: _Read) -> frozenset[str]:
        """What others brought before any partner whose packets may be taken back."""
        puts, rolls = self._puts.get((read.node, read.key), []), self._rolls[read.node]
        offers = [one for one in puts if one.origin in rolls and one.may_apply]
        due: set[str] = set()
        for put in puts:
            if put.is_done and put.end < read.start and put.origin not in rolls:
                due |= put.packets - _packets(one for one in offers if one.start < put.end)
        return frozenset(due)

    def _gone(self, read: _Read) -> frozenset[str]:
        """What partners alone brought, and what was taken back."""
        puts = self._puts.get((read.node, read.key), [])
        gone: set[str] = set()
        for partner, rolls in self._rolls[read.node].items():
            done = min(
                (one.end for one in rolls if one.is_retraction and one.is_done), default=NEVER
            )
            undone = [one.start for one in rolls if not one.is_retraction and one.may_apply]
            if not done < read.start or min(undone, default=NEVER + 1) < read.end:
                continue
            others = [one for one in puts if one.origin != partner and one.start < done]
            others = [one for one in others if one.may_apply]
            first = min((one.start for one in puts if one.origin == partner), default=NEVER)
            if others and not any(one.is_done and one.end < first for one in others):
                continue  # what they brought may hang on what it brought
            gone |= _offered(puts, partner, rolls) - _packets(others)
        return frozenset(gone)

    def _restored(self, read: _Read) -> frozenset[str]:
        """What was taken back, and restored since."""
        puts = self._puts.get((read.node, read.key), [])
        due: set[str] = set()
        for partner, rolls in self._rolls[read.node].items():
            taken = [one for one in rolls if one.is_retraction and one.may_apply]
            undone = [one for one in rolls if not one.is_retraction and one.is_done]
            for undo in undone:
                is_last = all(one.end < undo.start for one in taken)
                if is_last and undo.end < read.start:
                    due |= _offered(puts, partner, rolls)
        return frozenset(due)

    def _told(self, read: _Read, does: str, packets: frozenset[str], what: str) -> Violation:
        says = f"{read.node} {does} {listed(packets)} of key {short(read.key)} at "
        return self._wrong(read.node, read.key, f"{says}{at(read.at_ns)}, which {what}", read.at_ns)

    def _wrong(self, node: str, key: str, says: str, at_ns: int) -> Violation:
        keys = (key,) if key else ()
        return Violation(invariant=self.id, at_ns=at_ns, says=says, node=node, keys=keys)


def _offered(puts: Iterable[_Deed], partner: str, rolls: Iterable[_Deed]) -> frozenset[str]:
    """What a partner surely had brought when it was first asked to take its packets back."""
    since = min((one.start for one in rolls if one.is_retraction), default=NEVER)
    return _packets(
        one for one in puts if one.origin == partner and one.is_done and one.end < since
    )


def _packets(some: Iterable[_Deed]) -> frozenset[str]:
    return frozenset[str]().union(*(one.packets for one in some))
