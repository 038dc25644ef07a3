"""Histories: recording, writing, reading, and putting operations together."""

from pathlib import Path

import pytest

from keygrove_chaos.errors import HistoryError
from keygrove_chaos.history import (
    About,
    Detail,
    Function,
    History,
    Phase,
    decode,
    encode,
    read_history,
    write_history,
)
from keygrove_chaos.operations import NEVER, operations
from tests.unit.chaos.stories import done, told

STORY = "a puts x y | b@n2 gets/L | a ok 200 | b info 503 retry | n1 exit exit=0"


def test_a_line_is_as_the_reference_has_it() -> None:
    history = History()
    about = About("n2", Function.PUT, "ab12", ("p1", "p2"))
    invoked = history.invoke("client3", about, now=0.123456789)
    history.close(invoked, Phase.OK, detail=Detail(status=200), now=0.5)
    assert encode(history.events).decode().splitlines() == [
        '{"i":0,"t":123456789,"c":"client3","s":"client3.0","n":"n2","ph":"invoke","f":"put",'
        '"k":"ab12","v":["p1","p2"],"x":{}}',
        '{"i":1,"t":500000000,"c":"client3","s":"client3.0","n":"n2","ph":"ok","f":"put",'
        '"k":"ab12","v":[],"x":{"status":200}}',
    ]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, told(STORY))
    assert read_history(path) == told(STORY)


def test_a_client_has_a_new_session_after_info_and_only_then() -> None:
    events = told("a gets | a ok | a gets | a fail | a gets | a info | a gets | a ok")
    assert [event.session for event in events] == ["a.0"] * 6 + ["a.1"] * 2


LINES = encode(told(STORY)).splitlines(keepends=True)
DAMAGE = {
    "is no JSON": ([LINES[0], b"{\n"], "line 2: "),
    "is no text": ([b"\xff\n"], "line 1: "),
    "has an unknown phase": ([LINES[0].replace(b"invoke", b"ask")], "line 1: .*ask"),
    "has a field too many": ([LINES[0].replace(b'{"i"', b'{"z":1,"i"')], "line 1: .*z"),
    "lacks a field": ([LINES[0].replace(b'"k":"K",', b"")], "line 1: .*k"),
    "is lost": ([LINES[0], LINES[2]], "line 2: it is event 2, where 1 belongs"),
    "is cut": ([LINES[0], LINES[1][:-1]], "line 2: it is not ended"),
    "goes back in time": (
        [LINES[0].replace(b'"t":0', b'"t":5000000000'), LINES[1]],
        "line 2: time",
    ),
}


@pytest.mark.parametrize(("lines", "says"), DAMAGE.values(), ids=DAMAGE)
def test_a_reader_names_the_line_that(lines: list[bytes], says: str) -> None:
    with pytest.raises(HistoryError, match=says):
        decode(b"".join(lines))


def test_operations_pair_questions_with_answers() -> None:
    put, get = done(STORY)
    assert (put.start, put.end, put.put, put.phase) == (0, 2, ("x", "y"), Phase.OK)
    assert (get.node, get.key, get.end, get.end_ns) == ("n2", "L", NEVER, None)
    assert get.detail == Detail(status=503, has_retry_after=True)


def test_what_was_never_answered_is_as_if_it_ended_in_info() -> None:
    (op,) = done("a puts x")
    assert (op.phase, op.end, op.may_apply, op.is_done) == (Phase.INFO, NEVER, True, False)


CONTRADICTIONS = {
    "an answer to nothing": [1],
    "an answer to something else": [0, 3],
    "two questions at once": [0, 2],
    "a session used after info": [2, 3, 4],
}


@pytest.mark.parametrize("chosen", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_operations_refuse(chosen: list[int]) -> None:
    history = told("a gets | a ok x | a puts x | a info | a gets")
    lines = [line.replace(b"a.1", b"a.0") for line in encode(history).splitlines()]
    numbered = [
        line.replace(b'"i":%d' % at, b'"i":%d' % number, 1)
        for number, (at, line) in enumerate((at, lines[at]) for at in chosen)
    ]
    with pytest.raises(HistoryError, match="event"):
        operations(decode(b"\n".join(numbered) + b"\n"))
