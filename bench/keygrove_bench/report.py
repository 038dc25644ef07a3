"""The one form of every benchmark's result: an object for programs, a table for people."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import cpu_count, getloadavg
from pathlib import Path
from statistics import median

import msgspec
from rich.table import Column, Table


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure beside those of its peers, in the same unit and of the same run.

    `value` is a median. What could not run, a peer or we ourselves, has the reason in
    place of a number. A `goal` is the least that will do; with `is_limit`, the most.
    """

    id: str
    what: str
    value: float | str
    unit: str
    goal: float | None = msgspec.field()
    holds: bool | None = msgspec.field()
    peers: Mapping[str, float | str]
    min: float | None = None
    max: float | None = None
    is_limit: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one benchmark."""

    name: str
    date: str
    commit: str
    device: str
    load: float
    versions: Mapping[str, str]
    results: tuple[Row, ...]


def row(
    what: tuple[str, str],
    values: Sequence[float] | str,
    unit: str,
    peers: Mapping[str, float | str],
) -> Row:
    """A row without a goal, from repeated values, or from the reason why there are none.

    `what` is its id and its words.
    """
    name, words = what
    if isinstance(values, str):
        return Row(id=name, what=words, value=values, unit=unit, goal=None, holds=None, peers=peers)
    return Row(
        id=name,
        what=words,
        value=round(median(values), 4),
        unit=unit,
        goal=None,
        holds=None,
        peers=peers,
        min=round(min(values), 4),
        max=round(max(values), 4),
    )


def aimed(of: Row, goal: float, *, is_limit: bool = False) -> Row:
    """The row with a goal; whether that holds is not known of what could not run."""
    value = of.value
    holds = None
    if not isinstance(value, str):
        holds = value <= goal if is_limit else value >= goal
    return msgspec.structs.replace(of, goal=goal, holds=holds, is_limit=is_limit)


def report(name: str, results: Sequence[Row], versions: Mapping[str, str], load: float) -> Report:
    """The report of a run that has just ended; `load` is the average from before it."""
    return Report(
        name=name,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=_commit(),
        device=f"{cpu_count()} x {_cpu()}, Python {platform.python_version()}",
        load=load,
        versions=versions,
        results=tuple(results),
    )


def load_average() -> float:
    """The machine's load over the last minute."""
    return round(getloadavg()[0], 2)


def table(of: Report) -> Table:
    """For people."""
    title = f"{of.name}, {of.device}, load {of.load}"
    columns = (Column("id", no_wrap=True), "what", "value", "unit", "goal", "holds", "peers")
    shown = Table(*columns, title=title)
    for one in of.results:
        spread = "" if one.min is None else f" ({_shown(one.min)} to {_shown(one.max)})"
        peers = ", ".join(f"{peer} {_shown(value)}" for peer, value in one.peers.items())
        goal = "" if one.goal is None else f"{'≤' if one.is_limit else '≥'} {_shown(one.goal)}"
        holds = "" if one.holds is None else ("yes" if one.holds else "no")
        value = _shown(one.value) + spread
        shown.add_row(one.id, one.what, value, one.unit, goal, holds, peers)
    return shown


def _shown(value: float | str | None) -> str:
    if isinstance(value, float | int):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return value or ""


def _commit() -> str:
    """The commit measured; with a plus when the work tree differs from it."""
    here = Path(__file__).parent
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
