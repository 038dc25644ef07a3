"""`keygrove rollback` beside a running server."""

import json
from pathlib import Path

from tests.e2e.conftest import Ended, Server, Servers, keygrove, make_certificate

ALICE = make_certificate("alice", ["Alice <a@rollback.example>"])
GROWN = make_certificate("alice", ["Alice <a@rollback.example>", "Flood <f@rollback.example>"])
BOB = make_certificate("bob", ["Bob <b@rollback.example>"])
FLOOD = [make_certificate(f"flood {number}", ["Flood"]) for number in range(5)]


def rollback(server: Server, *arguments: str) -> Ended:
    return keygrove("rollback", "--data", server.data, *arguments)


def held(server: Server, fingerprint: str) -> bool:
    return server.get(op="get", search=f"0x{fingerprint}").status_code == 200


def loaded(server: Server, folder: Path) -> str:
    """Load the flood, and return the origin of what it brought."""
    dump = folder / "flood.pgp"
    dump.write_bytes(b"".join(one.packets for one in (*FLOOD, GROWN)))
    ended = keygrove("load", "--data", server.data, "--json", str(dump))
    assert ended.status == 0, ended.err
    origin: str = json.loads(ended.out)["origin"]
    return origin


def test_a_load_is_rehearsed_taken_back_kept_out_and_brought_back(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.start()
    assert server.add(ALICE.packets).status_code == 200
    origin = loaded(server, tmp_path)
    assert server.add(BOB.packets).status_code == 200
    rehearsed = rollback(server, "--load", origin, "--dry-run")
    assert rehearsed.out.startswith("would be 5 removed, 1 changed; ")
    assert f"brought by load {origin}: 6\n" in rehearsed.out
    done = rollback(server, "--load", origin, "--reason", "a flood", "--json")
    assert done.status == 0, done.err
    line = json.loads(done.out)
    assert (line["stage"], line["toll"]["removed"], line["toll"]["changed"]) == ("done", 5, 1)
    assert not any(held(server, one.fingerprint) for one in FLOOD)
    assert held(server, ALICE.fingerprint)
    assert held(server, BOB.fingerprint)
    assert server.get(op="get", search="f@rollback.example").status_code == 404
    server.stop()
    server.start()
    again = keygrove("load", "--data", server.data, str(tmp_path / "flood.pgp"))
    assert "(0 new, 0 changed, 1 known, 5 refused)" in again.out
    listed = rollback(server, "--status")
    assert listed.out.split("\t")[0] == line["name"]
    undone = rollback(server, "--undo", line["name"])
    assert undone.status == 0, undone.err
    assert "undone: 6 restored" in undone.out
    assert "is undoing in the server, which goes on if this command is interrupted" in undone.err
    cells = rollback(server, "--status").out.removesuffix("\n").split("\t")
    assert cells[:5:2] == [line["name"], "undone", "a flood"]
    assert cells[3].startswith("5 removed, 1 changed; ")
    assert cells[6].startswith("6 restored; ")
    assert cells[1] <= cells[5]
    for more in ((), ("--dry-run",)):
        again = rollback(server, "--undo", line["name"], *more)
        assert (again.status, again.out) == (1, "")
        assert f"was undone already, at {cells[5]}: 6 restored; " in again.err
    assert all(held(server, one.fingerprint) for one in FLOOD)
    assert server.get(op="get", search="f@rollback.example").status_code == 200


def test_only_what_is_listed_is_taken_back(servers: Servers, tmp_path: Path) -> None:
    server = servers.start()
    for one in FLOOD[:3]:
        assert server.add(one.packets).status_code == 200
    listed = tmp_path / "list"
    listed.write_text(f"{FLOOD[0].fingerprint}\n\n{FLOOD[2].fingerprint.lower()}\n")
    done = rollback(server, "--cause", "upload", "--list", str(listed))
    assert done.status == 0, done.err
    assert [held(server, one.fingerprint) for one in FLOOD[:3]] == [False, True, False]


def test_a_partner_that_there_is_not_is_told_with_those_that_are(
    servers: Servers, tmp_path: Path
) -> None:
    file = tmp_path / "keygrove.toml"
    file.write_text('[[recon.partner]]\nname = "ber"\nrecon = "127.0.0.1:9"\n')
    server = servers.start("--config", str(file))
    for more in ((), ("--dry-run",)):
        ended = rollback(server, "--partner", "be", *more)
        assert (ended.status, ended.out) == (1, "")
        assert "so there is nothing to take back" in ended.err
        assert "there is no partner 'be' in the settings, but ber" in ended.err
        known = rollback(server, "--partner", "ber", *more)
        assert (known.status, "there is no partner" in known.err) == (1, False)


def test_what_concerns_nothing_is_told_and_not_recorded(servers: Servers, tmp_path: Path) -> None:
    server = servers.start()
    origin = loaded(server, tmp_path)
    empty, unknown = tmp_path / "empty", tmp_path / "unknown"
    empty.write_text("")
    unknown.write_text(f"{BOB.fingerprint}\n")
    for arguments in (
        ("--load", "typo"),
        ("--list", str(empty)),
        ("--list", str(unknown)),
        ("--since", "2026-01-01", "--until", "2026-01-01"),
        ("--load", "typo", "--dry-run"),
    ):
        ended = rollback(server, *arguments)
        assert (ended.status, ended.out) == (1, "")
        assert "so there is nothing to take back" in ended.err
    assert rollback(server, "--load", origin).status == 0
    again = rollback(server, "--load", origin)
    assert (again.status, again.out) == (1, "")
    assert rollback(server, "--status").out.count("\n") == 1


def test_what_cannot_be_done_is_told_in_words(servers: Servers) -> None:
    server = servers.start()
    for arguments, status, text in (
        ((), 2, "say what is to be taken back: --since, --cause, --partner, --load or --list"),
        (("--until", "now"), 2, "with --until all that there was by then"),
        (("--status", "--cause", "load"), 2, "--status goes without --cause: leave out one"),
        (("--resume", "never", "--dry-run"), 2, "--resume goes without --dry-run"),
        (("--undo", "never", "--force"), 2, "--undo goes without --force"),
        (("--since", "yesterday"), 1, "'yesterday' is no snapshot, root or time"),
        (("--since", "@9.9.9.9"), 1, "of a change that there never was"),
        (("--undo", "never"), 1, "there is no rollback 'never'"),
        (("--resume", "never"), 1, "there is no rollback 'never'"),
        (("--undo", "never", "--dry-run"), 1, "there is no rollback 'never'"),
    ):
        ended = rollback(server, *arguments)
        assert (ended.status, ended.out) == (status, "")
        assert text in ended.err
    server.stop()
    ended = rollback(server, "--status")
    assert ended.status == 3
    assert "no server" in ended.err
