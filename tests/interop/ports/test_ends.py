"""How workers end, and that nothing of them is left (actors P-03 to P-08)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import anyio
import msgspec
import pytest

from keygrove_actors import (
    CalleeExit,
    ChildTerminated,
    Killed,
    Port,
    Shutdown,
    StartFailed,
    launch,
)
from keygrove_actors import port_wire as wire
from keygrove_actors.port_conform import ConformApi, Die, Echo, Spawn
from tests.interop.ports.kit import (
    HELLO,
    SPEC,
    TABLE,
    Reports,
    gone,
    port_of,
    program,
    says,
    script,
    tree,
)
from tests.processes import PATIENCE_S, descendants, has_ended, is_gone, opened, parent_of, reap

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


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
                    await running.whereis("pool", ConformApi).call(Echo(b""))
                    print("up", flush=True)
                    await anyio.sleep(60)

            anyio.run(main)
            """
        )
    )
    process = subprocess.Popen([sys.executable, runtime], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout, ExitStack() as files:
        assert process.stdout.readline() == "up\n"
        workers = [files.enter_context(opened(pid)) for pid in descendants(process.pid)]
        assert len(workers) == 5
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert all(map(has_ended, workers))
        for worker in workers:  # they came to this process if a test before made it a subreaper
            reap(worker)


async def test_p04_a_grandchild_that_left_the_group_is_found_by_its_mark(
    tmp_path: Path, reports: Reports
) -> None:
    note = tmp_path / "pid"
    hello = says(wire.Hello(1, 1, wire.MAGIC, 1, (), 2**20, 64))
    leave = f"setsid sh -c 'echo $$ > {note}; exec sleep 1000' &"
    shell = f'{leave} while ! [ -s {note} ]; do :; done; exec {sys.executable} -c "$HELLO"'
    spec = program("sh", "-c", shell, env={"HELLO": hello}, works=())
    async with port_of(spec, reports) as port:
        escaped = int(note.read_text())
        assert os.getsid(escaped) == escaped
        port.kill()
        await gone(escaped)


@pytest.mark.parametrize(
    ("restarts", "zygote"),
    [
        (3, ""),
        (10, "zygote"),
        pytest.param(100, "", marks=pytest.mark.slow),
        pytest.param(100, "zygote", marks=pytest.mark.slow),
        pytest.param(1000, "", marks=pytest.mark.campaign),
        pytest.param(1000, "zygote", marks=pytest.mark.campaign),
    ],
)
async def test_no_file_and_no_process_is_left_after_many_restarts(
    restarts: int, zygote: str, reports: Reports
) -> None:
    spec = msgspec.structs.replace(SPEC, zygote=zygote)
    async with port_of(spec, reports, intensity=restarts) as port:
        await port.call(Echo(b""))
        files = len(os.listdir("/proc/self/fd"))
        for n in range(restarts):
            with pytest.raises(CalleeExit):
                await port.call(Die(b"exit %d" % (n % 100 + 1)), wait_up=PATIENCE_S)
            await reports.until(lambda: sum(isinstance(r, ChildTerminated) for r in reports) > n)  # noqa: B023 - called in this round
        assert await port.call(Echo(b""), wait_up=PATIENCE_S) == b""
        with anyio.fail_after(PATIENCE_S):
            while len(os.listdir("/proc/self/fd")) != files:  # noqa: ASYNC110 - the loop tells nobody
                await anyio.sleep(0.01)
        assert len(descendants(os.getpid())) == (2 if zygote else 1)
    assert not descendants(os.getpid())


# ---- stops


async def test_p06_a_worker_we_killed_ends_as_killed(reports: Reports) -> None:
    async with port_of(SPEC, reports) as port:
        port.kill()
        await reports.until(lambda: any(isinstance(r, ChildTerminated) for r in reports))
        assert await port.call(Echo(b"x"), wait_up=PATIENCE_S) == b"x"
    ends = [r.reason for r in reports if isinstance(r, ChildTerminated)]
    assert ends == [Killed(), Shutdown()]


@pytest.mark.slow
async def test_p08_who_ignores_drain_and_sigterm_is_killed_with_his_group(
    tmp_path: Path, reports: Reports
) -> None:
    note = tmp_path / "pid"
    worker = f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = os.fork()
        if child:
            open({str(note)!r}, "w").write(str(child))
            os.write(3, {wire.encode(HELLO)!r})
        while True:
            time.sleep(60)
        """
    started = 0.0
    async with port_of(program(*script(worker), works=(), drain_s=0.1), reports):
        child = int(note.read_text())
        started = time.monotonic()
    assert time.monotonic() - started >= 1.1
    assert is_gone(child)
    assert [r.reason for r in reports if isinstance(r, ChildTerminated)] == [Shutdown()]


async def test_p08_a_brutal_kill_waits_for_nothing(reports: Reports) -> None:
    spec = msgspec.structs.replace(SPEC, drain_s=30.0)
    child = msgspec.structs.replace(Port.child("port", spec, name="port"), shutdown="brutal_kill")
    async with tree(child, reports=reports) as runtime:
        port = runtime.whereis("port", ConformApi)
        worker = parent_of(int(await port.call(Spawn(b""))))
        started = time.monotonic()
    assert time.monotonic() - started < spec.drain_s
    assert is_gone(worker)


# ---- what a worker does by itself


def test_p03_a_worker_whose_parent_is_another_by_now_exits() -> None:
    command = [sys.executable, "-I", "-S", launch.__file__, "1", "fd3", "/", "0", "", "--", "true"]
    assert subprocess.run(command, check=False).returncode == launch.ORPHANED


@pytest.mark.parametrize("language", ["python", "c", pytest.param("rust", marks=pytest.mark.slow)])
def test_p04_p12_an_idle_worker_answers_pings_and_ends_with_its_stream(
    language: str, built: Callable[[str], str]
) -> None:
    code = "from keygrove_actors.port_conform import table; table()"
    argv = [sys.executable, "-c", code] if language == "python" else [built(language)]
    place = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-c", place, str(theirs.fileno()), *argv]
            worker = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        decoder = wire.Decoder()
        (hello,) = decoder.feed(ours.recv(65536))
        assert isinstance(hello, wire.Hello)
        ours.sendall(wire.encode(wire.Welcome(1, 2**20, 8, {})))
        for number in (7, 8):
            ours.sendall(wire.encode(wire.Ping(number)))
            assert decoder.feed(ours.recv(65536)) == [wire.Pong(number)]
    assert worker.wait(PATIENCE_S) == 0


# ---- control groups


@pytest.fixture
def folder() -> Generator[str, None, None]:
    """A folder of cgroup v2 that we may write to."""
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        path = Path(root, f"keygrove-test-{os.getpid()}")
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            if (path / "cgroup.kill").exists():
                yield str(path)
                return
        finally:
            path.rmdir()
    pytest.skip("no cgroup v2 that we may write to")


def groups_in(folder: str) -> list[Path]:
    return [path for path in Path(folder).iterdir() if path.is_dir()]


@pytest.mark.parametrize("zygote", ["", "zygote"])
async def test_p04_a_control_group_holds_a_worker_and_is_gone_after_it(
    zygote: str, folder: str, reports: Reports
) -> None:
    spec = msgspec.structs.replace(SPEC, cgroup=folder, zygote=zygote)
    async with port_of(spec, reports) as port:
        child = int(await port.call(Spawn(b"")))
        (group,) = groups_in(folder)
        members = (group / "cgroup.procs").read_text().split()
        assert set(map(int, members)) == {child, parent_of(child)}
    assert is_gone(child)
    assert not groups_in(folder)


async def test_p04_who_hides_from_group_and_mark_is_found_in_the_control_group(
    tmp_path: Path, folder: str, reports: Reports
) -> None:
    note = tmp_path / "pid"
    hide = f"setsid env -i sh -c 'echo $$ > {note}; exec sleep 1000' &"
    shell = f'{hide} while ! [ -s {note} ]; do :; done; exec {sys.executable} -c "$HELLO"'
    spec = program("sh", "-c", shell, env={"HELLO": says(HELLO)}, works=(), cgroup=folder)
    async with port_of(spec, reports) as port:
        hidden = int(note.read_text())
        assert not is_gone(hidden)
        port.kill()
        await gone(hidden)


async def test_a_folder_without_control_groups_fails_the_start(reports: Reports) -> None:
    with pytest.raises(StartFailed) as caught:
        async with port_of(msgspec.structs.replace(SPEC, cgroup="/nowhere"), reports):
            raise AssertionError
    assert "FileNotFoundError" in str(caught.value.reason)
