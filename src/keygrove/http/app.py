"""The apps of a node's listeners, each a table of paths."""

from collections.abc import Sequence

import msgspec

from keygrove.cluster.prover import Prover
from keygrove.cluster.router import Router, Whereis, shard_name
from keygrove.cluster.signing import Signing
from keygrove.http.admin import Admin
from keygrove.http.asgi import HTML, TEXT, App, Request, Resource, Response, Shared
from keygrove.http.facts import NodeFacts
from keygrove.http.hkp import Hkp
from keygrove.http.insight import Insight
from keygrove.http.listener import MakeApp
from keygrove.http.proof import Proofs
from keygrove.http.search import Catalogue
from keygrove.http.stats import Statistics
from keygrove.ingest.messages import INGEST, IngestApi
from keygrove.ingest.policy import policy_of
from keygrove.settings import Settings
from keygrove.storage.messages import ShardStatus
from keygrove.telemetry.metrics import CONTENT_TYPE, Metrics, ShardFigures
from keygrove.web.pages import Pages
from keygrove_actors import ActorError

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
ROBOTS = b"User-agent: *\nDisallow: /pks/\n"


class Probes:
    """The handlers for operators' probes."""

    def __init__(self, router: Router, facts: NodeFacts, insight: Insight) -> None:
        self._router = router
        self._insight = insight
        self._text = (
            f"ready\nversion: {facts.version}\n"
            f"durability: {facts.durability}\nengine: {facts.engine}\n"
        )

    async def alive(self, _: Request) -> Response:
        """GET /healthz: this process answers."""
        return Response(200, b"OK\n")

    async def ready(self, _: Request) -> Response:
        """GET /readyz: every shard is up, too, and nobody was given up."""
        if not self._insight.is_up():
            return _not_ready("the server is starting")
        down = self._insight.failed()
        if down:
            return _not_ready(
                f"{', '.join(down)} spent its restarts and stays down: see the log, then start "
                "the server anew"
            )
        try:
            statuses = await self._router.status()
        except ActorError:
            return _not_ready("a shard does not answer: see the log")
        starting = [
            f"{shard_name(number)} is {status.starting}"
            for number, status in enumerate(statuses)
            if status.starting is not None
        ]
        if starting:
            return _not_ready("; ".join(starting))
        return Response(200, self._text.encode())


def _not_ready(why: str) -> Response:
    return Response(503, f"not ready: {why}\n".encode(), headers=(_RETRY,))


_RETRY = ("retry-after", "2")


def hkp_app(
    settings: Settings, facts: NodeFacts, shared: Shared, insight: Insight, signing: Signing
) -> MakeApp:
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
        proofs = Proofs(Prover(router, signing, shared.clock))
        resources = {
            "/": Resource(get=home),
            "/robots.txt": Resource(get=robots),
            "/pks/lookup": Resource(get=hkp.lookup),
            "/pks/add": Resource(post=hkp.add, accepts=FORMS),
            "/pks/stats": Resource(get=statistics.page),
            "/pks/proof": Resource(get=proofs.prove),
            "/pks/proof/head": Resource(get=proofs.head),
            **_admin(router, settings, shared),
            **_probes(router, facts, insight),
        }
        return App("hkp", resources, shared, pages.error)

    return make


def _admin(router: Router, settings: Settings, shared: Shared) -> dict[str, Resource]:
    """The paths of administrators, where there are any."""
    if not settings.admin.keys:
        return {}
    admin = Admin(router, settings.admin, policy_of(settings.policy), shared)
    offered = {"/pks/admin": Resource(post=admin.signed, accepts=FORMS)}
    if settings.admin.hockeypuck_form:
        resource = Resource(post=admin.hockeypuck, accepts=FORMS)
        offered |= {"/pks/delete": resource, "/pks/replace": resource}
    return offered


def _probes(router: Router, facts: NodeFacts, insight: Insight) -> dict[str, Resource]:
    probes = Probes(router, facts, insight)
    alive, ready = Resource(get=probes.alive), Resource(get=probes.ready)
    return {"/healthz": alive, "/pks/health": alive, "/readyz": ready, "/pks/ready": ready}


def metrics_app(
    shards: int, facts: NodeFacts, metrics: Metrics, shared: Shared, insight: Insight
) -> MakeApp:
    """What the operator's monitoring reaches."""

    def make(whereis: Whereis) -> App:
        router = Router(whereis, shards)

        async def scrape(_: Request) -> Response:
            figures = _figures(await router.each_status())
            return Response(200, metrics.render(figures, await insight.samples()), CONTENT_TYPE)

        resources = {"/metrics": Resource(get=scrape), **_probes(router, facts, insight)}
        return App("metrics", resources, shared)

    return make


def _figures(statuses: Sequence[ShardStatus | None]) -> list[ShardFigures]:
    """Of the shards that are up: scraped while one is not, the others matter more."""
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
            cache_negative_hits=status.cache_negative_hits,
            cache_misses=status.cache_misses,
            cache_evictions=status.cache_evictions,
            **msgspec.structs.asdict(status.savings),
        )
        for number, status in enumerate(statuses)
        if status is not None and status.starting is None
    ]
