"""What a server proves, checked by the installed command."""

import json
import stat
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, Made, Server, Servers, keygrove, make_certificate

ALICE = make_certificate("alice", ["Alice <alice@proof.example>"])
NEWER = make_certificate("alice", ["Alice <alice@proof.example>", "Alice <a@proof.example>"])
BOB = make_certificate("bob", ["Bob <bob@proof.example>"], version=6)
NOBODY = "ab" * 20


def key_of(server: Server) -> str:
    shown = keygrove("status", "--data", server.data, "--json")
    assert shown.status == 0, shown.err
    key: str = json.loads(shown.out)["verifier_key"]
    return key


def check(server: Server, *whats: str | Path, key: str = "", stdin: bytes = b"") -> Ended:
    arguments = ("--server", server.url, "--key", key or key_of(server))
    return keygrove("proof", *whats, *arguments, stdin=stdin)


@pytest.mark.parametrize("shards", ["1", "4", "7"])
def test_a_certificate_is_held_from_its_submission_to_its_removal(
    servers: Servers, shards: str
) -> None:
    server = servers.start(env={"KEYGROVE_STORAGE__SHARDS": shards})
    key = key_of(server)
    for made in (ALICE, BOB):
        name = made.fingerprint
        assert f"{name.upper()}: not held" in check(server, name, key=key).out
        assert server.add(made.packets).status_code == 200
        held = check(server, name, key=key)
        assert (held.status, held.err) == (0, "")
        assert f"{name.upper()}: held" in held.out
    removed = keygrove("admin", "block", ALICE.fingerprint, "--data", server.data, "--reason", "x")
    assert removed.status == 0, removed.err
    after = check(server, ALICE.fingerprint, BOB.fingerprint, key=key)
    assert after.status == 0
    assert [line.split(": ")[1] for line in after.out.splitlines()] == ["not held", "held"]


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    for made in (ALICE, BOB):
        assert server.add(made.packets).status_code == 200
    return server


@pytest.mark.parametrize("made", [ALICE, BOB], ids=["v4", "v6"])
def test_the_certificate_that_the_server_gives_is_the_one_that_is_held(
    filled: Server, tmp_path: Path, made: Made
) -> None:
    served = filled.get(op="get", search=f"0x{made.fingerprint}", options="bin")
    (tmp_path / "served").write_bytes(served.content)
    (tmp_path / "other").write_bytes(NEWER.packets)
    name, key = f"0x{made.fingerprint}", key_of(filled)
    assert check(filled, name, "--certificate", tmp_path / "served", key=key).status == 0
    other = check(filled, name, "--certificate", tmp_path / "other", key=key)
    assert other.status == 1
    assert "not the certificate that is held: another is" in other.out
    nobody = check(filled, NOBODY, "--certificate", tmp_path / "served", key=key)
    assert nobody.status == 1
    assert "none is" in nobody.out


def test_proofs_and_heads_are_checked_without_a_server(filled: Server, tmp_path: Path) -> None:
    proof, head = tmp_path / "proof", tmp_path / "head"
    proof.write_bytes(filled.http.get(f"/pks/proof?search={ALICE.fingerprint}").content)
    head.write_bytes(filled.http.get("/pks/proof/head").content)
    key = key_of(filled)
    shown = keygrove("proof", proof, head, "-", "--key", key, "--json", stdin=proof.read_bytes())
    assert shown.status == 0, shown.err
    first, second, third = map(json.loads, shown.out.splitlines())
    assert first["held"]
    assert first["fingerprint"] == ALICE.fingerprint.upper()
    assert first | {"what": "-"} == third
    assert (second["root"], second["size"]) == (first["root"], 2)
    assert "held" not in second


def test_what_does_not_hold_is_told_and_the_rest_is_checked(filled: Server, tmp_path: Path) -> None:
    proof = filled.http.get(f"/pks/proof?search={ALICE.fingerprint}").content
    (tmp_path / "good").write_bytes(proof)
    (tmp_path / "bad").write_bytes(proof.replace(b'"leaf":"', b'"leaf":"AAAA'))
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    shown = check(filled, *(tmp_path / name for name in ("bad", "large", "good")))
    assert shown.status == 1
    assert "2 of 3 did not hold" in shown.err
    bad, large, good = shown.out.splitlines()
    assert "does not hold: " in bad
    assert "at most 262144 octets" in large
    assert ": held: " in good


def test_what_another_key_signed_does_not_hold(filled: Server, servers: Servers) -> None:
    other = key_of(servers.start())
    shown = check(filled, ALICE.fingerprint, key=other)
    assert shown.status == 1
    assert "has not signed it" in shown.out


def test_wrong_use_is_told_from_what_could_not_be_done(filled: Server, tmp_path: Path) -> None:
    key = key_of(filled)
    wrong = keygrove("proof", NOBODY, "--key", "nonsense")
    assert (wrong.status, wrong.out) == (2, "")
    assert "--key is no verifier key" in wrong.err
    assert keygrove("proof", NOBODY).status == 2
    assert keygrove("proof", NOBODY, "--key", key, "--server", "nonsense").status == 2
    (tmp_path / "text").write_text("no certificate")
    text = keygrove("proof", NOBODY, "--key", key, "--certificate", tmp_path / "text")
    assert text.status == 2
    missing = keygrove("proof", tmp_path / "missing", "--key", key)
    assert missing.status == 3
    assert "cannot read" in missing.err
    down = keygrove("proof", NOBODY, "--key", key, "--server", "http://127.0.0.1:1")
    assert (down.status, down.out) == (3, "")
    assert "cannot be asked" in down.err
    elsewhere = keygrove("proof", NOBODY, "--key", key, "--server", filled.metrics_url)
    assert elsewhere.status == 3
    assert "answers with 404" in elsewhere.err


def test_the_key_survives_restarts_and_is_for_its_owner_alone(servers: Servers) -> None:
    server = servers.start(env={"KEYGROVE_PROOFS__NAME": "keys.example.org/certificates"})
    key = key_of(server)
    assert key.startswith("keys.example.org/certificates+")
    file = server.data / "signing.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    server.kill()
    server.start()
    assert key_of(server) == key
    assert server.stop() == 0
    secret = file.read_text()
    assert secret.split("+")[-1].strip() not in server.log()

    file.chmod(0o644)
    opened = keygrove("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert opened.status == 3
    assert "open to others (mode 0644)" in opened.err
    file.chmod(0o600)

    file.write_text(secret[:-5])
    damaged = keygrove("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert damaged.status == 3
    assert "signing.key in the data directory is damaged" in damaged.err
    file.write_text(secret)

    env = {"KEYGROVE_PROOFS__NAME": "other.example.org"}
    renamed = keygrove("serve", "--data", server.data, "--listen", "127.0.0.1:0", env=env)
    assert renamed.status == 2
    assert "proofs.name is other.example.org" in renamed.err
