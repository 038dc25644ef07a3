"""The port conformance suite: every kind of worker, on every loop (actors §2)."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from keygrove_actors import (
    CalleeExit,
    CallTimeout,
    ChildTerminated,
    Crash,
    DeclaredError,
    MailboxFull,
    MailboxSpec,
    Offer,
    Requests,
    Shutdown,
)
from keygrove_actors.port_conform import (
    Ask,
    Count,
    Die,
    Echo,
    Fail,
    Files,
    Lookup,
    Print,
    Reload,
    Sleep,
    Spawn,
)
from keygrove_actors.reports import WorkerLinesDropped, WorkerLogged, WorkerPrinted
from keygrove_actors.tickets import stream
from keygrove_actors.work import WorkFailure
from tests.interop.ports.kit import Reports, crashes, gone, workers
from tests.processes import PATIENCE_S, is_gone, parent_of

pytestmark = pytest.mark.anyio

processes = workers("python", "zygote", "rust", "c")
everyone = workers("python", "zygote", "rust", "c", "memory")


def assert_is_confined(worker: int, child: int) -> None:
    assert os.getpgid(worker) == os.getsid(worker) == worker
    assert os.readlink(f"/proc/{worker}/cwd") == "/"
    assert os.readlink(f"/proc/{worker}/fd/0") == os.devnull
    status = Path(f"/proc/{worker}/status").read_text()
    assert "Umask:\t0077" in status
    assert "NoNewPrivs:\t1" in status
    assert b"KEYGROVE_OTHER" not in Path(f"/proc/{child}/environ").read_bytes()


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(CalleeExit) as caught:
        await call
    reason = caught.value.reason
    return reason.exc if isinstance(reason, Crash) else type(reason).__name__


@everyone
async def test_a_call_is_answered_whatever_its_bytes(starting: Any) -> None:
    async with starting() as (_, port):
        for data in (b"", b"x", bytes(range(256)), b"x" * 31, b"x" * 255, b"x" * 256, b"x" * 65536):
            assert await port.call(Echo(data)) == data


@everyone
async def test_a_call_of_a_megabyte_is_answered(starting: Any) -> None:
    data = os.urandom(1024 * 1024 - 64)
    async with starting() as (_, port):
        assert await port.call(Echo(data)) == data


@everyone
async def test_many_calls_at_once_have_each_their_own_answer(starting: Any) -> None:
    async def ask(n: int) -> None:
        data = str(n).encode()
        assert await port.call(Echo(data)) == data

    async with starting() as (_, port), anyio.create_task_group() as tasks:
        for n in range(500):
            tasks.start_soon(ask, n)


@everyone
async def test_an_error_is_a_declared_failure_and_the_worker_lives_on(starting: Any) -> None:
    async with starting() as (_, port):
        with pytest.raises(DeclaredError) as caught:
            await port.call(Fail(b""))
        assert caught.value.failure == WorkFailure("not_found", "no such thing", is_retryable=True)
        assert await port.call(Echo(b"x")) == b"x"


@everyone
async def test_a_notice_is_dealt_with_and_a_log_frame_reported(
    starting: Any, reports: Reports
) -> None:
    async with starting() as (_, port):
        port.cast(Reload())
        await reports.until(lambda: [r for r in reports if isinstance(r, WorkerLogged)])
    (logged,) = (r for r in reports if isinstance(r, WorkerLogged))
    assert (logged.level, logged.text, logged.fields) == (1, "reloaded", {"n": 1})


@everyone
async def test_results_stream_with_credit_while_others_are_read(starting: Any) -> None:
    async with starting() as (_, port), stream(port, Count(1000)) as items:
        assert [n async for n in items] == list(range(1000))
        assert items.end == 1000


@everyone
async def test_p09_a_slow_reader_holds_the_worker_back(starting: Any) -> None:
    async with starting(event_credit=4) as (_, port), stream(port, Count(20)) as items:
        await anyio.sleep(0.05)
        assert items.queued <= 4
        assert [n async for n in items] == list(range(20))


@everyone
async def test_leaving_a_stream_early_cancels_it(starting: Any) -> None:
    async with starting(event_credit=8) as (_, port):
        async with stream(port, Count(10**9)) as items:
            async for n in items:
                if n == 20:
                    break
        assert await port.call(Echo(b"next")) == b"next"


@processes
async def test_a_cancelled_call_frees_the_worker(starting: Any) -> None:
    async with starting() as (_, port):
        with pytest.raises(CallTimeout):
            await port.call(Sleep(b"30000"), timeout=0.05)
        assert await port.call(Echo(b"next")) == b"next"


@processes
async def test_a_worker_asks_its_host(starting: Any) -> None:
    async with starting() as (_, port):
        assert await port.call(Ask(b"key")) == b"<key>"


@processes
async def test_p02_a_worker_has_four_files_a_group_and_a_clean_environment(starting: Any) -> None:
    os.environ["KEYGROVE_OTHER"] = "1"
    try:
        async with starting() as (_, port):
            assert await port.call(Files(b"")) == b"0 1 2 3"
            pid = int(await port.call(Spawn(b"")))
            assert_is_confined(parent_of(pid), pid)
    finally:
        del os.environ["KEYGROVE_OTHER"]


@pytest.mark.parametrize(
    ("how", "exc"),
    [("exit 3", "exit_3"), ("leave", "port_eof"), ("segv", "signal_SIGSEGV")],
)
@processes
async def test_p06_the_end_of_a_worker_names_code_or_signal(
    starting: Any, how: str, exc: str
) -> None:
    async with starting() as (_, port):
        assert await reason_of(port.call(Die(how.encode()))) == exc
        assert await port.call(Echo(b"again"), wait_up=PATIENCE_S) == b"again"


@everyone
async def test_p06_code_0_after_bye_is_a_normal_end(starting: Any, reports: Reports) -> None:
    async with starting() as (_, port):
        await port.call(Die(b"bye"))
        await reports.until(lambda: any(isinstance(r, ChildTerminated) for r in reports))
        assert await port.call(Echo(b"again"), wait_up=PATIENCE_S) == b"again"
    ends = [r.reason for r in reports if isinstance(r, ChildTerminated) and r.child == "port"]
    assert [type(e).__name__ for e in ends] == ["Normal", "Shutdown"]


@processes
async def test_p06_the_last_lines_of_stderr_go_with_the_crash(starting: Any) -> None:
    async with starting() as (_, port):
        with pytest.raises(CalleeExit) as caught:
            await port.call(Die(b"exit 1"))
    assert isinstance(caught.value.reason, Crash)
    assert "last words" in caught.value.reason.trace


@pytest.mark.parametrize(
    ("how", "exc"),
    [("garbage", "bad_frame"), ("big", "frame_too_big"), ("unknown", "bad_frame")],
)
@processes
async def test_p11_a_worker_that_breaks_the_rules_is_killed(
    starting: Any, how: str, exc: str
) -> None:
    async with starting() as (_, port):
        assert await reason_of(port.call(Die(how.encode()))) == exc
        assert await port.call(Echo(b"again"), wait_up=PATIENCE_S) == b"again"


@pytest.mark.slow
@processes
async def test_p12_a_silent_worker_counts_as_hung(starting: Any, reports: Reports) -> None:
    async with starting(ping_s=0.05, hang_s=0.2) as (_, port):
        while not crashes(reports):
            with pytest.raises((CallTimeout, CalleeExit)):
                await port.call(Die(b"hang"), timeout=0.1)
            with anyio.move_on_after(1.0):  # it may have been cancelled before it was begun
                await reports.until(lambda: crashes(reports))
    assert set(crashes(reports)) == {"hang"}


@processes
async def test_p05_what_was_written_before_death_is_read(starting: Any) -> None:
    async def ask(n: int) -> None:
        assert await port.call(Echo(b"%d" % n)) == b"%d" % n

    async with starting() as (_, port), anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(ask, n)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(reason_of, port.call(Die(b"exit 1")))


@processes
async def test_p04_grandchildren_end_with_their_worker(starting: Any) -> None:
    async with starting() as (_, port):
        pid = int(await port.call(Spawn(b"")))
        assert not is_gone(pid)
        await reason_of(port.call(Die(b"segv")))
        assert await port.call(Echo(b"again"), wait_up=PATIENCE_S) == b"again"
        await gone(pid)


@processes
async def test_p08_a_drained_worker_finishes_what_it_has(starting: Any, reports: Reports) -> None:
    requests = Requests[bytes]()
    async with starting(drain_s=PATIENCE_S) as (runtime, port):
        answer = requests.send(port, Sleep(b"100"), timeout=None)
        port.cast(Reload())  # it is read behind the call
        await reports.until(lambda: any(isinstance(r, WorkerLogged) for r in reports))
        await runtime.stop()
    assert answer.result() == b"100"
    ends = [r.reason for r in reports if isinstance(r, ChildTerminated) and r.child == "port"]
    assert ends == [Shutdown()]


@processes
async def test_p08_a_worker_that_does_not_drain_is_terminated(
    starting: Any, reports: Reports
) -> None:
    async with starting(drain_s=0.1) as (_, port):
        with pytest.raises(CallTimeout):
            await port.call(Die(b"hang"), timeout=0.05)
        with anyio.fail_after(PATIENCE_S):
            port.exit(Shutdown())
            await reports.until(lambda: any(isinstance(r, ChildTerminated) for r in reports))


@processes
async def test_p09_without_credit_calls_wait_in_the_bounded_mailbox(starting: Any) -> None:
    outcomes: dict[str, int] = {}

    async def ask() -> None:
        try:
            await port.call(Echo(b"x"), timeout=None)
            outcome = "answered"
        except MailboxFull:
            outcome = "refused"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    may_answer = anyio.Event()

    async def hold(message: Lookup) -> bytes:
        await may_answer.wait()
        return message.data

    offers = (Offer(Lookup, hold),)
    async with starting(mailbox=MailboxSpec(limit=10), offers=offers) as (_, port):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(port.call, Ask(b"x"))
            await anyio.wait_all_tasks_blocked()
            for _ in range(63):
                tasks.start_soon(ask)
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            for _ in range(30):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert outcomes == {"refused": 30 - 10}
            may_answer.set()
        assert outcomes == {"answered": 63 + 10, "refused": 30 - 10}
        assert await port.call(Echo(b"x")) == b"x"


@processes
async def test_p14_lines_are_reported_and_a_flood_is_cut(starting: Any, reports: Reports) -> None:
    async with starting() as (_, port):
        assert await port.call(Print(b"3")) == b"3"
        await reports.until(lambda: sum(isinstance(r, WorkerPrinted) for r in reports) == 6)
        assert await port.call(Print(b"100000"), timeout=PATIENCE_S) == b"100000"
    printed = [r for r in reports if isinstance(r, WorkerPrinted)]
    assert len(printed) <= 800
    dropped = sum(r.lines for r in reports if isinstance(r, WorkerLinesDropped))
    assert dropped + len(printed) == 200_006


@processes
async def test_a_killed_port_kills_its_worker(starting: Any, reports: Reports) -> None:
    async with starting() as (_, port):
        pid = int(await port.call(Spawn(b"")))
        worker = parent_of(pid)
        port.kill()
        await reports.until(lambda: any(isinstance(r, ChildTerminated) for r in reports))
        assert await port.call(Echo(b"again"), wait_up=PATIENCE_S) == b"again"
        await gone(worker, pid)


@processes
async def test_p05_a_worker_killed_from_outside_is_restarted(
    starting: Any, reports: Reports
) -> None:
    async with starting() as (_, port):
        pid = int(await port.call(Spawn(b"")))
        worker = parent_of(pid)
        os.kill(worker, signal.SIGKILL)
        await reports.until(lambda: crashes(reports) == ["signal_SIGKILL"])
        assert await port.call(Echo(b"again"), wait_up=PATIENCE_S) == b"again"
