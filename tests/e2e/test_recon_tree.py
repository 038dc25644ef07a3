"""What partners of recon would be shown, and what other servers get, from the installed command."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.recon.hashquery import ResponseDecoder, encode_request
from tests.e2e.conftest import Server, Servers, eventually, keygrove, make_certificate

RECON = {"KEYGROVE_STORAGE__SHARDS": "2", "KEYGROVE_RECON__LISTEN": "127.0.0.1:11370"}
SOME = [make_certificate(f"tree {n}", [f"User {n} <u{n}@tree.example>"]) for n in range(12)]


def digests_of(data: Path) -> list[Digest]:
    ended = keygrove("digests", "--data", data, env=RECON)
    assert ended.status == 0, ended.err
    return [Digest(bytes.fromhex(line)) for line in ended.out.split()]


def is_up(server: Server, digests: int) -> Callable[[], bool]:
    def look() -> bool:
        return (
            server.metric("keygrove_recon_tree_ready") == 1
            and server.metric("keygrove_recon_tree_digests") == digests
        )

    return look


def decoded(body: bytes) -> list[bytes]:
    decoder = ResponseDecoder(100)
    found = decoder.feed(body)
    decoder.close()
    return found


@pytest.fixture
def data(tmp_path: Path, servers: Servers) -> Path:
    """Of a server that was stopped."""
    data = tmp_path / "data"
    server = servers.start(data=data, env=RECON)
    for one in SOME:
        assert server.add(one.packets).status_code == 200
    eventually(is_up(server, len(SOME)))
    assert server.stop() == 0
    return data


def test_the_tree_goes_on_where_it_was(data: Path, servers: Servers) -> None:
    server = servers.start(data=data, env=RECON)
    eventually(is_up(server, len(SOME)))
    assert server.metric("keygrove_recon_tree_rebuilds_total") == 0
    assert server.metric("keygrove_recon_tree_mismatches_total") == 0


def test_fsck_finds_a_wrong_tree_and_takes_it_away(data: Path, servers: Servers) -> None:
    assert keygrove("fsck", "--data", data, env=RECON).status == 0
    file = data / "recon/tree.db"
    octets = bytearray(file.read_bytes())
    octets[octets.index(b"KGPT") + 60] ^= 1
    file.write_bytes(octets)
    ended = keygrove("fsck", "--data", data, env=RECON)
    assert ended.status == 1
    assert ended.out.startswith("recon/tree.db: ")
    ended = keygrove("fsck", "--data", data, "--repair", env=RECON)
    assert ended.status == 0
    assert "recon/tree.db was removed: the next start makes the tree anew" in ended.out
    server = servers.start(data=data, env=RECON)
    eventually(is_up(server, len(SOME)))
    assert server.metric("keygrove_recon_tree_rebuilds_total") == 1


def test_servers_get_certificates_by_their_digests(data: Path, servers: Servers) -> None:
    digests = digests_of(data)
    server = servers.start(data=data, env=RECON)
    body = encode_request([*digests, Digest(bytes(16))])
    reply = server.http.post(f"{server.url}/pks/hashquery", content=body)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "pgp/keys")
    found = [sks_digest(split(one, BULK)) for one in decoded(reply.content)]
    assert sorted(found) == digests
    assert len(found) == len(SOME)


def test_a_client_as_old_as_sks_is_answered_with_a_length(data: Path, servers: Servers) -> None:
    digests = digests_of(data)
    server = servers.start(data=data, env=RECON)
    ended = subprocess.run(
        [
            *("curl", "--silent", "--http1.0", "--include", "--data-binary", "@-"),
            *("--header", "Host:", "--header", "Content-Type:", f"{server.url}/pks/hashquery"),
        ],
        input=encode_request(digests[:3]),
        capture_output=True,
        check=True,
        timeout=60,
    )
    head, _, body = ended.stdout.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b" 200 " in lines[0]
    assert f"content-length: {len(body)}".encode() in lines
    assert not [line for line in lines if line.startswith(b"transfer-encoding")]
    assert len(decoded(body)) == 3
