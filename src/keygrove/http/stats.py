"""Statistics as pool monitors read them: Hockeypuck's JSON, and a page for people."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from keygrove.cluster.router import Router
from keygrove.http.asgi import HTML, JSON, Request, Response
from keygrove.http.facts import NodeFacts
from keygrove.ports import Clock
from keygrove.recon.gossip import ANSWER_S, GetPartners, GossipApi, PartnerStatus
from keygrove.settings import Settings
from keygrove.storage.messages import Starting
from keygrove.storage.store import Hour
from keygrove.telemetry.partners import GUEST
from keygrove.web.figures import NEVER, NO_ERROR, Peer, Period, QueryConfig, Stats
from keygrove.web.pages import Pages
from keygrove_actors import ActorError, Ref

SOFTWARE = "Keygrove"
HOUR_S = 3600
STALE_S = HOUR_S
DAY_S = 86_400
HOURS = 24
DAYS = 7


class Statistics:
    """The handlers of /pks/stats."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it shows is of as many parts
        self,
        router: Router,
        gossip: Ref[GossipApi] | None,
        settings: Settings,
        facts: NodeFacts,
        pages: Pages,
        clock: Clock,
    ) -> None:
        """Gather them; `gossip` is None without recon."""
        self._router = router
        self._gossip = gossip
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
            peers=await self._peers(now),
            hourly=_periods(hours, now, HOUR_S, HOURS),
            daily=_periods(hours, now, DAY_S, DAYS),
        )

    async def _peers(self, now: int) -> tuple[Peer, ...]:
        """As Hockeypuck shows them; none while nobody can tell."""
        if self._gossip is None:
            return ()
        try:
            partners = await self._gossip.call(GetPartners(), timeout=ANSWER_S)
        except ActorError:
            return ()
        return tuple(_peer(one, now) for one in partners if not one.name.startswith(GUEST))


def _peer(partner: PartnerStatus, now: int) -> Peer:
    peer = partner.peer
    if peer is None:
        return Peer(partner.name, "", partner.recon, recon_status="Error")
    recovery = peer.recovery
    fetched, why = (None, "") if recovery is None else (recovery.last_at, recovery.last_error)
    last = max((at for at in (peer.last_ours, peer.last_theirs) if at is not None), default=None)
    return Peer(
        name=partner.name,
        http_addr=peer.http,
        recon_addr=partner.recon,
        last_incoming_recon=_when(peer.last_theirs),
        last_incoming_error=_error(peer.error_theirs),
        last_outgoing_recon=_when(peer.last_ours),
        last_outgoing_error=_error(peer.error_ours),
        recon_status=_status(last, now, is_failing=peer.is_failing),
        last_recovery=_when(fetched),
        last_recovery_error=_error(why),
        recovery_status=_status(fetched, now, is_failing=bool(why), is_old_fine=True),
    )


def _status(at: int | None, now: int, *, is_failing: bool, is_old_fine: bool = False) -> str:
    """One of Hockeypuck's four words."""
    if is_failing:
        return "Error"
    if at is None:
        return "Starting"
    return "OK" if is_old_fine or now - at < STALE_S else "Stale"


def _when(at: int | None) -> str:
    return NEVER if at is None else _iso(at)


def _error(why: str) -> str:
    """In quotes, as Go has it."""
    return msgspec.json.encode(why).decode() if why else NO_ERROR


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
