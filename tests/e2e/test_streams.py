"""Standard streams that are full, closed, or that nobody reads any more."""

import os
import socket
import subprocess
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest

from tests.e2e.conftest import (
    COMMAND,
    Ended,
    environment,
    eventually,
    keygrove,
    make_certificate,
    run,
)

MADE = make_certificate("streams", ["Sam <s@streams.example>"])
VERBS = {
    "digests": "digests --data data",
    "inspect": "inspect file.pgp",
    "inspect --json": "inspect --json file.pgp",
    "config show": "config show",
    "config show --json": "config show --json",
    "load": "load --data data file.pgp",
    "admin request": f"admin request --server x delete {MADE.fingerprint}",
    "help": "--help",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a file, and a data directory that holds what is in it."""
    made = tmp_path_factory.mktemp("streams")
    (made / "file.pgp").write_bytes(MADE.packets)
    assert keygrove("load", "--data", made / "data", made / "file.pgp").status == 0
    return made


def shell(folder: Path, verb: str, rest: str) -> Ended:
    return run(
        ["bash", "-c", f"cd '{folder}'; '{COMMAND}' {VERBS[verb]} {rest}"],
        env=environment(),
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("verb", VERBS)
def test_a_full_standard_output_is_told_in_one_line(folder: Path, verb: str) -> None:
    ended = shell(folder, verb, "> /dev/full")
    said = "Error: cannot write to standard output: No space left on device\n"
    assert (ended.status, ended.err) == (3, said)


@pytest.mark.parametrize("verb", VERBS)
def test_a_reader_that_has_had_enough_ends_the_command_quietly(folder: Path, verb: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        ended = subprocess.run(
            [COMMAND, *VERBS[verb].split()],
            cwd=folder,
            env=environment(),
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(theirs)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_standard_output_a_command_does_its_work(folder: Path, verb: str) -> None:
    ended = shell(folder, verb, ">&-")
    assert (ended.status, ended.out, ended.err) == (0, "", "")


def test_a_server_serves_without_any_standard_stream(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    line = f"exec '{COMMAND}' serve --data '{tmp_path}' --listen {address} <&- >&- 2>&-"

    def is_up() -> bool:
        try:
            return httpx.get(f"http://{address}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    with subprocess.Popen(["bash", "-c", line], env=environment()) as process:
        try:
            eventually(is_up)
            assert os.readlink(f"/proc/{process.pid}/fd/1") == os.devnull
        finally:
            process.send_signal(SIGTERM)
        assert process.wait() == 0
