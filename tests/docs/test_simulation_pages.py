"""The pages on the simulator are true: their example runs, fails, is seen again, and is mended."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tutorial" / "simulate-a-service.md").read_text()
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
ACTORS = (DOCS / "how-to" / "simulate-actors.md").read_text()
NAMES = ("counter.py", "over_tcp.py", "storms.py", "mended.py", "test_counter.py")
SERVICE_LINES_MAX = 60
KEYGROVE = Path(sys.executable).parent / "keygrove"


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports: tuple[int, int] = one.getsockname()[1], other.getsockname()[1]
        return ports


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page has its reader write."""
    folder = tmp_path_factory.mktemp("service")
    for name, code in zip(NAMES, PYTHON.findall(PAGE), strict=True):
        (folder / name).write_text(code)
    return folder


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What comes of `keygrove chaos` in that folder."""
    return subprocess.run(
        [KEYGROVE, "chaos", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"},
    )


def test_the_service_is_sixty_lines_without_a_simulator(folder: Path) -> None:
    code = (folder / "counter.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= SERVICE_LINES_MAX
    assert "keygrove" not in code


@pytest.mark.slow
@pytest.mark.slow
def test_the_service_runs_over_tcp(folder: Path) -> None:
    ports = [str(port) for port in free_ports()]
    nodes = [
        subprocess.Popen(
            [sys.executable, "over_tcp.py", *order],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in (ports, ports[::-1])
    ]

    def add(node: subprocess.Popen[str], amount: int) -> int:
        assert node.stdin is not None
        assert node.stdout is not None
        node.stdin.write(f"{amount}\n")
        node.stdin.flush()
        return int(node.stdout.readline())

    try:
        assert add(nodes[0], 3) == 3
        assert add(nodes[1], 4) in (4, 7)
        while [add(node, 0) for node in nodes] != [7, 7]:
            assert [node.poll() for node in nodes] == [None, None]
    finally:
        for node in nodes:
            node.kill()
            node.communicate()


@pytest.mark.slow
def test_a_partition_finds_the_bug_and_its_seed_shows_it_again(folder: Path) -> None:
    found = ran(folder, "simulate", "--scenario", "storms:scenario", "--seeds", "20")
    assert found.returncode == 1
    told = found.stderr.splitlines()
    told = [line.partition(" events in")[0] for line in (*told, *found.stdout.splitlines())]
    assert all(line in PAGE for line in told)
    (again,) = re.findall(r"to see it again: keygrove chaos (.*)", found.stderr)
    replays = [ran(folder, *again.split()) for _ in range(2)]
    assert {one.returncode for one in replays} == {1}
    assert all(told[0].removeprefix("seed 12: ") in one.stderr for one in replays)
    hashes = {one.stdout.splitlines()[-1] for one in replays}
    assert len(hashes) == 1
    assert re.fullmatch(r"trace [0-9a-f]{32} of \d+ events", hashes.pop())
    shown = re.findall(r"```\n( +\d+\.\d{6}.*?)```", PAGE, re.DOTALL)
    assert len(shown) == 2
    assert all(line in replays[0].stdout for part in shown for line in part.splitlines())


@pytest.mark.slow
def test_the_mended_service_holds_and_its_seeds_are_the_same_everywhere(folder: Path) -> None:
    for words in (
        "replay 12 --scenario mended:scenario --last 1",
        "simulate --scenario mended:scenario --seeds 200",
        "determinism --scenario mended:scenario --seeds 5",
    ):
        assert f"keygrove chaos {words}" in PAGE
        done = ran(folder, *words.split())
        assert (done.returncode, "found:" in done.stderr) == (0, False), done.stderr


@pytest.mark.slow
@pytest.mark.slow
def test_a_bundle_of_the_bug_shows_it_again(folder: Path) -> None:
    for words, code in (
        ("keep 12 --scenario storms:scenario", 0),
        ("replay runs/storms-12.json", 1),
    ):
        assert f"keygrove chaos {words}" in PAGE
        done = ran(folder, *words.split())
        assert done.returncode == code, done.stderr
    assert "warning" not in done.stderr


@pytest.mark.slow
def test_the_test_of_the_page_passes(folder: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_counter.py"]
    subprocess.run(words, cwd=folder, timeout=120, check=True, capture_output=True)


@pytest.mark.slow
def test_the_bug_that_the_page_proposes_is_found(folder: Path, tmp_path: Path) -> None:
    code, proposed = (folder / "counter.py").read_text(), "self.total += int(await line(stream))"
    assert f"`{proposed}`" in PAGE
    sound = "amount = int(await line(stream))\n                self.total += amount"
    assert sound in code
    (tmp_path / "counter.py").write_text(code.replace(sound, proposed))
    (tmp_path / "storms.py").write_text((folder / "storms.py").read_text())
    found = ran(tmp_path, "simulate", "--scenario", "storms:scenario", "--seeds", "20")
    assert found.stderr.count("to see it again") > 1


@pytest.mark.slow
def test_the_mutant_of_the_page_is_found(folder: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (folder / "mutants").mkdir()
    (folder / "mutants" / "counter.toml").write_text(toml)
    done = ran(folder, "mutate", "--folder", "mutants")
    assert done.returncode == 0, done.stdout
    ((command, told),) = re.findall(r"\$ keygrove chaos (mutate.*)\n(.*)\n", PAGE)
    assert command == "mutate --folder mutants"
    assert done.stdout.startswith(told)


@pytest.mark.slow
def test_the_service_is_watched(folder: Path, tmp_path: Path) -> None:
    for name in NAMES:
        text = (folder / name).read_text()
        (tmp_path / name).write_text(text.replace("self.total += amount", "open('/dev/null')"))
    done = ran(tmp_path, "simulate", "--scenario", "mended:scenario", "--seeds", "2")
    assert re.search(r"builtins\.open called at .*/counter\.py:\d+: take files as", done.stderr)


@pytest.mark.slow
def test_the_tree_of_the_how_to_loses_money_until_it_is_mended(tmp_path: Path) -> None:
    (code,) = PYTHON.findall(ACTORS)
    moves = tmp_path / "moves.py"
    moves.write_text(code)
    simulate = ("simulate", "--scenario", "moves:scenario", "--seeds", "20")
    assert f"$ keygrove chaos {' '.join(simulate)}\n" in ACTORS
    assert ran(tmp_path, *simulate, "--engine", "trio").returncode == 1
    told = ran(tmp_path, *simulate)
    lines = [*told.stderr.splitlines(), *told.stdout.splitlines()]
    assert [line for line in lines if line.partition(" events in")[0] not in ACTORS] == []
    assert "$ keygrove chaos replay 12 --scenario moves:scenario\n" in ACTORS
    again = ran(tmp_path, "replay", "12", "--scenario", "moves:scenario").stdout.splitlines()
    assert all(f"{line}\n" in ACTORS for line in again[:5])
    loses = '        self.book["left"] -= message.amount\n'
    waits = "        await anyio.sleep(0.01)\n"
    moves.write_text(code.replace(loses + waits, waits + loses))
    mended = ran(tmp_path, *simulate)
    assert mended.returncode == 0, mended.stderr
