"""The control socket: how commands reach the server that owns their data directory.

HTTP on a Unix socket that only our own user may open, so there is nothing to authenticate.
"""

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
from keygrove.http.snapshots import snapshot_resources
from keygrove.ingest.messages import INGEST, IngestApi, Load
from keygrove.settings import Settings
from keygrove.storage.messages import ShardApi, ShardStatus
from keygrove_actors import ActorError, Crash, Node
from keygrove_actors.census import Snapshot

LOAD_BYTES_MAX = 80 << 20
"""A batch of a dump: at most one certificate of 64 MiB, and what comes before it."""
LOAD_S = 100.0
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


T = TypeVar("T", Node, Snapshot)


class Status(msgspec.Struct, Generic[T], frozen=True):
    """What `keygrove status` shows; with `--tree`, what is known of each actor with it."""

    about: About
    shards: tuple[ShardStatus | None, ...]
    """None for one that does not answer."""
    tree: T
    root: str | None = None
    """Of the tree of all certificates, in hexadecimal; None while the store is being brought up."""
    admin_keys_not_held: tuple[str, ...] = ()
    """Of `admin.keys`; none while the store is being brought up."""
    verifier_key: str | None = None
    """By which others check proofs; None while a full disk keeps it from being made."""


def _json(value: object) -> Response:
    return Response(200, msgspec.json.encode(value), JSON)


def _certificates(body: bytes) -> tuple[bytes, ...]:
    try:
        return msgspec.msgpack.decode(body, type=tuple[bytes, ...])
    except msgspec.DecodeError as error:
        raise HttpError(400, f"no list of certificates in MessagePack: {error}") from error


class _Shown:
    """What `keygrove status` shows, gathered."""

    def __init__(self, about: About, router: Router, settings: Settings, signing: Signing) -> None:
        self._about = about
        self._router = router
        self._settings = settings
        self._signing = signing

    async def with_tree(self, tree: T) -> Response:
        """The answer."""
        shards = tuple(await self._router.each_status())
        root, missing, key = await self._root(), await self._not_held(), await self._key()
        return _json(Status(self._about, shards, tree, root, missing, key))

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
    kinds: dict[str, type[object]] = {
        **{shard_name(number): ShardApi for number in range(number)},
        INGEST: IngestApi,
        LISTENER: ListenerApi,
    }

    def make(whereis: Whereis) -> App:
        router = Router(whereis, number)
        ingest = whereis(INGEST, IngestApi)
        shown = _Shown(about, router, settings, signing)
        local = LocalAdmin(router, shared.observer, shared.token)

        async def show(_: Request) -> Response:
            return await shown.with_tree(insight.outline())

        async def tree(_: Request) -> Response:
            return await shown.with_tree(await insight.tree())

        async def load(request: Request) -> Response:
            certificates = _certificates(await request.body(LOAD_BYTES_MAX))
            reply = await ingest.call(Load(certificates), timeout=LOAD_S)
            return _json(reply)

        async def crash(request: Request) -> Response:
            name = request.field("child")
            if name not in kinds:
                raise HttpError(404, f"no actor is called {name!r}: {', '.join(kinds)} are")
            whereis(name, kinds[name]).exit(Crash("DebugCrash", "asked for by an operator"))
            return Response(200, b"crashed\n")

        resources = {
            "/status": Resource(get=show),
            "/tree": Resource(get=tree),
            "/load": Resource(post=load),
            "/admin": Resource(post=local.administer),
            **snapshot_resources(router.snapshots),
        }
        if may_crash:
            resources["/debug/crash"] = Resource(post=crash)
        return App("control", resources, shared)

    return make
