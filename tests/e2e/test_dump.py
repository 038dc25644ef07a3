"""What `keygrove dump` writes: the same for the same, and such that SKS takes it."""

import hashlib
import json
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard
from click.testing import CliRunner

from keygrove.cli.main import main
from tests.e2e.conftest import (
    DEBIAN_KEYRING,
    Ended,
    Servers,
    keygrove,
    make_certificate,
    needs,
    needs_debian_keyring,
    run,
)

NUMBER = 47


class Dump(NamedTuple):
    """A dump: its files by their names, and the lines of its metadata."""

    files: dict[str, bytes]
    metadata: list[str]


def dump(data: Path, folder: Path, *options: str) -> Dump:
    ended = keygrove("dump", "--data", data, *options, folder)
    assert (ended.status, ended.err) == (0, "")
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return Dump(found, found.pop("metadata-sks-dump.txt").decode().splitlines())


def load(data: Path, *files: Path, shards: int = 4) -> None:
    ended = keygrove("load", "--data", data, *files, env={"KEYGROVE_STORAGE__SHARDS": str(shards)})
    assert ended.status == 0, ended.err


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dump")
    file = folder / "some.pgp"
    file.write_bytes(
        b"".join(
            make_certificate(f"dump {n}", [f"User {n} <d{n}@dump.example>"] * (n % 3 + 1)).packets
            for n in range(NUMBER)
        )
    )
    load(folder / "data", file)
    return folder / "data"


def test_a_dump_that_is_loaded_is_dumped_the_same(data: Path, tmp_path: Path) -> None:
    first = dump(data, tmp_path / "first", "--count", "10")
    assert list(first.files) == [f"sks-dump-000{number}.pgp" for number in range(5)]
    files = sorted((tmp_path / "first").glob("*.pgp"), reverse=True)
    load(tmp_path / "other", *files, shards=3)
    again = dump(tmp_path / "other", tmp_path / "again", "--count", "10")
    assert again.files == first.files


def test_a_load_of_a_dump_has_the_same_digests_less_what_is_denied(
    data: Path, tmp_path: Path, servers: Servers
) -> None:
    copied = shutil.copytree(data, tmp_path / "data")
    server = servers.start(data=copied)
    denied = make_certificate("dump 7", []).fingerprint
    assert keygrove("admin", "block", "--data", copied, denied).status == 0
    assert server.stop() == 0
    dump(copied, tmp_path / "out")
    load(tmp_path / "other", *(tmp_path / "out").glob("*.pgp"))
    of_all, of_both = digests(data), digests(copied)
    assert of_both == digests(tmp_path / "other")
    assert of_both < of_all
    assert len(of_all - of_both) == 1


def digests(data: Path) -> set[str]:
    """The SKS digests of a store."""
    return set(keygrove("digests", "--data", data).out.split())


def test_the_metadata_count_the_files_and_certificates_and_name_the_checksums(
    data: Path, tmp_path: Path
) -> None:
    found = dump(data, tmp_path / "out", "--count", "20")
    head, checksums, tail = found.metadata[:5], found.metadata[5:-1], found.metadata[-1]
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"#Metadata-for: \S+\n#Dump-started: {time}", "\n".join(head[:2]))
    assert head[2:] == ["#Files-Count: 3", f"#Key-Count: {NUMBER}", "#Digest-algo: md5"]
    assert re.fullmatch(f"#Dump-ended: {time}", tail)
    assert checksums == [
        f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  {name}"
        for name, content in found.files.items()
    ]
    line = f"cd '{tmp_path}/out' && md5sum --check --strict metadata-sks-dump.txt"
    assert run(["bash", "-c", line]).status == 0


def test_a_compressed_dump_is_the_same_less_compression(data: Path, tmp_path: Path) -> None:
    plain = dump(data, tmp_path / "plain", "--count", "20")
    packed = dump(data, tmp_path / "packed", "--count", "20", "--zstd")
    unpacked = {
        name.removesuffix(".zst"): zstandard.ZstdDecompressor().decompressobj().decompress(content)
        for name, content in packed.files.items()
    }
    assert unpacked == plain.files
    assert all(name.endswith(".pgp.zst") for name in packed.files)
    load(tmp_path / "other", tmp_path / "packed")
    assert dump(tmp_path / "other", tmp_path / "again", "--count", "20").files == plain.files


def test_a_dump_sums_up_what_it_wrote(data: Path, tmp_path: Path) -> None:
    told = keygrove("dump", "--data", data, "--json", tmp_path / "out")
    size = (tmp_path / "out" / "sks-dump-0000.pgp").stat().st_size
    assert json.loads(told.out) == {"certificates": NUMBER, "files": 1, "bytes": size}


def test_a_store_of_nothing_is_dumped_as_no_file(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.touch()
    load(tmp_path / "data", nothing)
    found = dump(tmp_path / "data", tmp_path / "out")
    assert found.files == {}
    assert found.metadata[2:4] == ["#Files-Count: 0", "#Key-Count: 0"]


def test_a_directory_that_is_in_use_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    ended = keygrove("dump", "--data", data, tmp_path)
    assert ended.status == 3
    assert "is not empty: name an empty or a new directory" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


class Sks:
    """SKS with a home of its own, laid out as upstream's or as Debian's has it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        for folder in ("etc/sks", "var/lib/sks", "var/log/sks", "var/spool/sks"):
            (home / folder).mkdir(parents=True)

    def run(self, verb: str, *arguments: str | Path) -> Ended:
        command: list[str | Path] = ["sks", verb, *arguments]
        ended = run([*command, "-n", "10", "-cache", "20", "-basedir", self._home])
        assert ended.status == 0, ended
        return ended


@needs("sks")
@needs_debian_keyring
def test_sks_builds_its_database_from_a_dump_and_dumps_the_same_certificates(
    tmp_path: Path,
) -> None:
    load(tmp_path / "ours", DEBIAN_KEYRING)
    dump(tmp_path / "ours", tmp_path / "out", "--count", "400")
    sks = Sks(tmp_path / "sks")
    sks.run("build", *sorted((tmp_path / "out").glob("*.pgp")))
    (tmp_path / "theirs").mkdir()
    sks.run("dump", "400", tmp_path / "theirs", "sks-dump")
    theirs, ours = (
        (tmp_path / name / "metadata-sks-dump.txt").read_text() for name in ("theirs", "out")
    )
    changing = r"(?m)(?<=: )\d{4}-.*$|^[0-9a-f]{32}"
    assert re.sub(changing, "…", theirs) == re.sub(changing, "…", ours)

    load(tmp_path / "again", tmp_path / "theirs")
    first, second = (
        keygrove("digests", "--data", tmp_path / name).out for name in ("ours", "again")
    )
    assert len(first.splitlines()) == 905
    assert first == second


def test_a_dump_that_is_told_to_stop_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> str:
        signal.raise_signal(signal.SIGTERM)
        return "never"

    monkeypatch.setattr("platform.node", stop)  # asked for the metadata, behind all certificates
    ended = CliRunner().invoke(main, ("dump", "--data", str(data), str(tmp_path / "dump")))
    assert (ended.exit_code, (tmp_path / "dump").exists()) == (143, False), ended.output
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
