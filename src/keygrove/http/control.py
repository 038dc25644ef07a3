"""The control socket: how commands reach the server that owns their data directory.

HTTP on a Unix socket that only our own user may open, so there is nothing to authenticate.
"""

from functools import partial
from typing import Generic, TypeVar

import msgspec

from keygrove.cluster.router import Router, Whereis, shard_name
from keygrove.cluster.signing import Signing
from keygrove.errors import KeygroveError
from keygrove.http.administrators import keys_not_held
from keygrove.http.asgi import JSON, App, Request, Resource, Response, Shared
from keygrove.http.errors import HttpError
from keygrove.http.insight import Insight
from keygrove.http.listener import ListenerApi, MakeApp
from keygrove.http.orders import LocalAdmin
from keygrove.http.push import STATUS_S, keeper, push_resources
from keygrove.http.recon import recon_resources
from keygrove.http.rollbacks import rollback_resources
from keygrove.http.snapshots import snapshot_resources
from keygrove.ingest.messages import INGEST, ORIGIN_MAX, IngestApi, Load
from keygrove.push.messages import GetTargets
from keygrove.recon.gossip import ANSWER_S, GOSSIP, GetPartners, GossipApi, PartnerStatus
from keygrove.settings import Settings
from keygrove.storage.messages import ShardApi, ShardStatus
from keygrove.storage.space import SPACE, GetSpace, SpaceApi, SpaceStatus
from keygrove.telemetry.partners import GUEST
from keygrove_actors import ActorError, Crash, Node
from keygrove_actors.census import Snapshot

LOAD_BYTES_MAX = 80 << 20
"""A batch of a dump: at most one certificate of 64 MiB, and what comes before it."""
LOAD_S = 100.0
SPACE_S = 2.0
LISTENER = "http"
"""The name of the listener that clients reach."""


class About(msgspec.Struct, frozen=True):
    """What does not change while the server runs."""

    version: str
    pid: int
    started_at: int
    data_dir: str
    http: tuple[str, ...]
    metrics: tuple[str, ...]
    durability: str
    engine: str = ""
    """What keeps the certificates, and what an operator should know of it."""


class Share(msgspec.Struct, frozen=True):
    """Of how many partners, or targets, there is nothing to look after."""

    good: int
    total: int


T = TypeVar("T", Node, Snapshot)


class Status(msgspec.Struct, Generic[T], frozen=True):
    """What `keygrove status` shows; with `--tree`, what is known of each actor with it."""

    about: About
    shards: tuple[ShardStatus | None, ...]
    """None for one that does not answer."""
    tree: T
    root: str | None = None
    """Of the tree of all certificates, in hexadecimal; None while the store is being brought up."""
    space: SpaceStatus | None = None
    """How much room the disk has; None while nobody watches it."""
    admin_keys_not_held: tuple[str, ...] = ()
    """Of `admin.keys`; none while the store is being brought up."""
    recon: Share | None = None
    """Partners with whom the last session that we began did not fail, and some ended well; None
    without recon, or while nobody answers for it."""
    push: Share | None = None
    """Targets that lack nothing, or stand by; None without any, or while nobody answers."""
    verifier_key: str | None = None
    """By which others check proofs; None while a full disk keeps it from being made."""


def _json(value: object) -> Response:
    return Response(200, msgspec.json.encode(value), JSON)


def _certificates(body: bytes) -> tuple[bytes, ...]:
    try:
        return msgspec.msgpack.decode(body, type=tuple[bytes, ...])
    except msgspec.DecodeError as error:
        raise HttpError(400, f"no list of certificates in MessagePack: {error}") from error


def _origin(request: Request) -> str:
    origin = request.field("origin")
    if len(origin) > ORIGIN_MAX:
        raise HttpError(400, f"the origin is longer than {ORIGIN_MAX} characters")
    return origin


class _Shown:
    """What `keygrove status` shows, gathered."""

    def __init__(
        self,
        about: About,
        whereis: Whereis,
        settings: Settings,
        signing: Signing,
    ) -> None:
        self._about = about
        self._router = Router(whereis, settings.storage.shards)
        self._space = whereis(SPACE, SpaceApi)
        self._gossip = whereis(GOSSIP, GossipApi) if settings.recon.is_on else None
        self._targets = keeper(whereis, settings)
        self._settings = settings
        self._signing = signing

    async def with_tree(self, tree: T) -> Response:
        """The answer."""
        return _json(
            Status(
                about=self._about,
                shards=tuple(await self._router.each_status()),
                tree=tree,
                root=await self._root(),
                admin_keys_not_held=await self._not_held(),
                space=await self._room(),
                recon=await self._partners(),
                push=await self._sent(),
                verifier_key=await self._key(),
            )
        )

    async def _room(self) -> SpaceStatus | None:
        try:
            return await self._space.call(GetSpace(), timeout=SPACE_S)
        except ActorError:
            return None

    async def _partners(self) -> Share | None:
        if self._gossip is None:
            return None
        try:
            found = await self._gossip.call(GetPartners(), timeout=ANSWER_S)
        except ActorError:
            return None
        partners = [one for one in found if not one.name.startswith(GUEST)]
        return Share(sum(map(_works, partners)), len(partners))

    async def _sent(self) -> Share | None:
        if self._targets is None:
            return None
        try:
            found = await self._targets.call(GetTargets(), timeout=STATUS_S)
        except ActorError:
            return None
        return Share(sum(one.is_standing_by or one.lag == 0 for one in found), len(found))

    async def _root(self) -> str | None:
        try:
            return (await self._router.holding()).root.hex()
        except ActorError:
            return None

    async def _not_held(self) -> tuple[str, ...]:
        try:
            return await keys_not_held(self._router, self._settings.admin)
        except ActorError:
            return ()

    async def _key(self) -> str | None:
        try:
            return str((await self._signing.key()).verifier)
        except KeygroveError:
            return None


def _works(partner: PartnerStatus) -> bool:
    peer = partner.peer
    if peer is None or partner.failures:
        return False
    return peer.last_ours is not None or peer.last_theirs is not None


async def _crash(whereis: Whereis, shards: int, request: Request) -> Response:
    kinds: dict[str, type[object]] = {
        **{shard_name(number): ShardApi for number in range(shards)},
        INGEST: IngestApi,
        LISTENER: ListenerApi,
        SPACE: SpaceApi,
    }
    name = request.field("child")
    if name not in kinds:
        raise HttpError(404, f"no actor is called {name!r}: {', '.join(kinds)} are")
    whereis(name, kinds[name]).exit(Crash("DebugCrash", "asked for by an operator"))
    return Response(200, b"crashed\n")


def control_app(  # noqa: PLR0913 - what it shows is of as many parts
    about: About,
    insight: Insight,
    settings: Settings,
    shared: Shared,
    signing: Signing,
    *,
    may_crash: bool,
) -> MakeApp:
    """The app. `may_crash` offers the debugging path that crashes an actor."""
    number = settings.storage.shards

    def make(whereis: Whereis) -> App:
        router = Router(whereis, number)
        ingest = whereis(INGEST, IngestApi)
        shown = _Shown(about, whereis, settings, signing)
        local = LocalAdmin(router, shared.observer, shared.token)

        async def show(_: Request) -> Response:
            return await shown.with_tree(insight.outline())

        async def tree(_: Request) -> Response:
            return await shown.with_tree(await insight.tree())

        async def load(request: Request) -> Response:
            certificates = _certificates(await request.body(LOAD_BYTES_MAX))
            message = Load(certificates, _origin(request))
            reply = await ingest.call(message, timeout=LOAD_S)
            return _json(reply)

        resources = {
            "/status": Resource(get=show),
            "/tree": Resource(get=tree),
            "/load": Resource(post=load),
            "/admin": Resource(post=local.administer),
            **snapshot_resources(router.snapshots),
            **rollback_resources(router.rollbacks, shared),
            **recon_resources(whereis, settings),
            **push_resources(whereis, settings),
        }
        if may_crash:
            resources["/debug/crash"] = Resource(post=partial(_crash, whereis, number))
        return App("control", resources, shared)

    return make
