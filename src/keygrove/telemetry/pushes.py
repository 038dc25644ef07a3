"""What was sent to other servers: the facts of its log lines and metrics."""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Result: TypeAlias = Literal["taken", "refused", "failed"]


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send a certificate."""

    target: str
    result: Result
    fingerprint: str
    """Hexadecimal."""
    octets: int
    duration_s: float
    why: str = ""
    failures: int = 0
    """In a row, with this one."""


class PushFigures(msgspec.Struct, frozen=True):
    """What a target's actor said last."""

    target: str
    results: dict[str, int]
    is_ready: bool
    lost_at: int | None
    lag: int | None
    failures: int
    last_taken: int | None


class Pushes(Collector):
    """The figures that were given last; none without targets."""

    def __init__(self) -> None:
        self.figures: Sequence[PushFigures] = ()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        results = CounterMetricFamily(
            "keygrove_push_certificates",
            "Certificates for a target, by what became of them, since its actor started.",
            labels=["target", "result"],
        )
        lag = GaugeMetricFamily(
            "keygrove_push_lag_changes",
            "Changes of shards that a target has not been sent.",
            labels=["target"],
        )
        failures = GaugeMetricFamily(
            "keygrove_push_failures",
            "Attempts in a row that failed: 0 as long as it takes what it is sent.",
            labels=["target"],
        )
        success = GaugeMetricFamily(
            "keygrove_push_last_success_timestamp_seconds",
            "When it last took a certificate.",
            labels=["target"],
        )
        ready = GaugeMetricFamily(
            "keygrove_push_ready",
            "Whether it is known what a target is to be sent: else it waits.",
            labels=["target"],
        )
        lost = GaugeMetricFamily(
            "keygrove_push_place_lost_timestamp_seconds",
            "When it was lost how far a target was, in the last month: it lacks changes.",
            labels=["target"],
        )
        for one in self.figures:
            ready.add_metric([one.target], one.is_ready)
            if one.lost_at is not None:
                lost.add_metric([one.target], one.lost_at)
            for result, count in one.results.items():
                results.add_metric([one.target, result], count)
            if one.lag is not None:
                lag.add_metric([one.target], one.lag)
            failures.add_metric([one.target], one.failures)
            if one.last_taken is not None:
                success.add_metric([one.target], one.last_taken)
        yield from (results, ready, lost, lag, failures, success)
