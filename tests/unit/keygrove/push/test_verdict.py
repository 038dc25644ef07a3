"""What a target's answer means."""

import pytest

from keygrove.asking import HttpReply
from keygrove.push.verdict import PAUSE_MAX_S, RETRY_AFTER_MAX_S, Verdict, judged, pause_s

NOW = 1_800_000_000  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201, 202, 204), Verdict.TAKEN),
        ((400, 413, 422), Verdict.REFUSED),
        ((301, 401, 403, 404, 405, 408, 429, 500, 501, 502, 503, 504, 507), Verdict.FAILED),
    ],
    ids=["taken", "refused", "failed"],
)
def test_a_status_says_of_whom_it_speaks(statuses: tuple[int, ...], verdict: Verdict) -> None:
    for status in statuses:
        assert judged(HttpReply(status, b""), NOW).verdict is verdict


def test_what_is_said_in_words_is_told_and_pages_are_not() -> None:
    assert judged(HttpReply(422, b"not\n taken\x00here"), NOW).why == "status 422: not takenhere"
    assert judged(HttpReply(500, b"<html>..."), NOW).why == "status 500"


def test_500_may_be_the_fault_of_the_certificate() -> None:
    assert judged(HttpReply(500, b""), NOW).may_be_its_own
    assert not judged(HttpReply(503, b""), NOW).may_be_its_own


@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        ("120", 120.0),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 5_000, RETRY_AFTER_MAX_S),
        ("00000000000000120", 120.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_S),
    ],
)
def test_when_to_come_again_is_a_number_or_a_date(header: str, after_s: float | None) -> None:
    reply = HttpReply(503, b"", {"retry-after": header})
    assert judged(reply, NOW).after_s == after_s


def test_pauses_grow_to_an_hour_and_what_the_target_says_counts_more() -> None:
    assert [pause_s(failures, None) for failures in (1, 2, 3)] == [5.0, 10.0, 20.0]
    assert pause_s(1_000, None) == PAUSE_MAX_S
    assert pause_s(1, 600.0) == 600.0
    assert pause_s(20, 600.0) == PAUSE_MAX_S
