"""Input that no proper client sends: a 4xx with a clear text, and a server that goes on."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import (
    Gpg,
    Reply,
    Server,
    armor,
    keygrove,
    make_certificate,
    needs,
    read_reply,
)

GROWN_BYTES_MAX = 150 << 20
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def healthy(server: Server) -> Iterator[None]:
    """After all of it the server is well, has not grown, and met no bug."""
    good = make_certificate("good", ["Good <good@bad.example>"])
    assert server.add(good.packets).status_code == 200
    before = server.rss_bytes()
    yield
    assert server.certificate(good.fingerprint)
    assert server.rss_bytes() - before < GROWN_BYTES_MAX
    assert server.metric("keygrove_faults_total") == 0
    assert server.metric("keygrove_actor_restarts_total") == 0
    assert "Traceback" not in server.log()


def _check(answer: httpx.Response | Reply, status: int, text: str) -> None:
    """One line of plain text that says it, for browsers of other sites, too."""
    body = answer.content.decode() if isinstance(answer, httpx.Response) else answer.body.decode()
    got = answer.status_code if isinstance(answer, httpx.Response) else answer.status
    assert (got, text in body) == (status, True), (got, body)
    assert body.count("\n") == 1
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def _post(length: str, body: bytes = b"", *more: str) -> bytes:
    lines = ["POST /pks/add HTTP/1.1", "Host: k", f"Content-Length: {length}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


CUT_OFF = armor(make_certificate("cut", ["Cut"]).packets)[:-60]


@pytest.mark.parametrize(
    ("keytext", "status", "text"),
    [
        ("this is no certificate", 400, "-----BEGIN"),
        (CUT_OFF, 400, "has no end"),
        (CUT_OFF + "\n-----END PGP MESSAGE-----\n", 400, ""),
        (armor(b"\x00" * 40), 400, ""),
        (armor(b"\xc6\xff\xff\xff\xff\xff\x04"), 400, ""),
        (armor(b"\xcd\x05alice"), 422, "primary key"),
        (armor(make_certificate("v5", ["x"]).packets.replace(b"\x04", b"\x05", 1)), 422, ""),
        ("\0" * 100, 400, ""),
    ],
    ids=["text", "truncated", "mismatch", "zeros", "huge length", "no key", "v5", "nulls"],
)
def test_what_is_no_certificate_is_refused_with_the_reason(
    server: Server, keytext: str, status: int, text: str
) -> None:
    answer = server.add(keytext)
    assert answer.status_code == status, answer.text
    assert text in answer.text


@needs("gpg")
def test_p108_a_secret_key_is_neither_stored_nor_logged(server: Server, gpg: Gpg) -> None:
    fingerprint = gpg.make("Secret <secret@bad.example>")
    secret = gpg.do("--armor", "--export-secret-keys", fingerprint)
    assert "PRIVATE KEY" in secret
    _check(server.add(secret), 422, "private key")
    assert server.certificate(fingerprint) == b""
    assert secret.splitlines()[5] not in server.log()


def test_ten_mebibytes_of_zeros_are_too_much(server: Server) -> None:
    answer = server.http.post("/pks/add", content=bytes(10 * MIB))
    _check(answer, 413, "8388608")


def test_zeros_within_the_limit_are_no_form(server: Server) -> None:
    _check(server.http.post("/pks/add", content=bytes(7 * MIB)), 400, "keytext")
    answer = server.http.post("/pks/add", content=b"keytext=" + bytes(7 * MIB))
    _check(answer, 400, "")


def test_two_gibibytes_are_refused_when_they_are_announced(server: Server) -> None:
    _check(server.exchange(_post(str(2 << 30))), 413, "8388608")


def test_too_much_is_refused_before_a_client_that_asks_sends_it(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(_post(str(9 * MIB), b"", "Expect: 100-continue"))
        _check(read_reply(connection), 413, "8388608")


def test_chunks_are_counted(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(12):
            yield bytes(MIB)

    _check(server.http.post("/pks/add", content=chunks()), 413, "8388608")


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("op=get&search=0xABCX", 400, "hex digits"),
        ("op=get&search=0x" + "A" * 10_000, 400, ""),
        ("op=get&search=0xABC", 404, "no certificate"),
        ("op=get&search=", 400, "search"),
        ("op=get", 400, "search"),
        ("search=0x1234567812345678", 400, "operation"),
        ("op=frobnicate&search=a", 400, "operation"),
        ("op=x-frobnicate&search=a", 501, "x-frobnicate"),
        ("op=hget&search=12", 400, "32 hex digits"),
        ("op=get&search=%FF%FE", 400, "UTF-8"),
        ("", 400, "operation"),
        ("&".join(f"a{n}=b" for n in range(300)), 400, "fields"),
        ("op=get&search=" + "x" * 3_000, 400, "shorten"),
        ("op=get&search=%00", 404, "no certificate"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(
    server: Server, query: str, status: int, text: str
) -> None:
    _check(server.http.get(f"/pks/lookup?{query}"), status, text)


def test_an_error_is_json_where_json_was_asked_for(server: Server) -> None:
    answer = server.get(op="get", search="0xZZ", options="json")
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: k\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: k\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: k\r\n" + b"a: b\r\n" * 5_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /pks/lookup?op=get&search=J\xf6rg HTTP/1.1\r\nHost: k\r\n\r\n", 400),
        (_post("-1"), 400),
        (_post("ten"), 400),
        (_post("1\r\nContent-Length: 2", b"ab"), 400),
        (_post("1\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400),
    ],
    ids=["header", "path", "headers", "tls", "latin-1", "-1", "ten", "two lengths", "both"],
)
def test_a_head_that_is_not_http_is_refused(server: Server, request_: bytes, status: int) -> None:
    _check(server.exchange(request_), status, "")


def test_requests_beyond_a_few_at_once_are_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: k\r\n\r\n" * 5)
        for _ in range(5):
            assert read_reply(connection).status == 200
    before = server.rss_bytes()
    with server.connect() as connection, suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: k\r\n\r\n" * 20_000)
        _check(read_reply(connection), 400, "wait for the answers")
    assert server.rss_bytes() - before < 20 * MIB


def test_trailers_are_limited(server: Server) -> None:
    head = b"POST /pks/add HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    _check(server.exchange(head + b"a: b\r\n" * 5_000), 431, "trailers")


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT"])
def test_a_body_that_nobody_asked_for_ends_the_connection(server: Server, method: str) -> None:
    with server.connect() as connection:
        head = f"{method} /healthz HTTP/1.1\r\nHost: k\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode())
        read_reply(connection)
        with suppress(ConnectionError):
            assert connection.recv(1) == b""


def test_a_client_that_has_said_all_still_gets_its_answer(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /pks/stats?options=json HTTP/1.0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        reply = read_reply(connection)
        assert reply.status == 200
        assert connection.recv(1) == b""


def test_raw_characters_in_a_query_are_data(server: Server) -> None:
    text = 'We <"|\\> #1 are <raw@bad.example>'
    assert server.add(make_certificate("raw", [text]).packets).status_code == 200
    query = text.replace(" ", "%20")
    head = f"GET /pks/lookup?op=index&options=mr&search={query} HTTP/1.0\r\nHost: k\r\n\r\n"
    reply = server.exchange(head.encode())
    assert reply.status == 200
    assert reply.body.startswith(b"info:1:1\n")
    assert "transfer-encoding" not in reply.headers


def test_methods_and_paths_that_are_not_there(server: Server) -> None:
    for method, path, allow in (
        ("POST", "/pks/lookup", "GET, HEAD, OPTIONS"),
        ("GET", "/pks/add", "POST, OPTIONS"),
        ("DELETE", "/pks/stats", "GET, HEAD, OPTIONS"),
    ):
        answer = server.http.request(method, path)
        _check(answer, 405, allow)
        assert answer.headers["allow"] == allow
    _check(server.http.get("/pks/nothing"), 404, "nothing")
    options = server.http.options("/pks/add")
    assert options.status_code == 200
    assert "multipart/form-data" in options.headers["accept"]


def test_five_hundred_clients_that_say_nothing_stop_nobody(server: Server) -> None:
    with ExitStack() as opened:
        for _ in range(500):
            connection = opened.enter_context(server.connect())
            connection.sendall(b"GET / HT")
        assert server.http.get("/healthz").status_code == 200


def test_a_client_that_hangs_up_within_its_body_is_nothing_special(server: Server) -> None:
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(_post("1000", b"keytext=abc"))
    assert server.http.get("/healthz").status_code == 200


@pytest.mark.slow
def test_a_head_that_takes_too_long_is_cut_off(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: k\r\n")
        _check(read_reply(connection), 408, "too long")


def test_a_busy_port_is_told_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = keygrove("serve", "--data", tmp_path / "busy", "--listen", address)
    assert ended.status == 3
    assert ended.err.strip().endswith(
        f"cannot listen on {address}: Address already in use; "
        "stop what uses it, or set http.listen (--listen) to another"
    )
    assert "Traceback" not in ended.err
