"""What `keygrove load` reads: directories, compressed files, pipes; and what it reports."""

import bz2
import gzip
import json
import lzma
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import pytest
import zstandard

from tests.e2e.conftest import (
    COMMAND,
    armor,
    environment,
    eventually,
    join,
    keygrove,
    make_certificate,
)


def made(number: int) -> bytes:
    return make_certificate(f"load {number}", [f"User {number} <l{number}@load.example>"]).packets


def many(number: int) -> bytes:
    return b"".join(made(one) for one in range(number))


def loaded(data: Path, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    ended = keygrove("load", "--data", data, "--json", *arguments)
    assert ended.status == status, ended.err
    assert ended.err == ""
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, zstandard.compress],
    ids=["gzip", "bzip2", "xz", "zstandard"],
)
def test_compressed_files_are_loaded_whatever_they_are_called(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    binary, text = tmp_path / "a", tmp_path / "b"
    binary.write_bytes(pack(made(1) + made(2)))
    text.write_bytes(pack(armor(made(3)).encode()))
    found = loaded(tmp_path / "data", binary, text)
    assert found["inserted"] == 3
    assert found["bytes"] == binary.stat().st_size + text.stat().st_size


def test_a_compressed_file_that_is_cut_off_is_loaded_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(many(500))[:-8])
    ended = keygrove("load", "--data", tmp_path / "data", file)
    assert ended.status == 1
    assert ended.out.startswith("loaded 500 certificates")
    assert f"not read to the end: {file}: its gzip stream is cut off: fetch it again" in ended.err


def test_a_directory_is_loaded_with_all_below_it_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    (folder / "more" / "deep").mkdir(parents=True)
    (folder / "sks-dump-0000.pgp").write_bytes(made(1))
    (folder / "sks-dump-0001.pgp.zst").write_bytes(zstandard.compress(made(2)))
    (folder / "more" / "deep" / "key").write_bytes(armor(made(3)).encode())
    (folder / "more" / "again").symlink_to(folder)
    beside = ["metadata-sks-dump.txt", "SHA256SUMS", "README", "sks-dump-0002.pgp.part", ".done"]
    for name in beside:
        (folder / name).write_text("no certificate\n")
    ended = keygrove("load", "--data", tmp_path / "data", folder)
    assert ended.status == 0
    assert ended.out.startswith("loaded 3 certificates")
    assert "\nleft out: 5 files beside a dump: .done, README, SHA256SUMS, " in ended.err
    told = loaded(tmp_path / "data", folder)
    assert told["left_out"] == sorted(str(folder / name) for name in beside)
    assert told["ignored"] == 3


def test_a_file_that_is_named_is_loaded_whatever_it_is_called(tmp_path: Path) -> None:
    file = tmp_path / "README"
    file.write_bytes(made(1))
    assert loaded(tmp_path / "data", file)["inserted"] == 1


def test_a_file_that_is_gone_is_told_and_the_next_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "a.pgp").symlink_to(tmp_path / "nothing")
    (folder / "b.pgp").write_bytes(made(1))
    told = loaded(tmp_path / "data", folder, status=1)
    assert told["unreadable"] == {str(folder / "a.pgp"): "No such file or directory"}
    assert told["inserted"] == 1


def test_standard_input_may_be_a_file_or_nothing_at_all(tmp_path: Path) -> None:
    file = tmp_path / "some.pgp.gz"
    file.write_bytes(gzip.compress(many(3)))
    load = f"'{COMMAND}' load --data '{tmp_path}/data' -"
    for redirection, words, status in (
        (f"< '{file}'", "loaded 3 certificates", 0),
        ("< /dev/null", "loaded 0 certificates", 0),
        ("<&-", "Error: standard input is closed: name files", 3),
    ):
        ended = subprocess.run(
            ["bash", "-c", f"{load} {redirection}"],
            capture_output=True,
            env=environment(),
            check=False,
        )
        assert ended.returncode == status
        assert (ended.stdout or ended.stderr).decode().startswith(words)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM], ids=str)
@pytest.mark.parametrize("kind", ["standard input", "a named pipe"])
def test_a_load_that_waits_for_a_pipe_can_be_interrupted(
    tmp_path: Path, number: Signals, kind: str
) -> None:
    named = tmp_path / "pipe"
    os.mkfifo(named)
    with subprocess.Popen(
        [COMMAND, "load", "--data", tmp_path / "data", "-" if kind == "standard input" else named],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as load:
        lock = tmp_path / "data" / "lock"
        eventually(lambda: lock.exists() and lock.read_text().strip())
        load.send_signal(number)
        # Its input stays open: nothing but the signal ends it.
        assert load.wait(30.0) == 130
        assert load.stdout is not None
        assert load.stdout.read().startswith(b"interrupted: loaded 0 certificates")


def test_a_named_pipe_is_waited_for_and_read(tmp_path: Path) -> None:
    named = tmp_path / "pipe"
    os.mkfifo(named)
    with subprocess.Popen(
        [COMMAND, "load", "--data", tmp_path / "data", named],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as load:
        lock = tmp_path / "data" / "lock"
        eventually(lambda: lock.exists() and lock.read_text().strip())
        with named.open("wb") as writer:
            writer.write(many(300))
        told, _ = load.communicate(timeout=30.0)
    assert told.startswith(b"loaded 300 certificates")


UNREADABLE_KEY = b"\xc6\x06\x04" + bytes(4) + b"\x01"
"""A primary key of RSA without its numbers."""


def test_what_is_refused_is_reported_line_by_line(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pgp.gz", tmp_path / "b.pgp"
    first.write_bytes(gzip.compress(made(1) + UNREADABLE_KEY + made(2)))
    second.write_bytes(made(3) + b"\x00")
    report = tmp_path / "report.jsonl"
    report.write_text("of another load\n" * 100)
    found = loaded(tmp_path / "data", "--report", report, first, second, status=1)
    assert (found["inserted"], found["invalid"]) == (3, 1)
    refused, unread = (json.loads(line) for line in report.read_bytes().splitlines())
    assert (refused["file"], refused["number"], refused["offset"]) == (str(first), 2, len(made(1)))
    assert (refused["result"], refused["error"]) == ("invalid", "MalformedPrimary")
    assert unread["file"] == str(second)
    assert (unread["number"], unread["result"]) == (None, "unreadable")


def test_what_was_left_out_of_one_that_was_taken_is_reported(tmp_path: Path) -> None:
    file, report = tmp_path / "dump.pgp", tmp_path / "report.jsonl"
    unsigned = join([(13, b"Mallory <mallory@load.example>")])
    file.write_bytes(made(1) + made(2) + unsigned + made(3))
    found = loaded(tmp_path / "data", "--report", report, file)
    assert (found["inserted"], found["reasons"]) == (3, {})
    (line,) = (json.loads(line) for line in report.read_bytes().splitlines())
    assert (line["number"], line["result"], line["dropped"]) == (2, "inserted", {"Unbound": 1})
    out = tmp_path / "out"
    assert keygrove("dump", "--data", tmp_path / "data", out).status == 0
    dumped = (out / "sks-dump-0000.pgp").read_bytes()
    assert b"l2@load.example" in dumped
    assert b"mallory" not in dumped


def test_a_report_that_cannot_be_begun_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "some.pgp"
    file.write_bytes(made(1))
    for report, status, words in (
        (tmp_path / "none" / "report", 3, "No such file or directory; name another file"),
        (file, 2, f"{file} is to be loaded: name another file for the report"),
    ):
        ended = keygrove("load", "--data", tmp_path / "data", "--report", report, file)
        assert (ended.status, ended.out) == (status, "")
        assert words in ended.err
    assert file.read_bytes() == made(1)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_report_that_cannot_be_written_on_ends_the_load(tmp_path: Path) -> None:
    file = tmp_path / "some.pgp"
    file.write_bytes(made(1) + UNREADABLE_KEY)
    ended = keygrove("load", "--data", tmp_path / "data", "--report", "/dev/full", file)
    assert ended.status == 3
    why = "cannot write the report /dev/full: No space left on device; name another file"
    assert f"Error: {why}; what was loaded stays" in ended.err
    assert ended.out.startswith("loaded 2 certificates")


def test_a_terminal_shows_rate_and_time_left(tmp_path: Path) -> None:
    file = tmp_path / "some.pgp"
    user_ids = [f"User {n} {'x' * 900}" for n in range(400)]
    large = [make_certificate(f"large {number}", user_ids).packets for number in range(8)]
    file.write_bytes(b"".join(large * 5))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "load", "--data", tmp_path / "data", file],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment({"TERM": "xterm", "COLUMNS": "120"}),
    ) as load:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass  # so a terminal ends
        assert load.wait(30.0) == 0
    os.close(ours)
    assert b"B/s" in shown
    last = shown.decode().rsplit("loading", 1)[1]
    assert "100%" in last
    assert "40 certificates" in last


def test_a_revocation_alone_is_loaded_where_its_certificate_is_held(tmp_path: Path) -> None:
    vectors = Path(__file__).parents[1] / "vectors" / "openpgp"
    revocation, report = vectors / "bare-revocation.asc", tmp_path / "refused.jsonl"
    folder = tmp_path / "data"
    data = ("load", "--data", folder)
    refused = keygrove(*data, "--report", report, revocation)
    assert refused.status == 1
    (line,) = map(json.loads, report.read_text().splitlines())
    assert (line["number"], line["error"]) == (0, "UnknownTarget")
    assert "not held here" in line["text"]
    taken = keygrove(*data, vectors / "v4-eddsa-cv25519.pgp", revocation)
    assert "1 new, 1 changed" in taken.out
    assert taken.status == 0
    assert taken.err.startswith(f"to take it back: keygrove rollback --data {folder} --load ")


def test_a_file_without_a_certificate_is_told_of(tmp_path: Path) -> None:
    stray = tmp_path / "stray.pgp"
    stray.write_bytes(b"\xcd\x05Alice")
    ended = keygrove("load", "--data", tmp_path / "data", stray)
    assert ended.status == 1
    assert "there is neither a certificate in it nor the revocation of one" in ended.err
