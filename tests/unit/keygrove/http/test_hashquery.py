"""POST /pks/hashquery, through a whole node."""

from collections.abc import AsyncGenerator

import anyio
import pytest

from keygrove.http import hashquery
from keygrove.recon.messages import PREFIX, GetPrefixStatus, PrefixApi
from keygrove.settings import PolicySettings, ReconSettings, Settings, StorageSettings
from keygrove_chaos.certificates import armored, digest_of, made
from keygrove_chaos.node import SimulatedNode, simulated_node
from keygrove_chaos.servers import NoReplyError, Reply
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import Certificate, to_bytes
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.recon.hashquery import ASKED_MAX, ResponseDecoder, encode_request
from tests.unit.protocols.recon.recorded import ServerCase, recorded

pytestmark = pytest.mark.anyio

RECORDED = recorded().hashquery
ALICE, BOB, NEW = made(1, "Alice"), made(2, "Bob"), made(3, "New", version=6)


@pytest.fixture
async def node() -> AsyncGenerator[SimulatedNode, None]:
    """It keeps what SKS keeps."""
    settings = Settings(
        storage=StorageSettings(shards=2),
        policy=PolicySettings(preset="sks-compatible"),
        recon=ReconSettings(listen=("h:11370",)),
    )
    async with simulated_node(settings) as running:
        yield running


async def submit(node: SimulatedNode, certificates: bytes) -> None:
    body = b"keytext=" + b"".join(b"%%%02X" % octet for octet in certificates)
    assert (await node.http.ask("POST", "/pks/add", body)).status == 200


async def add(node: SimulatedNode, *certificates: Certificate) -> None:
    await submit(node, armored(*certificates))


async def ask(node: SimulatedNode, body: bytes) -> Reply:
    return await node.http.ask("POST", "/pks/hashquery", body)


async def fetch(node: SimulatedNode, *digests: Digest) -> list[bytes]:
    reply = await ask(node, encode_request(digests))
    assert (reply.status, reply.headers["content-type"]) == (200, "pgp/keys")
    assert reply.headers["content-length"] == str(len(reply.body))
    decoder = ResponseDecoder(len(digests))
    found = decoder.feed(reply.body)
    decoder.close()
    return found


async def test_certificates_are_given_by_their_digests(node: SimulatedNode) -> None:
    await add(node, ALICE, BOB)
    unknown = Digest(bytes(16))
    found = await fetch(node, digest_of(BOB), unknown, digest_of(ALICE), digest_of(BOB))
    assert sorted(found) == sorted([to_bytes(ALICE), to_bytes(BOB)])
    assert await fetch(node, unknown) == []
    assert await fetch(node) == []


@pytest.mark.parametrize("case", RECORDED.server, ids=lambda one: f"{one.server}-{one.case}")
async def test_recorded_requests_are_answered_as_by_others(
    node: SimulatedNode, case: ServerCase
) -> None:
    for certificate in RECORDED.certs:
        reply = await node.http.ask("POST", "/pks/add", _form(bytes.fromhex(certificate)))
        assert reply.status == 200
    reply = await ask(node, bytes.fromhex(case.request_hex).partition(b"\r\n\r\n")[2])
    decoder = ResponseDecoder(len(case.digests))
    found = {sks_digest(split(one, BULK)).hex() for one in decoder.feed(reply.body)}
    assert found == {RECORDED.cert_digests[at] for at in case.order}


async def test_what_sks_cannot_read_is_in_no_answer(node: SimulatedNode) -> None:
    await add(node, ALICE, NEW)
    assert await fetch(node, digest_of(NEW), digest_of(ALICE)) == [to_bytes(ALICE)]


async def test_a_digest_of_a_moment_ago_is_answered_by_what_there_is_now(
    node: SimulatedNode,
) -> None:
    await add(node, ALICE)
    await looked(node)
    changed = made(1, "Alice", "another")
    await add(node, changed)
    await looked(node)
    (found,) = await fetch(node, digest_of(ALICE))
    assert sks_digest(split(found, BULK)) != digest_of(ALICE)
    assert found in await fetch(node, sks_digest(split(found, BULK)))
    assert await fetch(node, digest_of(ALICE), sks_digest(split(found, BULK))) == [found]


async def looked(node: SimulatedNode) -> None:
    """Wait until what was stored is in the prefix tree."""
    prefix = node.runtime.whereis(PREFIX, PrefixApi)
    before = (await prefix.call(GetPrefixStatus())).changes
    while (status := await prefix.call(GetPrefixStatus())).changes == before or status.lag:  # noqa: ASYNC110 - no time is real
        await anyio.sleep(0.1)


async def test_an_answer_is_no_longer_than_it_may_be(
    node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(node, ALICE, BOB)
    one = len(to_bytes(ALICE))
    monkeypatch.setattr(hashquery, "ANSWER_OCTETS_MAX", one + 20)
    assert len(await fetch(node, digest_of(ALICE), digest_of(BOB))) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\0\0\0\1", 400),
        (b"\0\0\0\1\0\0\0\x10" + bytes(15), 400),
        (encode_request([Digest(bytes(16))] * (ASKED_MAX + 1)), 413),
        (bytes(1 << 17), 413),
        (b"\0\0\0\1\0\0\0\x11" + bytes(17), 200),
    ],
)
async def test_what_is_no_request_is_refused(node: SimulatedNode, body: bytes, status: int) -> None:
    reply = await ask(node, body)
    assert reply.status == status
    assert status != 200 or reply.body == b"\0\0\0\0\r\n"


async def test_it_is_to_be_posted(node: SimulatedNode) -> None:
    assert (await node.http.ask("GET", "/pks/hashquery")).status == 405


async def test_it_is_answered_without_recon_too() -> None:
    async with simulated_node(Settings(storage=StorageSettings(shards=2))) as node:
        await add(node, ALICE)
        assert await fetch(node, digest_of(ALICE), digest_of(BOB)) == [to_bytes(ALICE)]


def _form(certificate: bytes) -> bytes:
    return b"keytext=" + b"".join(b"%%%02X" % octet for octet in armor(certificate))


async def test_a_flood_of_one_address_is_limited_and_others_are_answered(
    node: SimulatedNode,
) -> None:
    await add(node, ALICE)
    digests = [Digest(number.to_bytes(16)) for number in range(ASKED_MAX)]
    flood = encode_request(digests)
    taken = hashquery.DIGESTS_AT_FIRST // ASKED_MAX
    for _ in range(taken):
        assert (await ask(node, flood)).status == 200
    refused = await ask(node, flood)
    assert refused.status == 429
    wait_s = int(refused.headers["retry-after"])
    assert wait_s <= ASKED_MAX / hashquery.DIGESTS_A_SECOND + 1
    other = await node.http.ask(
        "POST", "/pks/hashquery", encode_request([digest_of(ALICE)]), client="192.0.2.8"
    )
    assert to_bytes(ALICE) in other.body
    await anyio.sleep(wait_s)
    assert (await ask(node, flood)).status == 200


async def test_a_server_that_fetches_all_there_is_is_not_limited(node: SimulatedNode) -> None:
    """As SKS does, a hundred at once, as fast as a fast one takes them in."""
    batch = encode_request([Digest(number.to_bytes(16)) for number in range(100)])
    for _ in range(2 * hashquery.DIGESTS_AT_FIRST // 100):
        assert (await ask(node, batch)).status == 200
        await anyio.sleep(100 / hashquery.DIGESTS_A_SECOND)


async def test_more_at_once_of_one_address_than_there_may_be_are_refused(
    node: SimulatedNode,
) -> None:
    is_over = anyio.Event()
    body = encode_request([digest_of(ALICE)])

    async def slowly() -> dict[str, object]:
        await is_over.wait()
        return {"type": "http.request", "body": body, "more_body": False}

    statuses: list[int] = []

    async def hang() -> None:
        reply = await node.http.ask("POST", "/pks/hashquery", receive=slowly)
        statuses.append(reply.status)

    async with anyio.create_task_group() as tasks:
        for _ in range(hashquery.OF_ONE_AT_ONCE):
            tasks.start_soon(hang)
        await anyio.wait_all_tasks_blocked()
        assert (await ask(node, body)).status == 429
        other = await node.http.ask("POST", "/pks/hashquery", body, client="192.0.2.8")
        assert other.status == 200
        is_over.set()
    assert statuses == [200] * hashquery.OF_ONE_AT_ONCE
    assert (await ask(node, body)).status == 200


async def test_those_whose_answers_nobody_takes_count_until_they_are_given_up(
    node: SimulatedNode,
) -> None:
    body = encode_request([digest_of(ALICE)])

    async def never_take(number: int) -> None:
        with pytest.raises(NoReplyError):
            await node.http.ask(
                "POST",
                "/pks/hashquery",
                body,
                client=f"2001:db8::{number}",
                taking=anyio.sleep_forever,
            )

    async with anyio.create_task_group() as tasks:
        for number in range(hashquery.OF_ONE_AT_ONCE):
            tasks.start_soon(never_take, number)
        await anyio.wait_all_tasks_blocked()
        neighbour = await node.http.ask("POST", "/pks/hashquery", body, client="2001:db8::ff")
        assert neighbour.status == 429
        assert (await ask(node, body)).status == 200
    neighbour = await node.http.ask("POST", "/pks/hashquery", body, client="2001:db8::ff")
    assert neighbour.status == 200
