"""Rounds of a federation: in each of them every two partners have a session that ends well.

A round begins when the one before it is over, and has only sessions that began in it. So what was
held somewhere when a round began is held by all partners of that node when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from keygrove_chaos.net_faults import Pair


class _Session(NamedTuple):
    began: float
    ended: float


class Rounds:
    """All sessions that ended well, of all partnerships."""

    def __init__(self, partners: Iterable[Pair]) -> None:
        self._partners = tuple(partners)
        self._sessions: dict[Pair, list[_Session]] = {}
        """By who began it, and with whom."""

    def note(self, node: str, facts: Mapping[str, object], now: float) -> None:
        """A node tells in its log how a session ended, as `telemetry.partners.Round` has it."""
        partner, duration_s = facts["partner"], facts["duration_s"]
        assert isinstance(partner, str)
        assert isinstance(duration_s, float)
        if facts["began"] == "we" and facts["result"] == "done":
            sessions = self._sessions.setdefault((node, partner), [])
            sessions.append(_Session(now - duration_s, now))

    def without(self, since: float) -> list[Pair]:
        """Who has begun no session with which partner since then that ended well."""
        directions = [way for one, other in self._partners for way in ((one, other), (other, one))]
        return [way for way in directions if self._first(way, since) == inf]

    def between(self, since: float, until: float) -> int:
        """How many rounds that began after `since` were over by `until`."""
        count = 0
        while (since := self._round(since)) <= until:
            count += 1
        return count

    def _round(self, since: float) -> float:
        """When one is over that begins then."""
        ends = (
            min(self._first((one, other), since), self._first((other, one), since))
            for one, other in self._partners
        )
        return max(ends)

    def _first(self, way: Pair, since: float) -> float:
        """The end of the first session that began after then."""
        return next((one.ended for one in self._sessions.get(way, ()) if one.began > since), inf)
