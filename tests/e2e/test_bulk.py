"""Large loads, parsed by processes of their own, some of which are killed."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    COMMAND,
    COMMAND_S,
    DEBIAN_KEYRING,
    Servers,
    environment,
    eventually,
    join,
    keygrove,
    needs_debian_keyring,
    split,
)
from tests.processes import children_of, has_ended, is_gone, opened

CERTIFICATES = 905
TIMES = 6
"""So often the keyring is loaded: 170 MB."""
ENV = {"KEYGROVE_LOAD__PROCESSES": "2"}

pytestmark = [pytest.mark.slow, needs_debian_keyring]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The keyring several times, each time with other things in it that nobody signed for.

    The same octets again would be passed over before anything is looked into.
    """
    folder = tmp_path_factory.mktemp("keyrings")
    found = split(DEBIAN_KEYRING.read_bytes())
    starts = [at for at, (tag, _) in enumerate(found) if tag == 6]
    each = [join(found[a:b]) for a, b in zip(starts, [*starts[1:], len(found)], strict=True)]
    paths = [folder / f"{number}.pgp" for number in range(TIMES)]
    for path in paths:
        unsigned = join([(13, path.name.encode())])
        path.write_bytes(b"".join(one + unsigned for one in each))
    return paths


def children(pid: int) -> list[int]:
    """Those that run."""
    return [child for child in children_of(pid) if not is_gone(child)]


@contextmanager
def loading(
    data: Path, files: list[Path], *options: str
) -> Generator["subprocess.Popen[bytes]", None, None]:
    """A load under way, with its workers up."""
    load = subprocess.Popen(
        [COMMAND, "load", *options, "--data", data, *files],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(ENV),
    )
    try:
        eventually(lambda: len(children(load.pid)) == 2 or None, within_s=COMMAND_S)
        yield load
    finally:
        load.kill()
        load.communicate()


def kill_some(pid: int, times: int) -> Iterator[int]:
    """Kill one worker after the other, each when there are two again."""
    for _ in range(times):
        victim = eventually(lambda: children(pid) if len(children(pid)) == 2 else None)[0]
        with opened(victim) as pidfd:
            os.kill(victim, signal.SIGKILL)
            assert has_ended(pidfd)
        yield victim


def test_workers_killed_during_a_load_cost_nothing(tmp_path: Path, files: list[Path]) -> None:
    with loading(tmp_path / "data", files, "--json") as load:
        killed = list(kill_some(load.pid, 3))
        told, complaints = load.communicate(timeout=COMMAND_S)
    assert len(set(killed)) == 3
    assert load.returncode == 0, complaints
    assert b"signal_SIGKILL" in complaints
    loaded = json.loads(told)
    assert (loaded["certificates"], loaded["invalid"]) == (TIMES * CERTIFICATES, 0)
    assert (loaded["inserted"], loaded["ignored"]) == (CERTIFICATES, (TIMES - 1) * CERTIFICATES)
    digests = keygrove("digests", "--data", tmp_path / "data").out.splitlines()
    undisturbed: list[str | Path] = ["--data", tmp_path / "other"]
    assert keygrove("load", *undisturbed, DEBIAN_KEYRING).status == 0
    assert digests == keygrove("digests", *undisturbed).out.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_a_load_that_is_interrupted_leaves_no_process_behind(
    tmp_path: Path, files: list[Path], number: signal.Signals
) -> None:
    with loading(tmp_path / "data", files) as load, ExitStack() as watched:
        workers = [watched.enter_context(opened(pid)) for pid in children(load.pid)]
        load.send_signal(number)
        _, complaints = load.communicate(timeout=COMMAND_S)
        assert all(map(has_ended, workers))
    assert load.returncode == (130 if number is not signal.SIGKILL else -signal.SIGKILL)
    assert b"Traceback" not in complaints
    assert keygrove("load", "--data", tmp_path / "data", DEBIAN_KEYRING).status == 0


def test_a_server_that_is_loaded_has_workers_until_it_stops(
    servers: Servers, files: list[Path]
) -> None:
    server = servers.start(env=ENV)
    assert children(server.pid) == []
    arguments: list[str | Path] = [COMMAND, "load", "--json", "--data", server.data, *files]
    load = subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment())
    killed = list(kill_some(server.pid, 2))
    assert server.http.get("/healthz").status_code == 200
    shown = keygrove("status", "--tree", "--data", server.data)
    assert "parser-pool" in shown.out
    told, _ = load.communicate(timeout=COMMAND_S)
    assert load.returncode == 0
    loaded = json.loads(told)
    assert (loaded["inserted"], loaded["ignored"]) == (CERTIFICATES, (TIMES - 1) * CERTIFICATES)
    assert server.total() == CERTIFICATES
    restarts = server.metric("keygrove_actor_restarts_total", **{"class": "Seat"})
    assert restarts == len(killed) == 2
    workers = children(server.pid)
    assert workers
    assert server.stop() == 0
    assert all(map(is_gone, workers))
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_load_that_is_interrupted_says_how_far_it_came(
    tmp_path: Path, files: list[Path], number: signal.Signals
) -> None:
    options = ("--json",) if number is signal.SIGTERM else ()
    with loading(tmp_path / "data", files, *options) as load:
        load.send_signal(number)
        told, advice = load.communicate(timeout=COMMAND_S)
    assert load.returncode == 130
    held = len(keygrove("digests", "--data", tmp_path / "data").out.splitlines())
    if options:
        loaded = json.loads(told)
        assert loaded["interrupted"] is True
        assert 0 < loaded["inserted"] <= held
    else:
        assert re.match(rb"interrupted: loaded [\d,]+ certificates in .* s \(", told)
        assert b"load the same again to go on" in advice


def test_workers_end_when_there_is_nothing_left_to_load(
    servers: Servers, files: list[Path]
) -> None:
    server = servers.start(env=ENV)
    assert keygrove("load", "--data", server.data, *files[:3]).status == 0
    first, second = children(server.pid)
    with opened(first) as one, opened(second) as other:
        assert has_ended(one)
        assert has_ended(other)
    assert children(server.pid) == []
    assert server.total() == CERTIFICATES
