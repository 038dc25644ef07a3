"""The disk of the data directory, for metrics."""

from collections.abc import Iterator

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class DiskFigures(msgspec.Struct, frozen=True):
    """What was found when it was looked at last."""

    free_bytes: int
    reserved_bytes: int
    refuses_loads: bool
    refuses_submissions: bool
    is_read_only: bool
    sync_seconds: float | None
    """None: not known."""


_TEXTS = {
    "free_bytes": "What is free on the file system of the data directory, as of a second ago.",
    "reserved_bytes": "What is kept in reserve there; none while the disk is nearly full.",
    "refuses_loads": "Whether loads are refused for want of room.",
    "refuses_submissions": "Whether submissions are, too.",
    "is_read_only": "Whether nothing can be written there.",
    "sync_seconds": "How long it took to synchronise a page there when the server started.",
}


class Disk(Collector):
    """The figures that were found last; none before there are any."""

    def __init__(self) -> None:
        self.figures: DiskFigures | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See prometheus_client."""
        for name, text in _TEXTS.items():
            metric = GaugeMetricFamily(f"keygrove_disk_{name}", text)
            value = None if self.figures is None else getattr(self.figures, name)
            if value is not None:
                metric.add_metric([], value)
            yield metric
