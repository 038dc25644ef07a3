"""What a port does with OS processes: starts that fail, and limits (actors P-01 to P-14)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from keygrove_actors import (
    BadSpec,
    CalleeExit,
    ChildStarted,
    Crash,
    DeclaredError,
    InitTimeout,
    NoProc,
    Poisoned,
    Port,
    PortSpec,
    StartError,
    StartFailed,
    WorkerLimits,
    WorkerLogged,
    WorkerPrinted,
    WorkFailure,
    WorkPoisoned,
    sysapi,
)
from keygrove_actors import port_wire as wire
from keygrove_actors.census import tree_snapshot
from keygrove_actors.port_conform import ConformApi, Die, Echo, Print, Spawn
from tests.interop.ports.kit import (
    HELLO,
    SPEC,
    Reports,
    crashes,
    port_of,
    program,
    says,
    script,
    tree,
)
from tests.processes import PATIENCE_S, parent_of, status_of

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


def limits_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:].split()[:2] for line in lines[1:]}


async def failed_start(spec: PortSpec, reports: Reports) -> StartFailed:
    with pytest.raises(StartFailed) as caught:
        async with port_of(spec, reports):
            raise AssertionError
    return caught.value


# ---- starts


async def test_p07_a_worker_without_hello_is_an_init_timeout(reports: Reports) -> None:
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
    frame: wire.Frame, exc: str, reports: Reports
) -> None:
    failure = await failed_start(program(*script(says(frame))), reports)
    assert isinstance(failure.reason, Crash)
    assert failure.reason.exc == exc


async def test_p07_a_version_mismatch_at_a_restart_is_not_retried(
    tmp_path: Path, reports: Reports
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
        await reports.until(lambda: any(isinstance(r, StartError) for r in reports))
        await anyio.sleep(0.1)
        with pytest.raises(NoProc):
            await port.call(Echo(b""))
    errors = [r.reason for r in reports if isinstance(r, StartError)]
    assert [e.exc for e in errors if isinstance(e, Crash)] == ["version"]
    assert sum(isinstance(r, ChildStarted) for r in reports) == 1


async def test_a_program_that_is_not_there_says_so(reports: Reports) -> None:
    failure = await failed_start(program("/nowhere/worker"), reports)
    assert isinstance(failure.reason, Crash)
    assert failure.reason.exc == "exit_127"
    assert "/nowhere/worker cannot be started: No such file" in failure.reason.trace


async def test_p03_a_worker_is_not_forked_in_a_secondary_thread(
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    failures: list[Any] = []

    async def main() -> None:
        failures.append((await failed_start(SPEC, Reports())).reason.exc)  # type: ignore[union-attr]

    thread = threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": "trio"})
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert failures == ["WrongThread"]


async def test_p01_a_program_that_takes_no_file_is_spoken_to_over_stdio(
    reports: Reports,
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


async def test_p13_limits_hold_in_the_worker(reports: Reports) -> None:
    limits = WorkerLimits(
        memory_bytes=2**28, cpu_s=5, files=50, file_bytes=2**20, processes=5000, nice=3
    )
    spec = msgspec.structs.replace(SPEC, limits=limits)
    async with port_of(spec, reports) as port:
        worker = parent_of(int(await port.call(Spawn(b""))))
        held = limits_of(worker)
        own = os.getpriority(os.PRIO_PROCESS, 0)  # other tests may have made this one nicer
        assert os.getpriority(os.PRIO_PROCESS, worker) == own + 3
    assert held["Max address space"] == [str(2**28)] * 2
    assert held["Max cpu time"] == ["5", "6"]
    assert held["Max open files"] == ["50", "50"]
    assert held["Max file size"] == [str(2**20)] * 2
    assert held["Max processes"] == ["5000"] * 2
    assert held["Max core file size"] == ["0", "0"]


async def test_p13_too_much_memory_is_a_crash_of_the_worker_alone(reports: Reports) -> None:
    spec = msgspec.structs.replace(SPEC, limits=WorkerLimits(memory_bytes=2**27))
    async with port_of(spec, reports) as port:
        with pytest.raises(CalleeExit) as caught:
            await port.call(Print(b"99999999"))
        assert await port.call(Echo(b"x"), wait_up=PATIENCE_S) == b"x"
    assert isinstance(caught.value.reason, Crash)
    assert caught.value.reason.exc == "exit_1"
    assert "MemoryError" in caught.value.reason.trace


async def test_p10_a_request_too_big_for_the_worker_is_refused_here(
    reports: Reports,
) -> None:
    async with port_of(SPEC, reports) as port:
        with pytest.raises(DeclaredError) as caught:
            await port.call(Echo(bytes(17 * 2**20)))
        assert await port.call(Echo(b"x")) == b"x"
    assert isinstance(caught.value.failure, WorkFailure)
    assert caught.value.failure.code == "bad_request"


async def test_p11_a_request_at_two_crashes_running_is_refused(reports: Reports) -> None:
    async with port_of(SPEC, reports) as port:
        for _ in range(2):
            with pytest.raises(CalleeExit):
                await port.call(Die(b"exit 1"), wait_up=PATIENCE_S)
        with pytest.raises(Poisoned):
            await port.call(Die(b"exit 1"), wait_up=PATIENCE_S)
        assert await port.call(Echo(b"x")) == b"x"
    assert [r.op for r in reports if isinstance(r, WorkPoisoned)] == ["die"]


async def test_p13_a_worker_gives_way_at_the_disk_and_gains_no_privileges(
    reports: Reports,
) -> None:
    spec = msgspec.structs.replace(SPEC, limits=WorkerLimits(is_idle_io=True))
    async with port_of(spec, reports) as port:
        worker = parent_of(int(await port.call(Spawn(b""))))
        shown = await anyio.run_process(["ionice", "-p", str(worker)])
        assert status_of(worker)["NoNewPrivs"] == "1"
    assert shown.stdout == b"idle\n"


@pytest.mark.slow
async def test_p13_too_much_processor_time_ends_the_worker(reports: Reports) -> None:
    worker = f"""
        import os
        os.write(3, {wire.encode(HELLO)!r})
        while True:
            pass
        """
    spec = program(*script(worker), works=(), limits=WorkerLimits(cpu_s=1))
    async with port_of(spec, reports):
        await reports.until(lambda: crashes(reports) == ["signal_SIGXCPU"])


async def test_p14_what_is_printed_never_blocks_worker_or_port(reports: Reports) -> None:
    worker = f"""
        import os, time
        os.write(3, {wire.encode(HELLO)!r})
        os.write(2, b"x" * 2**20 + bytes([10, 0xff, 10]))
        os.write(1, b"y" * 2**20)
        os.write(3, {wire.encode(wire.Log(1, "done", {}))!r})
        time.sleep(60)
        """
    async with port_of(program(*script(worker), works=()), reports):
        await reports.until(lambda: any(isinstance(r, WorkerLogged) for r in reports))
    printed = [(r.stream, r.text) for r in reports if isinstance(r, WorkerPrinted)]
    assert ("stderr", "x" * 8192) in printed
    assert ("stderr", "\\xff") in printed
    assert ("stdout", "y" * 8192) in printed


# ---- a worker by itself


def test_p04_a_worker_is_a_plain_program_and_ends_with_its_host() -> None:
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
    assert worker.wait(PATIENCE_S) == 0


def test_what_a_worker_has_printed_outlives_its_kill() -> None:
    code = """
import sys
from keygrove_actors.port_conform import Echo
from keygrove_actors.worker import Table
table = Table()
def echo(message: Echo, job):
    print("echoed")
    return message.data
table.on(Echo)(echo)
table.serve(int(sys.argv[1]))
"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", code, str(theirs.fileno())]
        with subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, env={}
        ) as worker:
            theirs.close()
            decoder = wire.Decoder()
            (hello,) = decoder.feed(ours.recv(65536))
            assert isinstance(hello, wire.Hello)
            ours.sendall(wire.encode(wire.Welcome(1, 2**20, 8, {})))
            ours.sendall(wire.encode(wire.Call(1, "echo", b"x", 0)))
            assert decoder.feed(ours.recv(65536)) == [wire.Reply(1, b"x")]
            worker.kill()
            assert worker.communicate(timeout=PATIENCE_S)[0] == b"echoed\n"


def test_a_worker_without_a_host_says_what_is_missing() -> None:
    code = "from keygrove_actors.port_conform import table; table.serve()"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "start it by a PortSpec" in ended.stderr


async def test_p09_a_worker_that_reads_late_gets_all_that_was_sent(reports: Reports) -> None:
    async with tree(Port.child("port", SPEC, name="port"), reports=reports) as runtime:
        port = runtime.whereis("port", ConformApi)
        pid = parent_of(int(await port.call(Spawn(b""))))
        sent = [bytes([n]) * 300_000 for n in range(8)]  # more than a socket takes
        answers: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            answers[number] = await port.call(Echo(sent[number]), timeout=PATIENCE_S)

        os.kill(pid, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            for number in range(len(sent)):
                tasks.start_soon(ask, number)
            node = (await tree_snapshot(runtime)).children[0]
            while node.unanswered + node.mailbox < len(sent):
                await anyio.sleep(0.01)
                node = (await tree_snapshot(runtime)).children[0]
            assert not answers
            os.kill(pid, signal.SIGCONT)
    assert [answers[number] for number in range(len(sent))] == sent


@pytest.mark.slow
async def test_p05_a_worker_that_closes_its_wire_and_lives_on_is_killed(
    reports: Reports,
) -> None:
    async with port_of(SPEC, reports) as port:
        with pytest.raises(CalleeExit):
            await port.call(Die(b"close"))
        assert await port.call(Echo(b"x"), wait_up=PATIENCE_S) == b"x"
    assert crashes(reports) == ["port_eof"]


async def test_a_port_whose_code_is_changed_keeps_its_worker(reports: Reports) -> None:
    class Newer(Port):
        pass

    async with port_of(SPEC, reports) as port:
        worker = parent_of(int(await port.call(Spawn(b""))))
        await sysapi.suspend(port)
        await sysapi.change_code(port, Newer)
        await sysapi.resume(port)
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(port.call, Echo(b"x"))
        assert parent_of(int(await port.call(Spawn(b"")))) == worker
