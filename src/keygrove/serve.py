"""A node: the tree and its listeners, composed from settings and ports."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import anyio
import msgspec

from keygrove.cluster.router import shard_name
from keygrove.cluster.signing import Signing
from keygrove.errors import DiskFullError, NodeStartError, NodeStopError
from keygrove.http.app import hkp_app, metrics_app
from keygrove.http.asgi import Shared
from keygrove.http.control import LISTENER, About, control_app
from keygrove.http.errors import HttpError
from keygrove.http.facts import NodeFacts
from keygrove.http.insight import STARTING, Insight
from keygrove.http.listener import Listener, MakeApp
from keygrove.ports import Endpoint, Ports
from keygrove.push.actors import push_actors
from keygrove.ratelimit.admission import Admit, admit_all
from keygrove.recon.actors import partner_actors
from keygrove.settings import Settings
from keygrove.storage.opening import Home, open_store
from keygrove.storage.retention import DAY_S, KEEP
from keygrove.storage.shard import OpenStore
from keygrove.telemetry.log import Log
from keygrove.telemetry.metrics import Metrics
from keygrove.tree import LISTENER_STOP_S, Doors, tree
from keygrove.watching import Telemetry
from keygrove_actors import (
    ChildSpec,
    Crash,
    Report,
    Runtime,
    StartFailed,
    StopOverrun,
    Unkillable,
    run,
)
from keygrove_actors import Node as TreeNode
from keygrove_actors.census import Snapshot, tree_snapshot
from keygrove_actors.meter import Meter, Metric
from keygrove_actors.watchdog import watchdog

STOP_S = 9.0
"""An operator expects the process gone within ten seconds of SIGTERM."""
FAULTS = ("hkp", "metrics", "control", "history", "ingest", "merge", "serve")
"""Where a bug may cost one request only."""


class Endpoints(msgspec.Struct, frozen=True):
    """Where a node can be reached. They are open before it starts and after it ended."""

    http: tuple[Endpoint, ...] = ()
    metrics: tuple[Endpoint, ...] = ()
    control: tuple[Endpoint, ...] = ()
    recon: tuple[Endpoint, ...] = ()


class Site(msgspec.Struct, frozen=True):
    """Everything around a node that is not a setting."""

    ports: Ports
    endpoints: Endpoints
    log: Log
    version: str
    pid: int
    admit: Admit = admit_all
    observe: Callable[[Report], None] | None = None
    """Told what the runtime reports, beside the log and the metrics."""
    may_crash: bool = False
    """Offer a path on the control socket that crashes an actor, for debugging."""
    watch_loop: bool = False
    """Have a thread look for what holds up the event loop; not in a simulation, which has none."""


class _Insight(Insight):
    """What listeners see of the tree. They are part of it, and made before it runs."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._runtime: Runtime | None = None

    def open(self, runtime: Runtime) -> None:
        """The tree is up."""
        self._runtime = runtime
        self._meter.attach(runtime)

    def is_up(self) -> bool:
        """See `Insight`."""
        return self._runtime is not None

    def outline(self) -> TreeNode:
        """See `Insight`."""
        return self._running().tree()

    def failed(self) -> Sequence[str]:
        """See `Insight`."""
        return self._running().failed()

    async def tree(self) -> Snapshot:
        """See `Insight`."""
        return await tree_snapshot(self._running())

    async def samples(self) -> Sequence[Metric]:
        """See `Insight`."""
        return await self._meter.collect() if self.is_up() else ()

    def _running(self) -> Runtime:
        if self._runtime is None:
            raise HttpError(503, STARTING)
        return self._runtime


def sqlite_stores(settings: Settings, ports: Ports) -> list[OpenStore]:
    """How to open each shard's files."""
    number = settings.storage.shards
    turns = anyio.Semaphore(1)
    until_s = settings.storage.history_days * DAY_S
    return [
        partial(
            open_store,
            ports.databases,
            Home(shard_name(at), f"{at}/{number}", ports.entropy.token(16)),
            turns,
            durable=settings.storage.durability == "full",
            retention=msgspec.structs.replace(KEEP, until_s=until_s),
            scrub_bytes_per_s=settings.storage.scrub_bytes_per_s // number,
        )
        for at in range(number)
    ]


@asynccontextmanager
async def open_node(
    settings: Settings, site: Site, stores: Sequence[OpenStore] | None = None
) -> AsyncGenerator[Runtime, None]:
    """Run a node for as long as the block runs; several may run in one event loop.

    Args:
        stores: how to open each shard's store; SQLite below the data directory if not given.

    Raises:
        NodeStartError: an actor could not start.
        SecretFileError, SettingsError: see `Signing.key`.
        NodeStopError: one did not stop in time and was killed.
            Whoever cancels the node is told, too.
    """
    metrics = Metrics()
    telemetry = Telemetry(site.log, site.ports, metrics, site.observe)
    insight = _Insight(telemetry.meter)
    signing = _signing(settings, site)
    spec = tree(
        settings,
        site.ports,
        stores or sqlite_stores(settings, site.ports),
        telemetry,
        Doors(
            monitoring=_monitoring(settings, site, metrics, telemetry, insight),
            clients=_clients(settings, site, telemetry, insight, signing),
            partners=_partners(settings, site, telemetry),
            push=push_actors(settings, site.ports, telemetry),
        ),
    )
    metrics.expect(FAULTS)
    seed = int.from_bytes(site.ports.entropy.token(8))
    try:
        await signing.key()
    except DiskFullError as error:  # it serves all the same, and tries again when a proof is wanted
        site.log.warning("signing key not made", why=str(error))
    try:
        async with run(spec, observe=telemetry.report, stop_deadline=STOP_S, seed=seed) as runtime:
            insight.open(runtime)
            telemetry.repeats.attach(runtime)
            tell = telemetry.stalled
            with watchdog(runtime, tell=tell) if site.watch_loop else nullcontext():
                yield runtime
    except StartFailed as error:
        first = telemetry.failed_start
        if first is None:
            raise
        why = first.reason.text if isinstance(first.reason, Crash) else str(first.reason)
        raise NodeStartError(first.child, why) from error
    except StopOverrun as error:
        raise NodeStopError(error.late) from error
    except Unkillable as error:
        raise NodeStopError(error.paths) from error
    except anyio.get_cancelled_exc_class():
        telemetry.raise_if_late()
        raise
    else:
        telemetry.raise_if_late()
    finally:
        telemetry.repeats.flush()


def _monitoring(
    settings: Settings, site: Site, metrics: Metrics, telemetry: Telemetry, insight: Insight
) -> tuple[ChildSpec, ...]:
    """The listener that is first up and last down."""
    facts = _facts(settings, site)
    # Whoever looks after the server is never turned away.
    shared = _shared(site, telemetry, admit_all)
    app = metrics_app(settings, facts, metrics, shared, insight)
    return _listener(site, "metrics", app, site.endpoints.metrics)


def _clients(
    settings: Settings, site: Site, telemetry: Telemetry, insight: Insight, signing: Signing
) -> tuple[ChildSpec, ...]:
    """The listeners that let clients and commands in."""
    open_to_all = _shared(site, telemetry, site.admit)
    hkp = hkp_app(settings, _facts(settings, site), open_to_all, insight, signing)
    about = About(
        version=site.version,
        pid=site.pid,
        started_at=site.ports.clock.now(),
        data_dir=settings.data_dir,
        http=tuple(endpoint.address for endpoint in site.endpoints.http),
        metrics=tuple(endpoint.address for endpoint in site.endpoints.metrics),
        durability=settings.storage.durability,
        engine=site.ports.databases.engine,
    )
    own = _shared(site, telemetry, admit_all)
    control = control_app(about, insight, settings, own, signing, may_crash=site.may_crash)
    return (
        *_listener(site, LISTENER, hkp, site.endpoints.http),
        *_listener(site, "control", control, site.endpoints.control),
    )


def _partners(settings: Settings, site: Site, telemetry: Telemetry) -> tuple[ChildSpec, ...]:
    """Those who deal with partners of recon."""
    http = [endpoint.address for endpoint in site.endpoints.http]
    return partner_actors(
        settings, site.ports, site.admit, telemetry.partners, http, site.endpoints.recon
    )


def _signing(settings: Settings, site: Site) -> Signing:
    ports = site.ports
    fallback = settings.admin.server
    return Signing(ports.files, ports.entropy, name=settings.proofs.name, fallback=fallback)


def _shared(site: Site, telemetry: Telemetry, admit: Admit) -> Shared:
    ports = site.ports
    return Shared(admit, telemetry, ports.clock, ports.compute, ports.entropy.token)


def _listener(
    site: Site, name: str, make_app: MakeApp, endpoints: tuple[Endpoint, ...]
) -> tuple[ChildSpec, ...]:
    if not endpoints:
        return ()
    start = partial(Listener, site.ports.servers, make_app, endpoints)
    return (ChildSpec(name, start, name=name, shutdown=LISTENER_STOP_S),)


def _facts(settings: Settings, site: Site) -> NodeFacts:
    http, recon = site.endpoints.http, settings.recon.listen
    return NodeFacts(
        version=site.version,
        http_address=http[0].address if http else "",
        recon_address=recon[0] if recon else "",
        durability=settings.storage.durability,
        engine=site.ports.databases.engine,
    )
