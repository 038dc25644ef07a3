"""A data directory on a read-only file system: the server starts, serves, and goes on once it can.

Only root can mount the file system that these tests need; others skip them.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Made, Server, Servers, eventually, keygrove, make_certificate, split
from tests.small_disk import SmallDisk, mounted

NUMBER = 20


def made(number: int) -> Made:
    return make_certificate(f"ro {number}", [f"User {number} <u{number}@ro.example>"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 32 << 20) as found:
        yield found


@pytest.fixture
def data(disk: SmallDisk, tmp_path: Path) -> Path:
    """A data directory with some certificates."""
    file, folder = tmp_path / "dump.pgp", disk.path / "data"
    file.write_bytes(b"".join(made(number).packets for number in range(NUMBER)))
    assert keygrove("load", "--data", folder, file).status == 0
    return folder


def nothing(_: Path) -> None:
    """Everything is as the last writer left it."""


def remove_logs(data: Path) -> None:
    """As in a copy of a store that was stopped in order, made without them."""
    for path in data.glob("shard-*/*.db-*"):
        path.unlink()


def assert_finds_fingerprints(server: Server) -> None:
    for number in range(NUMBER):
        one = made(number)
        assert split(server.certificate(one.fingerprint)) == split(one.packets)


@pytest.mark.parametrize("before", [nothing, remove_logs], ids=lambda one: one.__name__)
def test_it_is_served_from_and_written_again_when_it_can_be(
    servers: Servers, disk: SmallDisk, data: Path, before: Callable[[Path], None], tmp_path: Path
) -> None:
    before(data)
    disk.freeze()
    server = servers.start(data=data)
    assert_finds_fingerprints(server)
    assert "User 7" in server.get(op="index", search="u7@ro.example").text
    ready = server.http.get("/readyz")
    assert ready.status_code == 200
    assert "degraded: read-only: submissions are refused" in ready.text
    refused = server.add(made(NUMBER).packets)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert "its disk is read-only" in refused.text
    assert server.metric("keygrove_disk_is_read_only") == 1
    status = keygrove("status", "--data", data)
    assert status.status == 3
    assert "read-only disk has no control socket: ask /readyz" in status.err
    dumped = keygrove("dump", "--data", data, tmp_path / "dump", "--json")
    assert json.loads(dumped.out)["certificates"] == NUMBER
    disk.thaw()
    eventually(lambda: "degraded" not in server.http.get("/readyz").text)
    eventually(lambda: server.add(made(NUMBER).packets).status_code == 200)
    assert_finds_fingerprints(server)
    assert server.total() == NUMBER + 1
    assert server.stop() == 0
    assert "Traceback" not in server.log()
    assert {event["level"] for event in server.events()} <= {"info", "warning"}


def test_without_an_index_fingerprints_are_found(
    servers: Servers, disk: SmallDisk, data: Path
) -> None:
    for path in data.glob("shard-*/index.db*"):
        path.unlink()
    disk.freeze()
    server = servers.start(data=data)
    assert_finds_fingerprints(server)
    assert server.get(op="index", search="u7@ro.example").status_code == 503
    ready = server.http.get("/readyz")
    assert ready.status_code == 503
    assert "the disk is read-only: mount it so that it can be written" in ready.text
    disk.thaw()
    eventually(lambda: server.http.get("/readyz").status_code == 200)
    assert "User 7" in server.get(op="index", search="u7@ro.example").text


def test_a_log_without_its_index_is_told_apart_from_damage(
    servers: Servers, disk: SmallDisk, data: Path
) -> None:
    server = servers.start(data=data)
    assert server.add(made(NUMBER).packets).status_code == 200
    server.kill()
    for path in data.glob("shard-*/heap.db-shm"):
        path.unlink()
    disk.freeze()
    ended = keygrove("digests", "--data", data)
    assert ended.status == 3
    assert "heap.db-wal lies beside it without heap.db-shm" in ended.err
    disk.thaw()
    assert keygrove("digests", "--data", data).status == 0


def test_a_load_says_why_not(disk: SmallDisk, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.pgp"
    file.write_bytes(made(NUMBER).packets)
    disk.freeze()
    ended = keygrove("load", "--data", data, file)
    assert ended.status == 3
    assert "is on a file system that is read-only" in ended.err
