"""`keygrove fsck` on the files of servers that run, were stopped, and rotted."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import Servers, keygrove, make_certificate

ONE = {"KEYGROVE_STORAGE__SHARDS": "1"}
SOME = [make_certificate(f"fsck {n}", [f"User {n} <u{n}@fsck.example>"]) for n in range(8)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "some.pgp"
    file.write_bytes(b"".join(one.packets for one in SOME))
    data = tmp_path / "data"
    ended = keygrove("load", "--data", data, file, env=ONE)
    assert ended.status == 0, ended.err
    return data


def rot(data: Path, needle: bytes, *, octets: int) -> None:
    """Overwrite the end of these octets, which lie in the heap."""
    heap = data / "shard-0/heap.db"
    held = bytearray(heap.read_bytes())
    at = held.rindex(needle) + len(needle)
    held[at - octets : at] = bytes(octets)
    heap.write_bytes(held)


def test_a_whole_store_is_told_so(data: Path) -> None:
    ended = keygrove("fsck", "--data", data, "--level", "6")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("looked over 8 rows to level 6 in ")
    assert ended.out.endswith(": no problem\n")


def test_what_rotted_is_found_named_and_repaired_from_a_dump(data: Path, tmp_path: Path) -> None:
    assert keygrove("dump", "--data", data, tmp_path / "dump").status == 0
    rot(data, SOME[3].packets[-40:], octets=20)
    before = (data / "shard-0/heap.db").read_bytes()
    ended = keygrove("fsck", "--data", data)
    assert ended.status == 1
    assert "heap.db, row " in ended.out
    assert "it is not what was written; run `keygrove fsck " in ended.out
    assert f"`keygrove fsck --data {data} --repair`" in ended.out
    assert (data / "shard-0/heap.db").read_bytes() == before
    ended = keygrove("fsck", "--data", data, "--repair", "--from", tmp_path / "dump")
    assert (ended.status, ended.err) == (0, "")
    assert "is as it was written again" in ended.out
    assert keygrove("fsck", "--data", data).status == 0


def test_what_is_lost_is_named_and_the_rest_is_dumped(data: Path, tmp_path: Path) -> None:
    rot(data, SOME[3].packets[-40:], octets=20)
    ended = keygrove("fsck", "--data", data, "--repair", "--json")
    report = json.loads(ended.out)
    assert (ended.status, report["lost"], report["findings"]) == (1, 1, [])
    assert any(SOME[3].fingerprint.upper() in text for text in report["repaired"])
    dumped = keygrove("dump", "--data", data, tmp_path / "dump", "--json")
    assert json.loads(dumped.out)["certificates"] == 7
    again = keygrove("load", "--data", data, tmp_path / "some.pgp", "--json", env=ONE)
    assert json.loads(again.out)["inserted"] == 1


def test_what_is_lost_beside_certificates_is_counted_by_its_kind_and_ends_with_1(
    data: Path, servers: Servers
) -> None:
    server = servers.start(data=data, env=ONE)
    for one in SOME[:3]:
        assert keygrove("admin", "block", "--data", data, one.fingerprint).status == 0
    redacted = "User 4 <u4@fsck.example>"
    done = keygrove("admin", "redact", "--data", data, SOME[4].fingerprint, "--user-id", redacted)
    assert done.status == 0, done.err
    assert keygrove("snapshot", "create", "--data", data, "before").status == 0
    server.stop()
    with closing(sqlite3.connect(data / "shard-0/heap.db")) as db, db:
        db.execute("UPDATE audit SET n = n + 1 WHERE seq < 3")
        db.execute("UPDATE redact SET n = n + 1")
        db.execute("UPDATE snapshot SET n = n + 1")
    ended = keygrove("fsck", "--data", data, "--repair")
    assert ended.status == 1
    assert "2 entries of the audit log are gone\n" in ended.out
    assert "1 redaction is gone\n" in ended.out
    assert "1 snapshot is gone\n" in ended.out
    assert ended.out.endswith(": no problem\n")
    assert keygrove("fsck", "--data", data, "--repair").status == 0


def test_beside_a_server_it_says_what_it_skips_and_repairs_nothing(
    data: Path, servers: Servers
) -> None:
    servers.start(data=data, env=ONE)
    ended = keygrove("fsck", "--data", data)
    assert ended.status == 0
    assert "its index, skipped" in ended.err
    ended = keygrove("fsck", "--data", data, "--repair")
    assert ended.status == 3
    assert "is in use by keygrove serve" in ended.err


def test_where_nothing_is_there_is_nothing_to_check(tmp_path: Path) -> None:
    ended = keygrove("fsck", "--data", tmp_path / "none")
    assert ended.status == 3
    assert not (tmp_path / "none").exists()


def test_a_dump_is_of_use_to_a_repair_only(data: Path, tmp_path: Path) -> None:
    ended = keygrove("fsck", "--data", data, "--from", tmp_path / "some.pgp")
    assert ended.status == 2


def test_a_server_serves_all_but_what_rotted_and_tells_of_it_once(
    data: Path, servers: Servers
) -> None:
    rot(data, SOME[3].packets[-40:], octets=20)
    server = servers.start(data=data, env=ONE)
    for _ in range(2):
        assert server.get(op="get", search=f"0x{SOME[3].fingerprint}").status_code == 503
    assert server.get(op="get", search=f"0x{SOME[2].fingerprint}").status_code == 200
    assert server.add(SOME[3].packets).status_code == 503
    ready = server.http.get(f"{server.url}/readyz")
    assert ready.status_code == 200
    assert "damaged: shard-0, in 1 places: run keygrove fsck" in ready.text
    assert server.metric("keygrove_shard_damaged_rows", shard="0") == 1
    assert server.metric("keygrove_shard_damaged_requests_total", shard="0") == 3
    assert [event["child"] for event in server.events() if event["event"] == "row damaged"] == [
        "shard-0"
    ]
    told = keygrove("status", "--data", data)
    assert "shard 0 is damaged in 1 places" in told.err
