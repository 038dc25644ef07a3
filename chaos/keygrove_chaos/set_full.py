"""What became of each packet that was put: is it there whenever it must be?

A packet of a key is an element of a growing set, judged on each node that acknowledged or
showed it. From the moment it is known there, by an answer to the put or by a read that
shows it, every read that begins later has to show it.

All is found by sweeps over the reads of a key on a node. The last read without an element
comes from a sweep backwards that keeps what *all* later reads hold: it is never more than
the read before held, so the whole is linear in what was read.

Source: Jepsen, checker `set-full`. Deviations: elements are judged for each node, and a key
that was deleted or denied excuses the absence of what was put before.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from keygrove_chaos.history import SUBMISSIONS, Function
from keygrove_chaos.observation import Violation, at, short
from keygrove_chaos.operations import Operation, removed_until

QUANTILES = (0.0, 0.5, 0.95, 0.99, 1.0)


class Class(enum.Enum):
    """What became of an element on a node."""

    STABLE = "stable"
    """Shown by all reads after some moment."""
    LOST = "lost"
    """Known, and the last read, which began after that, does not show it."""
    STALE = "stale"
    """Known, missing in a read that began after that, and there again later."""
    UNEXPECTED = "unexpected"
    """Shown, and never put, or put only later."""
    NEVER_READ = "never-read"
    """No read showed it, and none had to."""
    REMOVED = "removed"
    """Its key was deleted or denied after it was put, or may have been."""


class Element(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A packet of a key on a node, and the operations that tell what became of it."""

    key: str
    packet: str
    node: str
    kind: Class
    invoked: Operation | None = None
    """The first put that may have applied it, on any node."""
    acked: Operation | None = None
    """The first put on this node that was acknowledged."""
    first_seen: Operation | None = None
    """The read that showed it and ended first."""
    last_seen: Operation | None = None
    """The read that showed it and began last."""
    last_absent: Operation | None = None
    """The read that did not show it and began last."""
    latency_ns: int | None = None
    """From when it was known to the last read that began without it: 0 unless it was stale.

    None if it is not there to stay.
    """


class SetFull(msgspec.Struct, frozen=True):
    """The elements with their classes, by key and node; what is wrong with them."""

    elements: tuple[Element, ...]
    violations: tuple[Violation, ...]

    def counts(self) -> dict[Class, int]:
        """How many elements there are of each class."""
        counted = Counter(element.kind for element in self.elements)
        return {kind: counted[kind] for kind in Class}

    def latencies_ns(self) -> dict[float, int]:
        """Quantiles of how long elements took to be there for good; empty if none are."""
        found = sorted(e.latency_ns for e in self.elements if e.latency_ns is not None)
        if not found:
            return {}
        return {q: found[min(len(found) - 1, int(q * len(found)))] for q in QUANTILES}


class _Put(msgspec.Struct):
    """What is known of the puts of one packet of a key."""

    invoked: Operation
    acked: dict[str, Operation] = msgspec.field(default_factory=dict[str, Operation])
    """For each node, the put that was acknowledged first."""


def set_full(ops: Sequence[Operation]) -> SetFull:
    """Judge every element on every node. Linear in what was put and read.

    `ops` are in the order in which they began, as `operations` gives them.
    """
    puts: dict[str, dict[str, _Put]] = {}
    reads: dict[tuple[str, str], list[Operation]] = {}
    for op in ops:
        if op.function in SUBMISSIONS and op.may_apply:
            _take_put(op, puts.setdefault(op.key, {}))
            if op.is_done:
                reads.setdefault((op.key, op.node), [])
        elif op.function is Function.GET and op.is_done:
            reads.setdefault((op.key, op.node), []).append(op)
    removed = removed_until(ops)
    elements: list[Element] = []
    for (key, node), some in reads.items():
        elements += _judge_all(key, node, some, puts.get(key, {}), removed.get(key, -1))
    elements += _unseen(puts, elements)
    return SetFull(tuple(elements), tuple(_violations(elements)))


def _take_put(op: Operation, puts: dict[str, _Put]) -> None:
    for packet in op.put:
        put = puts.get(packet)
        if put is None:
            put = puts[packet] = _Put(op)
        if op.is_done:
            acked = put.acked.get(op.node)
            if acked is None or op.end < acked.end:
                put.acked[op.node] = op


def _judge_all(
    key: str, node: str, reads: list[Operation], puts: dict[str, _Put], removed: int
) -> Iterable[Element]:
    """The elements known on one node of one key."""
    first: dict[str, Operation] = {}
    last: dict[str, Operation] = {}
    for read in reads:
        for packet in read.found:
            seen = first.get(packet)
            if seen is None or read.end < seen.end:
                first[packet] = read
            last[packet] = read
    known = [packet for packet, put in puts.items() if node in put.acked or packet in first]
    known += [packet for packet in first if packet not in puts]
    absent = _last_absences(known, reads)
    for packet in known:
        put = puts.get(packet)
        element = Element(
            key=key,
            packet=packet,
            node=node,
            kind=Class.NEVER_READ,
            invoked=None if put is None else put.invoked,
            acked=None if put is None else put.acked.get(node),
            first_seen=first.get(packet),
            last_seen=last.get(packet),
            last_absent=absent.get(packet),
        )
        yield _classified(element, removed, None if not reads else reads[-1])


def _last_absences(known: Iterable[str], reads: Sequence[Operation]) -> dict[str, Operation]:
    """For each element that some read lacks: the last of those to begin."""
    absent: dict[str, Operation] = {}
    present = set(known)
    for read in reversed(reads):
        if not present:
            break
        there = present.intersection(read.found)
        if len(there) < len(present):
            absent |= dict.fromkeys(present - there, read)
            present = there
    return absent


def _classified(element: Element, removed: int, last_read: Operation | None) -> Element:
    """The element with its class, and its latency if it is stable."""
    invoked, seen, absent = element.invoked, element.first_seen, element.last_absent
    if invoked is None or (seen is not None and seen.end < invoked.start):
        return msgspec.structs.replace(element, kind=Class.UNEXPECTED)
    if removed > invoked.start:
        return msgspec.structs.replace(element, kind=Class.REMOVED)
    known = _known_by(element)
    if absent is not None and absent.start > known.end:
        if absent is last_read:
            return msgspec.structs.replace(element, kind=Class.LOST)
        assert known.end_ns is not None
        latency_ns = absent.start_ns - known.end_ns
        return msgspec.structs.replace(element, kind=Class.STALE, latency_ns=latency_ns)
    if seen is None:
        return element
    return msgspec.structs.replace(element, kind=Class.STABLE, latency_ns=0)


def _known_by(element: Element) -> Operation:
    """The operation whose end made the element known on its node."""
    return min(
        (op for op in (element.acked, element.first_seen) if op is not None),
        key=lambda op: op.end,
    )


def _unseen(puts: dict[str, dict[str, _Put]], elements: Iterable[Element]) -> Iterable[Element]:
    """What was put, and neither acknowledged nor shown anywhere."""
    known = {(element.key, element.packet) for element in elements}
    for key, packets in puts.items():
        for packet, put in packets.items():
            if (key, packet) not in known:
                yield Element(
                    key=key,
                    packet=packet,
                    node=put.invoked.node,
                    kind=Class.NEVER_READ,
                    invoked=put.invoked,
                )


def _violations(elements: Iterable[Element]) -> Iterable[Violation]:
    for element in elements:
        if element.kind is Class.UNEXPECTED:
            yield _unexpected(element)
        elif element.kind in {Class.LOST, Class.STALE}:
            yield _missed(element)


def _unexpected(element: Element) -> Violation:
    seen, invoked = element.first_seen, element.invoked
    assert seen is not None
    why = "which nobody ever put"
    if invoked is not None:
        why = f"which was first put at {at(invoked.start_ns)}"
    return Violation(
        invariant="I-02",
        at_ns=seen.start_ns,
        says=f"a read on {element.node} at {at(seen.start_ns)} shows packet "
        f"{short(element.packet)} of key {short(element.key)}, {why}",
        node=element.node,
        keys=(element.key,),
        ops=(seen,) if invoked is None else (seen, invoked),
    )


def _missed(element: Element) -> Violation:
    known, absent = _known_by(element), element.last_absent
    assert absent is not None
    assert known.end_ns is not None
    how = "acknowledged" if known is element.acked else "shown"
    is_lost = element.kind is Class.LOST
    return Violation(
        invariant="I-01" if is_lost else "I-14",
        at_ns=absent.start_ns,
        says=f"packet {short(element.packet)} of key {short(element.key)} was {how} by "
        f"{element.node} at {at(known.end_ns)} and is missing in "
        f"{'the last' if is_lost else 'a'} read, at {at(absent.start_ns)}",
        node=element.node,
        keys=(element.key,),
        ops=(known, absent),
    )
