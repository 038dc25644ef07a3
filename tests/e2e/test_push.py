"""Push of the installed command on real sockets: to another Keygrove, and by VKS over TLS."""

import json
import signal
import sqlite3
import ssl
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.conftest import Made, Server, Servers, eventually, keygrove, make_certificate

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
ONES = [make_certificate(f"push {number}", [f"<p{number}@push.example>"]) for number in range(4)]


def settings(folder: Path, *targets: str, **more: str) -> Path:
    file = folder / "keygrove.toml"
    lines = [f'[[push]]\nto = "{to}"\n' for to in targets]
    file.write_text("".join(lines) + "".join(f"{key} = {value}\n" for key, value in more.items()))
    return file


def has(server: Server, one: Made) -> bool:
    return server.get(op="get", search=f"0x{one.fingerprint}").status_code == 200


def statuses(server: Server) -> list[dict[str, object]]:
    ended = keygrove("push", "status", "--json", "--data", server.data)
    found: list[dict[str, object]] = json.loads(ended.out)
    return found


def has_begun(server: Server) -> bool:
    """Whether the targets' places are known: what comes from then on is to be sent."""
    return all(one["lag"] is not None for one in statuses(server))


def test_what_changes_reaches_another_server_once_that_is_there_and_after_a_kill(
    servers: Servers, tmp_path: Path
) -> None:
    other = servers.start()
    server = servers.start("--config", str(settings(tmp_path, other.hkp, sender='"here"')))
    eventually(lambda: has_begun(server))
    server.add(ONES[0].packets)
    eventually(lambda: has(other, ONES[0]))
    # It is away, and so is the server for a moment.
    port = other.port
    other.stop()
    server.add(ONES[1].packets)
    eventually(lambda: statuses(server)[0]["last_error"])
    shown = keygrove("push", "status", "--data", server.data)
    heading, row = (line.split("\t") for line in shown.out.splitlines())
    assert (heading[0], row[0], len(row)) == ("target", other.hkp, len(heading))
    assert row[1].startswith("again in ")
    assert f"{other.hkp}: " in shown.err
    assert "push: 0 of 1 target up to date\n" in keygrove("status", "--data", server.data).out
    assert server.metric("keygrove_push_failures", target=other.hkp) >= 1
    server.kill()
    server.start()
    server.add(ONES[2].packets)
    again = servers.start("--listen", f"{HOST}:{port}", data=other.data)
    eventually(lambda: has(again, ONES[1]) and has(again, ONES[2]))
    eventually(lambda: statuses(server)[0]["lag"] == 0)
    assert "push: 1 of 1 target up to date\n" in keygrove("status", "--data", server.data).out
    assert server.metric("keygrove_push_certificates_total", result="taken") >= 2
    assert server.stop() == 0


def test_a_server_that_is_restored_sends_what_was_not_sent_yet(
    servers: Servers, tmp_path: Path
) -> None:
    other = servers.start()
    port = other.port
    file = settings(tmp_path, other.hkp)
    server = servers.start("--config", str(file))
    eventually(lambda: has_begun(server))
    other.stop()
    server.add(ONES[0].packets)
    eventually(lambda: statuses(server)[0]["last_error"])
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    ended = keygrove("backup", "--data", server.data, backup)
    assert ended.status == 0, ended.err
    server.kill()
    ended = keygrove("restore", "--data", restored, backup)
    assert ended.status == 0, ended.err
    again = servers.start("--listen", f"{HOST}:{port}", data=other.data)
    servers.start("--config", str(file), data=restored)
    eventually(lambda: has(again, ONES[0]))


def stopped_pair(servers: Servers, folder: Path) -> tuple[Server, Server]:
    """One that has begun to push to the other, and was stopped; and the other."""
    other = servers.start()
    server = servers.start("--config", str(settings(folder, other.hkp)))
    eventually(lambda: has_begun(server))
    assert server.stop() == 0
    return server, other


def test_a_server_whose_places_cannot_be_read_serves_and_says_what_is_wrong(
    servers: Servers, tmp_path: Path
) -> None:
    server, other = stopped_pair(servers, tmp_path)
    file = server.data / "push.db"
    file.rename(server.data / "kept")
    file.mkdir()
    server.start()
    server.add(ONES[0].packets)
    eventually(lambda: "push.db" in str(statuses(server)[0]["last_error"]))
    assert "waiting" in keygrove("push", "status", "--data", server.data).out
    assert server.metric("keygrove_push_ready", target=other.hkp) == 0
    assert "places of targets cannot be read" in [one["event"] for one in server.events()]
    assert server.stop() == 0
    file.rmdir()
    (server.data / "kept").rename(file)
    server.start()
    eventually(lambda: has(other, ONES[0]))
    assert server.metric("keygrove_push_ready", target=other.hkp) == 1


def test_a_place_that_was_lost_is_told_after_further_restarts(
    servers: Servers, tmp_path: Path
) -> None:
    server, other = stopped_pair(servers, tmp_path)
    with closing(sqlite3.connect(server.data / "push.db")) as db, db:
        db.execute("UPDATE place SET standing = standing || x'00'")
    for _ in range(2):
        server.start()
        eventually(lambda: has_begun(server))
        assert "was lost at" in keygrove("push", "status", "--data", server.data).err
        assert server.metric("keygrove_push_place_lost_timestamp_seconds", target=other.hkp) > 0
        assert server.stop() == 0


def test_targets_are_read_again_on_a_hangup(servers: Servers, tmp_path: Path) -> None:
    first, second = servers.start(), servers.start()
    server = servers.start("--config", str(settings(tmp_path, first.hkp)))
    eventually(lambda: has_begun(server))
    settings(tmp_path, second.hkp)
    server.send_signal(signal.SIGHUP)
    eventually(lambda: [one["to"] for one in statuses(server)] == [second.hkp])
    eventually(lambda: has_begun(server))
    server.add(ONES[3].packets)
    eventually(lambda: has(second, ONES[3]))
    assert not has(first, ONES[3])


def test_targets_that_come_with_a_hangup_need_a_start_and_the_command_says_so(
    servers: Servers, tmp_path: Path
) -> None:
    file = settings(tmp_path)
    server = servers.start("--config", str(file))
    settings(tmp_path, f"hkp://{HOST}:9")
    server.send_signal(signal.SIGHUP)
    why = "heeded at a start only: push; start the server anew"
    eventually(lambda: why in [event.get("why") for event in server.events()])
    ended = keygrove("push", "status", "--config", file, "--data", server.data)
    assert (ended.status, ended.out) == (1, "")
    assert "since the server was started without a [[push]]: set one, and start" in ended.err


class Vks:
    """A server that takes uploads over TLS, and the file of the root that vouches for it."""

    def __init__(self, folder: Path) -> None:
        self.uploads: list[tuple[str, dict[str, str], bytes]] = []
        self.root = folder / "root.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._vouched(folder))
        vks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                vks.uploads.append((self.path, dict(self.headers.items()), body))
                answer = b'{"token": "x", "key_fpr": "", "status": {}}'
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its word
                """It is not to be printed."""

        self._server = HTTPServer((HOST, 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _vouched(self, folder: Path) -> Path:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "push test")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        both = folder / "server.pem"
        both.write_bytes(
            self.root.read_bytes()
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return both


@contextmanager
def vks_server(folder: Path) -> Generator[Vks, None, None]:
    found = Vks(folder)
    try:
        yield found
    finally:
        found.close()


def test_uploads_by_vks_go_over_tls_to_servers_that_are_vouched_for_only(
    servers: Servers, tmp_path: Path
) -> None:
    with vks_server(tmp_path) as vks:
        to = f"vks://{HOST}:{vks.port}"
        options = ("--config", str(settings(tmp_path, to, sender='"here.example"')))
        trusting = servers.start(*options, env={"SSL_CERT_FILE": str(vks.root)})
        strict = servers.start(*options)
        for server in (trusting, strict):
            eventually(partial(has_begun, server))
            server.add(ONES[0].packets)
        eventually(lambda: vks.uploads)
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in str(statuses(strict)[0]["last_error"]))
        (upload,) = vks.uploads
        path, headers, body = upload
        assert path == "/vks/v1/upload"
        assert headers["pks-sender"] == "here.example"
        assert headers["user-agent"] == "Keygrove"
        text = json.loads(body)["keytext"]
        assert text.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
        assert statuses(trusting)[0]["results"] == {"taken": 1}
