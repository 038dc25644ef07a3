"""Counters kept along with the changes, because counting rows takes too long."""

from keygrove.storage.store import Counts, Hour

HOUR_S = 3600
HOURS_KEPT = 8 * 24
"""The statistics page shows a week of days; one more for clocks that disagree."""


class Tally:
    """How much there is, or by how much it changed."""

    def __init__(self, certificates: int = 0, packet_bytes: int = 0, denials: int = 0) -> None:
        self.certificates = certificates
        self.packet_bytes = packet_bytes
        self.denials = denials
        self.hours: dict[int, Hour] = {}

    def count(self, *, is_first: bool, grown_bytes: int, at: int) -> None:
        """Count one put, made at `at` seconds UTC."""
        self.certificates += is_first
        self.packet_bytes += grown_bytes
        start = at - at % HOUR_S
        self._add(Hour(start, int(is_first), int(not is_first)))

    def deny(self, *, removed_bytes: int | None, is_first: bool) -> None:
        """Count one denial: of so much that was held, or of nothing."""
        if removed_bytes is not None:
            self.remove(removed_bytes)
        self.denials += is_first

    def remove(self, removed_bytes: int) -> None:
        """Count one certificate less, which had so many octets."""
        self.certificates -= 1
        self.packet_bytes -= removed_bytes

    def lift(self) -> None:
        """Count one denial less."""
        self.denials -= 1

    def add(self, other: "Tally") -> None:
        """Add what another one counted."""
        self.certificates += other.certificates
        self.packet_bytes += other.packet_bytes
        self.denials += other.denials
        for hour in other.hours.values():
            self._add(hour)

    def counts(self, change: int) -> Counts:
        """The totals as of that change number."""
        hours = tuple(self.hours[start] for start in sorted(self.hours))
        return Counts(self.certificates, self.packet_bytes, change, hours, self.denials)

    def _add(self, hour: Hour) -> None:
        known = self.hours.get(hour.start)
        if known is None:
            self.hours[hour.start] = hour
            for start in [s for s in self.hours if s < hour.start - HOURS_KEPT * HOUR_S]:
                del self.hours[start]
        else:
            inserted, updated = known.inserted + hour.inserted, known.updated + hour.updated
            self.hours[hour.start] = Hour(hour.start, inserted, updated)
