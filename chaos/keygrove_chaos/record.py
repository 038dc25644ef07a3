"""What a run did, as its invariants are shown it: the history, and reports of the nodes."""

from __future__ import annotations

from collections.abc import Iterable

from keygrove_actors import Report
from keygrove_chaos.history import (
    NANOSECONDS,
    NOTHING,
    About,
    Detail,
    Event,
    Function,
    History,
    Phase,
)
from keygrove_chaos.invariants import Monitor
from keygrove_chaos.observation import Fetch, MailboxGauge, NodeReport, Occurrence, TreeLook
from keygrove_chaos.timeline import Timeline


class Record:
    """Writes down what happens, and tells the monitor: of what was before it, first of all."""

    def __init__(self, timeline: Timeline) -> None:
        self.history = History()
        self._timeline = timeline
        self._monitor: Monitor | None = None
        self._early: list[Occurrence] = []
        self._acknowledged: set[tuple[str, str]] = set()

    def watch(self, monitor: Monitor) -> None:
        """Tell `monitor` all that happened, and all that will."""
        self._monitor = monitor
        early, self._early = self._early, []
        for one in early:
            monitor.on_event(one)

    def invoke(self, client: str, about: About, detail: Detail = NOTHING) -> Event:
        """See `History.invoke`."""
        event = self.history.invoke(client, about, detail, now=self._timeline.now())
        self._timeline.note(client, event.function.value, event.index)
        return self._tell(event)

    def close(
        self, invoked: Event, phase: Phase, found: Iterable[str] = (), detail: Detail = NOTHING
    ) -> None:
        """See `History.close`."""
        event = self.history.close(invoked, phase, found, detail, now=self._timeline.now())
        if event.function is Function.PUT and phase is Phase.OK:
            self._acknowledged.add((event.node, event.key))
        status = detail.status or 0
        self._timeline.note(event.client, phase.value, invoked.index, status, len(event.values))
        self._tell(event)

    def is_acknowledged(self, node: str, key: str) -> bool:
        """Whether the node said that it took anything of this key."""
        return (node, key) in self._acknowledged

    def befall(self, about: About, detail: Detail = NOTHING) -> None:
        """See `History.befall`."""
        self._tell(self.history.befall(about, detail, now=self._timeline.now()))

    def report(self, node: str, report: Report) -> None:
        """The runtime of a node reported something."""
        self._timeline.note(node, type(report).__name__, getattr(report, "path", ""))
        self._take(NodeReport(self._now_ns(), node, report))

    def gauge(self, node: str, path: str, length: int, limit: int | None) -> None:
        """So many messages waited in a mailbox, at most."""
        self._take(MailboxGauge(self._now_ns(), node, path, length, limit))

    def tree(self, node: str, shown: frozenset[str], held: frozenset[str]) -> None:
        """This was shown to a partner, and this was held."""
        self._take(TreeLook(self._now_ns(), node, shown, held))

    def fetched(self, node: str, partner: str, digests: Iterable[bytes]) -> None:
        """A node asked a partner for these, and was answered."""
        names = tuple(digest.hex() for digest in digests)
        self._timeline.note("fetched", node, partner, len(names))
        self._take(Fetch(self._now_ns(), node, partner, names))

    def _now_ns(self) -> int:
        return round(self._timeline.now() * NANOSECONDS)

    def _tell(self, event: Event) -> Event:
        self._take(event)
        return event

    def _take(self, one: Occurrence) -> None:
        if self._monitor is None:
            self._early.append(one)
        else:
            self._monitor.on_event(one)
