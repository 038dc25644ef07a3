"""What the observer is told: one struct for each event, in order."""

from __future__ import annotations

from typing import get_args

import anyio
import msgspec
import pytest

from keygrove_actors import (
    Breach,
    Cause,
    ChildGivenUp,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Crash,
    DeadLetter,
    DeadLetters,
    InitTimeout,
    Killed,
    Report,
    Shutdown,
    ShutdownError,
    SlowTurn,
    StartError,
    StopLate,
    SupSpec,
    TerminateError,
    TreeEnded,
    WorkerLinesDropped,
    WorkerLogged,
    WorkerPrinted,
    WorkPoisoned,
    Zombie,
)
from tests.unit.actors.children import ChildApi, Crashes, child
from tests.unit.actors.conftest import Running

pytestmark = pytest.mark.anyio


async def test_a153_every_event_is_one_report_in_order(
    running: Running, reports: list[Report], log: list[str]
) -> None:
    sub = SupSpec(children=(child("a", log),), intensity=1)

    async def crash_twice() -> None:
        async with running(ChildSpec("sub", sub), intensity=0) as runtime:
            ref = runtime.whereis("a", ChildApi)
            for _ in range(2):
                ref.cast(Crashes())
                await anyio.sleep(0.1)

    with pytest.raises(TreeEnded):
        await crash_twice()
    crashes = [r.reason for r in reports if isinstance(r, ChildTerminated) and r.child == "a"]
    assert [c.id for c in crashes if isinstance(c, Crash)] == ["sub/a#1", "sub/a#2"]
    first, second = crashes
    gave_up = Shutdown("reached_max_restart_intensity")
    assert reports == [
        ChildStarted("a", "sub/a", 1),
        ChildStarted("sub", "sub", 1),
        ChildTerminated("a", "sub/a", 1, first),
        ChildRestarting("a", "sub/a", 1, 1),
        ChildStarted("a", "sub/a", 2),
        ChildTerminated("a", "sub/a", 2, second),
        Breach("a", "sub/a", 1, 5.0),
        ChildTerminated("sub", "sub", 1, gave_up),
        Breach("sub", "sub", 0, 5.0),
    ]


CRASH = Crash("OSError", "no disk", "Traceback", "a#1")
WORDS: list[tuple[Report, str]] = [
    (ChildStarted("a", "s/a", 1), "s/a started"),
    (ChildStarted("a", "s/a", 3), "s/a started again, life 3"),
    (ChildTerminated("a", "s/a", 1, CRASH), "s/a crashed with OSError: no disk"),
    (
        ChildTerminated("a", "s/a", 1, Crash("OSError", f"{'x' * 200}: mend this")),
        f"s/a crashed with OSError: {'x' * 200}: mend this",
    ),
    (ChildTerminated("a", "s/a", 1, Shutdown("why")), "s/a was shut down (why)"),
    (ChildRestarting("a", "s/a", 1, 5), "s/a is restarted: 1 of 5 restarts are spent"),
    (StartError("a", "s/a", InitTimeout()), "s/a did not start: it did not finish init in time"),
    (ShutdownError("a", "s/a", Killed()), "s/a did not stop in order: it was killed"),
    (
        TerminateError("a", "s/a", CRASH),
        "s/a did not clean up: that crashed with OSError: no disk",
    ),
    (
        Breach("a", "s/a", 1, 5.0),
        "the supervisor of s/a gave up: that would have been more than 1 restart in 5 s",
    ),
    (
        ChildGivenUp("a", "s/a", 20, 10.0),
        "s/a is given up after 20 restarts in 10 s, and stays down",
    ),
    (StopLate(("a", "b")), "not down in time, and killed for that: a, b"),
    (DeadLetter("a", "Get", Cause.DIED, 1.0), "Get to a was lost: it ended before"),
    (DeadLetters("a", Cause.NO_PROC, 1, 1.0), "1 more message to a lost: nobody is there"),
    (WorkerPrinted("a", "s/a", 7, "stdout", "hi"), "s/a (process 7) wrote to stdout: hi"),
    (
        WorkerLinesDropped("a", "s/a", 7, "log", 9900),
        "s/a (process 7) wrote 9,900 more lines to log, left out here",
    ),
    (WorkerLogged("a", "s/a", 7, 2, "full", {"n": 3}), "s/a (process 7) says: full n=3"),
    (
        WorkPoisoned("a", "s/a", "parse"),
        "s/a refuses one parse for a while: it was at it in two crashes running",
    ),
    (Zombie("a", "s/a", 1.0), "s/a still ran 1 s after its kill, and is cut off"),
    (
        SlowTurn("s/a", "Get", 0.25, "stack"),
        "s/a at Get holds up the event loop, for 0.25 s by now",
    ),
    (
        SlowTurn("", "", 0.25, "stack"),
        "something outside the actors holds up the event loop, for 0.25 s by now",
    ),
]


@pytest.mark.parametrize(("report", "words"), WORDS, ids=[w for _, w in WORDS])
def test_a153_a_report_is_a_line_for_people(report: Report, words: str) -> None:
    assert str(report) == words
    assert "Traceback" not in f"{report}"


def test_a153_every_report_has_words() -> None:
    assert {type(report) for report, _ in WORDS} == set(get_args(Report))


def test_a153_what_a_worker_says_cannot_move_the_cursor() -> None:
    line = str(WorkerPrinted("a", "a", 7, "stderr", "\x1b[2Jgone\r'ü"))
    assert line == "a (process 7) wrote to stderr: \\x1b[2Jgone\\r'ü"


def test_a153_reports_are_structs_fit_for_a_wire() -> None:
    kinds = get_args(Report)
    assert len(kinds) >= 17
    assert all(issubclass(k, msgspec.Struct) and k.__struct_config__.frozen for k in kinds)
    decode = msgspec.json.Decoder(Report).decode
    told = ChildTerminated("a", "sub/a", 2, Shutdown("why"))
    assert decode(msgspec.json.encode(told)) == told
