"""Statistics as pool monitors read them: Hockeypuck's JSON, and a page for people."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from keygrove.cluster.router import Router
from keygrove.http.asgi import HTML, JSON, Request, Response
from keygrove.http.facts import NodeFacts
from keygrove.ports import Clock
from keygrove.settings import Settings
from keygrove.storage.messages import Starting
from keygrove.storage.store import Hour
from keygrove.web.figures import Peer, Period, QueryConfig, Stats
from keygrove.web.pages import Pages

SOFTWARE = "Keygrove"
HOUR_S = 3600
DAY_S = 86_400
HOURS = 24
DAYS = 7


class Statistics:
    """The handlers of /pks/stats."""

    def __init__(
        self, router: Router, settings: Settings, facts: NodeFacts, pages: Pages, clock: Clock
    ) -> None:
        self._router = router
        self._settings = settings
        self._facts = facts
        self._pages = pages
        self._clock = clock

    async def page(self, request: Request) -> Response:
        """GET /pks/stats and /pks/lookup?op=stats."""
        stats = await self._gather()
        if request.options & {"json", "mr"}:
            return Response(200, msgspec.json.encode(stats) + b"\n", JSON)
        return Response(200, self._pages.stats(stats), HTML)

    async def _gather(self) -> Stats:
        statuses = await self._router.status()
        if any(status.starting is not None for status in statuses):
            raise Starting().error()
        counts = [status.counts for status in statuses]
        hours = [hour for count in counts for hour in count.hours]
        now, facts = self._clock.now(), self._facts
        return Stats(
            now=_iso(now),
            version=facts.version,
            software=SOFTWARE,
            hostname=facts.http_address.rpartition(":")[0],
            nodename="",
            contact="",
            http_addr=facts.http_address,
            recon_addr=facts.recon_address,
            query_config=QueryConfig(
                self_signed_only=False,
                keyword_search_disabled=False,
                enable_inexact_matching=self._settings.http.word_search,
            ),
            total=sum(count.certificates for count in counts),
            peers=tuple(
                Peer(one.name, one.http or "", one.recon) for one in self._settings.recon.partner
            ),
            hourly=_periods(hours, now, HOUR_S, HOURS),
            daily=_periods(hours, now, DAY_S, DAYS),
        )


def _periods(hours: Sequence[Hour], now: int, length_s: int, number: int) -> tuple[Period, ...]:
    """The last `number` periods, newest first, those in which nothing happened included."""
    newest = now - now % length_s
    starts = [newest - back * length_s for back in range(number)]
    return tuple(
        Period(
            inserted=sum(h.inserted for h in hours if start <= h.start < start + length_s),
            updated=sum(h.updated for h in hours if start <= h.start < start + length_s),
            time=_iso(start),
        )
        for start in starts
    )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
