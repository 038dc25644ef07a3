"""`keygrove snapshot` beside a running server, and without one."""

import json

from tests.e2e.conftest import Ended, Server, Servers, dearmor, keygrove, make_certificate, split

ALICE = make_certificate("alice", ["Alice <a@snapshot.example>"])
GROWN = make_certificate("alice", ["Alice <a@snapshot.example>", "Alicia <a@snapshot.example>"])
BOB = make_certificate("bob", ["Bob <b@snapshot.example>"])
CAROL = make_certificate("carol", ["Carol <c@snapshot.example>"])
CHANGES = [
    f"added\t{CAROL.fingerprint}",
    f"changed\t{ALICE.fingerprint}",
    f"denied\t{BOB.fingerprint}",
]


def snapshot(server: Server, verb: str, *arguments: str) -> Ended:
    return keygrove("snapshot", verb, "--data", server.data, *arguments)


def lines(ended: Ended) -> list[str]:
    assert ended.status == 0, ended.err
    return sorted(ended.out.splitlines())


def lived(servers: Servers) -> Server:
    """A server with a snapshot, and some changes behind it."""
    server = servers.start()
    for one in (ALICE, BOB):
        assert server.add(one.packets).status_code == 200
    assert snapshot(server, "create", "first").status == 0
    for one in (GROWN, CAROL):
        assert server.add(one.packets).status_code == 200
    assert keygrove("admin", "block", "--data", server.data, BOB.fingerprint).status == 0
    return server


def test_what_changed_since_a_snapshot_is_listed_and_shown(servers: Servers) -> None:
    server = lived(servers)
    listed = snapshot(server, "list", "--json")
    (first,) = map(json.loads, lines(listed))
    assert (first["name"], first["certificates"]) == ("first", 2)
    for old in ("first", first["root"]):
        found = snapshot(server, "diff", old)
        assert lines(found) == CHANGES
        assert found.err == "1 added, 1 changed, 0 removed, 1 denied\n"
    as_json = [json.loads(line) for line in lines(snapshot(server, "diff", "first", "--json"))]
    assert sorted(f"{one['kind']}\t{one['fingerprint']}" for one in as_json) == CHANGES
    shown = snapshot(server, "show", "first", BOB.fingerprint)
    assert shown.status == 0, shown.err
    assert split(dearmor(shown.out)) == split(BOB.packets)
    assert snapshot(server, "show", "now", BOB.fingerprint).status == 1
    assert server.get(op="get", search=f"0x{BOB.fingerprint}").status_code == 404


def test_without_a_server_the_files_tell_the_same(servers: Servers) -> None:
    server = lived(servers)
    asked = (
        ("list",),
        ("diff", "first"),
        ("diff", "2000-01-01", "first"),
        ("show", "first", BOB.fingerprint),
    )
    before = [lines(snapshot(server, *words)) for words in asked]
    root = json.loads(keygrove("status", "--data", server.data, "--json").out)["root"]
    server.stop()
    assert [lines(snapshot(server, *words)) for words in asked] == before
    assert lines(snapshot(server, "diff", "first", root)) == CHANGES
    for verb in ("create", "drop"):
        refused = snapshot(server, verb, "first")
        assert refused.status == 3
        assert f"start one with `keygrove serve --data {server.data}`" in refused.err
    server.start()
    assert lines(snapshot(server, "list")) == before[0]
    assert lines(snapshot(server, "diff", "first")) == CHANGES


def test_what_cannot_be_done_is_said_with_what_to_do(servers: Servers) -> None:
    server = servers.start()
    assert snapshot(server, "create", "one").status == 0
    for words, status, text in (
        (("create", "one"), 1, "there is a snapshot 'one': drop it, or take another name"),
        (("create", "now"), 2, "is no name for a snapshot"),
        (("diff", "two"), 1, "'two' is no snapshot, root or time"),
        (("diff", "früh"), 1, "'früh' is no snapshot, root or time"),
        (("drop", "two"), 1, "there is no snapshot 'two'"),
        (("show", "one", ALICE.fingerprint), 1, f"no certificate {ALICE.fingerprint} was held"),
        (("show", "one", "abc"), 2, "no fingerprint"),
    ):
        refused = snapshot(server, *words)
        assert (refused.status, refused.out) == (status, "")
        assert text in refused.err
    assert snapshot(server, "drop", "one").status == 0
    assert snapshot(server, "list") == Ended(0, "", "")


def test_a_moment_in_the_future_is_told_to_be_now(servers: Servers) -> None:
    server = servers.start()
    ended = keygrove("snapshot", "diff", "--data", server.data, "2020-01-01", "2999-01-01")
    assert ended.status == 0
    assert "2999-01-01 is in the future: it means now\n" in ended.err
    assert "2020-01-01 is in the future" not in ended.err
