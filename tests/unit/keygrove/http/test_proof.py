"""GET /pks/proof and /pks/proof/head, through a whole node."""

from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from keygrove.cluster.signing import KEY_FILE
from keygrove.errors import DiskFullError
from keygrove.http.control import Status
from keygrove.settings import AdminSettings, ProofSettings, Settings
from keygrove_actors import Node
from keygrove_chaos.certificates import armored, binary, made
from keygrove_chaos.node import (
    MemoryFiles,
    SimulatedNode,
    memory_stores,
    simulated_node,
    simulated_ports,
)
from keygrove_chaos.servers import Reply
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint
from keygrove_protocols.proofs.note import VerifierKey, parse_verifier_key
from keygrove_protocols.proofs.proof import Proved, parse_head, verify

pytestmark = pytest.mark.anyio

ALICE, BOB = made(1, "Alice", subkeys=[11]), made(2, "Bob", version=6)
SUBKEY = fingerprint(made(11))


async def add(node: SimulatedNode, *certificates: Certificate) -> None:
    body = b"keytext=" + b"".join(b"%%%02X" % octet for octet in armored(*certificates))
    assert (await node.http.ask("POST", "/pks/add", body)).status == 200


async def ask(node: SimulatedNode, search: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await node.http.ask("GET", f"/pks/proof?search={search}", headers=named)


def node_with(
    files: MemoryFiles, settings: Settings | None = None
) -> AbstractAsyncContextManager[SimulatedNode]:
    ports = simulated_ports(files=files)
    return simulated_node(settings, stores=memory_stores(4), ports=ports)


async def status_of(node: SimulatedNode) -> Status[Node]:
    reply = await node.control.ask("GET", "/status")
    return msgspec.json.decode(reply.body, type=Status[Node])


async def key_of(node: SimulatedNode) -> VerifierKey:
    key = (await status_of(node)).verifier_key
    assert key is not None
    return parse_verifier_key(key)


async def proved(node: SimulatedNode, search: str) -> Proved:
    reply = await ask(node, search)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return verify(reply.body, await key_of(node))


@pytest.mark.parametrize("certificate", [ALICE, BOB], ids=["v4", "v6"])
async def test_what_is_served_is_what_is_proved(
    node: SimulatedNode, certificate: Certificate
) -> None:
    await add(node, ALICE, BOB)
    name = fingerprint(certificate).hex()
    for search in (name, f"0x{name.upper()}"):
        shown = await proved(node, search)
        served = await node.http.ask("GET", f"/pks/lookup?op=get&options=bin&search=0x{name}")
        assert shown.fingerprint == fingerprint(certificate)
        assert shown.is_of(served.body)
        assert shown.is_of(binary([certificate]))
        assert shown.head.size == 2


async def test_what_is_not_held_is_proved_not_to_be(node: SimulatedNode) -> None:
    assert (await proved(node, "0x" + "ab" * 20)).packets is None
    await add(node, ALICE)
    for name in (fingerprint(BOB).hex(), "ab" * 16, SUBKEY.hex()):
        shown = await proved(node, name)
        assert (shown.packets, shown.fingerprint.hex()) == (None, name)


@pytest.mark.parametrize(
    "query", ["", "?search=", "?search=0x01", "?search=alice", "?search=0xzz", "?fp=" + "ab" * 20]
)
async def test_what_is_no_fingerprint_is_a_bad_request(node: SimulatedNode, query: str) -> None:
    reply = await node.http.ask("GET", f"/pks/proof{query}")
    assert reply.status == 400
    assert "search" in reply.text


async def test_the_head_is_a_note_of_the_root_that_the_status_tells(node: SimulatedNode) -> None:
    await add(node, ALICE)
    reply = await node.http.ask("GET", "/pks/proof/head")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    head = parse_head(reply.body, await key_of(node))
    assert (head.root.hex(), head.size) == ((await status_of(node)).root, 1)


@pytest.mark.parametrize("path", ["/pks/proof/head", "/pks/proof?search=" + "ab" * 20])
async def test_it_is_asked_for_each_time_and_sent_once(node: SimulatedNode, path: str) -> None:
    first = await node.http.ask("GET", path)
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["access-control-allow-origin"] == "*"
    again = await node.http.ask("GET", path, headers={"if-none-match": etag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    head = await node.http.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(first.body))
    post = await node.http.ask("POST", path, b"x")
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    await add(node, ALICE)
    changed = await ask(node, fingerprint(ALICE).hex(), if_none_match=etag)
    assert changed.status == 200


async def test_the_key_outlives_the_node_and_has_the_name_of_the_settings() -> None:
    files = MemoryFiles()
    keys: list[str] = []
    for settings in (
        Settings(proofs=ProofSettings("a.example")),
        Settings(admin=AdminSettings(server="b.example")),
    ):
        async with node_with(files, settings) as node:
            keys.append(str(await key_of(node)))
    assert keys[0] == keys[1]
    assert keys[0].startswith("a.example+")
    assert list(files.contents) == [KEY_FILE]


class NoRoom(MemoryFiles):
    """On a full disk."""

    is_full = True

    async def create(self, path: str, content: bytes) -> None:
        if self.is_full:
            raise DiskFullError(path)
        await super().create(path, content)


async def test_a_full_disk_keeps_proofs_back_and_nothing_else() -> None:
    files = NoRoom()
    async with node_with(files) as node:
        await add(node, ALICE)
        assert (await node.http.ask("GET", "/readyz")).status == 200
        assert (await node.http.ask("GET", "/pks/proof/head")).status == 507
        assert (await status_of(node)).verifier_key is None
        assert node.log.events("signing key not made")
        files.is_full = False
        assert (await proved(node, fingerprint(ALICE).hex())).is_of(binary([ALICE]))
