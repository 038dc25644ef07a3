"""Prometheus metrics of one node, in a registry of its own.

Each name stands in docs/reference/metrics.md; a test compares them.
"""

from collections.abc import Iterator, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keygrove.telemetry.actors import ActorFigures
from keygrove.telemetry.administration import Administered, AdminRefusal
from keygrove.telemetry.disk import Disk, DiskFigures
from keygrove.telemetry.exchange import Exchange
from keygrove.telemetry.intake import Intake
from keygrove.telemetry.partners import PartnerCounts
from keygrove.telemetry.pushes import Pushes, PushFigures
from keygrove.telemetry.recon import ReconTree, TreeFigures
from keygrove_actors.meter import Metric as Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ShardFigures(msgspec.Struct, frozen=True):
    """What a shard says of itself."""

    shard: str
    certificates: int
    packet_bytes: int
    change: int
    commits: int
    committed: int
    waiting_reads: int
    waiting_merges: int
    damaged_rows: int
    damaged_requests: int
    scrubbed_row: int
    cache_bytes: int
    cache_hits: int
    cache_negative_hits: int
    cache_misses: int
    cache_evictions: int
    pinned_trees: int
    plain_bytes: int
    stored_bytes: int
    dropped_rows: int
    coded_rows: int
    saved_bytes: int
    skipped_rows: int


_GAUGES = {
    "certificates": "Certificates held.",
    "packet_bytes": "Bytes of their packets.",
    "change": "The number of the last change.",
    "waiting_reads": "Look-ups that wait for the disk.",
    "waiting_merges": "Certificates that wait for a commit.",
    "damaged_rows": "What is stored and is known to be not what was written.",
    "scrubbed_row": "The last row that was looked at again, in this round.",
    "cache_bytes": "Bytes in the cache of what can be answered without the disk.",
    "pinned_trees": "Trees of former times in memory.",
    "saved_bytes": "Bytes of former versions saved since the shard started.",
}
_COUNTERS = {
    "damaged_requests": "Requests that met what is not what was written, and got an error.",
    "commits": "Transactions committed since the shard started.",
    "committed": "Certificates in those transactions.",
    "cache_hits": "Look-ups answered from the cache.",
    "cache_negative_hits": "Of these, those by which there is nothing.",
    "cache_misses": "Look-ups that were not.",
    "cache_evictions": "Entries that went for others.",
    "plain_bytes": "Bytes of certificates committed.",
    "stored_bytes": "What of these was written, after coding.",
    "dropped_rows": "Former versions dropped.",
    "coded_rows": "Former versions coded by their successors.",
    "skipped_rows": "Former versions that compaction left alone as damaged.",
}


class _Shards(Collector):
    """The figures that the shards gave last."""

    def __init__(self) -> None:
        self.figures: Sequence[ShardFigures] = ()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        for names, family in ((_GAUGES, GaugeMetricFamily), (_COUNTERS, CounterMetricFamily)):
            for name, text in names.items():
                metric = family(f"keygrove_shard_{name}", text, labels=["shard"])
                for one in self.figures:
                    metric.add_metric([one.shard], getattr(one, name))
                yield metric


class _Intakes:
    """Counts what comes in. Labels are from closed sets: codes are constants of the source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"keygrove_ingest_{name}_total", text, labels, registry=registry)

        self._submissions = counter("submissions", "Submissions.", "route", "outcome")
        self._certificates = counter("certificates", "Their certificates.", "route", "result")
        self._known = counter("known", "Of these, passed over unread.", "route")
        self._refused = counter("refused", "Refused, for this reason.", "route", "code")
        self._dropped = counter("dropped_packets", "Left out, for this reason.", "route", "code")
        self._seconds = Histogram(
            "keygrove_ingest_verify_seconds",
            "How long it took to verify a submission.",
            ["route", "place"],
            buckets=SECONDS,
            registry=registry,
        )

    def count(self, intake: Intake) -> None:
        """Count a submission."""
        route = intake.route
        self._submissions.labels(route, intake.outcome).inc()
        self._known.labels(route).inc(intake.known)
        for counter, numbers in (
            (self._certificates, intake.results),
            (self._refused, intake.refused),
            (self._dropped, intake.dropped),
        ):
            for label, number in numbers.items():
                counter.labels(route, label).inc(number)
        if intake.place is not None:
            self._seconds.labels(route, intake.place).observe(intake.verify_s)


class Metrics:
    """Counts what happens in one node."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_exchange: dict[tuple[str, str, str, int], tuple[Counter, Histogram, Counter]] = {}
        self._shards = _Shards()
        self._actors = ActorFigures()
        self._disk = Disk()
        self.registry.register(self._shards)
        self.registry.register(self._disk)
        self._tree = ReconTree()
        self.registry.register(self._tree)
        self._pushes = Pushes()
        self.registry.register(self._pushes)
        self.registry.register(self._actors)
        self._intakes = _Intakes(self.registry)
        self.partners = PartnerCounts(self.registry)
        self._requests = Counter(
            "keygrove_http_requests_total",
            "Requests answered.",
            ["listener", "route", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "keygrove_http_request_seconds",
            "How long they took.",
            ["listener", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._bytes = Counter(
            "keygrove_http_response_bytes_total",
            "Bytes of their bodies.",
            ["listener"],
            registry=self.registry,
        )
        self._faults = Counter(
            "keygrove_faults_total",
            "Requests that failed by a bug of ours.",
            ["where"],
            registry=self.registry,
        )

        self._administered = Counter(
            "keygrove_admin_actions_total",
            "What administrators had done, for each certificate.",
            ["action", "result"],
            registry=self.registry,
        )
        self._refused = Counter(
            "keygrove_admin_refusals_total",
            "Signed requests that were not carried out.",
            ["code"],
            registry=self.registry,
        )

    def expect(self, faults: Sequence[str]) -> None:
        """Show zero for these: an alarm on a rise would miss a first event otherwise."""
        for where in faults:
            self._faults.labels(where)

    def exchange(self, exchange: Exchange) -> None:
        """Count a request."""
        key = (exchange.listener, exchange.route, exchange.method, exchange.status)
        known = self._of_exchange.get(key)
        if known is None:
            # Labels are from closed sets, so this is bounded; looking them up takes longer
            # than counting.
            listener, route, method, status = key
            known = self._of_exchange[key] = (
                self._requests.labels(listener, route, method, str(status)),
                self._seconds.labels(listener, route),
                self._bytes.labels(listener),
            )
        requests, seconds, size = known
        requests.inc()
        seconds.observe(exchange.duration_s)
        size.inc(exchange.body_bytes)

    def intake(self, intake: Intake) -> None:
        """Count a submission."""
        self._intakes.count(intake)

    def fault(self, where: str, _: Exception) -> None:
        """Count a bug."""
        self._faults.labels(where).inc()

    def administered(self, done: Administered) -> None:
        """Count what was done."""
        self._administered.labels(done.action, done.result).inc()

    def refused(self, refusal: AdminRefusal) -> None:
        """Count what was not."""
        self._refused.labels(refusal.code).inc()

    def render(
        self,
        figures: Sequence[ShardFigures],
        samples: Sequence[Sample],
        disk: DiskFigures | None = None,
        tree: TreeFigures | None = None,
        pushes: Sequence[PushFigures] = (),
    ) -> bytes:
        """The exposition, with these figures of shards, disk, recon, push, and the runtime's."""
        self._pushes.figures = pushes
        self._tree.figures = tree
        self._disk.figures = disk
        self._shards.figures = figures
        self._actors.samples = samples
        return generate_latest(self.registry)
