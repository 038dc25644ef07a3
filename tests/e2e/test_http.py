"""HTTP itself, as the listeners speak it: what holds for every path and every client."""

import socket
from contextlib import suppress

import pytest

from tests.e2e.conftest import Server, make_certificate, read_reply

PATHS = ("/", "/robots.txt", "/pks/stats", "/pks/lookup?op=stats", "/healthz", "/readyz")
CLOSED_WITHIN_S = 6.0


def _ends(connection: socket.socket) -> bool:
    """Whether the other side closes the connection before long."""
    connection.settimeout(CLOSED_WITHIN_S)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_a_head_is_what_its_get_has_without_the_body(server: Server) -> None:
    made = make_certificate("headed", ["Headed <headed@http.example>"])
    assert server.add(made.packets).status_code == 200
    lookup = f"/pks/lookup?search=0x{made.fingerprint}&op="
    for path in (*PATHS, f"{lookup}get", f"{lookup}index", f"{lookup}index&options=mr", "/none"):
        got, head = server.http.get(path), server.http.head(path)
        assert head.status_code == got.status_code, path
        assert head.content == b"", path
        ignored = {"date", "content-length"} if "stats" in path else {"date"}
        fields = [set(answer.headers.items()) for answer in (got, head)]
        differing = {name for name, _ in fields[0] ^ fields[1]}
        assert differing <= ignored, path
        assert got.headers["access-control-allow-origin"] == "*"
        assert int(got.headers["content-length"]) == len(got.content)


def test_an_answer_is_not_sent_again_until_the_certificate_changes(server: Server) -> None:
    before = make_certificate("changing", ["One <changing@http.example>"])
    after = make_certificate("changing", ["Two <changing@http.example>"])
    query = {"op": "get", "search": f"0x{before.fingerprint}"}
    assert server.add(before.packets).status_code == 200
    etag = server.get(**query).headers["etag"]

    known = {"If-None-Match": etag}
    unchanged = server.http.get("/pks/lookup", params=query, headers=known)
    assert server.add(after.packets).status_code == 200
    changed = server.http.get("/pks/lookup", params=query, headers=known)

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == etag
    assert unchanged.headers["access-control-allow-origin"] == "*"
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize("more", ["", "Connection: keep-alive\r\n"], ids=["plain", "keep-alive"])
def test_an_http_1_0_client_is_answered_and_its_connection_closed(
    server: Server, more: str
) -> None:
    with server.connect() as connection:
        connection.sendall(f"GET /healthz HTTP/1.0\r\nHost: k\r\n{more}\r\n".encode())
        reply = read_reply(connection)
        assert (reply.status, reply.body) == (200, b"OK\n")
        assert "transfer-encoding" not in reply.headers
        assert _ends(connection)


@pytest.mark.parametrize("request_", ["GET /healthz", "HEAD /healthz", "DELETE /pks/stats"])
def test_a_body_that_nobody_wants_does_not_keep_the_connection(
    server: Server, request_: str
) -> None:
    """Else its octets, one a second, would hold a connection for ever."""
    head = f"{request_} HTTP/1.1\r\nHost: k\r\nContent-Length: 100000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")
        with suppress(OSError):
            connection.sendall(b"x")
        assert _ends(connection)


def test_bodies_on_their_way_stop_nobody(server: Server) -> None:
    connections = [server.connect() for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(
                b"POST /pks/add HTTP/1.1\r\nHost: k\r\nContent-Length: 9000\r\n\r\nkeytext="
            )
        made = make_certificate("meanwhile", ["Meanwhile <meanwhile@http.example>"])
        assert server.add(made.packets).status_code == 200
        assert server.certificate(made.fingerprint)
    finally:
        for connection in connections:
            connection.close()


def test_requests_in_one_go_are_answered_in_turn(server: Server) -> None:
    requests = b"".join(
        b"GET %s HTTP/1.1\r\nHost: k\r\n%s\r\n" % line
        for line in ((b"/healthz", b""), (b"/none", b""), (b"/readyz", b"Connection: close\r\n"))
    )
    with server.connect() as connection:
        connection.sendall(requests)
        data = b""
        while part := connection.recv(65536):
            data += part
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.index(b"OK\n") < data.index(b"HTTP/1.1 404") < data.index(b"ready\n")
