"""The one form of every benchmark's result: an object for programs, a table for people."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import cpu_count, getloadavg
from pathlib import Path
from statistics import median

import msgspec
from rich.table import Table


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure beside those of its peers, in the same unit and of the same run.

    `value` is a median. A peer that could not run has the reason in place of a number.
    """

    id: str
    what: str
    value: float
    unit: str
    goal: float | None = msgspec.field()
    holds: bool | None = msgspec.field()
    peers: Mapping[str, float | str]
    min: float | None = None
    max: float | None = None


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
    what: tuple[str, str], values: Sequence[float], unit: str, peers: Mapping[str, float | str]
) -> Row:
    """A row without a goal, from repeated values. `what` is its id and its words."""
    name, words = what
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
    shown = Table(
        "id", "what", "value", "unit", "goal", "holds", "peers", title=f"{of.name}, {of.device}"
    )
    for one in of.results:
        spread = f" ({one.min:g} to {one.max:g})" if one.min is not None else ""
        peers = ", ".join(f"{peer} {value}" for peer, value in one.peers.items())
        goal = "" if one.goal is None else f"{one.goal:g}"
        holds = "" if one.holds is None else ("yes" if one.holds else "no")
        shown.add_row(one.id, one.what, f"{one.value:g}{spread}", one.unit, goal, holds, peers)
    return shown


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
