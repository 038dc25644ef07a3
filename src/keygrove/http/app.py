"""The apps of a node's listeners, each a table of paths."""

from collections.abc import Sequence

import msgspec

from keygrove.cluster.prover import Prover
from keygrove.cluster.router import Router, Whereis, shard_name
from keygrove.cluster.signing import Signing
from keygrove.http.admin import Admin
from keygrove.http.asgi import HTML, TEXT, App, Request, Resource, Response, Shared
from keygrove.http.facts import NodeFacts
from keygrove.http.hashquery import HashQuery, Recon
from keygrove.http.hkp import Hkp
from keygrove.http.insight import Insight
from keygrove.http.listener import MakeApp
from keygrove.http.proof import Proofs
from keygrove.http.push import keeper, push_figures
from keygrove.http.search import Catalogue
from keygrove.http.stats import Statistics
from keygrove.ingest.policy import policy_of
from keygrove.recon.gossip import GOSSIP, GossipApi
from keygrove.recon.known import KNOWN, KnownApi
from keygrove.recon.messages import PREFIX, GetPrefixStatus, PrefixApi
from keygrove.settings import Settings
from keygrove.storage.messages import ShardStatus
from keygrove.storage.space import SPACE, GetSpace, Level, SpaceApi, SpaceStatus
from keygrove.telemetry.disk import DiskFigures
from keygrove.telemetry.metrics import CONTENT_TYPE, Metrics, ShardFigures
from keygrove.telemetry.recon import TreeFigures
from keygrove.web.pages import Pages
from keygrove_actors import ActorError, Ref

SPACE_S = 2.0
_DEGRADED = {
    Level.LOW: "degraded: disk low: loads are refused\n",
    Level.CRITICAL: "degraded: disk critical: submissions are refused\n",
    Level.READ_ONLY: "degraded: read-only: submissions are refused\n",
}
"""What is no reason to send clients elsewhere: they are answered."""
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
ROBOTS = b"User-agent: *\nDisallow: /pks/\n"


class Probes:
    """The handlers for operators' probes."""

    def __init__(
        self, router: Router, space: Ref[SpaceApi], facts: NodeFacts, insight: Insight
    ) -> None:
        self._router = router
        self._space = space
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
            level = (await self._space.call(GetSpace(), timeout=SPACE_S)).level
        except ActorError:
            return _not_ready("nobody watches the disk: see the log")
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
        damaged = [
            f"damaged: {shard_name(number)}, in {status.damaged_rows} places: run keygrove fsck\n"
            for number, status in enumerate(statuses)
            if status.damaged_rows
        ]
        if any(status.is_read_only for status in statuses):
            level = Level.READ_ONLY  # it is no more, but not all files are opened anew
        return Response(200, f"{self._text}{_DEGRADED.get(level, '')}{''.join(damaged)}".encode())


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
        gossip = whereis(GOSSIP, GossipApi) if settings.recon.is_on else None
        statistics = Statistics(router, gossip, settings, facts, pages, shared.clock)
        catalogue = Catalogue(router, settings.http)
        hkp = Hkp(catalogue, whereis, statistics, pages, shared)
        space = whereis(SPACE, SpaceApi)
        proofs = Proofs(Prover(router, signing, shared.clock))
        hashquery = HashQuery(router, _recon(whereis, settings), shared.clock.elapsed)
        resources = {
            "/": Resource(get=home),
            "/robots.txt": Resource(get=robots),
            "/pks/lookup": Resource(get=hkp.lookup),
            "/pks/add": Resource(post=hkp.add, accepts=FORMS),
            "/pks/hashquery": Resource(post=hashquery.answer),
            "/pks/stats": Resource(get=statistics.page),
            "/pks/proof": Resource(get=proofs.prove),
            "/pks/proof/head": Resource(get=proofs.head),
            **_admin(router, settings, shared),
            **_probes(router, space, facts, insight),
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


def _probes(
    router: Router, space: Ref[SpaceApi], facts: NodeFacts, insight: Insight
) -> dict[str, Resource]:
    probes = Probes(router, space, facts, insight)
    alive, ready = Resource(get=probes.alive), Resource(get=probes.ready)
    return {"/healthz": alive, "/pks/health": alive, "/readyz": ready, "/pks/ready": ready}


def metrics_app(
    settings: Settings, facts: NodeFacts, metrics: Metrics, shared: Shared, insight: Insight
) -> MakeApp:
    """What the operator's monitoring reaches."""

    def make(whereis: Whereis) -> App:
        router, space = Router(whereis, settings.storage.shards), whereis(SPACE, SpaceApi)
        prefix, targets = _prefix(whereis, settings), keeper(whereis, settings)

        async def scrape(_: Request) -> Response:
            figures, samples = _figures(await router.each_status()), await insight.samples()
            others = await _disk(space), await _tree(prefix), await push_figures(targets)
            body = metrics.render(figures, samples, *others)
            return Response(200, body, CONTENT_TYPE)

        resources = {"/metrics": Resource(get=scrape), **_probes(router, space, facts, insight)}
        return App("metrics", resources, shared)

    return make


async def _disk(space: Ref[SpaceApi]) -> DiskFigures | None:
    """None while it is not watched."""
    try:
        found: SpaceStatus = await space.call(GetSpace(), timeout=SPACE_S)
    except ActorError:
        return None
    return DiskFigures(
        free_bytes=found.free_bytes,
        reserved_bytes=found.reserved_bytes,
        refuses_loads=found.level is not Level.ROOM,
        refuses_submissions=found.level in {Level.CRITICAL, Level.READ_ONLY},
        is_read_only=found.level is Level.READ_ONLY,
        sync_seconds=found.sync_s,
    )


def _prefix(whereis: Whereis, settings: Settings) -> Ref[PrefixApi] | None:
    """The owner of the prefix tree, where there is one."""
    return whereis(PREFIX, PrefixApi) if settings.recon.is_on else None


def _recon(whereis: Whereis, settings: Settings) -> Recon | None:
    """Who remembers digests, where there is recon."""
    if not settings.recon.is_on:
        return None
    return Recon(whereis(PREFIX, PrefixApi), whereis(KNOWN, KnownApi))


async def _tree(prefix: Ref[PrefixApi] | None) -> TreeFigures | None:
    """None without recon, and while its owner does not answer."""
    if prefix is None:
        return None
    try:
        found = await prefix.call(GetPrefixStatus(), timeout=SPACE_S)
    except ActorError:
        return None
    return TreeFigures(
        digests=found.digests,
        ready=not found.waiting_for,
        lag_changes=found.lag,
        sessions=found.sessions,
        rebuilds=found.rebuilds,
        mismatches=found.mismatches,
    )


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
            damaged_rows=status.damaged_rows,
            damaged_requests=status.damaged_requests,
            scrubbed_row=status.scrubbed,
            cache_bytes=status.cache_bytes,
            cache_hits=status.cache_hits,
            cache_negative_hits=status.cache_negative_hits,
            cache_misses=status.cache_misses,
            cache_evictions=status.cache_evictions,
            pinned_trees=status.pinned_trees,
            **msgspec.structs.asdict(status.savings),
        )
        for number, status in enumerate(statuses)
        if status is not None and status.starting is None
    ]
