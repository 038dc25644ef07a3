"""Counters kept along with the changes, because counting rows takes too long."""

import msgspec

from keygrove.storage.store import Counts, Hour

HOUR_S = 3600
HOURS_KEPT = 8 * 24
"""The statistics page shows a week of days; one more for clocks that disagree."""


class Standing(msgspec.Struct, frozen=True):
    """How it stands with a certificate."""

    size: int
    """Octets held; 0 where nothing is."""
    is_denied: bool


class Tally:
    """How much there is, or by how much it changed."""

    def __init__(
        self, certificates: int = 0, packet_bytes: int = 0, denials: int = 0, lifts: int = 0
    ) -> None:
        self.certificates = certificates
        self.packet_bytes = packet_bytes
        self.denials = denials
        self.lifts = lifts
        """Denials that were ended."""
        self.hours: dict[int, Hour] = {}

    def count(self, before: Standing, after: Standing) -> None:
        """Count one certificate that stood so, and stands so now."""
        self.certificates += bool(after.size) - bool(before.size)
        self.packet_bytes += after.size - before.size
        self.denials += after.is_denied - before.is_denied
        self.lifts += before.is_denied and not after.is_denied

    def count_put(self, *, is_first: bool, at: int) -> None:
        """Count one put among those of its hour; it was made at `at` seconds UTC."""
        start = at - at % HOUR_S
        self._add(Hour(start, int(is_first), int(not is_first)))

    def add(self, other: "Tally") -> None:
        """Add what another one counted."""
        self.certificates += other.certificates
        self.packet_bytes += other.packet_bytes
        self.denials += other.denials
        self.lifts += other.lifts
        for hour in other.hours.values():
            self._add(hour)

    def counts(self, change: int) -> Counts:
        """The totals as of that change number."""
        hours = tuple(self.hours[start] for start in sorted(self.hours))
        return Counts(self.certificates, self.packet_bytes, change, hours, self.denials, self.lifts)

    def _add(self, hour: Hour) -> None:
        known = self.hours.get(hour.start)
        if known is None:
            self.hours[hour.start] = hour
            for start in [s for s in self.hours if s < hour.start - HOURS_KEPT * HOUR_S]:
                del self.hours[start]
        else:
            inserted, updated = known.inserted + hour.inserted, known.updated + hour.updated
            self.hours[hour.start] = Hour(hour.start, inserted, updated)
