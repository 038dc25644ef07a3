"""Product code that reaches past its ports is named, by file and line; others are left alone."""

import asyncio
import datetime
import importlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio

from keygrove_chaos.running import run
from keygrove_chaos.tripwires import NondeterminismError, tripwires
from keygrove_chaos.world import ENGINES, EngineName, Options, World
from tests.unit.chaos.programs import gossip

CULPRITS: dict[str, str] = {
    "time": "import time\ndef f():\n    return time.monotonic()\n",
    "wall time": "import datetime\ndef f():\n    return datetime.datetime.now()\n",
    "pause": "import time\ndef f():\n    time.sleep(0)\n",
    "random": "import random\ndef f():\n    return random.random()\n",
    "entropy": "import os\ndef f():\n    return os.urandom(4)\n",
    "secrets": "import secrets\ndef f():\n    return secrets.token_hex(4)\n",
    "uuid": "import uuid\ndef f():\n    return uuid.uuid4()\n",
    "temporary names": "import tempfile\ndef f():\n    return tempfile.mkdtemp()\n",
    "thread": "import threading\ndef f():\n    threading.Thread(target=print).start()\n",
    "socket": "import socket\ndef f():\n    return socket.socket()\n",
    "file": "def f():\n    return open('/dev/null')\n",
    "anyio's file": "import anyio\ndef f():\n    return anyio.open_file('x')\n",
    "anyio's stream": "import anyio\ndef f():\n    return anyio.connect_tcp('a', 1)\n",
    "file by its path": "import pathlib\ndef f():\n    return pathlib.Path('x').read_text()\n",
    "anyio's thread": "import anyio.to_thread as t\ndef f():\n    return t.run_sync(print)\n",
    "process": "import subprocess\ndef f():\n    return subprocess.Popen(['true'])\n",
}


def product_function(source: str) -> Callable[[], Any]:
    module = ModuleType("keygrove.storage.culprit")
    exec(compile(source, "culprit.py", "exec"), vars(module))  # noqa: S102 - a module made for the test
    function: Callable[[], Any] = vars(module)["f"]
    return function


@pytest.mark.parametrize("name", CULPRITS)
def test_c004_a_product_module_that_touches_the_real_world_is_named(name: str) -> None:
    culprit = product_function(CULPRITS[name])
    with (
        tripwires(),
        pytest.raises(NondeterminismError, match=r"culprit\.py:\d: t(ake|here)") as hit,
    ):
        culprit()
    assert hit.value.file == "culprit.py"
    assert hit.value.line == len(CULPRITS[name].splitlines())


def test_everyone_else_is_served() -> None:
    before = (time.monotonic, random.random, socket.socket, datetime.datetime, open)
    with tripwires():
        assert time.monotonic() > 0
        assert random.random() < 1
        assert len(os.urandom(3)) == 3
        assert uuid.uuid4().version == 4
        now = datetime.datetime.now(datetime.UTC)
        assert isinstance(now, datetime.datetime)
        assert isinstance(before[3](2026, 1, 1, tzinfo=datetime.UTC), datetime.datetime)
        with socket.socket() as one:
            assert isinstance(one, socket.socket)
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        assert subprocess.run([sys.executable, "-c", "pass"], check=True).returncode == 0
        asyncio.run(asyncio.sleep(0))
        trio.run(trio.sleep, 0)
    assert (time.monotonic, random.random, socket.socket, datetime.datetime, open) == before


def test_what_a_watched_module_bound_before_is_wired_as_long_as_the_run_lasts() -> None:
    """Services of one's own have `from time import time`, which no attribute of `time` reaches."""
    module = ModuleType("bound_before")
    source = "from time import monotonic\nfrom datetime import datetime\n"
    exec(source, vars(module))  # noqa: S102 - a module made for the test
    culprits: list[Callable[[], object]] = [
        eval(f"lambda: {call}", vars(module))  # noqa: S307 - as above
        for call in ("monotonic()", "datetime.now()")
    ]
    sys.modules["bound_before"] = module
    try:
        with tripwires(["bound_before"]):
            for culprit in culprits:
                with pytest.raises(NondeterminismError, match="take time from"):
                    culprit()
    finally:
        del sys.modules["bound_before"]
    assert all(culprit() for culprit in culprits)


def test_a_module_that_is_imported_in_a_run_is_free_after_it() -> None:
    with tripwires():
        late = product_function("from time import monotonic\ndef f():\n    return monotonic()\n")
        with pytest.raises(NondeterminismError):
            late()
    assert late() > 0


def test_other_packages_can_be_watched() -> None:
    with tripwires(["tests.unit.chaos.test_tripwires"]), pytest.raises(NondeterminismError):
        time.time()


@pytest.mark.parametrize("engine", ENGINES)
def test_worlds_run_under_the_wires(engine: Any) -> None:
    bare = run(gossip(), seed=1, options=Options(engine=engine)).trace.digest()
    watched = Options(engine=engine, watched=("keygrove_chaos",))
    assert run(gossip(), seed=1, options=watched).trace.digest() == bare


def in_an_executor() -> Awaitable[object]:
    return asyncio.get_running_loop().run_in_executor(None, print)


@pytest.mark.parametrize(
    ("engine", "opens", "says"),
    [
        ("aio", lambda: asyncio.to_thread(print), "there is one thread: call the function itself"),
        ("aio", in_an_executor, "there is one thread: call the function itself"),
        *(
            (engine, opens, says)
            for engine in ENGINES
            for opens, says in (
                (lambda: anyio.to_thread.run_sync(print), "there is one thread: call the function"),
                (lambda: anyio.Path("x").read_text(), "take files as an argument"),
                (lambda: anyio.Path("x").exists(), "there is one thread"),
                (lambda: anyio.open_file("x"), "take files as an argument"),
                (lambda: anyio.run_process(["true"]), "there is one process"),
                (lambda: anyio.connect_tcp("a", 1), "take streams as an argument"),
            )
        ),
    ],
)
def test_c004_a_scenario_that_waits_for_the_real_world_is_named(
    engine: EngineName, opens: Callable[[], Awaitable[object]], says: str
) -> None:
    async def main(_: World) -> None:
        with suppress(Exception):
            await opens()

    with pytest.raises(NondeterminismError, match=says) as hit:
        run(main, seed=1, options=Options(engine=engine))
    assert hit.value.file == __file__


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("call", ["in_anyios_thread", "in_a_thread_of_its_own"])
def test_c004_a_library_that_nobody_watches_is_named_where_a_world_waits_for_its_thread(
    engine: EngineName,
    call: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a_library.py").write_text(LIBRARY)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    library = importlib.import_module("a_library")
    line = LIBRARY[: LIBRARY.index(f"async def {call}():")].count("\n") + 2

    async def main(_: World) -> None:
        await getattr(library, call)()

    with pytest.raises(NondeterminismError, match=rf"a_library\.py:{line}: there is one thread"):
        run(main, seed=1, options=Options(engine=engine))


LIBRARY = """
import threading
import anyio
async def in_anyios_thread():
    await anyio.to_thread.run_sync(int)
async def in_a_thread_of_its_own():
    threading.Thread(target=int).start()
    await anyio.sleep_forever()
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_world_ends_when_the_product_touches_the_real_one(engine: Any) -> None:
    culprit = product_function(CULPRITS["time"])

    async def main(world: World) -> None:
        del world
        with suppress(Exception):  # as a server does, which goes on when a request meets a bug
            culprit()

    with pytest.raises(NondeterminismError, match="time"):
        run(main, seed=1, options=Options(engine=engine))
    assert time.monotonic() > 0
