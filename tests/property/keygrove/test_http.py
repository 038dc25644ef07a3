"""Whatever a client sends, the answer is its fault or none, and the node is well after it."""

from urllib.parse import quote_from_bytes

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keygrove.settings import Settings, StorageSettings
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.node import simulated_node
from tests.loops import run_on_trio

CERTIFICATE = armored(made(1, "Alice <a@x.example>", subkeys=[2]))

printable = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
hexes = st.text(alphabet="0123456789abcdefABCDEFx ", max_size=66)
queries = st.one_of(
    printable,
    st.builds(
        "op={}&search={}&options={}&exact={}".format,
        st.sampled_from(["get", "index", "vindex", "hget", "stats", "x-y", "", "GET"]),
        printable | hexes.map(lambda digits: f"0x{digits}") | st.just("alice"),
        st.sampled_from(["", "mr", "json", "bin", "mr,json", "x"]),
        st.sampled_from(["", "on", "off"]),
    ),
)


def damaged(position: int, octet: int) -> bytes:
    text = bytearray(CERTIFICATE)
    text[position % len(text)] = octet
    return bytes(text)


bodies = st.one_of(
    st.binary(max_size=200),
    st.builds(damaged, st.integers(0, 10_000), st.integers(0, 255)).map(
        lambda text: b"keytext=" + quote_from_bytes(text, safe="").encode()
    ),
)
content_types = st.sampled_from(
    [
        "",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
    ]
)
asks = st.one_of(
    st.tuples(st.just("GET"), queries.map(lambda query: f"/pks/lookup?{query}"), st.just(b"")),
    st.tuples(st.just("POST"), st.just("/pks/add"), bodies),
    st.tuples(st.sampled_from(["GET", "PUT", "HEAD", "OPTIONS"]), printable, st.just(b"")),
)


async def live(requests: list[tuple[str, str, bytes]], content_type: str) -> None:
    async with simulated_node(Settings(storage=StorageSettings(shards=1))) as node:
        for method, target, body in requests:
            headers = {"content-type": content_type} if content_type else {}
            reply = await node.http.ask(method, target, body, headers)
            assert reply.status in {200, 400, 404, 405, 413, 422, 501}, (target, reply.text)
            assert reply.headers["access-control-allow-origin"] == "*"
        assert (await node.http.ask("GET", "/readyz")).status == 200
    assert node.log.events("request failed by a bug") == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(asks, min_size=1, max_size=12), content_types)
def test_nothing_a_client_sends_is_a_fault_of_ours(
    requests: list[tuple[str, str, bytes]], content_type: str
) -> None:
    run_on_trio(live, requests, content_type)
