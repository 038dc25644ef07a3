"""POST /pks/add, through a whole node."""

from collections.abc import Callable
from urllib.parse import quote_from_bytes

import anyio
import msgspec
import pytest

from keygrove.cluster.router import shard_name
from keygrove.http.asgi import BODY_DEADLINE_S
from keygrove.settings import Settings
from keygrove.storage.history import LogPage
from keygrove.storage.logged import Logged
from keygrove.storage.messages import ShardApi
from keygrove.storage.snapshot_messages import ReadLog
from keygrove.storage.write import Cause
from keygrove_chaos.certificates import armored, binary, costly, made
from keygrove_chaos.node import SimulatedNode
from keygrove_chaos.servers import NoReplyError, Reply, chunks
from keygrove_chaos.signing import Signer
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.certificate import Certificate, Component, fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag, join

pytestmark = pytest.mark.anyio

ALICE, BOB = made(1, "Alice"), made(2, "Bob")
SECRET = binary([ALICE]) + join([Packet(Tag.SECRET_SUBKEY, b"\x04")])
NEW_VERSION = made(9, version=5)


def form(keytext: bytes, **fields: str) -> bytes:
    others = "".join(f"&{name}={value}" for name, value in fields.items())
    return b"keytext=" + quote_from_bytes(keytext, safe="").encode() + others.encode()


async def add(node: SimulatedNode, body: bytes, query: str = "", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await node.http.ask("POST", f"/pks/add?{query}" if query else "/pks/add", body, named)


async def is_held(node: SimulatedNode, certificate: Certificate) -> bool:
    target = f"/pks/lookup?op=get&search=0x{fingerprint(certificate).hex()}"
    return (await node.http.ask("GET", target)).status == 200


def multipart(keytext: bytes) -> tuple[bytes, str]:
    body = (
        b"--frontier\r\n"
        b'Content-Disposition: form-data; name="keytext"; filename="key.asc"\r\n'
        b"Content-Type: application/pgp-keys\r\n\r\n" + keytext + b"\r\n--frontier--\r\n"
    )
    return body, "multipart/form-data; boundary=frontier"


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", None],
    ids=["form", "other", "none"],
)
async def test_a_form_is_read_whatever_it_calls_itself(
    node: SimulatedNode, content_type: str | None
) -> None:
    headers = {"content_type": content_type} if content_type else {}
    reply = await add(node, form(armored(ALICE, BOB)), **headers)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert await is_held(node, ALICE)
    assert await is_held(node, BOB)


async def test_a_browsers_upload_is_read(node: SimulatedNode) -> None:
    body, kind = multipart(armored(ALICE))
    assert (await add(node, body, content_type=kind)).status == 200
    assert await is_held(node, ALICE)


async def test_curls_form_with_pluses_for_spaces_is_read(node: SimulatedNode) -> None:
    body = quote_from_bytes(armored(ALICE), safe=" ").replace(" ", "+")
    assert (await add(node, b"keytext=" + body.encode())).status == 200


async def test_binary_key_text_is_taken(node: SimulatedNode) -> None:
    assert (await add(node, form(binary([ALICE])))).status == 200
    assert await is_held(node, ALICE)


async def test_the_answer_tells_the_fate_of_each_certificate(node: SimulatedNode) -> None:
    await add(node, form(armored(BOB)))
    reply = await add(node, form(armored(ALICE, BOB, NEW_VERSION)))
    assert reply.status == 200
    told = msgspec.json.decode(reply.body)
    assert told["inserted"] == [{"version": 4, "fingerprint": fingerprint(ALICE).hex()}]
    assert told["ignored"] == [{"version": 4, "fingerprint": fingerprint(BOB).hex()}]
    assert "updated" not in told
    (invalid,) = told["invalid"]
    assert invalid["fingerprint"] == fingerprint(NEW_VERSION).hex()
    assert "version 5" in invalid["comment"]
    again = await add(node, form(armored(made(1, "Alice", "Amy"))))
    assert list(msgspec.json.decode(again.body)) == ["updated"]


async def test_what_was_dropped_of_a_submission_is_told_and_why(node: SimulatedNode) -> None:
    forged = Signer(66).sign(0x13, ALICE.primary, unhashed=Signer(1).issuer)
    unbound = Component(Packet(Tag.USER_ID, b"Mallory"), (forged,))
    body = form(binary([msgspec.structs.replace(ALICE, components=(*ALICE.components, unbound))]))
    await add(node, form(armored(ALICE)))
    (told,) = msgspec.json.decode((await add(node, body)).body)["ignored"]
    assert told["comment"] == (
        "dropped, 1 BadSelfSig: in the name of its key, which did not make it; "
        "dropped, 1 Unbound: a user ID or subkey that its key has not signed for"
    )
    assert "which did not make it" in (await add(node, body, accept="text/html")).text


async def test_a_photograph_that_is_not_kept_is_told(node: SimulatedNode) -> None:
    photo = Packet(Tag.USER_ATTRIBUTE, b"\x02\x01x")
    bound = Component(photo, (Signer(1).sign(0x13, ALICE.primary, photo),))
    body = form(binary([msgspec.structs.replace(ALICE, components=(*ALICE.components, bound))]))
    (told,) = msgspec.json.decode((await add(node, body)).body)["inserted"]
    assert told["comment"] == "left out, 2 packets: user attributes"


async def test_a_browser_gets_a_page_and_a_program_json(node: SimulatedNode) -> None:
    body = form(armored(ALICE, NEW_VERSION))
    page = await add(node, body, accept="text/html,*/*")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert fingerprint(ALICE).hex().upper() in page.text
    for reply in (
        await add(node, body, "options=json", accept="text/html"),
        await add(node, form(armored(ALICE), options="mr"), accept="text/html"),
        await add(node, body, accept="*/*"),
    ):
        assert reply.headers["content-type"] == "application/json"


MANY_NAMES = made(3, *(f"User {number}" for number in range(1_001)))
UNSIGNED = Certificate(ALICE.primary, (), (Component(ALICE.components[0].packet),))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"keytext=", 400),
        (b"nothing=here", 400),
        (form(b"garbage"), 400),
        (form(armored(ALICE)[:-30]), 400),
        (form(b"\xc6\x05ab"), 400),
        (form(bytes(10 << 10)), 400),
        (form(SECRET), 422),
        (form(armored(NEW_VERSION)), 422),
        (form(join([Packet(Tag.USER_ID, b"x")])), 422),
        (form(binary([MANY_NAMES])), 413),
        (form(binary([costly(20_000)])), 413),
        (form(binary([UNSIGNED])), 422),
        (form(join([Signer(1).sign(0x20, ALICE.primary)])), 422),
        (form(binary([made(n) for n in range(101)])), 413),
        (b"keytext=" + bytes(SUBMISSION.body_bytes_max), 413),
        (b"&".join([b"a=b"] * 200), 400),
    ],
    ids=[
        "empty body",
        "empty keytext",
        "no keytext",
        "garbage",
        "cut armor",
        "truncated packet",
        "zeros",
        "secret key",
        "version 5",
        "no certificate",
        "large certificate",
        "costly certificate",
        "unsigned certificate",
        "revocation of what is not held",
        "many certificates",
        "large body",
        "many fields",
    ],
)
async def test_what_cannot_be_taken_is_answered_by_whose_fault_it_is(
    node: SimulatedNode, body: bytes, status: int
) -> None:
    reply = await add(node, body)
    assert reply.status == status, reply.text
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.body.count(b"\n") == 1
    assert not await is_held(node, ALICE)
    assert (await add(node, form(armored(BOB)))).status == 200


async def test_an_error_is_json_for_whoever_asked_for_it(node: SimulatedNode) -> None:
    reply = await add(node, form(b"garbage"), "options=json")
    assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
    assert list(msgspec.json.decode(reply.body)) == ["error"]


async def test_p108_a_secret_key_is_never_repeated(node: SimulatedNode) -> None:
    secret = join([Packet(Tag.SECRET_KEY, b"\x04 the secret itself")])
    reply = await add(node, form(secret))
    assert reply.status == 422
    assert "private key" in reply.text
    assert "the secret itself" not in reply.text
    assert "the secret itself" not in str(node.log.lines)


async def test_an_announced_length_beyond_the_limit_is_refused_unread(
    node: SimulatedNode,
) -> None:
    async def receive() -> dict[str, object]:
        asked.append(1)
        return {"type": "http.disconnect"}

    asked: list[int] = []
    reply = await node.http.ask(
        "POST", "/pks/add", headers={"content-length": str(2 << 30)}, receive=receive
    )
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert len(asked) == 1, "only to let the client finish"


async def test_a_body_beyond_the_limit_is_refused_as_it_comes(node: SimulatedNode) -> None:
    part = bytes(1 << 20)
    reply = await node.http.ask("POST", "/pks/add", receive=chunks([part] * 20))
    assert (reply.status, reply.headers["connection"]) == (413, "close")


async def test_a_body_in_many_parts_is_one_body(node: SimulatedNode) -> None:
    whole = form(armored(ALICE))
    parts = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    reply = await node.http.ask("POST", "/pks/add", receive=chunks(parts))
    assert reply.status == 200
    assert await is_held(node, ALICE)


async def test_a_slow_body_is_given_up(node: SimulatedNode) -> None:
    begun = anyio.current_time()
    reply = await node.http.ask(
        "POST", "/pks/add", receive=chunks([b"keytext="], then=anyio.sleep_forever)
    )
    assert (reply.status, reply.headers["connection"]) == (408, "close")
    assert anyio.current_time() - begun == pytest.approx(BODY_DEADLINE_S, abs=5)


async def test_a_client_that_goes_is_noted_and_nothing_is_stored(node: SimulatedNode) -> None:
    async def gone() -> None:
        await anyio.sleep(1)

    with pytest.raises(NoReplyError):
        await node.http.ask("POST", "/pks/add", receive=chunks([form(armored(ALICE))], then=gone))
    assert node.log.events("request answered")[-1].facts["status"] == 499
    assert not await is_held(node, ALICE)


async def test_every_vector_is_answered_and_none_is_a_fault_of_ours(
    node: SimulatedNode, vector: Callable[[str], bytes]
) -> None:
    for name in (
        "gpg-ed25519-3subkeys.asc",
        "armor-multi.asc",
        "bad-truncated.pgp",
        "uat-image.pgp",
    ):
        reply = await add(node, form(vector(name)))
        assert reply.status in {200, 400, 422}, name
    assert node.log.events("request failed by a bug") == []


@pytest.mark.parametrize(
    ("sender", "origin"),
    [("keys.example.org", "keys.example.org"), ("", ""), ("x" * 65, ""), ("a\x00b", "")],
)
async def test_who_passes_it_on_is_written_down_if_that_can_be_a_name(
    node: SimulatedNode, settings: Settings, sender: str, origin: str
) -> None:
    for certificate in (ALICE, BOB):
        assert (await add(node, form(armored(certificate)), pks_sender=sender)).status == 200
    found = [
        (entry.cause, entry.origin)
        for shard in range(settings.storage.shards)
        for entry in await log_of(node, shard)
    ]
    assert found == [(Cause.UPLOAD, origin)] * 2


async def log_of(node: SimulatedNode, shard: int) -> tuple[Logged, ...]:
    ref = node.runtime.whereis(shard_name(shard), ShardApi)
    page = await ref.call(ReadLog(0, None, 10))
    assert isinstance(page, LogPage)
    return page.entries
