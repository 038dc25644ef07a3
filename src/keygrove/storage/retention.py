"""Which moments of a shard's history are kept. Pure, and without a clock.

Time is that of the newest change: a shard that nobody changes forgets nothing. A clock that was
set back keeps more; one that runs ahead ages what was before, as far as its changes say.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

HOUR_S: Final = 3_600
DAY_S: Final = 86_400


class Retention(msgspec.Struct, frozen=True):
    """How much of the history is kept: all at first, then the last moment of each period.

    Source: storage.md §3.3.
    """

    all_s: int = 48 * HOUR_S
    fine_s: int = 30 * DAY_S
    """So long the last of each fine period is kept, and of each coarse one from then on."""
    fine_period_s: int = HOUR_S
    coarse_period_s: int = DAY_S
    until_s: int = 0
    """Nothing older than that, unless it is younger than `all_s`. 0: it is kept for ever."""


KEEP: Final = Retention()


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """A commit: its number, when it was, and the last row there was after it."""

    n: int
    at: int
    seq: int


class Gap(msgspec.Struct, frozen=True):
    """Moments in a row that are not kept any more, between two that are."""

    after: Moment
    dropped: tuple[Moment, ...]
    before: Moment


START: Final = Moment(0, 0, 0)
"""Before the first change: that nothing was there is kept for ever."""


def kept(
    moments: Sequence[Moment], now: int, snapshots: Collection[int], retention: Retention
) -> set[int]:
    """The numbers of those that are kept."""
    chosen = {one.n for one in moments if one.n in snapshots or one.at > now - retention.all_s}
    last: dict[tuple[int, int], int] = {}
    for one in moments:
        period = _period(one.at, now, retention)
        if one.n not in chosen and period is not None:
            last[period] = max(one.n, last.get(period, 0))
    return chosen.union(last.values())


def gaps(
    moments: Sequence[Moment], now: int, snapshots: Collection[int], retention: Retention
) -> list[Gap]:
    """What goes, of moments in order. Of those behind the last that is kept nothing goes yet."""
    stays = kept(moments, now, snapshots, retention)
    found: list[Gap] = []
    after, dropped = START, list[Moment]()
    for one in moments:
        if one.n not in stays:
            dropped.append(one)
            continue
        if dropped:
            found.append(Gap(after, tuple(dropped), one))
        after, dropped = one, []
    return found


def _period(at: int, now: int, retention: Retention) -> tuple[int, int] | None:
    """The period that it stands for; None if it is too old."""
    if retention.until_s and at <= now - retention.until_s:
        return None
    is_fine = at > now - retention.fine_s
    length = retention.fine_period_s if is_fine else retention.coarse_period_s
    return length, at // length
