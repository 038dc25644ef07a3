"""GET /pks/lookup, through a whole node."""

from collections.abc import Callable

import msgspec
import pytest

from keygrove.http.hkp import GET_MAX, INDEX_MAX
from keygrove_chaos.certificates import CREATED, armored, binary, digest_of, made
from keygrove_chaos.node import SimulatedNode
from keygrove_chaos.servers import Reply
from keygrove_chaos.signing import Signer
from keygrove_protocols.hkp.index import parse_index
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    fingerprint,
    group,
    key,
)
from keygrove_protocols.openpgp.packets import split

pytestmark = pytest.mark.anyio

ALICE = made(1, "Alice Äpfel <alice+pgp@x.example>", subkeys=[11], created=CREATED + 1)
BOB = made(2, "Bob <bob@x.example>", "Shared Name")
CAROL = made(3, "Carol", "Shared Name", created=CREATED + 2)
BIDI = "%E2%80%AE"


def hexed(certificate: Certificate) -> str:
    return fingerprint(certificate).hex()


async def add(node: SimulatedNode, *certificates: Certificate) -> None:
    for start in range(0, len(certificates), 100):
        text = armored(*certificates[start : start + 100])
        body = b"keytext=" + b"".join(b"%%%02X" % octet for octet in text)
        reply = await node.http.ask("POST", "/pks/add", body)
        assert reply.status == 200, reply.text


async def look(node: SimulatedNode, query: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await node.http.ask("GET", f"/pks/lookup?{query}", headers=named)


def packets_in(reply: Reply) -> bytes:
    return dearmor(reply.body, BULK).data


@pytest.fixture
async def filled(node: SimulatedNode) -> SimulatedNode:
    await add(node, ALICE, BOB, CAROL)
    return node


ALICE_SEARCHES = {
    "fingerprint": f"0x{hexed(ALICE)}",
    "fingerprint in capitals": f"0x{hexed(ALICE).upper()}",
    "subkey fingerprint": f"0x{hexed(made(11, created=CREATED + 1))}",
    "key ID": f"0x{key(ALICE).key_id.hex()}",
    "subkey's key ID": f"0x{key(made(11, created=CREATED + 1)).key_id.hex()}",
    "bare digits": hexed(ALICE),
    "address with a raw plus": "alice+pgp@x.example",
    "address with an escaped plus": "alice%2Bpgp%40x.example",
    "address in capitals": "ALICE%2BPGP@X.EXAMPLE",
    "whole user ID, raw": "Alice%20%C3%84pfel%20<alice+pgp@x.example>",
    "a word": "alice",
    "words": "%C3%A4pfel+alice",
}


@pytest.mark.parametrize("search", ALICE_SEARCHES.values(), ids=list(ALICE_SEARCHES))
@pytest.mark.parametrize("op", ["get", "index"])
async def test_a_certificate_is_found_by_each_of_its_names(
    filled: SimulatedNode, op: str, search: str
) -> None:
    reply = await look(filled, f"op={op}&options=mr&search={search}")
    assert reply.status == 200
    if op == "get":
        assert packets_in(reply) == binary([ALICE])
    else:
        assert [one.fingerprint for one in parse_index(reply.body)] == [fingerprint(ALICE)]
    assert reply.headers["x-hkp-results-count"] == "1"


@pytest.mark.parametrize(
    "query",
    [
        "op=get&search=0x" + "00" * 20,
        "op=index&search=nobody@x.example",
        "op=get&search=0x1234",
        "op=get&search=0x" + "0" * 32,
        "op=hget&search=" + "0" * 32,
        "op=get&search=alice&exact=on",
        "op=get&search=alice@x.example",
        "op=get&search=alice+nobody",
    ],
)
async def test_what_is_not_held_is_not_found(filled: SimulatedNode, query: str) -> None:
    reply = await look(filled, query)
    assert (reply.status, reply.text) == (404, "no certificate was found\n")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("search=alice", 400),
        ("op=", 400),
        ("op=GET&search=alice", 400),
        ("op=frobnicate&search=alice", 400),
        ("op=get", 400),
        ("op=get&search=", 400),
        ("op=get&search=0xzz", 400),
        ("op=get&search=%FF", 400),
        ("op=get&search=" + "a" * 3_000, 400),
        ("op=hget&search=alice", 400),
        ("op=x-whatever&search=alice", 501),
        ("&".join(["a=b"] * 200), 400),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_in_one_line(
    filled: SimulatedNode, query: str, status: int
) -> None:
    reply = await look(filled, query)
    assert reply.status == status
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.body.count(b"\n") == 1
    assert len(reply.body) < 200


async def test_get_by_fingerprint_has_all_the_headers_clients_want(filled: SimulatedNode) -> None:
    reply = await look(filled, f"op=get&search=0x{hexed(ALICE).upper()}")
    assert reply.headers == {
        "access-control-allow-origin": "*",
        "content-disposition": f'attachment; filename="{hexed(ALICE)}.asc"',
        "x-hkp-results-count": "1",
        "etag": f'"{digest_of(ALICE).hex()}"',
        "cache-control": "public, max-age=300",
        "content-type": "application/pgp-keys",
        "content-length": str(len(reply.body)),
    }
    assert reply.body.endswith(b"-----END PGP PUBLIC KEY BLOCK-----\n")


async def test_armor_comes_without_being_asked_for(filled: SimulatedNode) -> None:
    search = f"op=get&search=0x{hexed(ALICE)}"
    assert (await look(filled, search)).body == (await look(filled, f"{search}&options=mr")).body


async def test_a_certificate_that_did_not_change_is_not_sent_again(filled: SimulatedNode) -> None:
    search = f"op=get&search=0x{hexed(ALICE)}"
    first = await look(filled, search)
    again = await look(filled, search, if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers
    await add(filled, made(1, "Alice B.", created=CREATED + 1))
    changed = await look(filled, search, if_none_match=first.headers["etag"])
    assert changed.status == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_a_list_of_etags_is_understood(filled: SimulatedNode) -> None:
    search = f"op=get&search=0x{hexed(ALICE)}"
    etag = (await look(filled, search)).headers["etag"]
    for value in (f'"other", {etag}', f"W/{etag}", "*"):
        assert (await look(filled, search, if_none_match=value)).status == 304


async def test_several_matches_come_in_one_block(filled: SimulatedNode) -> None:
    reply = await look(filled, "op=get&search=shared+name")
    assert reply.headers["x-hkp-results-count"] == "2"
    assert reply.body.count(b"BEGIN PGP") == 1
    assert set(packets_in(reply).split(b"\xc6")) == set(binary([BOB, CAROL]).split(b"\xc6"))
    assert "etag" not in reply.headers
    assert reply.headers["content-disposition"] == 'attachment; filename="shared%20name.asc"'


async def test_a_digest_finds_a_certificate_in_that_state_only(filled: SimulatedNode) -> None:
    for op in ("hget", "x-hget"):
        reply = await look(filled, f"op={op}&search={digest_of(ALICE).hex()}")
        assert packets_in(reply) == binary([ALICE])
    await add(filled, made(1, "Alice B.", created=CREATED + 1))
    assert (await look(filled, f"op=hget&search={digest_of(ALICE).hex()}")).status == 404


async def test_binary_is_for_whoever_asks(filled: SimulatedNode) -> None:
    reply = await look(filled, f"op=get&options=bin&search=0x{hexed(ALICE)}")
    assert reply.body == binary([ALICE])
    assert reply.headers["content-type"] == "application/pgp"
    assert reply.headers["content-disposition"].endswith('.pgp"')


async def test_a_file_name_carries_nothing_dangerous(filled: SimulatedNode) -> None:
    await add(filled, made(4, 'x"\r\ny: z; /../ \u202e'))
    search = f"x%22%0D%0Ay:%20z;%20/../%20{BIDI}"
    reply = await look(filled, f"op=get&search={search}")
    assert reply.status == 200
    name = reply.headers["content-disposition"]
    assert name.startswith('attachment; filename="')
    inner = name.removeprefix('attachment; filename="').removesuffix('.asc"')
    assert set(inner) <= set("%0123456789ABCDEFabcdefghijklmnopqrstuvwxyz.-_~")


async def test_the_machine_readable_index_lists_the_newest_first(filled: SimulatedNode) -> None:
    reply = await look(filled, "op=index&options=mr&search=shared+name")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.text.splitlines()[:2] == [
        "info:1:2",
        f"pub:{hexed(CAROL).upper()}:22:255:{CREATED + 2}::",
    ]
    assert [one.fingerprint for one in parse_index(reply.body)] == [
        fingerprint(CAROL),
        fingerprint(BOB),
    ]
    assert (await look(filled, "op=vindex&options=mr&search=shared+name")).body == reply.body


async def test_the_index_as_json_has_the_same_certificates(filled: SimulatedNode) -> None:
    reply = await look(filled, "op=index&options=json&search=shared+name")
    assert reply.headers["content-type"] == "application/json"
    listed = msgspec.json.decode(reply.body)
    assert [one["fingerprint"] for one in listed] == [hexed(CAROL), hexed(BOB)]


async def test_p104_a_key_id_that_several_have_returns_them_all(filled: SimulatedNode) -> None:
    """By a subkey that both have bound; index and storage do not ask how they came by the ID."""
    erin = made(5, "Erin", subkeys=[11], created=CREATED + 1)
    await add(filled, erin)
    shared = key(made(11, created=CREATED + 1)).key_id.hex()
    in_order = sorted([ALICE, erin], key=fingerprint)
    listed = await look(filled, f"op=index&options=mr&search=0x{shared}")
    assert sorted(one.fingerprint for one in parse_index(listed.body)) == [
        fingerprint(one) for one in in_order
    ]
    found = group(split(packets_in(await look(filled, f"search=0x{shared}&op=get")), BULK), BULK)
    assert sorted(hexed(one) for one in found if isinstance(one, Certificate)) == [
        hexed(one) for one in in_order
    ]


@pytest.mark.parametrize("op", ["index", "vindex"])
async def test_p107_the_index_for_people_is_html_and_safe(filled: SimulatedNode, op: str) -> None:
    await add(filled, made(5, "<script>alert(1)</script> Eve"))
    reply = await look(filled, f"op={op}&search=eve")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<script>alert" not in reply.body
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; Eve" in reply.body
    assert hexed(made(5)).upper().encode() in reply.body
    search = await look(filled, f"op={op}&search=eve%20<script>")
    assert b"<script>" not in search.body


@pytest.mark.parametrize("short_ids", [False, True], ids=["off", "on"])
async def test_short_key_ids_are_answered_if_the_operator_says_so(
    filled: SimulatedNode, *, short_ids: bool
) -> None:
    reply = await look(filled, f"op=get&search=0x{key(ALICE).key_id.hex()[-8:]}")
    assert reply.status == (200 if short_ids else 404)


@pytest.mark.parametrize("word_search", [False], ids=["off"])
async def test_words_are_not_answered_if_the_operator_says_so(filled: SimulatedNode) -> None:
    assert (await look(filled, "op=get&search=alice")).status == 404
    assert (await look(filled, "op=get&search=shared+name")).status == 200


async def test_exact_search_wants_the_whole_user_id_or_address(filled: SimulatedNode) -> None:
    for search, status in (("shared+name", 200), ("bob@x.example", 200), ("shared", 404)):
        assert (await look(filled, f"op=get&exact=on&search={search}")).status == status


async def test_too_many_matches_are_refused(node: SimulatedNode) -> None:
    await add(node, *(made(n, "Popular") for n in range(INDEX_MAX)))
    assert (await look(node, "op=index&options=mr&search=popular")).status == 200
    too_many = await look(node, "op=get&search=popular")
    assert (too_many.status, str(GET_MAX) in too_many.text) == (413, True)
    await add(node, made(INDEX_MAX, "Popular"))
    reply = await look(node, "op=index&options=mr&search=popular")
    assert (reply.status, str(INDEX_MAX) in reply.text) == (413, True)


@pytest.fixture
async def with_new(filled: SimulatedNode, vector: Callable[[str], bytes]) -> SimulatedNode:
    body = b"keytext=" + vector("v6-rfc9580-sample.asc").replace(b"+", b"%2B")
    assert (await filled.http.ask("POST", "/pks/add", body)).status == 200
    return filled


NEW = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9"


@pytest.mark.parametrize("op", ["get", "index", "vindex"])
async def test_v6_never_comes_to_old_clients(with_new: SimulatedNode, op: str) -> None:
    for options in ("", "mr", "json"):
        reply = await look(with_new, f"op={op}&search=0x{NEW}&options={options}")
        assert reply.status == 404
        assert "version 5 or newer" in reply.text
        assert "options=bin" in reply.text


async def test_v6_comes_as_binary(with_new: SimulatedNode) -> None:
    reply = await look(with_new, f"op=get&options=bin&search=0x{NEW}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/pgp")
    assert b"\x06" in reply.body[:4]


async def test_v6_is_left_out_where_others_match_too(node: SimulatedNode) -> None:
    new, old = made(6, "Both", version=6), made(7, "Both")
    await add(node, new, old)
    got = await look(node, "op=get&search=both")
    assert packets_in(got) == binary([old])
    assert got.headers["x-hkp-results-count"] == "1"
    listed = await look(node, "op=index&options=mr&search=both")
    assert [one.fingerprint for one in parse_index(listed.body)] == [fingerprint(old)]
    both = await look(node, "op=get&options=bin&search=both")
    assert both.headers["x-hkp-results-count"] == "2"
    assert len(both.body) == len(binary([new, old]))


async def test_v6_parts_of_an_old_certificate_are_left_out(node: SimulatedNode) -> None:
    signer, new = Signer(9), Signer(8, version=6)
    old = made(9, "Mixed", subkeys=[8])
    binding = signer.bind(old.primary, new, 0x0C)
    (name, subkey) = old.components
    signature = new.sign(0x10, old.primary, name.packet)
    named = Component(name.packet, (*name.signatures, signature))
    bound = Component(new.subkey, (binding,))
    await add(node, Certificate(old.primary, (), (named, subkey, bound)))
    whole = await look(node, f"op=get&options=bin&search=0x{hexed(old)}")
    got = await look(node, f"op=get&search=0x{hexed(old)}")
    assert signature.body in whole.body
    assert signature.body not in packets_in(got)
    assert new.subkey.body not in whole.body, "a key of version 4 has subkeys of version 4"
    assert subkey.packet.body in packets_in(got)


async def test_a_change_is_seen_at_once(filled: SimulatedNode) -> None:
    search = f"op=get&search=0x{hexed(ALICE)}"
    await look(filled, search)
    await add(filled, made(1, "Alice B.", created=CREATED + 1))
    assert b"Alice B." in packets_in(await look(filled, search))
