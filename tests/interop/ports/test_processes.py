"""What a port does with OS processes: starts that fail, limits, and that nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from keygrove_actors import (
    BadSpec,
    CalleeExit,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Crash,
    DeclaredError,
    InitTimeout,
    NoProc,
    Poisoned,
    Port,
    PortPool,
    PortSpec,
    Ref,
    Report,
    Runtime,
    StartError,
    StartFailed,
    Strategy,
    SupSpec,
    WorkerLimits,
    WorkFailure,
    WorkPoisoned,
    Zygote,
    run,
    zygote_spec,
)
from keygrove_actors import port_wire as wire
from keygrove_actors.port_conform import ConformApi, Die, Echo, Print, Spawn
from keygrove_actors.zygote_api import Refresh, ZygoteApi

pytestmark = pytest.mark.anyio

TABLE = "keygrove_actors.port_conform:table"
SPEC = PortSpec(api=ConformApi, works=(Echo, Print, Spawn, Die), worker=TABLE, drain_s=0.3)


@asynccontextmanager
async def tree(
    *children: ChildSpec, reports: list[Report], intensity: int = 5
) -> AsyncGenerator[Runtime, None]:
    spec = SupSpec(
        children=children, strategy=Strategy.REST_FOR_ONE, intensity=intensity, period=60
    )
    async with run(spec, observe=reports.append) as runtime:
        yield runtime


@asynccontextmanager
async def port_of(
    spec: PortSpec, reports: list[Report], intensity: int = 5
) -> AsyncGenerator[Ref[ConformApi], None]:
    child = Port.child("port", spec, name="port")
    async with tree(child, reports=reports, intensity=intensity) as runtime:
        yield runtime.whereis("port", ConformApi)


async def until(holds: Callable[[], Any], within: float = 3.0) -> None:
    with anyio.fail_after(within):
        while not holds():  # noqa: ASYNC110 - nobody tells of what happens in other processes
            await anyio.sleep(0.005)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except FileNotFoundError:
        return True


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


def limits_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split()[:2] for line in lines[1:]}


def stats_of(pids: list[int]) -> list[str]:
    return [Path(f"/proc/{pid}/stat").read_text()[:60] for pid in pids]


def script(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(text))


def says(*frames: wire.Frame) -> str:
    data = b"".join(map(wire.encode, frames))
    return f"import os, time\nos.write(3, {data!r})\ntime.sleep(60)"


async def failed_start(spec: PortSpec, reports: list[Report]) -> StartFailed:
    with pytest.raises(StartFailed) as caught:
        async with port_of(spec, reports):
            raise AssertionError
    return caught.value


def program(*argv: str, **options: Any) -> PortSpec:
    return msgspec.structs.replace(SPEC, worker="", argv=argv, **options)


# ---- starts


async def test_p07_a_worker_without_hello_is_an_init_timeout(reports: list[Report]) -> None:
    failure = await failed_start(program("sleep", "100", init_timeout_s=0.1), reports)
    assert failure.reason == InitTimeout()


@pytest.mark.parametrize(
    ("frame", "exc"),
    [
        (wire.Hello(2, 3, wire.MAGIC, 1, ("echo",), 2**20, 64), "version"),
        (wire.Hello(1, 1, wire.MAGIC, 1, ("echo",), 2**20, 64), "ops"),
        (wire.Hello(1, 1, "other", 1, ("echo",), 2**20, 64), "bad_frame"),
        (wire.Pong(1), "bad_frame"),
    ],
    ids=["version", "operations", "magic", "no hello"],
)
async def test_p07_a_worker_that_does_not_fit_fails_the_start(
    frame: wire.Frame, exc: str, reports: list[Report]
) -> None:
    failure = await failed_start(program(*script(says(frame))), reports)
    assert isinstance(failure.reason, Crash)
    assert failure.reason.exc == exc


async def test_p07_a_version_mismatch_at_a_restart_is_not_retried(
    tmp_path: Path, reports: list[Report]
) -> None:
    hello = (SPEC.works[0].op, "print", "spawn", "die")
    first, later = (
        wire.encode(wire.Hello(version, version, wire.MAGIC, 1, hello, 2**20, 64))
        for version in (1, 2)
    )
    worker = f"""
        import os, time
        new = not os.path.exists({str(tmp_path / "ran")!r})
        open({str(tmp_path / "ran")!r}, "w").close()
        os.write(3, {first!r} if new else {later!r})
        time.sleep(0.05 if new else 60)
        """
    async with port_of(program(*script(worker)), reports) as port:
        await until(lambda: any(isinstance(r, StartError) for r in reports))
        await anyio.sleep(0.1)
        with pytest.raises(NoProc):
            await port.call(Echo(b""))
    errors = [r.reason for r in reports if isinstance(r, StartError)]
    assert [e.exc for e in errors if isinstance(e, Crash)] == ["version"]
    assert sum(isinstance(r, ChildStarted) for r in reports) == 1


async def test_a_program_that_is_not_there_says_so(reports: list[Report]) -> None:
    failure = await failed_start(program("/nowhere/worker"), reports)
    assert isinstance(failure.reason, Crash)
    assert failure.reason.exc == "exit_127"
    assert "/nowhere/worker cannot be started: No such file" in failure.reason.trace


async def test_p03_a_worker_is_not_forked_in_a_secondary_thread(
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    failures: list[Any] = []

    async def main() -> None:
        failures.append((await failed_start(SPEC, [])).reason.exc)  # type: ignore[union-attr]

    thread = threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": "trio"})
    thread.start()
    while thread.is_alive():  # noqa: ASYNC110 - a thread has no event
        await anyio.sleep(0.01)
    assert failures == ["WrongThread"]


async def test_p01_a_program_that_takes_no_file_is_spoken_to_over_stdio(
    reports: list[Report],
) -> None:
    worker = "from keygrove_actors.port_conform import table; table.serve(0)"
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    spec = program(*script(worker), transport="stdio", env=path)
    async with port_of(spec, reports) as port:
        assert await port.call(Echo(b"x")) == b"x"


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": ("x",)},
        {"worker": ""},
        {"worker": "", "argv": ("x",), "zygote": "z"},
        {"event_credit": 0},
        {"frame_bytes_max": 10},
    ],
    ids=str,
)
async def test_a_spec_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSpec):
        msgspec.structs.replace(SPEC, **wrong)


# ---- limits


async def test_p13_limits_hold_in_the_worker(reports: list[Report]) -> None:
    limits = WorkerLimits(
        memory_bytes=2**28, cpu_s=5, files=50, file_bytes=2**20, processes=5000, nice=3
    )
    spec = msgspec.structs.replace(SPEC, limits=limits)
    async with port_of(spec, reports) as port:
        worker = parent_of(int(await port.call(Spawn(b""))))
        held = limits_of(worker)
        assert os.getpriority(os.PRIO_PROCESS, worker) == 3
    assert held["Max address space"] == [str(2**28)] * 2
    assert held["Max cpu time"] == ["5", "6"]
    assert held["Max open files"] == ["50", "50"]
    assert held["Max file size"] == [str(2**20)] * 2
    assert held["Max processes"] == ["5000"] * 2
    assert held["Max core file size"] == ["0", "0"]


async def test_p13_too_much_memory_is_a_crash_of_the_worker_alone(reports: list[Report]) -> None:
    spec = msgspec.structs.replace(SPEC, limits=WorkerLimits(memory_bytes=2**27))
    async with port_of(spec, reports) as port:
        with pytest.raises(CalleeExit) as caught:
            await port.call(Print(b"99999999"))
        assert await port.call(Echo(b"x"), wait_up=3) == b"x"
    assert isinstance(caught.value.reason, Crash)
    assert caught.value.reason.exc == "exit_1"
    assert "MemoryError" in caught.value.reason.trace


async def test_p10_a_request_too_big_for_the_worker_is_refused_here(
    reports: list[Report],
) -> None:
    async with port_of(SPEC, reports) as port:
        with pytest.raises(DeclaredError) as caught:
            await port.call(Echo(bytes(17 * 2**20)))
        assert await port.call(Echo(b"x")) == b"x"
    assert isinstance(caught.value.failure, WorkFailure)
    assert caught.value.failure.code == "bad_request"


async def test_p11_a_request_at_two_crashes_running_is_refused(reports: list[Report]) -> None:
    async with port_of(SPEC, reports) as port:
        for _ in range(2):
            with pytest.raises(CalleeExit):
                await port.call(Die(b"exit 1"), wait_up=3)
        with pytest.raises(Poisoned):
            await port.call(Die(b"exit 1"), wait_up=3)
        assert await port.call(Echo(b"x")) == b"x"
    assert [r.op for r in reports if isinstance(r, WorkPoisoned)] == ["die"]


# ---- nothing is left


def test_p03_p04_no_worker_outlives_a_killed_runtime(tmp_path: Path) -> None:
    hello = says(wire.Hello(1, 1, wire.MAGIC, 1, (), 2**20, 64))
    runtime = tmp_path / "runtime.py"
    runtime.write_text(
        textwrap.dedent(
            f"""
            import anyio
            from keygrove_actors import *
            from keygrove_actors.port_conform import ConformApi, Die, Echo, Spawn

            async def main():
                cold = PortSpec(api=ConformApi, works=(Echo, Die), worker={TABLE!r})
                warm = PortSpec(api=ConformApi, works=(Echo,), worker={TABLE!r}, zygote="zygote")
                spec = SupSpec(children=(
                    Zygote.child("zygote", zygote_spec("keygrove_actors.port_conform"),
                                 name="zygote"),
                    Port.child("cold", cold, name="cold"),
                    Port.child("other", PortSpec(api=ConformApi, works=(), argv={script(hello)!r})),
                    PortPool.child("pool", warm, 2, name="pool"),
                ))
                async with run(spec) as running, anyio.create_task_group() as tasks:
                    tasks.start_soon(running.whereis("cold", ConformApi).call, Die(b"hang"))
                    print("up", flush=True)
                    await anyio.sleep(60)

            anyio.run(main)
            """
        )
    )
    process = subprocess.Popen([sys.executable, runtime], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "up\n"
        time.sleep(0.1)
        workers = descendants(process.pid)
        assert len(workers) == 5
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 1
        while not all(map(is_gone, workers)):
            assert time.monotonic() < deadline, [w for w in workers if not is_gone(w)]
            time.sleep(0.01)
    for worker in workers:  # they came to this process if a test before made it a subreaper
        with suppress(ChildProcessError):
            os.waitpid(worker, 0)


def descendants(pid: int) -> list[int]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in paths for child in path.read_text().split()]
    return children + [pid for child in children for pid in descendants(child)]


async def test_p17_a_killed_zygote_takes_its_workers_along_and_all_come_back(
    reports: list[Report],
) -> None:
    warm = msgspec.structs.replace(SPEC, zygote="zygote")
    children = (
        Zygote.child("zygote", zygote_spec("keygrove_actors.port_conform"), name="zygote"),
        PortPool.child("pool", warm, 2, name="pool"),
    )
    async with tree(*children, reports=reports) as runtime:
        pool = runtime.whereis("pool", ConformApi)
        grandchild = int(await pool.call(Spawn(b"")))
        worker = parent_of(grandchild)
        zygote = parent_of(worker)
        assert parent_of(zygote) == os.getpid()
        os.kill(zygote, signal.SIGKILL)
        await until(lambda: is_gone(worker) and is_gone(grandchild))
        await until(lambda: sum(isinstance(r, ChildStarted) for r in reports) >= 12)
        assert await pool.call(Echo(b"x"), wait_up=3) == b"x"


async def test_p16_the_zygote_tells_how_its_workers_ended(reports: list[Report]) -> None:
    warm = msgspec.structs.replace(SPEC, zygote="zygote")
    children = (
        Zygote.child("zygote", zygote_spec("keygrove_actors.port_conform"), name="zygote"),
        Port.child("port", warm, name="port"),
    )
    async with tree(*children, reports=reports) as runtime:
        port = runtime.whereis("port", ConformApi)
        pid = parent_of(int(await port.call(Spawn(b""))))
        assert parent_of(pid) != os.getpid()
        for how, exc in ((b"exit 7", "exit_7"), (b"segv", "signal_SIGSEGV")):
            with pytest.raises(CalleeExit) as caught:
                await port.call(Die(how), wait_up=3)
            assert isinstance(caught.value.reason, Crash)
            assert caught.value.reason.exc == exc


async def test_p18_a_zygote_older_than_its_code_is_replaced(
    tmp_path: Path, reports: list[Report]
) -> None:
    module = tmp_path / "preloaded.py"
    module.write_text("")
    spec = zygote_spec("preloaded", env={"PYTHONPATH": str(tmp_path)})
    async with tree(Zygote.child("zygote", spec, name="zygote"), reports=reports) as runtime:
        zygote = runtime.whereis("zygote", ZygoteApi)
        assert await zygote.call(Refresh()) is False
        os.utime(module, (1, 1))
        assert await zygote.call(Refresh()) is True
        await until(lambda: sum(isinstance(r, ChildStarted) for r in reports) == 2)
        assert await zygote.call(Refresh()) is False


async def test_p04_a_grandchild_that_left_the_group_is_found_by_its_mark(
    tmp_path: Path, reports: list[Report]
) -> None:
    note = tmp_path / "pid"
    hello = says(wire.Hello(1, 1, wire.MAGIC, 1, (), 2**20, 64))
    shell = f'setsid sleep 1000 & echo $! > {note}; exec {sys.executable} -c "$HELLO"'
    spec = program("sh", "-c", shell, env={"HELLO": hello}, works=())
    async with port_of(spec, reports) as port:
        escaped = int(note.read_text())
        assert os.getsid(escaped) == escaped
        port.kill()
        await until(lambda: is_gone(escaped))


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [20, pytest.param(1000, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("zygote", ["", "zygote"])
async def test_no_file_and_no_process_is_left_after_many_restarts(
    restarts: int, zygote: str, reports: list[Report]
) -> None:
    spec = msgspec.structs.replace(SPEC, zygote=zygote)
    children: tuple[ChildSpec, ...] = (Port.child("port", spec, name="port"),)
    if zygote:
        warm = zygote_spec("keygrove_actors.port_conform")
        children = (Zygote.child("zygote", warm, name="zygote"), *children)
    async with tree(*children, reports=reports, intensity=restarts) as runtime:
        port = runtime.whereis("port", ConformApi)
        await port.call(Echo(b""))
        files = len(os.listdir("/proc/self/fd"))
        for n in range(restarts):
            with pytest.raises(CalleeExit):
                await port.call(Die(b"exit %d" % (n % 100 + 1)), wait_up=5)
            await until(lambda: sum(isinstance(r, ChildTerminated) for r in reports) > n)  # noqa: B023 - called in this round
        assert await port.call(Echo(b""), wait_up=5) == b""
        await anyio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) == files
        left = stats_of(descendants(os.getpid()))
        assert len(left) == (2 if zygote else 1), left
    assert not descendants(os.getpid())


# ---- a worker by itself


def test_a_worker_is_a_plain_program_and_ends_with_its_host() -> None:
    ours, theirs = socket.socketpair()
    code = (
        "import sys; from keygrove_actors.port_conform import table; table.serve(int(sys.argv[1]))"
    )
    with ours, theirs:
        command = [sys.executable, "-c", code, str(theirs.fileno())]
        worker = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        decoder = wire.Decoder()
        (hello,) = decoder.feed(ours.recv(65536))
        assert isinstance(hello, wire.Hello)
        ours.sendall(wire.encode(wire.Welcome(1, 2**20, 8, {})))
        ours.sendall(wire.encode(wire.Call(1, "echo", b"x", 0)))
        assert decoder.feed(ours.recv(65536)) == [wire.Reply(1, b"x")]
    assert worker.wait(1) == 0


def test_a_worker_without_a_host_says_what_is_missing() -> None:
    code = "from keygrove_actors.port_conform import table; table.serve()"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "start it by a PortSpec" in ended.stderr
