"""Administrators with GnuPG, a server, and a machine that they may work on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import (
    Gpg,
    Server,
    Servers,
    armor,
    eventually,
    keygrove,
    make_certificate,
    needs,
    split,
)

pytestmark = needs("gpg")

HOST = "keys.example.org"
ALICE = make_certificate("alice", ["Alice <alice@admin.example>", "Private <p@admin.example>"])
BOB = make_certificate("bob", ["Bob <bob@admin.example>"])


class Office:
    """An administrator's desk: a GnuPG home, and a server that knows the key."""

    def __init__(self, gpg: Gpg, servers: Servers, folder: Path) -> None:
        self.gpg = gpg
        self.folder = folder
        self.key = gpg.make("Admin <admin@admin.example>")
        env = {
            "KEYGROVE_ADMIN__KEYS": json.dumps([self.key]),
            "KEYGROVE_ADMIN__SERVER": HOST,
            "KEYGROVE_ADMIN__HOCKEYPUCK_FORM": "true",
        }
        self.server = servers.start(env=env)
        assert self.server.add(gpg.export(self.key)).status_code == 200
        assert self.server.add(ALICE.packets).status_code == 200

    def request(
        self, action: str, *certificates: str | Path, reason: str = "asked for", user_id: str = ""
    ) -> Path:
        """A request that was written and signed as the how-to says."""
        arguments = ["--server", HOST, "--reason", reason, action, *certificates]
        if user_id:
            arguments += ["--user-id", user_id]
        written = keygrove("admin", "request", *arguments)
        assert written.status == 0, written.err
        file = self.folder / f"request-{len(list(self.folder.iterdir()))}"
        file.write_text(written.out)
        self.gpg.do("--armor", "--local-user", self.key, "--detach-sign", file)
        return file

    def send(self, request: Path, **fields: str) -> httpx.Response:
        form = {
            "request": request.read_text(),
            "signature": request.with_name(f"{request.name}.asc").read_text(),
        }
        return self.server.http.post("/pks/admin", data=form | fields)

    def listed(self, what: str) -> list[dict[str, Any]]:
        """What a command lists, beside the running server."""
        ended = keygrove("admin", what, "--data", self.server.data, "--json")
        assert ended.status == 0, ended.err
        return [json.loads(line) for line in ended.out.splitlines()]


@pytest.fixture
def office(gpg: Gpg, servers: Servers, tmp_path: Path) -> Office:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Office(gpg, servers, folder)


def results(answer: httpx.Response) -> list[str]:
    return [one["result"] for one in answer.json()["results"]]


def test_p100_what_an_administrator_deletes_stays_away_until_it_is_unblocked(
    office: Office, tmp_path: Path
) -> None:
    server, file = office.server, tmp_path / "alice.pgp"
    file.write_bytes(ALICE.packets)
    deletion = office.request("delete", ALICE.fingerprint)

    answer = office.send(deletion)
    assert (answer.status_code, results(answer)) == (200, ["done"])
    assert server.certificate(ALICE.fingerprint) == b""
    assert server.get(op="index", search="alice@admin.example").status_code == 404
    assert server.add(ALICE.packets).status_code == 422
    assert keygrove("load", "--data", server.data, file).status == 1

    server.stop()
    assert keygrove("load", "--data", server.data, file).status == 1
    server.start()
    assert server.certificate(ALICE.fingerprint) == b""
    assert [one["fingerprint"] for one in office.listed("blocked")] == [ALICE.fingerprint]

    assert office.send(office.request("unblock", ALICE.fingerprint)).status_code == 200
    assert server.add(ALICE.packets).status_code == 200
    again = office.send(deletion)
    assert (again.status_code, results(again)) == (409, ["repeated"])
    assert server.certificate(ALICE.fingerprint)
    assert office.listed("blocked") == []
    told = [(one["by"], one["action"], one["result"]) for one in office.listed("audit")]
    assert told == [(office.key, "block", "done"), (office.key, "unblock", "done")]
    assert server.metric("keygrove_admin_actions_total", result="repeated") == 1


def test_p102_a_redacted_user_id_stays_away_until_it_is_taken_again(
    office: Office, tmp_path: Path
) -> None:
    server, file, private = office.server, tmp_path / "alice.pgp", "Private <p@admin.example>"
    file.write_bytes(ALICE.packets)
    redaction = office.request("redact-uid", ALICE.fingerprint, user_id=private)
    assert "Private" not in redaction.read_text()

    answer = office.send(redaction)
    assert (answer.status_code, results(answer)) == (200, ["done"])
    assert b"Private" not in server.certificate(ALICE.fingerprint)
    assert b"alice@admin.example" in server.certificate(ALICE.fingerprint)
    assert server.get(op="index", search="p@admin.example").status_code == 404
    assert server.add(ALICE.packets).status_code == 200
    assert keygrove("load", "--data", server.data, file).status == 0

    server.stop()
    assert keygrove("load", "--data", server.data, file).status == 0
    server.start()
    assert b"Private" not in server.certificate(ALICE.fingerprint)

    again = office.request("unredact-uid", ALICE.fingerprint, user_id=private)
    assert results(office.send(again)) == ["done"]
    assert server.add(ALICE.packets).status_code == 200
    assert b"Private" in server.certificate(ALICE.fingerprint)
    told = [(one["by"], one["action"], one["result"]) for one in office.listed("audit")]
    assert told == [(office.key, "redact-uid", "done"), (office.key, "unredact-uid", "done")]


def test_an_administrator_replaces_a_certificate(office: Office, tmp_path: Path) -> None:
    smaller = make_certificate("alice", ["Alice <alice@admin.example>"])
    file = tmp_path / "smaller.asc"
    file.write_text(armor(smaller.packets))

    answer = office.send(office.request("replace", file), keytext=file.read_text())

    assert (answer.status_code, results(answer)) == (200, ["done"])
    assert sorted(split(office.server.certificate(ALICE.fingerprint))) == sorted(
        split(smaller.packets)
    )


def test_h080_requests_in_hockeypucks_form_are_carried_out(office: Office) -> None:
    for path, status in (("replace", 200), ("delete", 200), ("delete", 404)):
        file = office.folder / path
        file.write_text(f"/pks/{path}\n{armor(ALICE.packets)}")
        office.gpg.do("--yes", "--armor", "--textmode", "--detach-sign", file)
        form = {"keytext": file.read_text(), "keysig": Path(f"{file}.asc").read_text()}
        assert office.server.http.post(f"/pks/{path}", data=form).status_code == status
    assert office.server.certificate(ALICE.fingerprint) == b""


def test_p101_a_revoked_administrator_is_refused(office: Office) -> None:
    request = office.request("block", ALICE.fingerprint)
    revocation = (office.gpg.home / "openpgp-revocs.d" / f"{office.key}.rev").read_text()
    assert office.server.add(revocation.replace(":-----BEGIN", "-----BEGIN")).status_code == 200

    answer = office.send(request)

    assert (answer.status_code, "revoked" in answer.text) == (422, True)
    assert office.server.certificate(ALICE.fingerprint)
    assert office.server.metric("keygrove_admin_refusals_total", code="UnfitSigner") == 1


def test_p101_what_is_not_signed_as_it_should_be_is_refused(
    office: Office, gpg_homes: Callable[[], Gpg]
) -> None:
    request = office.request("block", ALICE.fingerprint)
    text = request.read_text()
    changed = request.with_name("changed")
    changed.write_text(text.replace(ALICE.fingerprint, BOB.fingerprint))
    changed.with_name("changed.asc").write_text(
        request.with_name(f"{request.name}.asc").read_text()
    )
    stranger = gpg_homes()
    stranger.make("Stranger <s@admin.example>")
    forged = request.with_name("forged")
    forged.write_text(text)
    stranger.do("--armor", "--detach-sign", forged)
    elsewhere = request.with_name("elsewhere")
    elsewhere.write_text(text.replace(HOST, "other.example"))
    office.gpg.do("--armor", "--detach-sign", elsewhere)

    answers = [office.send(one) for one in (changed, forged, elsewhere)]

    assert [one.status_code for one in answers] == [422, 422, 422]
    assert office.server.certificate(ALICE.fingerprint)
    assert office.listed("audit") == []


def test_on_the_machine_nothing_has_to_be_signed(server: Server) -> None:
    assert server.add(BOB.packets).status_code == 200
    data = ("--data", server.data)

    done = keygrove("admin", "block", *data, "--reason", "spam", BOB.fingerprint)
    assert (done.status, done.out) == (0, f"{BOB.fingerprint} done\n")
    assert server.certificate(BOB.fingerprint) == b""
    listed = keygrove("admin", "blocked", *data)
    (row,) = [line.split("\t") for line in listed.out.splitlines()]
    assert (row[0], row[2]) == (BOB.fingerprint, "spam")
    assert keygrove("admin", "unblock", *data, BOB.fingerprint).status == 0
    again = keygrove("admin", "unblock", *data, BOB.fingerprint)
    assert (again.status, again.out) == (1, f"{BOB.fingerprint} not-blocked\n")
    log = keygrove("admin", "audit", *data)
    assert [line.split("\t")[1:] for line in log.out.splitlines()] == [
        ["local", "block", "done", BOB.fingerprint, "spam"],
        ["local", "unblock", "done", BOB.fingerprint, ""],
        ["local", "unblock", "not-blocked", BOB.fingerprint, ""],
    ]


def test_who_blocks_is_told_what_came_of_it(servers: Servers, gpg: Gpg) -> None:
    server = servers.start()
    owner = gpg.make("Owner <o@admin.example>", subkey=True)
    (subkey,) = gpg.fingerprints(of="sub")
    assert server.add(gpg.export(owner)).status_code == 200
    data = ("--data", server.data)

    refused = keygrove("admin", "block", *data, subkey)
    assert (refused.status, refused.out) == (1, f"{subkey} subkey\n")
    assert f"name its certificate, {owner}" in refused.err
    ahead = keygrove("admin", "block", *data, "--reason", "first", ALICE.fingerprint)
    assert (ahead.status, ahead.out) == (0, f"{ALICE.fingerprint} blocked-not-held\n")
    assert "nothing of it was held" in ahead.err
    again = keygrove("admin", "block", *data, "--reason", "second", ALICE.fingerprint)
    assert (again.status, again.out) == (1, f"{ALICE.fingerprint} already-blocked\n")
    blocked = keygrove("admin", "blocked", *data)
    assert blocked.out.rstrip().endswith("first")
    log = keygrove("admin", "audit", *data)
    assert [line.split("\t")[3::2] for line in log.out.splitlines()] == [
        ["blocked-not-held", "first"],
        ["already-blocked", "second"],
    ]


def test_administrators_whose_certificates_are_not_held_are_warned_of(
    servers: Servers, gpg: Gpg, tmp_path: Path
) -> None:
    key = gpg.make("Admin <admin@admin.example>")
    config = tmp_path / "keygrove.toml"
    config.write_text(f'[admin]\nkeys = ["{key}"]\nserver = "{HOST}"\n')
    env = {"KEYGROVE_ADMIN__KEYS": json.dumps([key]), "KEYGROVE_ADMIN__SERVER": HOST}
    check = ("config", "check", "--config", config, "--data")

    fresh = keygrove(*check, tmp_path / "none")
    assert (fresh.status, fresh.out) == (0, "the settings are fine\n")
    assert f"admin.keys: {key} is not held in {tmp_path / 'none'}: submit" in fresh.err
    server = servers.start(env=env)
    warned = eventually(lambda: [one for one in server.events() if "admin key" in one["event"]])
    assert [(one["event"], one["level"], one["fingerprint"]) for one in warned] == [
        ("admin key not held", "warning", key)
    ]
    shown = keygrove("status", "--data", server.data)
    assert (shown.status, f"admin.keys: {key} is not held here: submit" in shown.err) == (0, True)

    assert server.add(gpg.export(key)).status_code == 200
    assert keygrove("status", "--data", server.data).err == ""
    assert keygrove(*check, server.data).err == ""


def test_on_the_machine_user_ids_are_redacted(server: Server) -> None:
    assert server.add(ALICE.packets).status_code == 200
    data, private = ("--data", server.data), ("--user-id", "Private <p@admin.example>")

    done = keygrove("admin", "redact", *data, *private, ALICE.fingerprint)
    assert (done.status, done.out) == (0, f"{ALICE.fingerprint} done\n")
    assert b"Private" not in server.certificate(ALICE.fingerprint)
    ahead = keygrove("admin", "redact", *data, *private, "--user-id", "Bob", BOB.fingerprint)
    assert (ahead.status, ahead.out) == (0, f"{BOB.fingerprint} redacted-not-held\n")
    assert keygrove("admin", "unredact", *data, *private, ALICE.fingerprint).status == 0
    again = keygrove("admin", "unredact", *data, *private, ALICE.fingerprint)
    assert (again.status, again.out) == (1, f"{ALICE.fingerprint} not-redacted\n")
    assert keygrove("admin", "redact", *data, ALICE.fingerprint).status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("request", "--server", HOST, "delete", "0123456789ABCDEF"),
        ("request", "--server", HOST, "--reason", "two\nlines", "delete", "AB" * 20),
        ("request", "delete", "AB" * 20),
        ("request", "--server", HOST, "replace", "/nowhere"),
        ("block", "alice"),
        ("request", "--server", HOST, "redact-uid", "AB" * 20),
        ("request", "--server", HOST, "--user-id", "Alice", "delete", "AB" * 20),
    ],
    ids=[
        "a key ID",
        "two lines",
        "no server",
        "no file",
        "no fingerprint",
        "no user ID",
        "a user ID to delete",
    ],
)
def test_what_no_server_would_take_is_not_written(arguments: tuple[str, ...]) -> None:
    ended = keygrove("admin", *arguments)
    assert (ended.status, ended.out) == (2, "")
