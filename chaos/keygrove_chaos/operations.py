"""Operations: what was asked and what came of it, put together from a history's events."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from keygrove_chaos.errors import HistoryError
from keygrove_chaos.history import (
    HARNESS,
    NOTHING,
    RETRACTIONS,
    Detail,
    Event,
    Function,
    Phase,
)

NEVER: Final = sys.maxsize
"""Where an operation ends that was not answered: it may be applied at any later moment."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One operation, from the event that began it to the event that ended it.

    Before and after are told by `start` and `end`, numbers of events: times may be equal.
    """

    start: int
    end: int
    start_ns: int
    end_ns: int | None
    client: str
    session: str
    node: str
    phase: Phase
    """How it ended; INFO also when it did not."""
    function: Function
    key: str
    put: tuple[str, ...]
    found: tuple[str, ...]
    detail: Detail

    @property
    def may_apply(self) -> bool:
        """Whether it took effect, or may have, or may yet."""
        return self.phase is not Phase.FAIL

    @property
    def is_done(self) -> bool:
        """Whether the client was told that it took effect."""
        return self.phase is Phase.OK


def operations(events: Iterable[Event]) -> list[Operation]:
    """All operations of clients, in the order in which they began. Linear.

    Raises:
        HistoryError: an answer without a question, two questions at once in one session, or
            an operation in a session that ended in `info`.
    """
    begun: list[Event] = []
    ended: dict[int, Event] = {}
    busy: dict[str, Event] = {}
    lost: set[str] = set()
    for event in events:
        if event.client == HARNESS:
            continue
        session = event.session
        if event.phase is Phase.INVOKE:
            if session in busy or session in lost:
                why = "still waits for an answer" if session in busy else "ended in info"
                raise HistoryError(f"event {event.index}", f"its session {session} {why}")
            busy[session] = event
            begun.append(event)
            continue
        invoked = busy.pop(session, None)
        if invoked is None or (invoked.function, invoked.key) != (event.function, event.key):
            raise HistoryError(f"event {event.index}", f"nothing like it was asked in {session}")
        if event.phase is Phase.INFO:
            lost.add(session)
        ended[invoked.index] = event
    return [_operation(event, ended.get(event.index)) for event in begun]


def _operation(begun: Event, ended: Event | None) -> Operation:
    phase = Phase.INFO if ended is None else ended.phase
    return Operation(
        start=begun.index,
        end=NEVER if ended is None or phase is Phase.INFO else ended.index,
        start_ns=begun.time_ns,
        end_ns=None if ended is None or phase is Phase.INFO else ended.time_ns,
        client=begun.client,
        session=begun.session,
        node=begun.node,
        phase=phase,
        function=begun.function,
        key=begun.key,
        put=begun.values,
        found=() if ended is None else ended.values,
        detail=NOTHING if ended is None else ended.detail,
    )


def retracted(one: Operation | Event) -> tuple[str, ...]:
    """The keys of which one of `history.RETRACTIONS` may take something away."""
    if one.function is Function.CONDEMN:
        return (one.key,)
    return one.put if isinstance(one, Operation) else one.values


def removed_until(ops: Sequence[Operation]) -> dict[str, int]:
    """For each key that was deleted or denied: the event up to which that may take effect.

    What was put before is not missed. A denial holds for ever; so does what else may take some of
    a key away.
    """
    until: dict[str, int] = {}
    for op in ops:
        if op.function is Function.DENY and op.may_apply:
            until[op.key] = NEVER
        elif op.function is Function.DELETE and op.may_apply:
            until[op.key] = max(op.end, until.get(op.key, 0))
        elif op.function in RETRACTIONS:
            until |= dict.fromkeys(retracted(op), NEVER)
    return until
