"""Counters that are kept along with the changes."""

from keygrove.storage.store import Counts, Hour
from keygrove.storage.tally import HOUR_S, HOURS_KEPT, Tally

START = 1_700_000_000 - 1_700_000_000 % HOUR_S


def test_a_first_version_is_inserted_and_a_later_one_updated() -> None:
    tally = Tally()
    tally.count(is_first=True, grown_bytes=100, at=START)
    tally.count(is_first=False, grown_bytes=20, at=START + HOUR_S - 1)
    tally.count(is_first=False, grown_bytes=-50, at=START + HOUR_S)
    hours = (Hour(START, 1, 1), Hour(START + HOUR_S, 0, 1))
    assert tally.counts(7) == Counts(1, 70, 7, hours)


def test_hours_beyond_the_last_that_are_kept_are_forgotten() -> None:
    tally = Tally()
    for back in (HOURS_KEPT + 1, HOURS_KEPT, 0):
        tally.count(is_first=True, grown_bytes=1, at=START - back * HOUR_S)
    assert [hour.start for hour in tally.counts(3).hours] == [START - HOURS_KEPT * HOUR_S, START]
    assert tally.certificates == 3


def test_adding_a_tally_is_counting_what_it_counted() -> None:
    one, other, both = Tally(), Tally(), Tally()
    for tally in (one, both):
        tally.count(is_first=True, grown_bytes=5, at=START)
    for tally in (other, both):
        tally.count(is_first=False, grown_bytes=3, at=START)
        tally.count(is_first=True, grown_bytes=9, at=START + HOUR_S)
    one.add(other)
    assert one.counts(1) == both.counts(1)


def test_totals_may_be_given_from_the_start() -> None:
    tally = Tally(10, 1_000)
    tally.count(is_first=True, grown_bytes=1, at=START)
    assert (tally.certificates, tally.packet_bytes) == (11, 1_001)
