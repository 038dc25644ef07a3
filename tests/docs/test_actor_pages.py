"""The pages on actors are true: their examples run, and every public name is on the reference."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

import keygrove_actors
from keygrove_actors import Backoff
from tests.docs.tables import rows

DOCS = Path(__file__).parents[2] / "docs"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
TUTORIAL = (DOCS / "tutorial" / "first-service.md").read_text()
TUTORIAL_LINES_MAX = 60
COLUMNS_MAX = 100
WORKER_LINES_MAX = 30
REFERENCE_LINES_MAX = 400
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


def test_the_fields_of_a_backoff_are_told_with_their_defaults() -> None:
    told = {name: cells[0] for name, cells in rows("actors", "`Backoff`").items()}
    defaults = {field.name: field.default for field in msgspec.structs.fields(Backoff)}
    assert defaults.pop("base") is msgspec.NODEFAULT
    assert told.pop("base") == "none"
    jitter = defaults.pop("jitter")
    assert told.pop("jitter") == f"`{jitter}`"
    assert {name: float(cell.removesuffix(" s")) for name, cell in told.items()} == defaults


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Service:
    """The program of the tutorial, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.program = folder / "counters.py"
        self.program.write_text(
            code_of("tutorial/first-service.md").replace("4000", str(self.port))
        )
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-u", str(self.program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_up(self) -> None:
        assert self.process.stdout is not None
        while self.process.stdout.readline() != "door started\n":
            assert self.process.poll() is None

    @contextmanager
    def client(self) -> Generator[Callable[[str], str], None, None]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as one:
            lines = one.makefile("rw")

            def ask(line: str) -> str:
                lines.write(f"{line}\n")
                lines.flush()
                return lines.readline().strip()

            yield ask

    def end(self) -> tuple[int, list[str], str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.splitlines(), err


@pytest.fixture
def service(tmp_path: Path) -> Generator[Service, None, None]:
    service = Service(tmp_path)
    try:
        service.wait_up()
        yield service
    finally:
        service.process.kill()
        service.process.communicate()


def test_the_tutorial_is_sixty_lines() -> None:
    code = code_of("tutorial/first-service.md")
    assert len(code.splitlines()) <= TUTORIAL_LINES_MAX
    assert max(map(len, code.splitlines())) <= COLUMNS_MAX


def test_the_service_of_the_tutorial_survives_its_bug(service: Service) -> None:
    with service.client() as ask:
        assert [ask("3"), ask("4")] == ["3", "7"]
        answer = ask("five")
        assert "ValueError" in answer
        assert f"\n{answer}\n" in TUTORIAL
        assert ask("1") == "1"
    service.process.send_signal(signal.SIGINT)
    code, out, err = service.end()
    assert (code, err) == (0, "")
    told = [line for line in out if line.startswith("counter ")]
    assert all(f"{line}\n" in TUTORIAL for line in told[:-1])
    assert told[-1] == "counter was shut down"


def test_what_ends_the_service_of_the_tutorial_is_its_last_line(service: Service) -> None:
    other = service.start()
    _, err = other.communicate(timeout=60)
    assert (other.returncode, f"\n{err}" in TUTORIAL) == (1, True)
    with service.client() as ask, suppress(OSError):
        while ask("five"):  # two of them within five seconds, however slow this is
            pass
    code, _, err = service.end()
    assert (code, f"\n{err}" in TUTORIAL) == (1, True)


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
