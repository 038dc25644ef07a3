"""The apps of a node's listeners, each a table of paths."""

from collections.abc import Sequence

from keygrove.cluster.router import Router, Whereis
from keygrove.http.asgi import HTML, TEXT, App, Request, Resource, Response, Shared
from keygrove.http.facts import NodeFacts
from keygrove.http.hkp import Hkp
from keygrove.http.listener import MakeApp
from keygrove.http.search import Catalogue
from keygrove.http.stats import Statistics
from keygrove.ingest.messages import INGEST, IngestApi
from keygrove.settings import Settings
from keygrove.storage.messages import ShardStatus
from keygrove.telemetry.metrics import CONTENT_TYPE, Metrics, ShardFigures
from keygrove.web.pages import Pages
from keygrove_actors import ActorError

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
ROBOTS = b"User-agent: *\nDisallow: /pks/\n"


class Probes:
    """The handlers for operators' probes."""

    def __init__(self, router: Router, facts: NodeFacts) -> None:
        self._router = router
        self._text = (
            f"ready\nversion: {facts.version}\n"
            f"durability: {facts.durability}\nengine: {facts.engine}\n"
        )

    async def alive(self, _: Request) -> Response:
        """GET /healthz: this process answers."""
        return Response(200, b"OK\n")

    async def ready(self, _: Request) -> Response:
        """GET /readyz: every shard answers, too."""
        try:
            await self._router.status()
        except ActorError:
            return Response(503, b"not ready: a shard does not answer\n", headers=(_RETRY,))
        return Response(200, self._text.encode())


_RETRY = ("retry-after", "2")


def hkp_app(settings: Settings, facts: NodeFacts, shared: Shared) -> MakeApp:
    """What clients reach."""
    pages = Pages(facts.version)

    async def home(_: Request) -> Response:
        return Response(200, pages.home(), HTML)

    async def robots(_: Request) -> Response:
        return Response(200, ROBOTS, TEXT)

    def make(whereis: Whereis) -> App:
        router = Router(whereis, settings.storage.shards)
        statistics = Statistics(router, settings, facts, pages, shared.clock)
        catalogue = Catalogue(router, settings.http)
        ingest = whereis(INGEST, IngestApi)
        hkp = Hkp(catalogue, ingest, statistics, pages, shared)
        resources = {
            "/": Resource(get=home),
            "/robots.txt": Resource(get=robots),
            "/pks/lookup": Resource(get=hkp.lookup),
            "/pks/add": Resource(post=hkp.add, accepts=FORMS),
            "/pks/stats": Resource(get=statistics.page),
            **_probes(router, facts),
        }
        return App("hkp", resources, shared, pages.error)

    return make


def _probes(router: Router, facts: NodeFacts) -> dict[str, Resource]:
    probes = Probes(router, facts)
    alive, ready = Resource(get=probes.alive), Resource(get=probes.ready)
    return {"/healthz": alive, "/pks/health": alive, "/readyz": ready, "/pks/ready": ready}


def metrics_app(shards: int, facts: NodeFacts, metrics: Metrics, shared: Shared) -> MakeApp:
    """What the operator's monitoring reaches."""

    def make(whereis: Whereis) -> App:
        router = Router(whereis, shards)

        async def scrape(_: Request) -> Response:
            try:
                statuses = await router.status()
            except ActorError:
                statuses = []  # scraped while a shard restarts: the others' metrics matter more
            return Response(200, metrics.render(_figures(statuses)), CONTENT_TYPE)

        resources = {"/metrics": Resource(get=scrape), **_probes(router, facts)}
        return App("metrics", resources, shared)

    return make


def _figures(statuses: Sequence[ShardStatus]) -> list[ShardFigures]:
    return [
        ShardFigures(
            shard=str(number),
            certificates=status.counts.certificates,
            packet_bytes=status.counts.packet_bytes,
            change=status.counts.change,
            commits=status.commits,
            committed=status.committed,
            waiting_reads=status.waiting_reads,
            waiting_merges=status.waiting_merges,
            cache_bytes=status.cache_bytes,
            cache_hits=status.cache_hits,
            cache_misses=status.cache_misses,
        )
        for number, status in enumerate(statuses)
    ]
