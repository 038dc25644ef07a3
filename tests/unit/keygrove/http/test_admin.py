"""Administrators' requests, through a whole node."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote_from_bytes

import msgspec
import pytest

from keygrove.settings import AdminSettings, Settings, StorageSettings
from keygrove.storage.shard import OpenStore
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.node import EPOCH, SimulatedNode, memory_stores, simulated_node
from keygrove_chaos.servers import Reply
from keygrove_chaos.signing import Signer, subpacket
from keygrove_protocols.hkp.admin import AdminAction, AdminRequest, write_request
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, to_bytes
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import join
from keygrove_protocols.openpgp.redaction import user_id_hash
from keygrove_protocols.openpgp.signatures import KEY_REVOCATION

pytestmark = pytest.mark.anyio

ALICE, BOB, BOBBY = made(1, "Alice"), made(2, "Bob"), made(2, "Bobby")
ADMIN, STRANGER = made(7, "Admin"), made(8, "Stranger")
SERVER = "keys.example.org"


def settings_for(*admins: Certificate, hockeypuck_form: bool = False) -> Settings:
    keys = tuple(fingerprint(one).hex() for one in admins)
    return Settings(
        storage=StorageSettings(shards=2),
        admin=AdminSettings(keys=keys, server=SERVER, hockeypuck_form=hockeypuck_form),
    )


@pytest.fixture
def settings() -> Settings:
    return settings_for(ADMIN, hockeypuck_form=True)


@pytest.fixture
async def node(settings: Settings) -> AsyncGenerator[SimulatedNode, None]:
    async with running(settings) as started:
        yield started


@asynccontextmanager
async def running(
    settings: Settings, stores: list[OpenStore] | None = None
) -> AsyncGenerator[SimulatedNode, None]:
    """A node that holds the administrator's certificate, Alice's, and Bob's."""
    async with simulated_node(settings, stores=stores) as started:
        assert (await post(started, "add", keytext=armored(ADMIN, ALICE, BOB))).status == 200
        yield started


async def post(node: SimulatedNode, path: str, **fields: bytes) -> Reply:
    pairs = (f"{name}={quote_from_bytes(value, safe='')}" for name, value in fields.items())
    return await node.http.ask("POST", f"/pks/{path}", "&".join(pairs).encode(), {})


def request(
    action: AdminAction,
    *names: Certificate,
    server: str = SERVER,
    date: int = EPOCH,
    nonce: int = 1,
) -> AdminRequest:
    fingerprints = tuple(fingerprint(one) for one in names)
    return AdminRequest(action, server, date, bytes(15) + bytes((nonce,)), fingerprints, "why not")


def signed(text: bytes, signer: int = 7, created: int = EPOCH) -> bytes:
    return join([Signer(signer).sign_document(text, created=created)])


async def ask(node: SimulatedNode, wanted: AdminRequest, signer: int = 7, **fields: bytes) -> Reply:
    text = write_request(wanted)
    return await post(node, "admin", request=text, signature=signed(text, signer), **fields)


def results(reply: Reply) -> list[str]:
    return [line["result"] for line in msgspec.json.decode(reply.body)["results"]]


async def held(node: SimulatedNode, certificate: Certificate) -> bytes:
    """What is served of it; nothing if that is 404."""
    target = f"/pks/lookup?op=get&search=0x{fingerprint(certificate).hex()}&options=bin"
    reply = await node.http.ask("GET", target)
    assert reply.status in (200, 404)
    return reply.body if reply.status == 200 else b""


async def add(node: SimulatedNode, certificate: Certificate) -> int:
    return (await post(node, "add", keytext=armored(certificate))).status


@pytest.mark.parametrize("action", [AdminAction.BLOCK, AdminAction.DELETE])
async def test_p100_a_blocked_certificate_is_gone_and_stays_away(
    node: SimulatedNode, action: AdminAction
) -> None:
    reply = await ask(node, request(action, ALICE, BOB))

    assert (reply.status, results(reply)) == (200, ["done", "done"])
    assert await held(node, ALICE) == b""
    assert await add(node, ALICE) == 422
    assert await held(node, ALICE) == b""


async def test_p100_it_comes_back_with_a_submission_once_it_is_unblocked(
    node: SimulatedNode,
) -> None:
    await ask(node, request(AdminAction.BLOCK, ALICE))
    reply = await ask(node, request(AdminAction.UNBLOCK, ALICE, nonce=2))

    assert (reply.status, results(reply)) == (200, ["done"])
    assert await held(node, ALICE) == b""
    assert await add(node, ALICE) == 200
    assert await held(node, ALICE) == to_bytes(ALICE)


async def test_what_is_not_held_can_be_blocked(node: SimulatedNode) -> None:
    reply = await ask(node, request(AdminAction.BLOCK, STRANGER))
    assert (reply.status, results(reply)) == (200, ["blocked-not-held"])
    assert await add(node, STRANGER) == 422


async def test_what_is_blocked_is_not_blocked_anew(node: SimulatedNode) -> None:
    await ask(node, request(AdminAction.BLOCK, ALICE))
    reply = await ask(node, request(AdminAction.DELETE, ALICE, nonce=2))
    assert (reply.status, results(reply)) == (409, ["already-blocked"])


@pytest.mark.parametrize("action", [AdminAction.BLOCK, AdminAction.DELETE, AdminAction.UNBLOCK])
async def test_a_subkey_is_not_blocked_but_told_whose_it_is(
    node: SimulatedNode, action: AdminAction
) -> None:
    owner = made(3, "Owner", subkeys=(4,))
    await add(node, owner)
    reply = await ask(node, request(action, made(4)))
    assert (reply.status, msgspec.json.decode(reply.body)["results"]) == (
        409,
        [
            {
                "fingerprint": fingerprint(made(4)).hex().upper(),
                "result": "subkey",
                "primaries": [fingerprint(owner).hex().upper()],
            }
        ],
    )
    assert await held(node, owner)
    assert await add(node, made(4, "Free")) == 200


async def test_a_primary_key_that_somebody_took_for_a_subkey_is_blocked(
    node: SimulatedNode,
) -> None:
    await add(node, made(3, "Thief", subkeys=(1,)))
    reply = await ask(node, request(AdminAction.BLOCK, ALICE))
    assert (reply.status, results(reply)) == (200, ["done"])
    assert (await ask(node, request(AdminAction.UNBLOCK, ALICE, nonce=2))).status == 200


async def test_what_is_not_blocked_cannot_be_unblocked(node: SimulatedNode) -> None:
    reply = await ask(node, request(AdminAction.UNBLOCK, ALICE))
    assert (reply.status, results(reply)) == (409, ["not-blocked"])


def replacement(certificate: Certificate) -> AdminRequest:
    wanted = request(AdminAction.REPLACE, certificate)
    digest = hashlib.sha256(to_bytes(certificate)).digest()
    return msgspec.structs.replace(wanted, certificate=digest)


async def test_a_replacement_takes_the_place_and_is_not_merged(node: SimulatedNode) -> None:
    reply = await ask(node, replacement(BOBBY), keytext=armored(BOBBY))
    assert (reply.status, results(reply)) == (200, ["done"])
    assert await held(node, BOBBY) == to_bytes(BOBBY) != to_bytes(BOB)


async def test_a_blocked_certificate_is_not_replaced(node: SimulatedNode) -> None:
    await ask(node, request(AdminAction.BLOCK, BOB, nonce=2))
    reply = await ask(node, replacement(BOBBY), keytext=armored(BOBBY))
    assert (reply.status, results(reply)) == (409, ["blocked"])
    assert await held(node, BOB) == b""


@pytest.mark.parametrize("other", [BOB, ALICE], ids=["another state", "another certificate"])
async def test_another_certificate_than_the_one_that_was_signed_replaces_nothing(
    node: SimulatedNode, other: Certificate
) -> None:
    reply = await ask(node, replacement(BOBBY), keytext=armored(other))
    assert reply.status == 422
    assert await held(node, BOB) == to_bytes(BOB)


async def test_a_certificate_under_anothers_fingerprint_replaces_nothing(
    node: SimulatedNode,
) -> None:
    wanted = msgspec.structs.replace(replacement(BOBBY), fingerprints=(fingerprint(ALICE),))
    reply = await ask(node, wanted, keytext=armored(BOBBY))
    assert reply.status == 422
    assert await held(node, ALICE) == to_bytes(ALICE)


async def test_what_the_policy_refuses_replaces_nothing(node: SimulatedNode) -> None:
    bare = Certificate(BOB.primary)
    reply = await ask(node, replacement(bare), keytext=armored(bare))
    assert (reply.status, b"NoValidSelfSig" in reply.body) == (422, True)
    assert await held(node, BOB) == to_bytes(BOB)


async def test_p101_a_bad_signature_is_refused(node: SimulatedNode) -> None:
    text = write_request(request(AdminAction.DELETE, ALICE))
    other = write_request(request(AdminAction.DELETE, BOB))
    reply = await post(node, "admin", request=text, signature=signed(other))
    assert (reply.status, b"does not hold" in reply.body) == (422, True)
    assert await held(node, ALICE)


@pytest.mark.parametrize("date", [EPOCH - 3_700, EPOCH + 3_700])
async def test_p101_a_stale_date_is_refused(node: SimulatedNode, date: int) -> None:
    reply = await ask(node, request(AdminAction.DELETE, ALICE, date=date))
    assert (reply.status, b"at most 1 h" in reply.body) == (422, True)
    assert await held(node, ALICE)


async def test_p101_a_request_for_another_server_is_refused(node: SimulatedNode) -> None:
    reply = await ask(node, request(AdminAction.DELETE, ALICE, server="other.example"))
    assert (reply.status, b"'other.example'" in reply.body) == (422, True)
    assert await held(node, ALICE)


async def test_p101_a_replayed_nonce_is_refused_also_after_a_restart(settings: Settings) -> None:
    stores = memory_stores(2)
    wanted = request(AdminAction.DELETE, ALICE)
    async with running(settings, stores) as node:
        assert (await ask(node, wanted)).status == 200
        await ask(node, request(AdminAction.UNBLOCK, ALICE, nonce=2))
    async with running(settings, stores) as node:
        assert await held(node, ALICE)
        reply = await ask(node, wanted)
        assert (reply.status, results(reply)) == (409, ["repeated"])
        assert await held(node, ALICE)


async def test_a_request_that_was_carried_out_in_part_does_the_rest(node: SimulatedNode) -> None:
    await ask(node, request(AdminAction.DELETE, ALICE))
    reply = await ask(node, request(AdminAction.DELETE, ALICE, BOB))
    assert (reply.status, results(reply)) == (200, ["repeated", "done"])


async def test_p101_a_key_that_is_no_administrators_is_refused(node: SimulatedNode) -> None:
    assert await add(node, STRANGER) == 200
    reply = await ask(node, request(AdminAction.DELETE, ALICE), signer=8)
    assert (reply.status, b"none of the keys" in reply.body) == (422, True)
    assert await held(node, ALICE)


async def test_p101_a_revoked_administrators_key_is_refused(node: SimulatedNode) -> None:
    signer = Signer(7)
    revocation = signer.sign(KEY_REVOCATION, signer.primary, created=EPOCH)
    revoked = msgspec.structs.replace(ADMIN, direct=(*ADMIN.direct, revocation))
    assert await add(node, revoked) == 200
    reply = await ask(node, request(AdminAction.DELETE, ALICE))
    assert (reply.status, b"revoked" in reply.body) == (422, True)
    assert await held(node, ALICE)


async def test_p101_an_administrator_whose_certificate_is_not_held_is_refused(
    node: SimulatedNode,
) -> None:
    await ask(node, request(AdminAction.DELETE, ADMIN))
    reply = await ask(node, request(AdminAction.DELETE, ALICE, nonce=2))
    assert (reply.status, b"of 1 administrators' certificates 0 are held" in reply.body) == (
        422,
        True,
    )
    assert b"if yours is not, submit it" in reply.body
    assert await held(node, ALICE)


@pytest.mark.parametrize("missing", ["request", "signature"])
async def test_a_form_without_all_fields_is_malformed(node: SimulatedNode, missing: str) -> None:
    text = write_request(request(AdminAction.DELETE, ALICE))
    fields = {"request": text, "signature": signed(text)}
    del fields[missing]
    reply = await post(node, "admin", **fields)
    assert (reply.status, missing.encode() in reply.body) == (400, True)


async def test_what_is_done_and_what_is_refused_is_logged_and_counted(node: SimulatedNode) -> None:
    await ask(node, request(AdminAction.DELETE, ALICE))
    await ask(node, request(AdminAction.DELETE, BOB, nonce=2), signer=8)
    scraped = (await node.metrics.ask("GET", "/metrics")).body.decode()

    (done,) = node.log.events("certificate administered")
    (refused,) = node.log.events("admin request refused")
    assert done.facts == {
        "action": "delete",
        "result": "done",
        "fingerprint": fingerprint(ALICE).hex().upper(),
        "by": fingerprint(ADMIN).hex().upper(),
        "nonce": "00" * 15 + "01",
    }
    assert (refused.level, refused.facts["code"]) == ("warning", "UnknownSigner")
    assert 'keygrove_admin_actions_total{action="delete",result="done"} 1.0' in scraped
    assert 'keygrove_admin_refusals_total{code="UnknownSigner"} 1.0' in scraped


ALICES = made(1, "Alice", "Alice at work")
AT_WORK = made(1, "Alice at work")


def about(action: AdminAction, *texts: str, nonce: int = 1) -> AdminRequest:
    """A request about user IDs of Alice's."""
    user_ids = tuple(user_id_hash(text.encode()) for text in texts)
    return msgspec.structs.replace(request(action, ALICE, nonce=nonce), user_ids=user_ids)


async def load(node: SimulatedNode, certificate: Certificate) -> None:
    """As a dump, or a peer, brings it."""
    octets = msgspec.msgpack.encode([to_bytes(certificate)])
    assert (await node.control.ask("POST", "/load", octets, {})).status == 200


async def test_p102_a_redacted_user_id_does_not_return_whatever_the_route(
    node: SimulatedNode,
) -> None:
    assert await add(node, ALICES) == 200
    reply = await ask(node, about(AdminAction.REDACT, "Alice"))

    assert (reply.status, results(reply)) == (200, ["done"])
    assert await held(node, ALICE) == to_bytes(AT_WORK)
    search = await node.http.ask("GET", "/pks/lookup?op=index&options=mr&search=Alice&exact=on")
    assert search.status == 404
    assert await add(node, ALICES) == 200
    await load(node, ALICES)
    await load(node, ALICE)
    assert await held(node, ALICE) == to_bytes(AT_WORK)
    revocation = Signer(1).sign(KEY_REVOCATION, ALICE.primary, hashed=subpacket(29, b"\1"))
    assert (await post(node, "add", keytext=join([revocation]))).status == 200
    revoked = Certificate(AT_WORK.primary, (revocation,), AT_WORK.components)
    assert await held(node, ALICE) == to_bytes(revoked)

    reply = await ask(node, about(AdminAction.UNREDACT, "Alice", nonce=2))
    assert (reply.status, results(reply)) == (200, ["done"])
    await load(node, ALICES)
    both = Certificate(ALICES.primary, (revocation,), ALICES.components)
    assert await held(node, ALICE) == to_bytes(both)


async def test_p102_what_has_nothing_but_a_redacted_user_id_is_not_taken(
    node: SimulatedNode,
) -> None:
    assert results(await ask(node, about(AdminAction.REDACT, "Alice"))) == ["done"]
    assert await held(node, ALICE) == b""
    reply = await post(node, "add", keytext=armored(ALICE))
    (entry,) = msgspec.json.decode(reply.body)["invalid"]
    assert (reply.status, entry["comment"]) == (
        422,
        "nothing of it is left without the user IDs that are not taken here",
    )
    assert await add(node, AT_WORK) == 200
    assert await held(node, ALICE) == to_bytes(AT_WORK)


async def test_what_is_not_held_is_redacted_ahead_and_taken_again_only_if_it_is(
    node: SimulatedNode,
) -> None:
    ahead = await ask(node, about(AdminAction.REDACT, "Alice at work"))
    assert (ahead.status, results(ahead)) == (200, ["redacted-not-held"])
    assert await add(node, ALICES) == 200
    assert await held(node, ALICE) == to_bytes(ALICE)
    nothing = await ask(node, about(AdminAction.UNREDACT, "Alice", nonce=2))
    assert (nothing.status, results(nothing)) == (409, ["not-redacted"])
    scraped = (await node.metrics.ask("GET", "/metrics")).body.decode()
    line = 'keygrove_admin_actions_total{action="redact-uid",result="redacted-not-held"} 1.0'
    assert line in scraped


async def test_no_user_id_is_in_the_log_of_a_redaction(node: SimulatedNode) -> None:
    await add(node, made(1, "Secret <s@x.example>"))
    await ask(node, about(AdminAction.REDACT, "Secret <s@x.example>"))
    assert node.log.events("certificate administered")
    assert [line for line in node.log.lines if "Secret" in str(line.facts)] == []


async def test_without_administrators_there_are_no_such_paths() -> None:
    async with running(settings_for()) as node:
        for path in ("admin", "delete", "replace"):
            assert (await post(node, path, keytext=b"x")).status == 404


async def test_hockeypucks_form_is_not_taken_unless_it_is_asked_for() -> None:
    async with running(settings_for(ADMIN)) as node:
        text = b"/pks/delete\n" + armored(ALICE)
        assert (await post(node, "delete", keytext=text, keysig=signed(text))).status == 404
        assert await held(node, ALICE)


async def hockeypuck(
    node: SimulatedNode,
    path: str,
    certificate: Certificate,
    *,
    signer: int = 7,
    created: int = EPOCH,
) -> Reply:
    text = f"/pks/{path}\n".encode() + armored(certificate)
    return await post(node, path, keytext=text, keysig=signed(text, signer, created))


async def test_h080_hockeypucks_delete_removes_and_blocks(node: SimulatedNode) -> None:
    reply = await hockeypuck(node, "delete", ALICE)
    entry = {"version": 4, "fingerprint": fingerprint(ALICE).hex()}
    assert (reply.status, msgspec.json.decode(reply.body)) == (200, {"deleted": [entry]})
    assert await held(node, ALICE) == b""
    assert await add(node, ALICE) == 422


async def test_h080_hockeypucks_replace_is_not_merged(node: SimulatedNode) -> None:
    reply = await hockeypuck(node, "replace", BOBBY)
    assert (reply.status, list(msgspec.json.decode(reply.body))) == (200, ["updated"])
    assert await held(node, BOB) == to_bytes(BOBBY)
    reply = await hockeypuck(node, "replace", STRANGER)
    assert (reply.status, list(msgspec.json.decode(reply.body))) == (200, ["inserted"])


async def test_h080_hockeypucks_form_is_refused_as_hockeypuck_does(node: SimulatedNode) -> None:
    text, other, bare = (
        line + armored(ALICE) for line in (b"/pks/delete\n", b"/pks/replace\n", b"")
    )
    replies = [
        await post(node, "delete", keytext=text),
        await post(node, "delete", keytext=bare, keysig=signed(bare)),
        await post(node, "delete", keytext=other, keysig=signed(other)),
        await hockeypuck(node, "delete", ALICE, signer=8),
        await hockeypuck(node, "delete", STRANGER),
    ]
    assert [reply.status for reply in replies] == [400, 400, 400, 422, 404]
    assert await held(node, ALICE)


async def test_h082_a_replayed_replacement_of_hockeypucks_form_is_refused(
    node: SimulatedNode,
) -> None:
    assert (await hockeypuck(node, "replace", BOBBY)).status == 200
    assert (await hockeypuck(node, "replace", BOB, created=EPOCH + 1)).status == 200
    assert (await hockeypuck(node, "replace", BOBBY)).status == 409
    assert await held(node, BOB) == to_bytes(BOB)
    assert (await hockeypuck(node, "replace", BOBBY, created=EPOCH + 2)).status == 200


async def local(
    node: SimulatedNode, action: str, *names: Fingerprint, user_ids: Sequence[str] = ()
) -> Reply:
    wanted = {
        "action": action,
        "fingerprints": [one.hex() for one in names],
        "reason": "spam",
        "user_ids": [user_id_hash(text.encode()).hex() for text in user_ids],
    }
    return await node.control.ask("POST", "/admin", msgspec.json.encode(wanted), {})


async def test_whoever_works_on_the_machine_needs_no_signature() -> None:
    async with running(settings_for()) as node:
        name = fingerprint(ALICE)
        assert (await local(node, "block", name)).status == 200
        assert await held(node, ALICE) == b""
        assert [line.facts["by"] for line in node.log.events("certificate administered")] == [
            "local"
        ]
        assert (await local(node, "unblock", name)).status == 200
        assert await add(node, ALICE) == 200
        assert (await local(node, "unblock", name)).status == 409
        assert (await local(node, "replace", name)).status == 400
        assert (await local(node, "block")).status == 400


async def test_on_the_machine_user_ids_are_redacted_without_a_signature() -> None:
    async with running(settings_for()) as node:
        name = fingerprint(ALICE)
        assert await add(node, ALICES) == 200
        done = await local(node, "redact-uid", name, user_ids=["Alice"])
        assert (done.status, results(done)) == (200, ["done"])
        assert await held(node, ALICE) == to_bytes(AT_WORK)
        assert (await local(node, "unredact-uid", name, user_ids=["Alice"])).status == 200
        assert await add(node, ALICES) == 200
        assert await held(node, ALICE) == to_bytes(ALICES)
        assert (await local(node, "redact-uid", name)).status == 400
        assert (await local(node, "block", name, user_ids=["Alice"])).status == 400
