"""What recon with a partner came to: the facts of its log lines and metrics."""

from collections.abc import Collection
from typing import Final, Literal, TypeAlias

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
GUEST: Final = "guest:"
"""How those are called who may connect and are no partners, before their address."""

Began: TypeAlias = Literal["we", "partner"]
Result: TypeAlias = Literal["done", "busy", "refused", "failed"]
"""Busy is no failure: either of us has other things to do, and is asked again as ever."""

Unwelcome: TypeAlias = Literal["stranger", "limited", "full"]
"""Somebody who is no partner, one who comes too often, or one more than can be answered."""


class Round(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One session with a partner, or the attempt."""

    partner: str
    began: Began
    result: Result
    why: str = ""
    """Of what is not done, or not in the way agreed on: for whom the log is read."""
    advice: str = ""
    """What to do about a session that did not come about; empty: nobody knows."""
    way: str = ""
    """Of recon, that was agreed on."""
    lacking_here: int = 0
    """Digests that the partner has and we have not."""
    lacking_there: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    round_trips: int = 0
    duration_s: float = 0.0


class Recovery(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One request for what was lacking, and what came of it; or what was not asked for."""

    partner: str
    asked: int
    bytes_in: int = 0
    results: dict[str, int] = {}
    """Certificates by what became of them: inserted, updated, known, denied, refused, absent (asked
    for and not received), unreadable, passed over (not asked for: it brought nothing before)."""
    failure: str = ""
    """Why there are none."""
    duration_s: float = 0.0


class PartnerCounts:
    """The counters of recon with each partner."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rounds = Counter(
            "keygrove_recon_rounds_total",
            "Sessions with partners, by who began them and how they ended.",
            ["partner", "began", "result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "keygrove_recon_round_seconds",
            "How long sessions took that ended well.",
            ["partner"],
            buckets=SECONDS,
            registry=registry,
        )
        self._lacking = Counter(
            "keygrove_recon_lacking_total",
            "Certificates that sessions found lacking, here or there.",
            ["partner", "where"],
            registry=registry,
        )
        self._bytes = Counter(
            "keygrove_recon_bytes_total",
            "Of sessions, and of the answers with certificates.",
            ["partner", "what"],
            registry=registry,
        )
        self._success = Gauge(
            "keygrove_recon_last_success_timestamp_seconds",
            "When the last session ended well, whoever began it: since then we lag behind.",
            ["partner"],
            registry=registry,
        )
        self._recovered = Counter(
            "keygrove_recon_recovered_total",
            "Certificates that were lacking, by what became of them.",
            ["partner", "result"],
            registry=registry,
        )
        self._failures = Counter(
            "keygrove_recon_recovery_failures_total",
            "Requests for certificates that brought none.",
            ["partner"],
            registry=registry,
        )
        self._turned_away = Counter(
            "keygrove_recon_turned_away_total",
            "Connections that were closed at once, and guests for whom there was no room.",
            ["why"],
            registry=registry,
        )

        self._series: dict[
            str, dict[tuple[Counter | Gauge | Histogram, tuple[str, ...]], None]
        ] = {}
        """Of each partner: those that there are."""

    def round(self, told: Round, now: int) -> None:
        """Count a session."""
        partner = _label(told.partner)
        self._counter(self._rounds, partner, told.began, told.result).inc()
        self._counter(self._lacking, partner, "here").inc(told.lacking_here)
        self._counter(self._lacking, partner, "there").inc(told.lacking_there)
        self._counter(self._bytes, partner, "session").inc(told.bytes_in + told.bytes_out)
        if told.result == "done":
            self._note(self._seconds, partner)
            self._seconds.labels(partner).observe(told.duration_s)
            self._note(self._success, partner)
            self._success.labels(partner).set(now)

    def recovery(self, told: Recovery) -> None:
        """Count a batch."""
        partner = _label(told.partner)
        for result, count in told.results.items():
            self._counter(self._recovered, partner, result).inc(count)
        self._counter(self._bytes, partner, "certificates").inc(told.bytes_in)
        if told.failure:
            self._counter(self._failures, partner).inc()

    def keep(self, partners: Collection[str]) -> None:
        """Forget what is told of all others: who is no partner any more is nobody's alarm."""
        labels = {_label(partner) for partner in partners}
        for gone in self._series.keys() - labels:
            for metric, values in self._series.pop(gone):
                metric.remove(*values)

    def _counter(self, counter: Counter, *labels: str) -> Counter:
        self._note(counter, *labels)
        return counter.labels(*labels)

    def _note(self, metric: Counter | Gauge | Histogram, *labels: str) -> None:
        """The first label is the partner."""
        self._series.setdefault(labels[0], {})[metric, labels] = None

    def turned_away(self, why: Unwelcome) -> None:
        """Count a connection."""
        self._turned_away.labels(why).inc()


def _label(partner: str) -> str:
    """Guests share one: there may be any number of them."""
    return "guest" if partner.startswith(GUEST) else partner
