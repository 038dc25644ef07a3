"""What recon shows to partners, for metrics."""

from collections.abc import Iterator

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class TreeFigures(msgspec.Struct, frozen=True):
    """What the owner of the prefix tree said last."""

    digests: int
    ready: bool
    lag_changes: int
    sessions: int
    rebuilds: int
    mismatches: int


_GAUGES = {
    "digests": "Certificates that partners of recon see.",
    "ready": "Whether they are shown them: gossip waits for that, serving does not.",
    "lag_changes": "Changes of the stores that are known of and not in it yet.",
    "sessions": "Sessions with partners that are under way.",
}
_COUNTERS = {
    "rebuilds": "Times that it was made anew from all that is stored, since its actor started.",
    "mismatches": "Changes that did not fit, which is a bug: each had it made anew.",
}


class ReconTree(Collector):
    """The figures that were given last; none before there are any."""

    def __init__(self) -> None:
        self.figures: TreeFigures | None = None

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        for names, family in ((_GAUGES, GaugeMetricFamily), (_COUNTERS, CounterMetricFamily)):
            for name, text in names.items():
                metric = family(f"keygrove_recon_tree_{name}", text)
                if self.figures is not None:
                    metric.add_metric([], getattr(self.figures, name))
                yield metric
