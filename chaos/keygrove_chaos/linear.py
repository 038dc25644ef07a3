"""Is there an order in which all operations on a key of a node make sense, each at one moment?

Two ways to find out. A key that only grows is checked by rules over chains (`check_chain`),
without any search. A key that was deleted or denied is searched for an order (see `search`).

A put joins all its packets at once, and packets may be put more than once, so the rules of
the reference are needed in a slightly more general form. Reads are sorted into levels of
equal sets, and a put P belongs to the lowest level L(P) that holds all of it:

    a  a read that begins after P ended holds P
    b  no read ended before all puts of what it holds began
    c  of two reads, one holds the other
    d  a read that begins after another ended holds what that one held
    e  a put brings nothing to a level below that of a put which ended before it began
    f  a put brings all of its packets, or none yet

These suffice: put every P immediately before the reads of level L(P). By (a) that is not too
late for P, by (c) and (d) reads are in order, and each element of a level comes from a put
that real time lets stand there, which is what (b), (e) and (f) ask of at least one put. Other
puts go wherever time has them, since all they would bring is there. Where each put brings one
packet of its own, this is the reference's (a) to (e).

Source: chaos reference §4.1.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from keygrove_chaos.history import REMOVALS, RETRACTIONS, Function
from keygrove_chaos.observation import Finding, Undecided, Violation, at, listed, short
from keygrove_chaos.operations import NEVER, Operation, retracted
from keygrove_chaos.search import STEPS_MAX, Judgement, Verdict, search

STEPS_TOTAL_MAX: Final = 2_000_000
"""Moves tried in all searches for one history: some seconds."""

_OF_KEYS: Final = REMOVALS | {Function.PUT, Function.GET, Function.ALLOW}

_FINE: Final = Judgement(Verdict.LINEARIZABLE)


def linearizable(ops: Sequence[Operation], *, steps_max: int = STEPS_TOTAL_MAX) -> list[Finding]:
    """What is wrong on any key of any node: I-13. `ops` in the order in which they began.

    What other nodes took may arrive at any later moment, or never; what administrators ask of a
    node concerns that alone. After `steps_max` steps of
    searches, what remains to be searched is unknown. Keys of which a rollback may take something
    are not judged here; see `taken_back`.
    """
    elsewhere = {key for op in ops if op.function in RETRACTIONS for key in retracted(op)}
    keys: dict[str, list[Operation]] = {}
    removed: set[str] = set()
    for op in ops:
        if op.function in _OF_KEYS and op.key not in elsewhere:
            keys.setdefault(op.key, []).append(op)
            if op.function in REMOVALS and op.may_apply:
                removed.add(op.key)
    findings: list[Finding] = []
    left = steps_max
    for key, some in keys.items():
        for node in dict.fromkeys(op.node for op in some if op.function is Function.GET):
            own = _as_seen_on(node, some)
            if key in removed:
                judged = search(own, steps_max=min(left, STEPS_MAX))
                left = max(0, left - judged.steps)
            else:
                judged = check_chain(own)
            findings += _finding(judged, key, node)
    return findings


def _as_seen_on(node: str, ops: Iterable[Operation]) -> list[Operation]:
    own: list[Operation] = []
    for op in ops:
        if op.node == node:
            own.append(op)
        elif op.function in {Function.PUT, Function.DELETE}:
            own.append(op if op.end == NEVER else msgspec.structs.replace(op, end=NEVER))
    return own


def _finding(judged: Judgement, key: str, node: str) -> Iterable[Finding]:
    if judged.verdict is Verdict.LINEARIZABLE:
        return
    says = f"on {node}, key {short(key)}: {judged.says}"
    if judged.verdict is Verdict.UNKNOWN:
        yield Undecided(invariant="I-13", says=says)
    else:
        at_ns = max(op.end_ns or op.start_ns for op in judged.ops)
        yield Violation(
            invariant="I-13", at_ns=at_ns, says=says, node=node, keys=(key,), ops=judged.ops
        )


# ---- keys that only grow


class _Levels(msgspec.Struct):
    """The reads, sorted into levels of equal sets."""

    reads: list[Operation]
    """By level."""
    level: dict[int, int]
    """Of each read, by its start."""
    first: dict[str, int]
    """The lowest level that holds an element."""
    earliest_end: list[int]
    """For each level: when the first read ended of those at it or above."""

    @property
    def top(self) -> int:
        """The level of what no read shows: above all."""
        return len(self.earliest_end)

    def of(self, put: Operation) -> int:
        """The lowest level that holds all of a put."""
        return max((self.first.get(packet, self.top) for packet in put.put), default=0)


def check_chain(ops: Sequence[Operation]) -> Judgement:
    """Judge the puts and gets of one key: n log n in what they put and found."""
    puts = [op for op in ops if op.function is Function.PUT and op.may_apply]
    gets = [op for op in ops if op.function is Function.GET and op.is_done]
    levels = _levels(gets)
    if isinstance(levels, Judgement):
        return levels
    for check in (_reads_in_time, _puts_in_time, _elements_explained):
        judged = check(levels, gets, puts)
        if judged is not _FINE:
            return judged
    return _FINE


def _bad(condition: str, says: str, *ops: Operation) -> Judgement:
    return Judgement(Verdict.NOT_LINEARIZABLE, f"{says} (rule {condition})", ops)


def _levels(gets: Sequence[Operation]) -> _Levels | Judgement:
    """The levels of the reads, or why they have none: rule c."""
    sets = {read.start: frozenset(read.found) for read in gets}
    reads = sorted(gets, key=lambda read: len(sets[read.start]))
    level: dict[int, int] = {}
    first: dict[str, int] = {}
    current: frozenset[str] = frozenset()
    ends: list[int] = []
    for number, read in enumerate(reads):
        found = sets[read.start]
        if not number or found != current:
            if not current <= found:
                return _incomparable(reads[number - 1], read)
            first |= dict.fromkeys(found - current, len(ends))
            current = found
            ends.append(read.end)
        level[read.start] = len(ends) - 1
        ends[-1] = min(ends[-1], read.end)
    return _Levels(reads, level, first, list(accumulate(reversed(ends), min))[::-1])


def _incomparable(one: Operation, other: Operation) -> Judgement:
    mine, yours = set(one.found) - set(other.found), set(other.found) - set(one.found)
    return _bad(
        "c",
        f"the reads at {at(one.start_ns)} and {at(other.start_ns)} contradict each other: "
        f"only the first shows {listed(mine)}, only the second {listed(yours)}",
        one,
        other,
    )


def _reads_in_time(levels: _Levels, gets: Sequence[Operation], _: object) -> Judgement:
    """Rule d."""
    ended = sorted(gets, key=lambda read: read.end)
    best: Operation | None = None
    at_end = 0
    for read in gets:
        while ended[at_end].end < read.start:
            done = ended[at_end]
            if best is None or levels.level[done.start] > levels.level[best.start]:
                best = done
            at_end += 1
        if best is not None and levels.level[best.start] > levels.level[read.start]:
            gone = set(best.found).difference(read.found)
            return _bad(
                "d",
                f"the read at {at(read.start_ns)} no longer shows {listed(gone)}, which the one "
                f"at {at(best.start_ns)} did",
                best,
                read,
            )
    return _FINE


def _puts_in_time(
    levels: _Levels, gets: Sequence[Operation], puts: Sequence[Operation]
) -> Judgement:
    """Rule a."""
    starts = [read.start for read in gets]
    places = [(levels.level[read.start], number) for number, read in enumerate(gets)]
    lowest = list(accumulate(reversed(places), min))[::-1]
    for put in puts:
        after = bisect_right(starts, put.end)
        if after < len(gets) and lowest[after][0] < levels.of(put):
            read = gets[lowest[after][1]]
            missing = set(put.put).difference(read.found)
            return _bad(
                "a",
                f"the read at {at(read.start_ns)} lacks {listed(missing)}, whose put was "
                f"acknowledged at {at(put.end_ns or 0)}",
                put,
                read,
            )
    return _FINE


def _elements_explained(levels: _Levels, _: object, puts: Sequence[Operation]) -> Judgement:
    """Rules b, e and f."""
    done = sorted((put for put in puts if put.end != NEVER), key=lambda put: put.end)
    ends = [put.end for put in done]
    highest = list(accumulate((levels.of(put) for put in done), max))
    explained: set[str] = set()
    for put in puts:
        level, before = levels.of(put), bisect_left(ends, put.start)
        is_in_time = level < levels.top and put.start < levels.earliest_end[level]
        if is_in_time and (not before or highest[before - 1] <= level):
            explained.update(packet for packet in put.put if levels.first[packet] == level)
    for packet, level in levels.first.items():
        if packet not in explained:
            return _unexplained(levels, puts, packet, level)
    return _FINE


def _unexplained(levels: _Levels, puts: Sequence[Operation], packet: str, level: int) -> Judgement:
    read = min(
        (r for r in levels.reads if levels.level[r.start] >= level), key=lambda read: read.end
    )
    shown = f"the read at {at(read.start_ns)} shows {short(packet)}"
    sources = [put for put in puts if packet in put.put]
    if not sources:
        return _bad("b", f"{shown}, which nobody put", read)
    early = [put for put in sources if put.start < read.end]
    if not early:
        return _bad("b", f"{shown}, whose first put began at {at(sources[0].start_ns)}", read)
    whole = [put for put in early if levels.of(put) == level]
    if not whole:
        says = f"{shown}, but not all that was put together with it at {at(early[0].start_ns)}"
        return _bad("f", says, early[0], read)
    source = whole[0]
    older = next(p for p in puts if p.end < source.start and levels.of(p) > level)
    says = f"{shown}, put at {at(source.start_ns)}, and lacks what was acknowledged before that"
    return _bad("e", f"{says}, at {at(older.end_ns or 0)}", older, source, read)
