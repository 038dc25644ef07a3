"""From rounds to rows: medians, and ratios of figures taken in the same round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypeAlias

from keygrove_bench.actors.plan import OURS, Figure, Workload
from keygrove_bench.actors.sides import NOT_RUN, Figures
from keygrove_bench.report import Row, aimed, row

Rounds: TypeAlias = Mapping[str, Sequence[Figures] | str]
"""For each side its rounds, or the reason why there are none."""


def rows(workload: Workload, rounds: Rounds) -> list[Row]:
    """The rows of one workload: our figures beside the peers', then each ratio."""
    found: list[Row] = []
    for figure in workload.figures:
        for side in (name for name in workload.runs if name in OURS):
            found.append(_figure(workload, figure, side, rounds))
            found += [
                _ratio(workload, figure, side, peer, rounds) for peer in _compared(workload, side)
            ]
    return found


def _compared(workload: Workload, side: str) -> list[str]:
    """The peers with a ratio of their own: Erlang, and those a goal names."""
    named = {goal.peer for goal in workload.goals if goal.side == side}
    return [peer for peer in workload.runs if peer == "erlang" or peer in named]


def _figure(workload: Workload, figure: Figure, side: str, rounds: Rounds) -> Row:
    what = (_id(workload, figure, side), f"{workload.words}; {side}")
    peers = {peer: _median(rounds[peer], figure) for peer in workload.runs if peer not in OURS}
    found = row(what, _values(rounds[side], figure), figure.unit, peers)
    return _aimed(found, workload, figure, (side, None))


def _ratio(workload: Workload, figure: Figure, side: str, peer: str, rounds: Rounds) -> Row:
    what = (_id(workload, figure, side) + f"-by-{peer}", f"the same, of {peer}'s")
    ours, theirs = _values(rounds[side], figure), _values(rounds[peer], figure)
    ratios: Sequence[float] | str
    if isinstance(ours, str):
        ratios = ours
    elif isinstance(theirs, str):
        ratios = f"{NOT_RUN}{peer} was {theirs}"
    else:
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return _aimed(row(what, ratios, "ratio", {peer: 1}), workload, figure, (side, peer))


def _aimed(of: Row, workload: Workload, figure: Figure, whose: tuple[str, str | None]) -> Row:
    for goal in workload.goals:
        if (goal.key, (goal.side, goal.peer)) == (figure.key, whose):
            return aimed(of, goal.number, is_limit=figure.smaller_is_better)
    return of


def _id(workload: Workload, figure: Figure, side: str) -> str:
    part = f"-{figure.key}" if len(workload.figures) > 1 else ""
    return f"{workload.id}{part}-{side}"


def _values(rounds: Sequence[Figures] | str, figure: Figure) -> list[float] | str:
    if isinstance(rounds, str):
        return NOT_RUN + rounds
    return [one[figure.key] for one in rounds]


def _median(rounds: Sequence[Figures] | str, figure: Figure) -> float | str:
    values = _values(rounds, figure)
    return values if isinstance(values, str) else round(median(values), 2)
