"""Workers of every kind, on both loops: real processes in real time, but for the one in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from keygrove_actors import ChildSpec, Ref, Runtime, Strategy, SupSpec, run
from keygrove_actors.port import Port
from keygrove_actors.port_conform import WORKS, ConformApi, Lookup, table
from keygrove_actors.port_fake import in_memory
from keygrove_actors.port_spec import Offer, PortSpec
from keygrove_actors.testkit import leak_gate
from keygrove_actors.zygote_actor import Zygote, zygote_spec
from tests.interop.ports.kit import Reports
from tests.processes import children_of, descendants

SOURCES = Path(__file__).parents[3] / "deploy" / "workers"
TABLE = "keygrove_actors.port_conform:table"

Starting: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[Runtime, Ref[ConformApi]]]]
Worker: TypeAlias = Callable[[str], PortSpec]


@pytest.fixture(
    params=[
        "uvloop",
        pytest.param("asyncio", marks=pytest.mark.slow),
        pytest.param("trio", marks=pytest.mark.slow),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {}
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """See `kit.workers`."""
    return str(request.param)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The path of the example worker in a language, built once."""
    folder = tmp_path_factory.mktemp("workers")

    def build(language: str) -> str:
        tool = {"c": "gcc", "rust": "cargo"}[language]
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")
        if language == "c":
            program = folder / "worker"
            source = str(SOURCES / "c/worker.c")
            command = ["gcc", "-O2", "-Wall", "-Werror", "-o", str(program), source]
        else:
            program = folder / "release" / "worker"
            command = ["cargo", "build", "--release", "--offline", "--quiet", "--locked"]
            command += ["--target-dir", str(folder)]
            command += ["--manifest-path", str(SOURCES / "rust/Cargo.toml")]
        if not program.exists():
            subprocess.run(command, check=True)
        return str(program)

    return build


@pytest.fixture
def reports() -> Reports:
    return Reports()


async def look_up(message: Lookup) -> bytes:
    return b"<" + message.data + b">"


@pytest.fixture
def spec(kind: str, request: pytest.FixtureRequest) -> PortSpec:
    base = PortSpec(
        api=ConformApi, works=WORKS, worker=TABLE, offers=(Offer(Lookup, look_up),), drain_s=0.5
    )
    if kind == "zygote":
        return msgspec.structs.replace(base, zygote="zygote")
    if kind in {"rust", "c"}:
        program: str = request.getfixturevalue("built")(kind)
        return msgspec.structs.replace(base, worker="", argv=(program,))
    return base


@pytest.fixture
def starting(kind: str, spec: PortSpec, reports: Reports) -> Starting:
    """Run a port of that kind, named `port`, after a zygote if it needs one."""

    @asynccontextmanager
    async def start(
        intensity: int = 3, **changes: Any
    ) -> AsyncGenerator[tuple[Runtime, Ref[ConformApi]], None]:
        launch = in_memory(table) if kind == "memory" else None
        mailbox = {"mailbox": changes.pop("mailbox")} if "mailbox" in changes else {}
        changed = msgspec.structs.replace(spec, **changes)
        port = Port.child("port", changed, name="port", launch=launch, **mailbox)
        children: tuple[ChildSpec, ...] = (port,)
        if kind == "zygote":
            warm = zygote_spec("keygrove_actors.port_conform")
            children = (Zygote.child("zygote", warm, name="zygote"), port)
        tree = SupSpec(
            children=children, strategy=Strategy.REST_FOR_ONE, intensity=intensity, period=60
        )
        files, children_before = open_files(), set(children_of(os.getpid()))
        async with leak_gate() as gate, run(tree, observe=reports.append) as runtime:
            gate.append(runtime)
            yield runtime, runtime.whereis("port", ConformApi)
        assert open_files() <= files
        assert set(children_of(os.getpid())) <= children_before

    return start


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def no_orphan() -> Generator[None, None, None]:
    """No test leaves a process behind, whatever it tests."""
    before = set(descendants(os.getpid()))
    yield
    assert set(descendants(os.getpid())) <= before
