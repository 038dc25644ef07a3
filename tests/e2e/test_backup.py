"""Backup, restore and another number of shards: with the installed command, under load, killed."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from keygrove.errors import DamagedError, DataDirError
from keygrove.system import manifest
from keygrove.system.datadir import count_shards, owned
from keygrove.system.heaps import checked, held_heaps, set_root
from tests import kill_points
from tests.e2e.conftest import (
    COMMAND,
    Ended,
    Made,
    Server,
    Servers,
    armor,
    environment,
    eventually,
    keygrove,
    make_certificate,
    split,
)
from tests.processes import PATIENCE_S
from tests.small_disk import mounted

NUMBER = 60
FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"


def made(number: int) -> Made:
    return make_certificate(f"kept {number}", [f"User {number} <u{number}@kept.example>"])


def shards(number: int) -> dict[str, str]:
    return {"KEYGROVE_STORAGE__SHARDS": str(number)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some certificates, and one that is denied, in two shards."""
    folder = tmp_path_factory.mktemp("backup")
    file = folder / "some.pgp"
    file.write_bytes(b"".join(made(number).packets for number in range(NUMBER)))
    started = Servers(folder)
    server = started.start(data=folder / "data", env=shards(2))
    assert keygrove("load", "--data", server.data, file).status == 0
    assert keygrove("admin", "block", "--data", server.data, FINGERPRINT).status == 0
    assert server.stop() == 0
    started.close()
    return server.data


@pytest.fixture(scope="module")
def backup(data: Path) -> Path:
    target = data.with_name("backup")
    ended = keygrove("backup", "--data", data, target)
    assert (ended.status, ended.err) == (0, "")
    return target


def root_of(data: Path) -> str:
    heaps = held_heaps(data)
    return set_root(
        checked(heap, f"{number}/{len(heaps)}", is_still=False)[1]
        for number, heap in enumerate(heaps)
    ).hex()


def status_of(server: Server) -> dict[str, Any]:
    """As `keygrove status` tells it, once the store is up."""

    def ask() -> dict[str, Any] | None:
        told: dict[str, Any] = json.loads(keygrove("status", "--json", "--data", server.data).out)
        return told if told["root"] is not None else None

    return eventually(ask)


def assert_restored(server: Server) -> None:
    """All is there that was backed up."""
    for number in range(NUMBER):
        assert split(server.certificate(made(number).fingerprint)) == split(made(number).packets)
    assert server.total() == NUMBER
    blocked = keygrove("admin", "blocked", "--data", server.data)
    assert blocked.out.split()[0] == FINGERPRINT
    assert "block" in keygrove("admin", "audit", "--data", server.data).out


def test_a_restored_server_has_the_same_root_and_all_that_was_there(
    data: Path, backup: Path, tmp_path: Path, servers: Servers
) -> None:
    told = keygrove("restore", "--data", tmp_path / "new", backup, env=shards(2))
    assert (told.status, told.err) == (0, "")
    server = servers.start(data=tmp_path / "new", env=shards(2))
    root = status_of(server)["root"]
    assert f"root {root}" in told.out
    assert root == root_of(data)
    assert_restored(server)
    key = tmp_path / "new" / "signing.key"
    assert key.read_text() == (data / "signing.key").read_text()
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_restored_heap_is_another_than_the_one_that_goes_on(
    data: Path, backup: Path, tmp_path: Path
) -> None:
    assert keygrove("restore", "--data", tmp_path / "new", backup).status == 0
    uuids = {
        checked(heap, f"{number}/2", is_still=False)[0].uuid
        for root in (data, tmp_path / "new")
        for number, heap in enumerate(held_heaps(root))
    }
    assert len(uuids) == 4


def test_the_manifest_can_be_had_as_json(data: Path, tmp_path: Path) -> None:
    told = keygrove("backup", "--json", "--data", data, tmp_path / "backup")
    printed = json.loads(told.out)
    assert printed == json.loads((tmp_path / "backup" / "backup.json").read_text())
    assert printed["certificates"] == NUMBER
    restored = keygrove("restore", "--json", "--data", tmp_path / "new", tmp_path / "backup")
    assert json.loads(restored.out) == printed


class Clients:
    """They submit certificates for as long as the block runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_over = Event()
        self.acknowledged: list[list[Made]] = [[] for _ in range(3)]
        """By client, in order: each waits for one answer before it submits the next."""
        self._threads = [
            Thread(target=self._submit, args=(number, own))
            for number, own in enumerate(self.acknowledged)
        ]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _submit(self, client_number: int, acknowledged: list[Made]) -> None:
        numbers = count()
        with httpx.Client(base_url=self._server.url, timeout=PATIENCE_S) as client:
            while not self._is_over.is_set():
                one = make_certificate(f"{client_number}: {next(numbers)}", ["x" * 2_000])
                answer = client.post("/pks/add", data={"keytext": armor(one.packets)})
                assert answer.status_code == 200, answer.text
                acknowledged.append(one)

    def wait_for_more(self, number: int) -> list[int]:
        """Wait until each has so many more; how many these are."""
        enough = [len(own) + number for own in self.acknowledged]
        eventually(
            lambda: all(
                len(own) >= least for own, least in zip(self.acknowledged, enough, strict=True)
            )
        )
        return enough


def test_a_backup_under_load_is_of_one_moment_and_has_all_that_was_acknowledged_before(
    tmp_path: Path, servers: Servers
) -> None:
    server = servers.start()
    with Clients(server) as clients:
        before = clients.wait_for_more(20)
        ended = keygrove("backup", "--data", server.data, tmp_path / "backup")
        assert ended.status == 0, ended.err
        clients.wait_for_more(5)
    assert server.stop() == 0
    assert keygrove("restore", "--data", tmp_path / "new", tmp_path / "backup").status == 0
    for number, copy in enumerate(manifest.read(tmp_path / "backup").shards):
        assert (copy.change, copy.root) in heads(server.data, number)
    restored = servers.start(data=tmp_path / "new")
    for own, least in zip(clients.acknowledged, before, strict=True):
        are_there = [restored.certificate(one.fingerprint) != b"" for one in own]
        number = sum(are_there)
        assert are_there == [True] * number + [False] * (len(own) - number)
        assert least <= number
    assert status_of(restored)["root"] == root_of(tmp_path / "new")


def heads(data: Path, shard: int) -> list[tuple[int, str]]:
    """Every state that a shard was in."""
    told = subprocess.run(
        [sys.executable, "-c", HEADS, data / f"shard-{shard}" / "heap.db"],
        capture_output=True,
        check=True,
    )
    return [(change, root) for change, root in json.loads(told.stdout)]


HEADS = """
import json, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(json.dumps([(n, root.hex()) for n, root in db.execute("SELECT n, root FROM head")]))
"""


def flip(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)


def cut_short(backup: Path) -> None:
    (backup / "backup.json").write_text("{")


def say_otherwise(key: str, value: object) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        path = backup / "backup.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return change


def say_of_a_shard(key: str, value: object) -> Callable[[Path], None]:
    def change(backup: Path) -> None:
        path = backup / "backup.json"
        told = json.loads(path.read_text())
        told["shards"][1][key] = value
        path.write_text(json.dumps(told))

    return change


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no manifest": (lambda one: (one / "backup.json").unlink(), "one that was not finished"),
    "a newer format": (say_otherwise("format", 2), "run a newer keygrove"),
    "no JSON": (cut_short, "backup.json is damaged"),
    "another root": (say_otherwise("root", "0" * 64), "has not the root"),
    "another number": (say_otherwise("certificates", 61), "60 certificates, and its backup.json"),
    "another number of a shard": (say_of_a_shard("certificates", 1), "otherwise in certificates"),
    "a heap less": (lambda one: (one / "shard-1" / "heap.db").unlink(), "heap.db is missing"),
    "a flipped bit": (lambda one: flip(one / "shard-1" / "heap.db"), "not what was backed up"),
    "a file less": (lambda one: (one / "signing.key").unlink(), "signing.key is missing"),
    "files elsewhere": (
        say_otherwise("files", {"../x": {"bytes": 1, "blake3": "0" * 64}}),
        "backup.json is damaged",
    ),
}


@pytest.mark.parametrize(("damage", "why"), DAMAGE.values(), ids=DAMAGE)
def test_a_backup_that_is_not_what_was_written_is_refused_and_nothing_stays(
    damage: Callable[[Path], None], why: str, backup: Path, tmp_path: Path
) -> None:
    shutil.copytree(backup, tmp_path / "backup")
    damage(tmp_path / "backup")
    ended = keygrove("restore", "--data", tmp_path / "far" / "new", tmp_path / "backup")
    assert ended.status == 3
    assert why in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_a_directory_that_is_not_empty_is_no_target(data: Path, backup: Path) -> None:
    for ended in (
        keygrove("backup", "--data", data, backup),
        keygrove("restore", "--data", data, backup),
    ):
        assert ended.status == 3
        assert "is not empty: name an empty or a new directory" in ended.err


def test_a_store_is_not_backed_up_into_itself(data: Path) -> None:
    for target in (data, data / "backup", data / ".." / data.name / "shard-0" / "x"):
        ended = keygrove("backup", "--data", data, target)
        assert ended.status == 3
        assert "is in the data directory" in ended.err
    assert not (data / "backup").exists()


def test_a_directory_of_a_running_server_is_no_target_nor_is_it_resharded(
    backup: Path, servers: Servers
) -> None:
    server = servers.start()
    for ended in (
        keygrove("restore", "--data", server.data, backup),
        keygrove("reshard", "--data", server.data, "--shards", "3"),
    ):
        assert ended.status == 3
        assert "is in use by keygrove serve" in ended.err


def test_where_there_is_no_store_nothing_is_backed_up(tmp_path: Path) -> None:
    ended = keygrove("backup", "--data", tmp_path / "none", tmp_path / "backup")
    assert ended.status == 3
    assert "there is no store in" in ended.err
    assert not (tmp_path / "backup").exists()


def test_a_full_disk_ends_a_backup_and_nothing_of_it_stays(data: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 96 << 10) as disk:
        ended = keygrove("backup", "--data", data, disk.path / "backup")
        assert ended.status == 3
        assert "no space left for" in ended.err
        assert list(disk.path.iterdir()) == []


def test_a_full_disk_ends_a_restore_and_nothing_of_it_stays(backup: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 96 << 10) as disk:
        ended = keygrove("restore", "--data", disk.path / "new", backup)
        assert ended.status == 3
        assert "no space left for" in ended.err
        assert not (disk.path / "new").exists()


def limited(*arguments: str | Path) -> Ended:
    """Run the command; no file of its can have more than 64 KiB."""
    ended = subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        env=environment(),
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536)),
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def test_files_that_cannot_be_written_end_each_command_in_words(
    data: Path, backup: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(data, tmp_path / "data")
    for ended in (
        limited("backup", "--data", copied, tmp_path / "backup"),
        limited("restore", "--data", tmp_path / "new", backup),
        limited("reshard", "--data", copied, "--shards", "1"),
    ):
        assert ended.status == 3
        assert ended.err.startswith("Error: cannot ") or "disk I/O error" in ended.err
    assert not (tmp_path / "backup").exists()
    assert not (tmp_path / "new").exists()
    assert root_of(copied) == root_of(data)
    assert sorted(path.name for path in copied.iterdir()) == sorted(
        path.name for path in data.iterdir()
    )


def test_an_interrupted_backup_leaves_nothing(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    with subprocess.Popen([COMMAND, "backup", "--data", data, target], env=environment()) as one:
        eventually(lambda: target.exists() or one.poll() is not None)
        one.send_signal(signal.SIGINT)
    # It may have been done just before.
    assert one.returncode in {0, 130}
    assert target.exists() == (one.returncode == 0)


@pytest.mark.parametrize("number", [1, 3])
def test_a_resharded_store_has_the_same_root_and_all_that_was_there(
    data: Path, tmp_path: Path, servers: Servers, number: int
) -> None:
    copied = shutil.copytree(data, tmp_path / "data")
    refused = keygrove("serve", "--data", copied, env=shards(number))
    assert refused.status == 3
    assert f"run keygrove reshard --data {copied} --shards {number}" in refused.err
    told = keygrove("reshard", "--data", copied, env=shards(number))
    assert (told.status, told.err) == (0, "")
    server = servers.start(data=copied, env=shards(number))
    assert status_of(server)["root"] == root_of(data)
    assert_restored(server)
    assert (copied / "signing.key").exists()


def test_resharding_says_which_setting_to_change(data: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(data, tmp_path / "data")
    told = keygrove("reshard", "--data", copied, "--shards", "3", "--json")
    assert told.err == "set [storage] shards = 3 before the server is started\n"
    assert json.loads(told.out) == {
        "root": root_of(data),
        "certificates": NUMBER,
        "shards_before": 2,
        "shards": 3,
        "snapshots_lost": [],
    }
    again = keygrove("reshard", "--data", copied, "--shards", "3")
    assert again.status == 3
    assert "has 3 shards already" in again.err


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM obj WHERE seq = 1", "UPDATE obj SET v = zeroblob(length(v)) WHERE seq = 1"],
    ids=["a row that is gone", "packets that rotted"],
)
def test_a_damaged_heap_is_neither_backed_up_nor_resharded(
    data: Path, tmp_path: Path, damage: str
) -> None:
    copied = shutil.copytree(data, tmp_path / "data")
    forget = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
    forget += f"db.execute({damage!r})"
    subprocess.run([sys.executable, "-c", forget, copied / "shard-0" / "heap.db"], check=True)
    for ended in (
        keygrove("backup", "--data", copied, tmp_path / "backup"),
        keygrove("reshard", "--data", copied, "--shards", "3"),
    ):
        assert ended.status == 3
        assert "is damaged" in ended.err
        assert "keygrove fsck" in ended.err
    assert not (tmp_path / "backup").exists()
    assert count_shards(copied) == 2


def killed(out: Path, template: Path, *verb: str | Path) -> list[Path]:
    """What a command leaves that is killed at its first step, its second, and so on."""
    out.mkdir()
    arguments = [sys.executable, kill_points.__file__, out, template, *verb]
    ended = subprocess.run(arguments, capture_output=True, env=environment(), check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return sorted(out.iterdir(), key=lambda folder: int(folder.name))


@pytest.mark.slow
def test_a_killed_backup_is_whole_or_none(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    root = root_of(data)
    are_whole: list[bool] = []
    for folder in killed(
        tmp_path / "out", tmp_path / "empty", "backup", "--data", data, "{}/backup"
    ):
        try:
            found = manifest.read(folder / "backup")
        except DataDirError:
            are_whole.append(False)
            continue
        assert found.root == root
        ended = keygrove("restore", "--data", folder / "new", folder / "backup")
        assert ended.status == 0, ended.err
        are_whole.append(True)
    assert len(are_whole) > 15
    assert are_whole == sorted(are_whole)
    assert are_whole[-1]


@pytest.mark.slow
def test_a_killed_restore_is_finished_or_can_be_repeated(
    data: Path, backup: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    root = root_of(data)
    are_whole: list[bool] = []
    for folder in killed(
        tmp_path / "out", tmp_path / "empty", "restore", "--data", "{}/new", backup
    ):
        new = folder / "new"
        with owned(new, "a test"):
            pass
        are_whole.append((new / "shard-0").exists())
        if are_whole[-1]:
            assert (root_of(new), (new / "signing.key").exists()) == (root, True)
            continue
        with suppress(DataDirError):  # where it says that it was broken off
            assert count_shards(new) == 0
        assert keygrove("restore", "--data", new, backup).status == 0
        assert root_of(new) == root
    assert len(are_whole) > 20
    assert are_whole == sorted(are_whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3])
def test_a_killed_reshard_leaves_the_old_shards_or_the_new_ones(
    data: Path, tmp_path: Path, number: int
) -> None:
    root = root_of(data)
    beside = {path.name for path in data.iterdir() if path.is_file()}
    found: list[int] = []
    for folder in killed(
        tmp_path / "out", data, "reshard", "--data", "{}", "--shards", str(number)
    ):
        with suppress(DataDirError):  # where it says that they are being replaced
            assert count_shards(folder) in {2, number}
        with owned(folder, "a test"):
            found.append(count_shards(folder))
            assert root_of(folder) == root
            left = {path.name for path in folder.iterdir()} - {"incoming.part"}
        assert left == {f"shard-{at}" for at in range(found[-1])} | beside
    assert len(found) > 20
    assert found == [2] * found.count(2) + [number] * found.count(number)
    assert found.count(number) > 5


def test_a_server_finishes_what_a_killed_reshard_began(
    data: Path, tmp_path: Path, servers: Servers
) -> None:
    """The moment at which the new shards count, and none is in its place yet."""
    copied = shutil.copytree(data, tmp_path / "data")
    (tmp_path / "other").mkdir()
    other = shutil.copytree(data, tmp_path / "other" / "data")
    assert keygrove("reshard", "--data", other, "--shards", "3").status == 0
    (copied / "incoming").mkdir()
    for shard in other.glob("shard-*"):
        shard.rename(copied / "incoming" / shard.name)
    refused = keygrove("dump", "--data", copied, tmp_path / "dump")
    assert refused.status == 3
    assert "are being replaced: wait until that is done, or" in refused.err
    server = servers.start(data=copied, env=shards(3))
    assert status_of(server)["root"] == root_of(data)


def test_a_server_does_not_begin_empty_where_a_restore_was_broken_off(tmp_path: Path) -> None:
    (tmp_path / "incoming.part").mkdir()
    ended = keygrove("serve", "--data", tmp_path)
    assert ended.status == 3
    assert f"was broken off: run keygrove restore --data {tmp_path} again, or" in ended.err


def test_a_manifest_of_damage_is_told_as_such(backup: Path, tmp_path: Path) -> None:
    shutil.copytree(backup, tmp_path / "backup")
    say_otherwise("shards", [])(tmp_path / "backup")
    with pytest.raises(DamagedError, match="use another backup"):
        manifest.read(tmp_path / "backup")
