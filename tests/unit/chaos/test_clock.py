"""Clocks that are wrong: what each fault makes of wall time and stopwatch."""

from itertools import pairwise
from typing import get_args

import msgspec
import pytest

from keygrove_chaos.clock import (
    EDGES_S,
    EPOCH_S,
    ClockFault,
    Drift,
    Freeze,
    Jump,
    Offset,
    SimulatedClock,
    Slew,
)
from tests.simulation.timelines import SeededTimeline


class Case:
    def __init__(self, *, offset_s: float = 0.0, drift: Drift | None = None) -> None:
        self.timeline = SeededTimeline(0)
        self.clock = SimulatedClock(self.timeline, offset_s=offset_s, drift=drift)

    def at(self, time_s: float) -> tuple[float, float]:
        """How wrong wall time and stopwatch are then, seconds."""
        self.timeline.time_s = time_s
        return (
            round(self.clock.wall_s() - EPOCH_S - time_s, 6),
            round(self.clock.elapsed() - time_s, 6),
        )


def test_a_clock_without_faults_is_right() -> None:
    case = Case()
    assert [case.at(time_s) for time_s in (0, 0.5, 1e6)] == [(0, 0)] * 3
    assert case.clock.now() == EPOCH_S + 1_000_000


def test_a_clock_may_be_wrong_from_the_start_and_drift() -> None:
    case = Case(offset_s=-10, drift=Drift(wall=500e-6, elapsed=-500e-6))
    assert case.at(0) == (-10, 0)
    assert case.at(2000) == (-9, -1)


def test_an_offset_is_felt_while_it_is_in_force() -> None:
    case = Case()
    case.clock.push("f", Offset(offset_s=-315_576_000.0))
    assert case.at(1) == (-315_576_000, 0)
    assert case.clock.pop("f") == 2
    assert case.at(1) == (0, 0)


def test_a_jump_stays() -> None:
    case = Case()
    case.clock.push("forward", Jump(by_s=3600))
    case.clock.push("back", Jump(by_s=-60))
    assert case.at(5) == (3540, 0)
    case.clock.pop("forward")
    case.clock.pop("back")
    assert case.at(6) == (3540, 0)


def test_a_drift_keeps_what_it_gained() -> None:
    case = Case()
    case.at(100)
    case.clock.push("f", Drift(wall=0.01, elapsed=-0.5))
    assert case.at(200) == (1, -50)
    case.clock.pop("f")
    assert case.at(300) == (1, -50)


def test_a_frozen_clock_is_right_again_afterwards() -> None:
    case = Case()
    case.at(10)
    case.clock.push("f", Freeze())
    assert case.at(30) == (-20, 0)
    case.clock.pop("f")
    assert case.at(30) == (0, 0)


def test_after_a_pause_the_stopwatch_jumps_forward_by_it() -> None:
    case = Case()
    case.at(10)
    case.clock.push("f", Freeze(is_pause=True))
    assert case.at(30) == (-20, -20)
    case.clock.pop("f")
    assert case.at(30) == (0, 0)


@pytest.mark.parametrize("by_s", [1.0, -1.0])
def test_a_slew_brings_a_clock_right_slowly_and_not_beyond(by_s: float) -> None:
    case = Case()
    case.clock.push("jump", Jump(by_s=by_s))
    case.clock.push("slew", Slew())
    assert case.at(1000) == (by_s / 2, 0)
    assert case.at(3000) == (0, 0)


@pytest.mark.parametrize("edge_s", EDGES_S.values(), ids=EDGES_S)
def test_a_clock_passes_the_edges_of_its_readers(edge_s: int) -> None:
    case = Case()
    case.clock.push("f", Jump(to_s=edge_s - 1.5))
    seen: list[int] = []
    for time_s in range(4):
        case.at(time_s)
        seen.append(case.clock.now() - edge_s)
    assert seen == [-2, -1, 0, 1]


def test_the_stopwatch_never_runs_back() -> None:
    case, shown = Case(drift=Drift(elapsed=-500e-6)), list[float]()
    chance = case.timeline.stream("faults")
    drawn = (
        lambda: Offset(offset_s=chance.uniform(-1e9, 1e9)),
        lambda: Jump(by_s=chance.uniform(-1e9, 1e9)),
        lambda: Drift(wall=chance.uniform(-1, 1), elapsed=chance.uniform(-0.9, 1)),
        lambda: Freeze(is_pause=chance.random() < 0.5),
        lambda: Slew(rate=chance.random()),
    )
    active: list[str] = []
    for step in range(500):
        case.timeline.time_s += chance.random()
        if active and chance.random() < 0.4:
            case.clock.pop(active.pop(chance.randrange(len(active))))
        else:
            active.append(str(step))
            case.clock.push(active[-1], chance.choice(drawn)())
        shown.append(case.clock.elapsed())
    assert all(one <= other for one, other in pairwise(shown))


def test_every_kind_is_data() -> None:
    faults = (Offset(offset_s=1), Jump(by_s=1), Drift(wall=1), Freeze(), Slew())
    assert {type(fault) for fault in faults} == set(get_args(ClockFault))
    for fault in faults:
        assert msgspec.json.decode(msgspec.json.encode(fault), type=ClockFault) == fault
