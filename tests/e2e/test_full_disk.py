"""A disk without a free block: the server starts, serves what it has, and takes up again.

Only root can mount the small file system that these tests fill; others skip them.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import pytest

from tests.e2e.conftest import Made, Server, Servers, eventually, keygrove, make_certificate, split
from tests.small_disk import SmallDisk, mounted

NUMBER = 40
LARGE = make_certificate("large", [f"User {n} {'x' * 500} <l{n}@full.example>" for n in range(200)])


def made(number: int) -> Made:
    return make_certificate(f"full {number}", [f"User {number} <u{number}@full.example>"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 8 << 20) as found:
        yield found


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    file = tmp_path / "dump.pgp"
    file.write_bytes(b"".join(made(number).packets for number in range(NUMBER)))
    return file


@pytest.fixture
def filled(disk: SmallDisk, dump: Path) -> Path:
    """A data directory with some certificates, on a disk that is full by now."""
    data = disk.path / "data"
    assert keygrove("load", "--data", data, dump).status == 0
    disk.fill()
    return data


def assert_finds_fingerprints(server: Server) -> None:
    for number in range(NUMBER):
        one = made(number)
        assert split(server.certificate(one.fingerprint)) == split(one.packets)


def assert_serves(server: Server) -> None:
    """All that is held is found, by every way there is; nothing more is taken."""
    assert_finds_fingerprints(server)
    assert "User 7" in server.get(op="index", search="u7@full.example").text
    assert server.total() == NUMBER
    assert server.add(LARGE.packets).status_code == 507
    assert server.http.get("/readyz").status_code == 200


def nothing(_: Path) -> None:
    """Everything is as the last writer left it."""


def remove_logs(data: Path) -> None:
    """As in a copy that was made without them."""
    for path in data.glob("shard-*/*.db-*"):
        path.unlink()


@pytest.mark.parametrize("before", [nothing, remove_logs], ids=lambda one: one.__name__)
def test_a_server_starts_on_a_full_disk_and_serves(
    servers: Servers, disk: SmallDisk, filled: Path, before: Callable[[Path], None]
) -> None:
    before(filled)
    disk.fill()
    server = servers.start(data=filled)
    assert_serves(server)
    assert "degraded: disk critical: submissions are refused" in server.http.get("/readyz").text
    disk.free()
    eventually(lambda: server.http.get("/readyz").text.count("degraded") == 0)
    assert server.add(LARGE.packets).status_code == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log()
    assert len(keygrove("digests", "--data", filled).out.splitlines()) == NUMBER + 1


@pytest.mark.parametrize("signal", [SIGTERM, SIGKILL], ids=str)
def test_a_server_that_met_a_full_disk_starts_again_on_it(
    servers: Servers, disk: SmallDisk, dump: Path, signal: Signals
) -> None:
    data = disk.path / "data"
    assert keygrove("load", "--data", data, dump).status == 0
    server = servers.start(data=data)
    disk.fill()
    for _ in range(3):
        assert_serves(server)
        server.send_signal(signal)
        assert server.wait() == (0 if signal == SIGTERM else -SIGKILL)
        disk.fill()
        server.start()
    assert_serves(server)
    assert {event["level"] for event in server.events()} <= {"info", "warning"}
    restarts = [event for event in server.events() if event["event"] == "actor restarting"]
    assert restarts == []


def test_what_only_reads_works_on_a_full_disk(
    servers: Servers, filled: Path, tmp_path: Path
) -> None:
    for name in ("down", "up"):
        digests = keygrove("digests", "--data", filled)
        assert (digests.status, len(digests.out.splitlines())) == (0, NUMBER)
        dumped = keygrove("dump", "--data", filled, tmp_path / name, "--json")
        assert json.loads(dumped.out)["certificates"] == NUMBER
        if name == "down":
            servers.start(data=filled)


def test_without_an_index_and_room_for_one_fingerprints_are_found(
    servers: Servers, disk: SmallDisk, filled: Path
) -> None:
    for path in filled.glob("shard-*/index.db*"):
        path.unlink()
    disk.fill()
    server = servers.start(data=filled)
    assert server.stop() == 0, "a start that cannot end can be stopped"
    server.start()
    assert_finds_fingerprints(server)
    searched = server.get(op="index", search="u7@full.example")
    assert (searched.status_code, searched.headers["retry-after"]) == (503, "10")
    assert server.add(made(NUMBER).packets).status_code == 507
    ready = server.http.get("/readyz")
    assert ready.status_code == 503
    assert "the disk is full: free some space" in ready.text
    status = keygrove("status", "--data", server.data)
    assert status.status == 0
    assert "shard 3 is making the index" in status.out
    loaded = keygrove("load", "--data", server.data, disk.path / "ballast")
    assert loaded.status == 3
    assert "the disk is full: free some space" in loaded.err
    disk.free()
    eventually(lambda: server.http.get("/readyz").text.startswith("ready\n"))
    eventually(lambda: server.http.get("/readyz").text.count("degraded") == 0)
    assert "User 7" in server.get(op="index", search="u7@full.example").text
    assert server.add(made(NUMBER).packets).status_code == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log()


def test_a_load_into_a_full_disk_says_what_to_do_and_what_was_kept(
    servers: Servers, disk: SmallDisk, tmp_path: Path
) -> None:
    data, file = disk.path / "data", tmp_path / "large.pgp"
    file.write_bytes(
        b"".join(
            make_certificate(f"l {n}", [f"{n} {u} {'x' * 900}" for u in range(40)]).packets
            for n in range(400)
        )
    )
    why = (
        f"the disk of {data} is full, or nearly so: free some space, then load again; "
        "what was loaded stays"
    )

    def load() -> dict[str, Any]:
        ended = keygrove("load", "--data", data, "--json", file)
        assert (ended.status, ended.err) == (3, f"Error: {why}\n")
        found: dict[str, Any] = json.loads(ended.out)
        assert found["stopped"] == why
        return found

    assert 0 < load()["inserted"] < 400
    kept = load()
    assert kept["inserted"] == 0 < kept["ignored"] < 400
    server = servers.start(data=data)
    assert load()["ignored"] <= server.total() < 400


def test_a_store_that_could_not_be_made_is_made_once_there_is_room(
    servers: Servers, disk: SmallDisk, dump: Path
) -> None:
    data = disk.path / "data"
    data.mkdir()
    disk.fill()
    for command in (("load", "--data", str(data), str(dump)), ("serve", "--data", str(data))):
        ended = keygrove(*command, env={"KEYGROVE_HTTP__LISTEN": "127.0.0.1:0"})
        assert ended.status == 3
        assert "no space left for heap.db: free some" in ended.err.splitlines()[-1]
    disk.free()
    assert keygrove("load", "--data", data, dump).status == 0
    server = servers.start(data=data)
    assert server.total() == NUMBER


def test_what_makes_room_goes_on_when_submissions_do_not(
    servers: Servers, disk: SmallDisk, dump: Path
) -> None:
    data = disk.path / "data"
    assert keygrove("load", "--data", data, dump).status == 0
    server = servers.start(data=data)
    reserve = data / "reserve"
    assert reserve.stat().st_size == (8 << 20) // 100
    assert server.metric("keygrove_disk_reserved_bytes") == reserve.stat().st_size
    disk.fill()
    eventually(lambda: not reserve.exists())
    assert server.add(made(NUMBER).packets).status_code == 507
    assert server.metric("keygrove_disk_refuses_submissions") == 1
    blocked = keygrove("admin", "block", "--data", data, made(0).fingerprint)
    assert (blocked.status, blocked.err) == (0, "")
    assert server.get(op="get", search=f"0x{made(0).fingerprint}").status_code == 404
    status = keygrove("status", "--data", data)
    assert "degraded: disk critical, so that submissions are refused" in status.out
    disk.free()
    eventually(reserve.exists)
    assert server.add(made(NUMBER).packets).status_code == 200
    told = [(e["room"], e["level"]) for e in server.events() if e["event"] == "disk room changed"]
    assert ("critical", "warning") in told
    assert told[-1] == ("room", "info")
    assert server.stop() == 0


def test_a_repair_without_room_leaves_the_shard_as_it_was_and_nothing_beside(
    disk: SmallDisk, dump: Path
) -> None:
    data = disk.path / "data"
    env = {"KEYGROVE_STORAGE__SHARDS": "1"}
    assert keygrove("load", "--data", data, dump, env=env).status == 0
    heap = data / "shard-0" / "heap.db"
    octets = bytearray(heap.read_bytes())
    at = octets.rindex(made(7).packets[-40:])
    octets[at : at + 20] = bytes(20)
    heap.write_bytes(octets)
    disk.fill()
    before = {path.name for path in heap.parent.iterdir() if not path.name.endswith("-shm")}
    ended = keygrove("fsck", "--repair", "--data", data)
    assert ended.status == 1
    assert "not repaired: the disk is full, no space left for heap.new.db: free some" in ended.err
    after = {path.name for path in heap.parent.iterdir() if not path.name.endswith("-shm")}
    assert after == before
    assert heap.read_bytes() == octets
    disk.free()
    assert keygrove("fsck", "--repair", "--data", data).status == 1
    assert keygrove("fsck", "--data", data).status == 0
