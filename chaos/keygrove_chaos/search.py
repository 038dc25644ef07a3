"""A search for an order of operations on one key: Wing and Gong's, with Lowe's memory.

It serves keys that were deleted or denied, whose histories no rule of thumb decides. It may
take for ever, so it gives up after so many steps, and says that it does not know.

Source: G. Lowe, "Testing for linearizability" (2017), just-in-time linearization.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from keygrove_chaos.history import Function
from keygrove_chaos.observation import at, listed
from keygrove_chaos.operations import NEVER, Operation

WINDOW_MAX: Final = 20
"""Operations at once on a key that are searched; more would take for ever."""

STEPS_MAX: Final = 200_000
"""Moves tried in one search: some tenths of a second."""


class Verdict(enum.Enum):
    """What a check found."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNKNOWN = "unknown"


class Judgement(msgspec.Struct, frozen=True):
    """A verdict, why, and the operations that show it."""

    verdict: Verdict
    says: str = ""
    ops: tuple[Operation, ...] = ()
    steps: int = 0
    """What was tried to find it, where it was searched for."""


_DENIED: Final = 1
"""The bit of a state that says that the key is denied; the others are elements."""


def search(
    ops: Sequence[Operation], *, window_max: int = WINDOW_MAX, steps_max: int = STEPS_MAX
) -> Judgement:
    """Search an order for the operations on one key; unknown where that takes too long.

    Events are taken in their order. What is remembered is every pair of a state and a set of
    open operations that have taken effect in it, so no way is gone twice. An operation takes
    effect as late as can be: when it ends, or when one that ends needs it.
    """
    relevant = _relevant(ops)
    moves = _moves(relevant)
    open_moves: dict[int, _Move] = {}
    ways = {(0, 0)}
    steps = 0
    for _, is_end, op in _marks(relevant):
        move = moves[op.start]
        if not is_end:
            if len(open_moves) == window_max:
                says = f"more than {window_max} operations at once, at {at(op.start_ns)}"
                return Judgement(Verdict.UNKNOWN, says, steps=steps)
            move.slot = _free_slot(open_moves)
            open_moves[move.slot] = move
            continue
        found, tried = _ways_past(move, open_moves, ways, steps_max - steps)
        steps += tried
        if found is None:
            says = f"no order found in {steps_max} steps, up to {at(op.start_ns)}"
            return Judgement(Verdict.UNKNOWN, says, steps=steps)
        if not found:
            return _no_way(op, open_moves, steps)
        del open_moves[move.slot]
        ways = _settled(found, open_moves)
    return Judgement(Verdict.LINEARIZABLE, steps=steps)


def _relevant(ops: Iterable[Operation]) -> list[Operation]:
    """What can matter: what told or did something.

    A put that never ended and brings a packet that no read shows is left out. If it did take
    effect, no read came before the removal after it; without it, all reads see the same.
    """
    some = [op for op in ops if op.is_done or (op.may_apply and op.function is not Function.GET)]
    shown = {packet for op in some if op.function is Function.GET for packet in op.found}
    return [
        op
        for op in some
        if op.function is not Function.PUT or op.end != NEVER or shown.issuperset(op.put)
    ]


def _settled(ways: set[tuple[int, int]], open_moves: dict[int, _Move]) -> set[tuple[int, int]]:
    """The ways without what has taken effect on all of them; its slots are free again."""
    everywhere = -1
    for taken, _ in ways:
        everywhere &= taken
    if not everywhere:
        return ways
    for slot in [slot for slot, move in open_moves.items() if move.op.end == NEVER]:
        if everywhere >> slot & 1:
            del open_moves[slot]
            ways = {(taken & ~(1 << slot), state) for taken, state in ways}
    return ways


class _Move(msgspec.Struct):
    """An operation as a step from state to state; None where it cannot be taken."""

    op: Operation
    apply: Callable[[int], int | None]
    slot: int = -1


def _moves(ops: Iterable[Operation]) -> dict[int, _Move]:
    """The operations by their start, their packets as bits."""
    bits: dict[str, int] = {}

    def packed(packets: Iterable[str]) -> int:
        return sum(bits.setdefault(packet, 2 << len(bits)) for packet in dict.fromkeys(packets))

    return {
        op.start: _Move(
            op, _step(op.function, packed(op.found if op.function is Function.GET else op.put))
        )
        for op in ops
    }


def _step(function: Function, packets: int) -> Callable[[int], int | None]:
    """A denied key stays empty, whatever is put."""
    if function is Function.PUT:
        return lambda state: state if state & _DENIED else state | packets
    if function is Function.GET:
        return lambda state: state if state & ~_DENIED == packets else None
    if function is Function.DELETE:
        return lambda state: state & _DENIED
    if function is Function.ALLOW:
        return lambda state: state & ~_DENIED
    return lambda _: _DENIED


def _marks(ops: Iterable[Operation]) -> list[tuple[int, bool, Operation]]:
    """Beginnings and ends, in their order."""
    marks: list[tuple[int, bool, Operation]] = []
    for op in ops:
        marks.append((op.start, False, op))
        if op.end != NEVER:
            marks.append((op.end, True, op))
    return sorted(marks, key=lambda mark: mark[0])


def _free_slot(taken: dict[int, _Move]) -> int:
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def _ways_past(
    move: _Move, open_moves: dict[int, _Move], ways: set[tuple[int, int]], steps_max: int
) -> tuple[set[tuple[int, int]] | None, int]:
    """The ways on which `move` has taken effect; None if finding them takes too long.

    A way is a set of slots whose moves have taken effect, and the state after them.
    """
    past: set[tuple[int, int]] = set()
    seen, stack, steps = set(ways), list(ways), 0
    while stack:
        taken, state = stack.pop()
        if taken >> move.slot & 1:
            past.add((taken & ~(1 << move.slot), state))
            continue
        for slot, other in open_moves.items():
            if taken >> slot & 1:
                continue
            steps += 1
            after = other.apply(state)
            way = None if after is None else (taken | 1 << slot, after)
            if way is not None and way not in seen:
                seen.add(way)
                stack.append(way)
        if steps > steps_max:
            return None, steps
    return past, steps


def _no_way(op: Operation, open_moves: dict[int, _Move], steps: int) -> Judgement:
    others = [move.op for move in open_moves.values() if move.op is not op]
    what = f"the {op.function.value} that ended at {at(op.end_ns or 0)}"
    if op.function is Function.GET:
        what += f" and found {listed(op.found)}"
    says = f"no order explains {what}, with {len(others)} others at the same time"
    return Judgement(Verdict.NOT_LINEARIZABLE, says, (op, *others), steps)
