"""Who hears of what happens with partners of recon, for the log and the metrics."""

from collections.abc import Collection

from keygrove.ports import Clock
from keygrove.telemetry.log import NodeLog
from keygrove.telemetry.partners import PartnerCounts, Recovery, Round, Unwelcome


class PartnerWatch:
    """See `recon.around.Watcher`."""

    def __init__(self, log: NodeLog, counts: PartnerCounts, clock: Clock) -> None:
        self._log = log
        self._counts = counts
        self._clock = clock

    def round(self, told: Round) -> None:
        """See `recon.around.Watcher`."""
        self._counts.round(told, self._clock.now())
        self._log.recon_round(told)

    def recovery(self, told: Recovery) -> None:
        """See `recon.around.Watcher`."""
        self._counts.recovery(told)
        self._log.recon_recovery(told)

    def filters(self, partner: str, filters: str) -> None:
        """See `recon.around.Watcher`."""
        self._log.recon_filters(partner, filters)

    def memory_lost(self, why: str) -> None:
        """See `recon.around.Watcher`."""
        self._log.recon_memory_lost(why)

    def closing(self, partner: str, why: str) -> None:
        """See `recon.around.Watcher`."""
        self._log.recon_closing(partner, why)

    def partners(self, names: Collection[str]) -> None:
        """See `recon.around.Watcher`."""
        self._counts.keep(names)

    def turned_away(self, address: str, why: Unwelcome) -> None:
        """See `recon.around.Watcher`."""
        self._counts.turned_away(why)
        self._log.recon_turned_away(address, why)
