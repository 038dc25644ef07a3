"""What all paths have in common: methods, CORS, admission, faults, logs, metrics, probes."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote_from_bytes

import anyio
import msgspec
import pytest

from keygrove.errors import DiskFullError, StoreError
from keygrove.http.asgi import REQUEST_DEADLINE_S
from keygrove.http.control import Status
from keygrove.http.errors import (
    BROAD,
    BUG,
    BUSY,
    NO_SPACE,
    NOT_UP,
    BodyTooLargeError,
    Failure,
    HttpError,
    failure_of,
)
from keygrove.ingest.messages import Result, Submitted
from keygrove.ratelimit.admission import Allowed, Facts, Refused, Verdict
from keygrove.settings import Settings
from keygrove.storage.memory import MemoryStore
from keygrove.storage.messages import Overloaded, Starting, TooBroad
from keygrove.storage.shard import OpenStore
from keygrove.storage.store import Opened, Opening
from keygrove.storage.write import Put
from keygrove_actors import Crash, MailboxFull, NoProc
from keygrove_actors.census import Snapshot
from keygrove_actors.model import State
from keygrove_chaos.certificates import armored, made, put_of
from keygrove_chaos.node import EPOCH, SimulatedNode, simulated_node
from keygrove_chaos.servers import Reply
from keygrove_chaos.stores import Hook, HookedStore
from keygrove_protocols.errors import (
    BadArmorError,
    BadQueryError,
    SecretKeyMaterialError,
    TooLargeError,
    UnsupportedQueryError,
)
from keygrove_protocols.openpgp.certificate import fingerprint
from keygrove_protocols.openpgp.keys import Digest

pytestmark = pytest.mark.anyio

ALICE = made(1, "Alice")
GET_ALICE = f"/pks/lookup?op=get&search=0x{fingerprint(ALICE).hex()}"
KNOWN = ["/", "/robots.txt", "/pks/stats", "/healthz", "/readyz", "/pks/health", "/pks/ready"]
FORM = b"keytext=" + quote_from_bytes(armored(ALICE), safe="").encode()


async def submit(node: SimulatedNode) -> Reply:
    return await node.http.ask("POST", "/pks/add", FORM)


@pytest.mark.parametrize("path", KNOWN)
async def test_every_page_is_served(node: SimulatedNode, path: str) -> None:
    assert (await node.http.ask("GET", path)).status == 200


async def test_every_answer_may_be_read_by_any_origin(node: SimulatedNode) -> None:
    await submit(node)
    asks = [
        *(("GET", path) for path in KNOWN),
        ("GET", GET_ALICE),
        ("GET", "/pks/lookup?op=index&search=alice"),
        ("GET", "/pks/lookup?op=stats"),
        ("GET", "/pks/lookup"),
        ("GET", "/pks/lookup?op=x-y&search=z"),
        ("GET", "/nowhere"),
        ("PUT", "/pks/add"),
        ("POST", "/pks/add"),
        ("OPTIONS", "/pks/add"),
        ("HEAD", GET_ALICE),
    ]
    for method, target in asks:
        reply = await node.http.ask(method, target)
        assert reply.headers["access-control-allow-origin"] == "*", (method, target)


@pytest.mark.parametrize("target", [*KNOWN, GET_ALICE, "/pks/lookup", "/nowhere"])
async def test_head_is_get_without_its_body(node: SimulatedNode, target: str) -> None:
    await submit(node)
    get, head = [await node.http.ask(method, target) for method in ("GET", "HEAD")]
    assert head == Reply(get.status, get.headers, b"")
    assert int(head.headers["content-length"]) == len(get.body)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/pks/lookup", "GET, HEAD, OPTIONS"),
        ("/pks/add", "POST, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_tell_what_a_path_takes(node: SimulatedNode, path: str, allow: str) -> None:
    reply = await node.http.ask("OPTIONS", path)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["allow"] == reply.headers["access-control-allow-methods"] == allow
    assert "Content-Type" in reply.headers["access-control-allow-headers"]
    assert int(reply.headers["access-control-max-age"]) > 0
    if path == "/pks/add":
        wanted = "application/x-www-form-urlencoded, multipart/form-data"
        assert reply.headers["accept"] == wanted


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/pks/lookup", "GET, HEAD, OPTIONS"),
        ("GET", "/pks/add", "POST, OPTIONS"),
        ("HEAD", "/pks/add", "POST, OPTIONS"),
        ("DELETE", "/", "GET, HEAD, OPTIONS"),
        ("FROB", "/pks/stats", "GET, HEAD, OPTIONS"),
    ],
)
async def test_another_method_is_told_which_are_taken(
    node: SimulatedNode, method: str, path: str, allow: str
) -> None:
    reply = await node.http.ask(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/pks", "/pks/lookup/", "/metrics", "/status", "/load"]
)
async def test_another_path_is_not_there(node: SimulatedNode, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert (await node.http.ask(method, path)).status == 404


async def test_statistics_are_what_monitors_of_hockeypuck_read(node: SimulatedNode) -> None:
    await submit(node)
    for target in (
        "/pks/stats?options=json",
        "/pks/stats?options=mr",
        "/pks/lookup?op=stats&options=json",
    ):
        reply = await node.http.ask("GET", target)
        assert reply.headers["content-type"] == "application/json"
        stats = msgspec.json.decode(reply.body)
        assert (stats["total"], stats["software"], stats["version"]) == (1, "Keygrove", "0.test")
        assert stats["hostname"] == "node.example"
        assert stats["httpAddr"] == "node.example:11371"
        assert stats["reconAddr"] == "h:11370"
        assert [peer["name"] for peer in stats["peers"]] == ["friend"]
        assert (len(stats["hourly"]), len(stats["daily"])) == (24, 7)
        assert stats["hourly"][0]["Inserted"] == stats["daily"][0]["Inserted"] == 1
        assert stats["now"].startswith("2027-01-15T")
    assert EPOCH == 1_800_000_000


async def test_statistics_are_a_page_for_people(node: SimulatedNode) -> None:
    for target in ("/pks/stats", "/pks/lookup?op=stats"):
        reply = await node.http.ask("GET", target)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")


class Doorkeeper:
    """Refuses whom a test names, and remembers everybody."""

    def __init__(self) -> None:
        self.asked: list[Facts] = []
        self.refuses = False

    async def admit(self, facts: Facts) -> Verdict:
        self.asked.append(facts)
        return Refused("too many requests: wait a minute", 60) if self.refuses else Allowed()


async def test_everybody_is_asked_about_before_anything_is_done(settings: Settings) -> None:
    keeper = Doorkeeper()
    async with simulated_node(settings, admit=keeper.admit) as node:
        await node.http.ask("GET", "/pks/lookup?op=get&search=x")
        await node.http.ask("POST", "/nowhere")
        assert keeper.asked == [
            Facts("192.0.2.7", "GET /pks/lookup"),
            Facts("192.0.2.7", "POST /nowhere"),
        ]
        keeper.refuses = True
        reply = await submit(node)
        assert (reply.status, reply.headers["retry-after"]) == (429, "60")
        assert reply.text == "too many requests: wait a minute\n"
        keeper.refuses = False
        assert (await node.http.ask("GET", GET_ALICE)).status == 404


async def test_operators_are_never_turned_away(settings: Settings) -> None:
    keeper = Doorkeeper()
    keeper.refuses = True
    async with simulated_node(settings, admit=keeper.admit) as node:
        assert (await node.metrics.ask("GET", "/metrics")).status == 200
        assert (await node.control.ask("GET", "/status")).status == 200


class Site:
    """Stores that do what a test says."""

    def __init__(self) -> None:
        self.before: Hook = self._nothing
        self.opening: Exception | None = None
        self.stores = [MemoryStore(), MemoryStore()]

    async def _nothing(self, _: str) -> None:
        pass

    async def _before(self, operation: str) -> None:
        await self.before(operation)

    @asynccontextmanager
    async def _open(self, number: int) -> AsyncGenerator[Opening, None]:
        if self.opening is not None:
            raise self.opening
        yield Opened(HookedStore(self.stores[number], before=self._before))

    def openers(self) -> list[OpenStore]:
        return [partial(self._open, number) for number in range(2)]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def on_site(settings: Settings, site: Site) -> AsyncGenerator[SimulatedNode, None]:
    async with simulated_node(settings, stores=site.openers()) as running:
        yield running


def failing(on: str, error: Exception) -> Hook:
    async def before(operation: str) -> None:
        if operation == on:
            raise error

    return before


async def test_a_shard_that_crashes_is_busy_and_back_at_once(
    on_site: SimulatedNode, site: Site
) -> None:
    site.before = failing("get", StoreError("gone"))
    reply = await on_site.http.ask("GET", GET_ALICE)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    site.before = failing("nothing", StoreError(""))
    assert (await on_site.http.ask("GET", GET_ALICE)).status == 404
    (ended,) = on_site.log.events("actor ended")
    assert (ended.level, ended.facts["child"]) == ("error", ended.facts["path"].split("/")[-1])  # type: ignore[attr-defined]
    assert len(on_site.log.events("actor restarting")) == 1


async def test_a_submission_to_a_shard_that_crashes_is_to_be_sent_again(
    on_site: SimulatedNode, site: Site
) -> None:
    site.before = failing("commit", StoreError("gone"))
    reply = await submit(on_site)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    site.before = failing("nothing", StoreError(""))
    await anyio.wait_all_tasks_blocked()
    assert (await submit(on_site)).status == 200


async def test_a_full_disk_is_told_to_the_submitter(on_site: SimulatedNode, site: Site) -> None:
    site.before = failing("commit", DiskFullError("heap.db"))
    reply = await submit(on_site)
    assert (reply.status, reply.text) == (507, NO_SPACE.text + "\n")
    assert (await on_site.http.ask("GET", GET_ALICE)).status == 404


async def test_a_full_disk_is_told_to_administrators_with_what_to_do(
    on_site: SimulatedNode, site: Site
) -> None:
    assert (await submit(on_site)).status == 200
    site.before = failing("commit", DiskFullError("heap.db"))
    reply = await on_site.control.ask("POST", "/snapshots?name=one")
    assert reply.status == 507
    assert "the disk is full, no space left for the snapshot: free some, then c" in reply.text
    reply = await on_site.control.ask("POST", "/rollbacks", b'{"causes":["upload"]}')
    assert reply.status == 507
    assert "nothing was taken back, so free some, then begin it again" in reply.text


async def test_readiness_is_every_shard(on_site: SimulatedNode, site: Site) -> None:
    ready = await on_site.http.ask("GET", "/readyz")
    assert ready.text.splitlines()[:3] == ["ready", "version: 0.test", "durability: full"]
    site.opening = StoreError("the disk is gone")
    on_site.runtime.whereis("shard-1", object).exit(Crash("Test", ""))
    for path in ("/readyz", "/pks/ready"):
        reply = await on_site.http.ask("GET", path)
        assert (reply.status, reply.headers["retry-after"]) == (503, "2")
        assert (await on_site.metrics.ask("GET", path)).status == 503
    assert (await on_site.http.ask("GET", "/healthz")).text == "OK\n"
    assert (await on_site.http.ask("GET", "/pks/health")).text == "OK\n"
    site.opening = None


def unreadable() -> Put:
    put = put_of(ALICE)
    return msgspec.structs.replace(put, packets=b"\xc6\x01\x09", digest=Digest(bytes(16)))


async def test_a_bug_met_by_one_certificate_costs_its_request_only(
    on_site: SimulatedNode, site: Site
) -> None:
    for store in site.stores:
        await store.commit([unreadable()])
    reply = await on_site.http.ask("GET", GET_ALICE)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert reply.text == BUG.text + "\n"
    (line,) = on_site.log.events("request failed by a bug")
    assert (line.level, line.facts["where"]) == ("error", "serve")
    assert isinstance(line.facts["exc_info"], Exception)
    metrics = (await on_site.metrics.ask("GET", "/metrics")).text
    assert 'keygrove_faults_total{where="serve"} 1.0' in metrics
    assert (await on_site.http.ask("GET", "/pks/stats")).status == 200
    assert on_site.log.events("actor ended") == []


async def test_a_handlers_bug_is_answered_counted_and_logged_once(settings: Settings) -> None:
    async def admit(_: Facts) -> Verdict:
        raise ZeroDivisionError("a bug")

    async with simulated_node(settings, admit=admit) as node:
        reply = await node.http.ask("GET", "/")
        assert (reply.status, reply.headers["retry-after"]) == (503, "2")
        assert "a bug" not in reply.text
        (line,) = node.log.events("request failed by a bug")
        assert line.facts["where"] == "hkp"
        metrics = (await node.metrics.ask("GET", "/metrics")).text
        assert 'keygrove_faults_total{where="hkp"} 1.0' in metrics
        (answered,) = [
            one for one in node.log.events("request answered") if one.facts["listener"] == "hkp"
        ]
        assert (answered.level, answered.facts["status"]) == ("warning", 503)


async def test_a_request_beyond_its_deadline_is_logged_too(
    settings: Settings,
) -> None:
    async def admit(_: Facts) -> Verdict:
        await anyio.sleep_forever()
        raise AssertionError

    async with simulated_node(settings, admit=admit) as node:
        begun = anyio.current_time()
        reply = await node.http.ask("GET", "/")
        assert reply.status == 503
        assert anyio.current_time() - begun == pytest.approx(REQUEST_DEADLINE_S)
        (line,) = node.log.events("request answered")
        assert line.facts["status"] == 503


async def test_each_request_has_one_line(node: SimulatedNode) -> None:
    await submit(node)
    reply = await node.http.ask("GET", GET_ALICE)
    await node.http.ask("BREW", "/some/where?with=secrets")
    added, got, odd = node.log.events("request answered")
    assert set(got.facts) == {
        "listener",
        "method",
        "route",
        "status",
        "duration_ms",
        "body_bytes",
        "client",
    }
    assert got.level == "info"
    assert (got.facts["method"], got.facts["route"]) == ("GET", "/pks/lookup")
    assert (got.facts["status"], got.facts["body_bytes"]) == (200, len(reply.body))
    assert (added.facts["method"], added.facts["route"]) == ("POST", "/pks/add")
    assert (odd.facts["method"], odd.facts["route"], odd.facts["status"]) == ("other", "other", 404)
    assert added.facts["client"] == got.facts["client"]
    assert "192.0.2.7" not in str(node.log.lines)
    assert "Alice" not in str(node.log.lines)
    assert "secrets" not in str(node.log.lines)


async def test_metrics_count_what_happened(node: SimulatedNode) -> None:
    await submit(node)
    await node.http.ask("GET", GET_ALICE)
    await node.http.ask("GET", GET_ALICE)
    reply = await node.metrics.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = reply.text.splitlines()
    assert (
        'keygrove_http_requests_total{listener="hkp",method="GET",route="/pks/lookup",status="200"}'
        " 2.0"
    ) in lines
    assert sum(line.startswith("keygrove_shard_certificates{") for line in lines) == 2

    def total(name: str) -> float:
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))

    assert total("keygrove_shard_certificates") == 1
    assert total("keygrove_shard_committed_total") == 1
    assert total("keygrove_shard_cache_hits_total") == 1


async def test_metrics_are_scraped_though_a_shard_is_down(
    on_site: SimulatedNode, site: Site
) -> None:
    site.opening = StoreError("the disk is gone")
    on_site.runtime.whereis("shard-1", object).exit(Crash("Test", ""))
    await anyio.sleep(0.01)  # it ends, is started again, fails, and waits
    reply = await on_site.metrics.ask("GET", "/metrics")
    assert reply.status == 200
    lines = reply.text.splitlines()
    assert 'keygrove_actor_up{child="shard-1",class="Shard"} 0.0' in lines
    restarts = 'keygrove_actor_restarts_total{child="shard-1",class="Shard",reason="Crash"} 1.0'
    assert restarts in lines
    assert 'keygrove_shard_certificates{shard="0"} 0.0' in lines
    assert 'keygrove_shard_certificates{shard="1"}' not in reply.text
    site.opening = None


async def test_the_control_socket_shows_the_whole_node(node: SimulatedNode) -> None:
    await submit(node)
    status = msgspec.json.decode((await node.control.ask("GET", "/status")).body)
    assert status["about"]["version"] == "0.test"
    assert status["about"]["http"] == ["node.example:11371"]
    assert sum(shard["counts"]["certificates"] for shard in status["shards"]) == 1
    assert [child["id"] for child in status["tree"]["children"]] == [
        "metrics",
        "space",
        "storage",
        "parsers",
        "ingest",
        "recon",
        "http",
        "control",
    ]


async def test_the_control_socket_shows_what_each_actor_does(node: SimulatedNode) -> None:
    await submit(node)
    answer = (await node.control.ask("GET", "/tree")).body
    status = msgspec.json.decode(answer, type=Status[Snapshot])
    assert sum(shard.counts.certificates for shard in status.shards if shard) == 1
    actors = {child.id: child for child in status.tree.children}
    assert list(actors) == [
        *("metrics", "space", "storage", "parsers", "ingest", "recon", "http", "control")
    ]
    assert (actors["ingest"].kind, actors["ingest"].messages) == ("Ingest", 1)
    assert [shard.id for shard in actors["storage"].children] == ["shard-0", "shard-1"]


async def test_the_control_socket_shows_a_shard_that_is_down(
    on_site: SimulatedNode, site: Site
) -> None:
    site.opening = StoreError("the disk is gone")
    on_site.runtime.whereis("shard-1", object).exit(Crash("Test", ""))
    await anyio.sleep(0.01)  # it ends, is started again, fails, and waits
    answer = (await on_site.control.ask("GET", "/tree")).body
    status = msgspec.json.decode(answer, type=Status[Snapshot])
    assert [shard is None for shard in status.shards] == [False, True]
    (storage,) = [child for child in status.tree.children if child.id == "storage"]
    assert storage.children[1].state is State.RESTARTING
    site.opening = None


async def test_the_control_socket_takes_dumps(
    node: SimulatedNode, vector: Callable[[str], bytes]
) -> None:
    dump = msgspec.msgpack.encode([vector("v3-rsa.pgp"), b"junk"])
    reply = await node.control.ask("POST", "/load", dump)
    assert reply.status == 200
    fates = msgspec.json.decode(reply.body, type=Submitted).fates
    assert {fate.at: fate.result for fate in fates} == {0: Result.INSERTED, 1: Result.INVALID}
    assert (await node.control.ask("POST", "/load", b"junk")).status == 400


async def test_the_control_socket_crashes_actors_for_tests(node: SimulatedNode) -> None:
    assert (await node.control.ask("POST", "/debug/crash?child=nobody")).status == 404
    for child in ("shard-0", "ingest", "http"):
        reply = await node.control.ask("POST", f"/debug/crash?child={child}")
        assert reply.text == "crashed\n"
        assert (await node.http.ask("GET", "/readyz")).status == 200
    ended = [line.facts["child"] for line in node.log.events("actor ended")]
    assert ended == ["shard-0", "ingest", "http"]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (BadQueryError("a"), Failure(400, "a")),
        (UnsupportedQueryError("a"), Failure(501, "a")),
        (BadArmorError("a"), Failure(400, "a")),
        (SecretKeyMaterialError("a"), Failure(422, "a")),
        (TooLargeError("a"), Failure(413, "a")),
        (HttpError(418, "a"), Failure(418, "a")),
        (BodyTooLargeError(7), Failure(413, "the body is too large: send at most 7 octets")),
        (NoProc("shard-0", "Get"), BUSY),
        (MailboxFull("shard-0", 1), BUSY),
        (Starting().error(), NOT_UP),
        (Overloaded().error(), BUSY),
        (TooBroad().error(), BROAD),
        (DiskFullError("heap.db"), NO_SPACE),
        (ZeroDivisionError("secret"), BUG),
        (StoreError("secret"), BUG),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whose_fault_an_error_is_decides_the_status(error: Exception, failure: Failure) -> None:
    assert failure_of(error) == failure


def test_only_a_store_that_is_down_may_be_asked_again_at_once() -> None:
    assert {dict(one.headers).get("retry-after") for one in (BUSY, BUG)} == {"2"}
    assert NO_SPACE.headers == ()
    assert (BUSY.is_bug, BUG.is_bug) == (False, True)
