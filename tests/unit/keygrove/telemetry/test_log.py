"""Log lines: for people, for programs, and the words for what happens."""

import json
from io import StringIO
from typing import cast

import pytest

from keygrove.telemetry.exchange import Exchange
from keygrove.telemetry.log import LogFormat, NodeLog, open_log
from keygrove_actors import (
    Breach,
    Cause,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    Crash,
    DeadLetter,
    Killed,
    Report,
    Shutdown,
    ShutdownError,
    SlowTurn,
    StartError,
    StopLate,
    TerminateError,
    WorkerLogged,
    WorkerPrinted,
)
from keygrove_actors.repeats import Repeated
from keygrove_chaos.node import MemoryLog

CRASH = Crash("StoreError", "the disk is gone", "Traceback: here", "7f")


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def test_json_has_one_object_a_line() -> None:
    stream = StringIO()
    log = open_log(stream, "json")
    log.info("actor started", child="shard-0", octets=b"\xff")
    log.error("crashed", exc_info=ValueError("why"))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["child"]) == ("actor started", "info", "shard-0")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: why" in second["exception"]


def test_below_its_level_nothing_is_written() -> None:
    stream = StringIO()
    log = open_log(stream, "json", level="error")
    log.info("quiet")
    log.error("loud")
    assert len(stream.getvalue().splitlines()) == 1


def test_tracebacks_can_be_left_out() -> None:
    stream = StringIO()
    log = open_log(stream, "console", tracebacks=False)
    NodeLog(log, bytes(32)).report(StartError("a", "s/a", CRASH))
    NodeLog(log, bytes(32)).fault("merge", ValueError("why"))
    assert "Traceback" not in stream.getvalue()
    assert "the disk is gone" in stream.getvalue()
    assert "ValueError('why')" in stream.getvalue()


def test_a_store_without_room_is_worth_a_warning(log: MemoryLog) -> None:
    words = NodeLog(log, bytes(32))
    words.bringing_up("shard-0", "half way", lacks_room=False)
    words.bringing_up("shard-0", "stuck", lacks_room=True)
    words.brought_up("shard-0")
    assert [line.level for line in log.lines] == ["info", "warning", "info"]


def test_two_logs_keep_apart() -> None:
    one, other = StringIO(), StringIO()
    open_log(one, "console").info("left")
    open_log(other, "json").info("right")
    assert "left" in one.getvalue()
    assert "left" not in other.getvalue()


@pytest.mark.parametrize(
    ("report", "level", "event"),
    [
        (ChildStarted("a", "s/a", 1), "info", "actor started"),
        (ChildRestarting("a", "s/a", 1, 20), "warning", "actor restarting"),
        (ChildTerminated("a", "s/a", 1, Shutdown()), "info", "actor ended"),
        (ChildTerminated("a", "s/a", 1, CRASH), "error", "actor ended"),
        (StartError("a", "s/a", CRASH), "error", "actor did not start"),
        (ShutdownError("a", "s/a", Killed()), "info", "actor did not stop in order"),
        (TerminateError("a", "s/a", CRASH), "error", "actor did not clean up"),
        (Breach("a", "s", 20, 10.0), "error", "supervisor gave up"),
        (StopLate(("s/a",)), "error", "actors killed at the deadline"),
        (DeadLetter("a", "Get", Cause.DIED, 1.0), "debug", "message lost"),
        (WorkerLogged("a", "s/a", 7, 1, "well", {}), "info", "worker logged"),
        (WorkerLogged("a", "s/a", 7, 4, "alas", {}), "error", "worker logged"),
        (SlowTurn("s/a", "Get", 0.2, "in get"), "warning", "event loop held up"),
        (Repeated(ChildRestarting("a", "s/a", 1, 20), 7), "warning", "actor restarting again"),
        (Repeated(ChildTerminated("a", "s/a", 1, CRASH), 7), "error", "actor ended again"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_every_report_has_its_words(
    log: MemoryLog, report: Report | Repeated, level: str, event: str
) -> None:
    NodeLog(log, bytes(32)).report(report)
    (line,) = log.lines
    assert (line.level, line.event) == (level, event)


def test_what_holds_up_the_loop_has_no_empty_facts(log: MemoryLog) -> None:
    NodeLog(log, bytes(32)).report(SlowTurn("s/a", "Get", 0.2, "in get"))
    NodeLog(log, bytes(32)).report(SlowTurn("", "", 0.2, "in poll"))
    assert [line.facts.keys() for line in log.lines] == [
        {"said", "path", "message", "seconds", "trace"},
        {"said", "seconds", "trace"},
    ]


def test_a_crash_is_told_with_its_trace_and_its_number(log: MemoryLog) -> None:
    NodeLog(log, bytes(32)).report(ChildTerminated("a", "s/a", 2, CRASH))
    facts = log.lines[0].facts
    assert (facts["crash"], facts["trace"]) == ("7f", "Traceback: here")
    assert "the disk is gone" in str(facts["reason"])
    assert (facts["child"], facts["path"], facts["incarnation"]) == ("a", "s/a", 2)


def test_what_repeats_itself_is_told_with_its_number_and_without_its_trace(log: MemoryLog) -> None:
    NodeLog(log, bytes(32)).report(Repeated(ChildTerminated("a", "s/a", 9, CRASH), 7))
    facts = log.lines[0].facts
    assert (facts["times"], facts["path"], facts["trace"]) == (7, "s/a", None)


def test_people_read_a_sentence_and_programs_the_facts() -> None:
    people, programs = StringIO(), StringIO()
    for stream, form in ((people, "console"), (programs, "json")):
        node = NodeLog(open_log(stream, cast(LogFormat, form)), bytes(32))
        node.report(ChildTerminated("a", "s/a", 2, CRASH))
        node.report(WorkerPrinted("a", "s/a", 7, "stderr", "\x1b[2J"))
    lines = people.getvalue().splitlines()
    assert lines[0].endswith("s/a crashed with StoreError: the disk is gone crash=7f")
    assert lines[1] == "Traceback: here"
    assert "s/a (process 7) wrote to stderr: \\x1b[2J" in lines[2]
    facts = json.loads(programs.getvalue().splitlines()[0])
    assert (facts["event"], facts["path"], facts["incarnation"]) == ("actor ended", "s/a", 2)
    assert "said" not in facts


def exchange(client: str | None, status: int = 200) -> Exchange:
    return Exchange("hkp", "GET", "/", status, 0.0123, 7, client)


def test_clients_are_told_apart_and_not_known(log: MemoryLog) -> None:
    node = NodeLog(log, bytes(32))
    for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", None):
        node.exchange(exchange(client))
    one, same, other, none = (line.facts["client"] for line in log.lines)
    assert one == same != other
    assert none is None
    assert "192.0.2" not in str(log.lines)
    NodeLog(log, bytes(31) + b"\x01").exchange(exchange("192.0.2.1"))
    assert log.lines[-1].facts["client"] != one


@pytest.mark.parametrize(
    ("status", "level"), [(200, "info"), (404, "info"), (499, "info"), (503, "warning")]
)
def test_faults_of_a_server_are_warnings(log: MemoryLog, status: int, level: str) -> None:
    NodeLog(log, bytes(32)).exchange(exchange(None, status))
    assert log.lines[0].level == level
    assert log.lines[0].facts["duration_ms"] == 12.3
