"""Counters that are kept along with the changes."""

from keygrove.storage.store import Counts, Hour
from keygrove.storage.tally import HOUR_S, HOURS_KEPT, Standing, Tally

START = 1_700_000_000 - 1_700_000_000 % HOUR_S
NOTHING = Standing(0, is_denied=False)


def test_a_first_version_is_inserted_and_a_later_one_updated() -> None:
    tally = Tally()
    for is_first, at in ((True, START), (False, START + HOUR_S - 1), (False, START + HOUR_S)):
        tally.count_put(is_first=is_first, at=at)
    assert tally.counts(7).hours == (Hour(START, 1, 1), Hour(START + HOUR_S, 0, 1))


def test_what_is_held_and_what_is_denied_is_counted_by_how_it_stood_before() -> None:
    tally, denied = Tally(), Standing(0, is_denied=True)
    for before, after, counts in (
        (NOTHING, Standing(100, is_denied=False), (1, 100, 0)),
        (Standing(100, is_denied=False), Standing(70, is_denied=False), (1, 70, 0)),
        (Standing(70, is_denied=False), denied, (0, 0, 1)),
        (denied, Standing(9, is_denied=True), (1, 9, 1)),
        (Standing(9, is_denied=True), NOTHING, (0, 0, 0)),
    ):
        assert tally.lifts == 0
        tally.count(before, after)
        assert (tally.certificates, tally.packet_bytes, tally.denials) == counts
    assert tally.lifts == 1


def test_hours_beyond_the_last_that_are_kept_are_forgotten() -> None:
    tally = Tally()
    for back in (HOURS_KEPT + 1, HOURS_KEPT, 0):
        tally.count_put(is_first=True, at=START - back * HOUR_S)
    assert [hour.start for hour in tally.counts(3).hours] == [START - HOURS_KEPT * HOUR_S, START]


def test_adding_a_tally_is_counting_what_it_counted() -> None:
    one, other, both = Tally(), Tally(), Tally()
    for tally in (one, both):
        tally.count(NOTHING, Standing(5, is_denied=False))
        tally.count_put(is_first=True, at=START)
    for tally in (other, both):
        tally.count(NOTHING, Standing(3, is_denied=True))
        tally.count_put(is_first=False, at=START)
        tally.count_put(is_first=True, at=START + HOUR_S)
        tally.count(Standing(3, is_denied=True), NOTHING)
    one.add(other)
    assert both.counts(1).lifts == 1
    assert one.counts(1) == both.counts(1)


def test_totals_may_be_given_from_the_start() -> None:
    tally = Tally(10, 1_000)
    tally.count(NOTHING, Standing(1, is_denied=False))
    assert tally.counts(0) == Counts(11, 1_001, 0)
