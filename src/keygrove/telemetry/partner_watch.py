"""Who hears of what happens with partners of recon, for the log and the metrics."""

from collections.abc import Collection
from typing import Final

from keygrove.ports import Clock
from keygrove.telemetry.log import NodeLog
from keygrove.telemetry.partners import PartnerCounts, Recovery, Round, Unwelcome

TOLD_S: Final = 600.0
"""A stranger is told of once in that time,"""
STRANGERS_MAX: Final = 32
"""and so many are: any host may look for open ports."""


class PartnerWatch:
    """See `recon.around.Watcher`."""

    def __init__(self, log: NodeLog, counts: PartnerCounts, clock: Clock) -> None:
        self._log = log
        self._counts = counts
        self._clock = clock
        self._strangers: dict[str, float] = {}
        """When each was told of last, within `TOLD_S`."""

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
        if why == "stranger" and self._is_news(address):
            self._log.recon_stranger(address)
        else:
            self._log.recon_turned_away(address, why)

    def _is_news(self, address: str) -> bool:
        """Whether a stranger was not told of lately, and few others were."""
        now = self._clock.elapsed()
        self._strangers = {one: at for one, at in self._strangers.items() if now - at < TOLD_S}
        if address in self._strangers or len(self._strangers) >= STRANGERS_MAX:
            return False
        self._strangers[address] = now
        return True
