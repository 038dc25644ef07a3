"""Invariants about how requests are answered: while stopping, while failing, while others fail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from keygrove_actors.reports import ChildStarted, ChildTerminated
from keygrove_chaos.history import HARNESS, NANOSECONDS, Event, Function, Phase
from keygrove_chaos.invariant import Passive
from keygrove_chaos.observation import Finding, NodeReport, Occurrence, View, Violation, at
from keygrove_chaos.operations import Operation

ADDRESS: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
"""Of mail, roughly."""
DRAIN_S_MAX: Final = 10.0
FAILED_READS_MAX: Final = 0.001
UNAVAILABLE: Final = 503
DISK_FULL: Final = 507
SHARD: Final = "shard-"
"""How the child ids of shards begin."""


class GracefulShutdown(Passive):
    """I-17: what was accepted before a drain is answered, and the process ends well."""

    id: ClassVar[str] = "I-17"

    def __init__(self) -> None:
        self._open: dict[str, dict[str, Event]] = {}
        """By node and session: requests without an answer."""
        self._accepted: dict[str, Event] = {}
        """By session: requests that a node had accepted when its drain began."""
        self._drains: dict[str, Event] = {}

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if event.client != HARNESS:
            return self._request(event)
        match event.function:
            case Function.DRAIN:
                self._drains[event.node] = event
                waiting = self._open.get(event.node, {}).values()
                accepted = [begun for begun in waiting if str(begun.index) in event.values]
                self._accepted |= {begun.session: begun for begun in accepted}
            case Function.EXIT:
                return self._exit(event)
            case _:
                pass
        return None

    def _request(self, event: Event) -> Finding | None:
        waiting = self._open.setdefault(event.node, {})
        if event.phase is Phase.INVOKE:
            waiting[event.session] = event
            return None
        waiting.pop(event.session, None)
        begun = self._accepted.pop(event.session, None)
        if begun is None or event.phase is Phase.OK:
            return None
        is_retryable = event.detail.status == UNAVAILABLE and event.detail.has_retry_after
        is_clients_fault = event.detail.status is not None and event.detail.status < 500
        if is_retryable or (event.phase is Phase.FAIL and is_clients_fault):
            return None
        return self._wrong(event, f"{_ask(begun)}, accepted before the drain, got no clean answer")

    def _exit(self, event: Event) -> Finding | None:
        drain, detail = self._drains.pop(event.node, None), event.detail
        if detail.code is None:  # it was killed, perhaps while it drained
            self._accepted = {
                session: begun
                for session, begun in self._accepted.items()
                if begun.node != event.node
            }
            return None
        if drain is None:
            return None
        if detail.code != 0:
            return self._wrong(event, f"a drained process ended with exit code {detail.code}")
        if event.time_ns - drain.time_ns > DRAIN_S_MAX * NANOSECONDS:
            return self._wrong(event, f"a drain that began at {at(drain.time_ns)} took too long")
        if detail.wal_bytes:
            return self._wrong(event, f"a drain left {detail.wal_bytes} bytes in write-ahead logs")
        return None

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`."""
        del view, ops
        for event in self._accepted.values():
            return self._wrong(event, f"{_ask(event)}, accepted before a drain, got no answer")
        for event in self._drains.values():
            return self._wrong(event, f"a drain that began at {at(event.time_ns)} never ended")
        return None

    def _wrong(self, event: Event, says: str) -> Violation:
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"on {event.node}: {says}",
            node=event.node,
            keys=(event.key,) if event.key else (),
        )


def _ask(event: Event) -> str:
    return f"the {event.function.value} of {event.client} at {at(event.time_ns)}"


class HonestErrors(Passive):
    """I-20: yes means durable; a full disk is 507; what may be tried again is 503 and says when.

    Durability is only judged if the harness sees the disk and notes it.
    """

    id: ClassVar[str] = "I-20"

    def __init__(self, *, sees_disk: bool) -> None:
        self._sees_disk = sees_disk
        self._puts: dict[str, Event] = {}
        self._durable: dict[tuple[str, str], set[str]] = {}
        """By node and key."""
        self._full: set[str] = set()
        """Nodes whose disk was full since the last heal."""

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        if not isinstance(event, Event):
            return None
        if event.client == HARNESS:
            self._disk(event)
            return None
        if event.phase is Phase.INVOKE:
            if event.function is Function.PUT:
                self._puts[event.session] = event
            return None
        return self._status(event) or self._durability(event)

    def _disk(self, event: Event) -> None:
        if event.function is Function.DURABLE:
            self._durable.setdefault((event.node, event.key), set()).update(event.values)
        elif event.function is Function.DISK and event.detail.errno == "ENOSPC":
            self._full.add(event.node)
        elif event.function is Function.HEAL:
            self._full.discard(event.node)

    def _status(self, event: Event) -> Finding | None:
        status = event.detail.status
        if status is None or status < 500:
            return None
        if event.phase is Phase.OK:
            return self._wrong(event, f"status {status} was taken for a yes")
        if status not in {UNAVAILABLE, DISK_FULL}:
            return self._wrong(event, f"status {status}, which says nothing a client can act on")
        if status == UNAVAILABLE and not event.detail.has_retry_after:
            return self._wrong(event, "status 503 without Retry-After")
        if status == DISK_FULL and self._sees_disk and event.node not in self._full:
            return self._wrong(event, "status 507, and the disk was not full")
        return None

    def _durability(self, event: Event) -> Finding | None:
        if event.function is not Function.PUT:
            return None
        begun = self._puts.pop(event.session)
        if event.phase is not Phase.OK or not self._sees_disk:
            return None
        durable = self._durable.get((event.node, event.key), set())
        if all(packet in durable for packet in begun.values):
            return None
        return self._wrong(event, "acknowledged before it was durable")

    def _wrong(self, event: Event, says: str) -> Violation:
        return Violation(
            invariant=self.id,
            at_ns=event.time_ns,
            says=f"the {event.function.value} of {event.client} that ended on {event.node} at "
            f"{at(event.time_ns)}: {says}",
            node=event.node,
            keys=(event.key,) if event.key else (),
        )


class Private(Passive):
    """I-28: what users sent, and whom they looked for, is not in the log."""

    id: ClassVar[str] = "I-28"

    def at_quiescence(self, view: View) -> Finding | None:
        """See `Invariant`."""
        for node in view.nodes:
            for line in node.log or ():
                if (found := ADDRESS.search(line)) is not None:
                    return Violation(
                        invariant=self.id,
                        at_ns=view.time_ns,
                        says=f"the log of {node.node} tells of {found[0]}",
                        node=node.node,
                        states=(line,),
                    )
        return None


class _Read(msgspec.Struct):
    """A read under way, and what failed around it."""

    tick: int
    is_node_faulty: bool
    is_other_faulty: bool
    is_other_shard_down: bool


class Available(Passive):
    """I-23: what fails elsewhere, on another node or in another shard, fails no read here.

    A read of a node without a fault counts while another has one: of those, one in a thousand
    may fail. While shards restart, a read of another shard may not fail at all.
    """

    id: ClassVar[str] = "I-23"

    def __init__(self) -> None:
        self._tick = 0
        self._faulty: dict[str, None] = {}
        self._faulty_until: dict[str, int] = {}
        self._down: dict[str, dict[str, None]] = {}
        """By node: shards that are down."""
        self._down_until: dict[tuple[str, str], int] = {}
        self._reads: dict[str, _Read] = {}
        self._counted = 0
        self._failed: list[Event] = []

    def on_event(self, event: Occurrence) -> Finding | None:
        """See `Invariant`."""
        self._tick += 1
        if isinstance(event, NodeReport):
            self._report(event)
        elif isinstance(event, Event):
            if event.client == HARNESS:
                self._fault(event)
            elif event.function in {Function.GET, Function.SEARCH}:
                return self._read(event)
        return None

    def _report(self, event: NodeReport) -> None:
        report = event.report
        down = self._down.setdefault(event.node, {})
        if isinstance(report, ChildTerminated) and report.child.startswith(SHARD):
            down[report.child] = None
        elif isinstance(report, ChildStarted) and report.child in down:
            del down[report.child]
            self._down_until[event.node, report.child] = self._tick

    def _fault(self, event: Event) -> None:
        if event.function is Function.FAULT:
            self._faulty[event.node] = None
        elif event.function is Function.HEAL:
            self._faulty.pop(event.node, None)
            self._faulty_until[event.node] = self._tick

    def _read(self, event: Event) -> Finding | None:
        node = event.node
        is_faulty = node in self._faulty
        others = len(self._faulty) > is_faulty
        down = self._down.get(node, {})
        if event.phase is Phase.INVOKE:
            self._reads[event.session] = _Read(self._tick, is_faulty, others, bool(down))
            return None
        read = self._reads.pop(event.session)
        status = event.detail.status
        has_failed = event.phase is not Phase.OK and (status is None or status >= 500)
        if read.is_node_faulty or is_faulty or self._faulty_until.get(node, -1) > read.tick:
            return None
        if read.is_other_faulty or others:
            self._counted += 1
            self._failed += [event] if has_failed else []
        shard = event.detail.shard
        if not has_failed or shard is None or not (read.is_other_shard_down or down):
            return None
        if shard in down or self._down_until.get((node, shard), -1) > read.tick:
            return None
        says = f"a read of {shard} on {node} failed at {at(event.time_ns)}, while only others were"
        return self._wrong(event, f"{says} down")

    def final(self, view: View, ops: Sequence[Operation]) -> Finding | None:
        """See `Invariant`."""
        del view, ops
        if len(self._failed) <= self._counted * FAILED_READS_MAX:
            return None
        says = f"{len(self._failed)} of {self._counted} reads failed on nodes without a fault, "
        return self._wrong(self._failed[0], f"{says}while others had one")

    def _wrong(self, event: Event, says: str) -> Violation:
        return Violation(
            invariant=self.id, at_ns=event.time_ns, says=says, node=event.node, keys=(event.key,)
        )
