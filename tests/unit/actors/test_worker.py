"""The kit for workers: a table that serves a host over a socket, as its process would."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from keygrove_actors import DeclaredError, Note, RawWork, Stream, Work
from keygrove_actors import port_wire as wire
from keygrove_actors.port_conform import WORKS, Count, table
from keygrove_actors.port_conform import die as conform_die
from keygrove_actors.worker import Job, Table
from tests.unit.actors.hosts import PATIENCE_S, WELCOME, ThreadHost, hosting


class OddApi:
    pass


class Run(RawWork[OddApi], frozen=True, tag=True):
    """Do what `data` names, on the worker's side."""

    op: ClassVar[str] = "run"


class Ask(Work[OddApi, int], frozen=True, tag=True):
    """What the host offers."""

    op: ClassVar[str] = "ask"
    n: int


class Endless(Stream[OddApi, int, None], frozen=True, tag=True):
    op: ClassVar[str] = "endless"


class Told(Note[OddApi], frozen=True, tag=True):
    op: ClassVar[str] = "told"
    text: str


class Worker:
    """A table, and what became of its functions."""

    def __init__(self) -> None:
        self.table = Table()
        self.seen: list[str] = []
        self.begun = threading.Event()
        self.table.on(Run)(self.run)
        self.table.stream(Endless)(self.endless)
        self.table.on_note(Told)(self.told)

    def run(self, message: Run, job: Job) -> bytes:
        answer = getattr(self, message.data.decode())(job)
        return str(answer).encode()

    def endless(self, message: Endless, job: Job) -> Generator[int, None, None]:
        n = 0
        try:
            while True:
                yield (n := n + 1)
        finally:
            self.seen.append("closed")

    def told(self, message: Told, job: Job) -> None:
        self.seen.append(message.text)

    def until_cancelled(self, job: Job) -> str:
        self.begun.set()
        while not job.is_cancelled():
            pass
        return "cancelled"

    def until_late(self, job: Job) -> str:
        while not job.is_late():
            pass
        assert (job.left_s() or 0) < 0
        return "late"

    def two_events(self, job: Job) -> str:
        for payload in (b"1", b"2"):
            job.event("topic", payload)
        return "told"

    def ask(self, job: Job) -> int:
        return job.call(Ask(20), timeout=2.0) + 1

    def ask_and_report(self, job: Job) -> str:
        with pytest.raises(DeclaredError) as caught:
            job.call(Ask(20))
        return str(caught.value.failure)

    def settings(self, job: Job) -> object:
        return job.settings, job.left_s(), job.is_late()

    def log(self, job: Job) -> None:
        job.log(2, "careful", n=1)

    def leave(self, job: Job) -> None:
        job.leave()

    def crash(self, job: Job) -> None:
        raise ValueError("boom")


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def host(worker: Worker) -> Iterator[ThreadHost]:
    """The host of `worker`, after the handshake."""
    with hosting(worker.table.serve) as host:
        host.take()
        host.send(WELCOME)
        yield host


def run(what: str, call: int = 1, deadline_ms: int = 0) -> wire.Call:
    return wire.Call(call, "run", what.encode(), deadline_ms)


# ---- handshake and end


def test_a_worker_begins_with_what_it_speaks_and_can_do(worker: Worker) -> None:
    with hosting(worker.table.serve) as host:
        hello = host.take()
    assert isinstance(hello, wire.Hello)
    assert (hello.magic, hello.pid, hello.ops) == (
        wire.MAGIC,
        os.getpid(),
        ("run", "endless", "told"),
    )


def test_p04_a_worker_whose_host_is_gone_exits(host: ThreadHost) -> None:
    host.leave()
    assert host.rest() == []
    end = host.end()
    assert isinstance(end, SystemExit)
    assert end.code == 0


def test_p08_a_drained_worker_does_what_waits_and_says_bye(host: ThreadHost) -> None:
    host.send(run("settings", 1), run("settings", 2), wire.Drain(1000))
    first, second, bye = host.rest()
    assert isinstance(first, wire.Reply)
    assert isinstance(second, wire.Reply)
    assert bye == wire.Bye(0, "drained")
    assert host.end() is None


def test_a_function_may_ask_to_leave_in_order(host: ThreadHost) -> None:
    host.send(run("leave"), run("settings", 2))
    assert [type(frame) for frame in host.rest()] == [wire.Reply, wire.Reply, wire.Bye]
    assert host.end() is None


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"\x00\x00\x00\x01\xc1", "cannot be read"), (wire.encode(wire.Bye(0, "")), "send Bye")],
    ids=["garbage", "a frame of workers"],
)
def test_p11_a_host_that_breaks_the_rules_is_left(host: ThreadHost, data: bytes, says: str) -> None:
    host.connection.sendall(data)
    end = host.end()
    assert isinstance(end, SystemExit)
    assert "the host broke the rules of the wire" in str(end.code)
    assert says in str(end.code)


def test_a_worker_started_by_hand_says_how_to_start_it(worker: Worker) -> None:
    with open(os.devnull) as no_socket, pytest.raises(SystemExit, match="start it by a PortSpec"):
        worker.table.serve(no_socket.fileno())


def test_p05_what_was_answered_before_a_crash_is_sent(host: ThreadHost) -> None:
    host.send(run("settings", 1), run("crash", 2), run("settings", 3))
    (only,) = host.rest()
    assert isinstance(only, wire.Reply)
    assert only.id == 1
    assert isinstance(host.end(), ValueError)


# ---- calls


def test_a_function_knows_the_hosts_settings_and_its_deadline(host: ThreadHost) -> None:
    host.send(run("settings"))
    assert host.take() == wire.Reply(1, b"({'size': 3}, None, False)")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (wire.Call(1, "other", b"", 0), "unknown_op"),
        (wire.Call(1, "endless", b"\xc1", 0), "bad_request"),
    ],
    ids=["unknown", "undecodable"],
)
def test_what_cannot_be_done_is_refused_and_the_worker_lives_on(
    host: ThreadHost, call: wire.Call, code: str
) -> None:
    host.send(call, run("settings", 2))
    error, reply = host.take(), host.take()
    assert isinstance(error, wire.Error)
    assert (error.id, error.code, error.retryable) == (1, code, False)
    assert isinstance(reply, wire.Reply)


def test_a_call_whose_time_is_over_when_its_turn_comes_is_not_begun(host: ThreadHost) -> None:
    host.send(run("until_late", 1, deadline_ms=1), run("crash", 2, deadline_ms=1))
    assert host.take() == wire.Reply(1, b"late")
    assert host.take() == wire.Error(2, "deadline", "", retryable=True)


def test_a_running_function_learns_that_it_is_cancelled(host: ThreadHost, worker: Worker) -> None:
    host.send(run("until_cancelled"))
    assert worker.begun.wait(PATIENCE_S)
    host.send(wire.Cancel(1))
    assert host.take() == wire.Reply(1, b"cancelled")


def test_a_waiting_call_that_is_cancelled_is_not_begun(host: ThreadHost) -> None:
    host.send(run("settings", 1), run("crash", 2), wire.Cancel(2), run("settings", 3))
    answers = [host.take() for _ in range(3)]
    assert answers[1] == wire.Error(2, "cancelled", "", retryable=False)
    assert [type(one) for one in answers] == [wire.Reply, wire.Error, wire.Reply]


def test_a_notice_is_dealt_with_and_an_unknown_one_dropped(
    host: ThreadHost, worker: Worker
) -> None:
    text = msgspec.msgpack.encode(Told("x"))
    host.send(wire.Cast("told", text), wire.Cast("other", b""), wire.Drain(1))
    assert host.rest() == [wire.Bye(0, "drained")]
    assert worker.seen == ["x"]


def test_p12_an_idle_worker_answers_a_ping(host: ThreadHost) -> None:
    host.send(wire.Ping(7))
    assert host.take() == wire.Pong(7)


def test_a_line_for_the_log_goes_before_the_answer(host: ThreadHost) -> None:
    host.send(run("log"))
    assert host.take() == wire.Log(2, "careful", {"n": 1})
    assert host.take() == wire.Reply(1, b"None")


# ---- the other way


def test_p09_an_event_waits_for_credit(host: ThreadHost) -> None:
    host.send(wire.Welcome(1, 1024, 1, {}), run("two_events"))
    assert host.take() == wire.Event("topic", b"1")
    host.send(wire.Credit(1))
    assert host.take() == wire.Event("topic", b"2")
    assert host.take() == wire.Reply(1, b"told")


def test_a_function_asks_the_host_and_waits_for_the_answer(host: ThreadHost) -> None:
    host.send(run("ask"))
    asked = host.take()
    assert asked == wire.Call(1, "ask", msgspec.msgpack.encode(Ask(20)), 2000)
    host.send(wire.Ping(1), wire.Reply(1, msgspec.msgpack.encode(21)))
    assert host.take() == wire.Pong(1)
    assert host.take() == wire.Reply(1, b"22")


def test_a_refusal_of_the_hosts_is_a_declared_error(host: ThreadHost) -> None:
    host.send(run("ask_and_report"))
    host.take()
    host.send(wire.Error(1, "overloaded", "later", retryable=True))
    reply = host.take()
    assert isinstance(reply, wire.Reply)
    assert b"overloaded" in reply.payload


def test_a_host_that_goes_while_a_function_waits_for_it_ends_the_worker(host: ThreadHost) -> None:
    host.send(run("ask"))
    host.take()
    host.leave()
    assert isinstance(host.end(), SystemExit)


# ---- streams


def test_p09_results_go_as_far_as_the_credit_and_end_with_their_call(
    host: ThreadHost, worker: Worker
) -> None:
    host.send(wire.Call(1, "endless", msgspec.msgpack.encode(Endless()), 0), run("settings", 2))
    results = [host.take() for _ in range(8)]
    assert results == [wire.Event("endless", bytes([n]), 1) for n in range(1, 9)]
    host.send(wire.Credit(1))
    assert host.take() == wire.Event("endless", b"\x09", 1)
    host.send(wire.Cancel(1))
    assert host.take() == wire.Error(1, "cancelled", "", retryable=False)
    assert isinstance(host.take(), wire.Reply)
    assert worker.seen == ["closed"]


def test_a_busy_worker_looks_for_a_cancellation_between_results(host: ThreadHost) -> None:
    call = wire.Call(1, "endless", msgspec.msgpack.encode(Endless()), 0)
    host.send(wire.Credit(10**9), call)
    assert host.take() == wire.Event("endless", b"\x01", 1)
    host.send(wire.Cancel(1))
    while isinstance(frame := host.take(), wire.Event):
        pass
    assert frame == wire.Error(1, "cancelled", "", retryable=False)


def test_p09_credit_comes_back_before_it_is_used_up(host: ThreadHost) -> None:
    host.send(*(run("settings", n) for n in range(1, 65)))
    frames = [host.take() for _ in range(64 + 4)]
    assert [frame for frame in frames if isinstance(frame, wire.Credit)] == [wire.Credit(16)] * 4


# ---- the worker of the conformance suite


@pytest.fixture
def conform() -> Iterator[ThreadHost]:
    with hosting(table.serve) as host:
        host.take()
        host.send(WELCOME)
        yield host


def test_the_worker_of_the_suite_has_all_its_operations() -> None:
    assert set(table.ops()) == {kind.op for kind in WORKS}


@pytest.mark.parametrize(
    ("op", "payload", "answer"),
    [
        ("echo", b"x", wire.Reply(1, b"x")),
        ("sleep", b"1", wire.Reply(1, b"1")),
        ("fail", b"", wire.Error(1, "not_found", "no such thing", retryable=True)),
        ("die", b"bye", wire.Reply(1, b"")),
    ],
)
def test_an_operation_of_the_suite_is_answered(
    conform: ThreadHost, op: str, payload: bytes, answer: wire.Frame
) -> None:
    conform.send(wire.Call(1, op, payload, 0))
    assert conform.take() == answer


def test_the_suites_worker_prints_to_both_streams(
    conform: ThreadHost, capsys: pytest.CaptureFixture[str]
) -> None:
    conform.send(wire.Call(1, "print", b"2", 0))
    assert conform.take() == wire.Reply(1, b"2")
    assert capsys.readouterr() == ("0\n1\n", "0\n1\n")


def test_the_suites_worker_asks_its_host(conform: ThreadHost) -> None:
    conform.send(wire.Call(1, "ask", b"key", 0))
    assert conform.take() == wire.Call(1, "lookup", b"key", 5000)
    conform.send(wire.Reply(1, b"<key>"))
    assert conform.take() == wire.Reply(1, b"<key>")


def test_the_suites_worker_counts_and_reloads(conform: ThreadHost) -> None:
    conform.send(wire.Call(1, "count", msgspec.msgpack.encode(Count(2)), 0))
    ends = [conform.take() for _ in range(3)]
    assert ends == [*(wire.Event("count", bytes([n]), 1) for n in (0, 1)), wire.Reply(1, b"\x02")]
    conform.send(wire.Cast("reload", msgspec.msgpack.encode({"type": "Reload"})))
    assert conform.take() == wire.Log(1, "reloaded", {"n": 1})


@pytest.mark.parametrize(("how", "code"), [(b"exit 3", 3), (b"leave", 0)])
def test_the_suites_worker_ends_as_it_is_told(conform: ThreadHost, how: bytes, code: int) -> None:
    conform.send(wire.Call(1, "die", how, 0))
    assert conform.rest() == []
    end = conform.end()
    assert isinstance(end, SystemExit)
    assert end.code == code


# ---- tables


def test_an_operation_has_one_function() -> None:
    table = Worker().table
    with pytest.raises(TypeError, match="two functions"):
        table.on(Run)(conform_run)


def conform_run(message: Run, job: Job) -> bytes:
    return b""


def test_a_function_takes_the_message_that_it_answers() -> None:
    with pytest.raises(TypeError, match="answers Run but takes"):
        Table().on(Run)(conform_die)  # pyright: ignore[reportArgumentType]


async def asks(message: Ask, job: Job) -> int:
    return 1


async def asks_often(message: Ask, job: Job) -> AsyncGenerator[int, None]:
    yield 1


def yields(message: Ask, job: Job) -> Generator[int, None, None]:
    yield 1


@pytest.mark.parametrize(
    ("function", "why"),
    [(asks, "is async"), (asks_often, "is async"), (yields, "derive Ask from Stream")],
)
def test_a_function_that_could_not_answer_is_refused(function: Any, why: str) -> None:
    table = Table()
    with pytest.raises(TypeError, match=why):
        table.on(Ask)(function)
    assert table.ops() == ()


@pytest.mark.parametrize(
    ("marker", "kind", "right"),
    [
        ("on", Endless, "use table.stream"),
        ("on", Told, "use table.on_note"),
        ("stream", Run, "use table.on$"),
        ("on_note", Ask, "use table.on$"),
        ("on", OddApi, "derive it from Work"),
    ],
)
def test_a_kind_that_is_marked_as_another_is_refused(marker: str, kind: Any, right: str) -> None:
    with pytest.raises(TypeError, match=right):
        getattr(Table(), marker)(kind)
