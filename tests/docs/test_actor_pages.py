"""The pages on actors are true: their examples run, and every public name is on the reference."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keygrove_actors

DOCS = Path(__file__).parents[2] / "docs"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
TUTORIAL_LINES_MAX = 60
WORKER_LINES_MAX = 30
REFERENCE_LINES_MAX = 400
WITH_CTRL_C = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ENDING = """
import anyio

for example in (main, grow, count):
    for backend in ("asyncio", "trio"):
        anyio.run(example, backend=backend)
"""


def code_of(page: str) -> str:
    return "\n\n".join(PYTHON.findall((DOCS / page).read_text()))


def test_the_examples_of_the_reference_run(tmp_path: Path) -> None:
    program = tmp_path / "examples.py"
    program.write_text(code_of("reference/actors.md") + ENDING)
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(program)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_reference_is_one_page_and_names_everything_public() -> None:
    page = (DOCS / "reference" / "actors.md").read_text()
    assert len(page.splitlines()) <= REFERENCE_LINES_MAX
    assert [n for n in keygrove_actors.__all__ if not re.search(rf"\b{n}\b", page)] == []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_the_tutorial_is_sixty_lines_that_survive_their_bug(tmp_path: Path) -> None:
    code = code_of("tutorial/first-service.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= TUTORIAL_LINES_MAX
    program = tmp_path / "counters.py"
    program.write_text(code)
    port = free_port()
    service = subprocess.Popen(
        [sys.executable, "-u", "-c", WITH_CTRL_C, str(program), str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert service.stdout is not None
    try:
        while service.stdout.readline() != "door started\n":
            assert service.poll() is None
        with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
            lines = one.makefile("rw")

            def ask(line: str) -> str:
                lines.write(f"{line}\n")
                lines.flush()
                return lines.readline().strip()

            assert [ask("apples 3"), ask("apples 4")] == ["3", "7"]
            assert "OverflowError" in ask("apples 1001")
            assert ask("apples 1") == "1"
        service.send_signal(signal.SIGINT)
        out, _ = service.communicate(timeout=60)
    finally:
        service.kill()
        service.wait()
    assert service.returncode == 0
    told = [line for line in out.splitlines() if line.startswith("counter ")]
    assert told == [
        "counter crashed with OverflowError: the wheels come off",
        "counter is restarted: 1 of 1 restarts are spent",
        "counter started again, life 2",
        "counter was shut down",
    ]


def test_the_worker_of_the_how_to_works(tmp_path: Path) -> None:
    worker, host = PYTHON.findall((DOCS / "how-to" / "write-a-worker.md").read_text())
    assert len([line for line in worker.splitlines() if line.strip()]) <= WORKER_LINES_MAX
    (tmp_path / "parsing.py").write_text(worker)
    (tmp_path / "host.py").write_text(host)
    ran = subprocess.run(
        [sys.executable, "host.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert "6" in lines
    assert any("bad_request" in line and "'x'" in line for line in lines)
