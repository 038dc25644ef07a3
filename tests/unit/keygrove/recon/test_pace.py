"""When partners are asked again."""

import pytest

from keygrove.recon.pace import OPEN_AFTER, PAUSE_MAX_S, Circuit, Pace, jittered, share
from keygrove.telemetry.partners import Result


class Octets:
    """Randomness that is always the same octet."""

    def __init__(self, octet: int) -> None:
        self._octet = octet

    def token(self, size: int) -> bytes:
        return bytes([self._octet]) * size


def after(*results: Result) -> Pace:
    pace = Pace()
    for result in results:
        pace.note(result)
    return pace


def failed(times: int) -> Pace:
    pace = Pace()
    for _ in range(times):
        pace.note("failed")
    return pace


def test_a_pause_doubles_with_each_failure_and_has_an_end() -> None:
    pauses = [failed(failures).pause_s(60) for failures in range(8)]
    assert pauses == [60, 120, 240, 480, 960, 1920, PAUSE_MAX_S, PAUSE_MAX_S]
    assert failed(1000).pause_s(86_400) == 86_400


def test_who_is_busy_has_not_failed() -> None:
    pace = after("busy", "busy", "busy", "busy", "busy", "busy")
    assert (pace.failures, pace.pause_s(60), pace.circuit) == (0, 60, Circuit.CLOSED)


def test_busy_between_failures_changes_nothing() -> None:
    assert after("failed", "busy", "refused").failures == 2


def test_the_circuit_opens_after_some_failures_and_closes_by_one_success() -> None:
    pace = failed(OPEN_AFTER - 1)
    seen = [pace.circuit]
    pace.note("failed")
    seen.append(pace.circuit)
    pace.is_trying = True
    seen.append(pace.circuit)
    pace.note("done")
    seen.append(pace.circuit)
    assert seen == [Circuit.CLOSED, Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED]


@pytest.mark.parametrize(("octet", "least", "most"), [(0, 90, 90.001), (255, 109.999, 110)])
def test_jitter_is_a_tenth_either_way(octet: int, least: float, most: float) -> None:
    assert least <= jittered(100, Octets(octet)) <= most


def test_half_the_weight_is_half_as_often() -> None:
    assert share(50, 100) == 2
